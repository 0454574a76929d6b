"""Exact nearest neighbours of patches, and how much each pair counts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from blindsr_michaeli_irani.patches import PATCH_PX

MAX_REFERENCES = 400_000  # patches of the downscaled image that are searched: 80 MB, and all of an image of 1.6 megapixels
UNRELIABLE = 0.03  # fraction of its variance that a patch's nearest neighbour misses: at each such step it counts 1 / e as much


@dataclass(frozen=True)
class Neighbours:
    """The nearest patches of the downscaled image.

    Attributes
    ----------
    places
        (n, neighbours): the number of each neighbour's top left pixel among the top left pixels of all patches.
    distances
        (n, neighbours): squared distances, rising.
    """

    places: NDArray[np.int64]
    distances: NDArray[np.float64]


def find(queries: NDArray[np.float64], image: NDArray[np.float64], count: int, threads: int = 1) -> Neighbours:
    """The `count` nearest 5 x 5 patches of `image` for each query (n, 25), exactly, by a k-d tree.

    The patches are first turned to their principal axes: distances stay, but the tree then splits where patches differ most,
    and the search is several times as fast as one by matrix products. From images beyond `MAX_REFERENCES` patches, evenly spread
    ones are searched.
    """
    grid = sliding_window_view(image, (PATCH_PX, PATCH_PX))
    total = grid.shape[0] * grid.shape[1]
    places = np.arange(total) if total <= MAX_REFERENCES else np.linspace(0, total - 1, MAX_REFERENCES).round().astype(np.int64)
    patches = grid[np.unravel_index(places, grid.shape[:2])].reshape(-1, PATCH_PX**2)
    axes = np.linalg.eigh(patches.T @ patches)[1][:, ::-1]
    tree = cKDTree(patches @ axes, balanced_tree=False)
    distances, found = tree.query(queries @ axes, np.arange(1, count + 1), workers=threads)
    return Neighbours(places[found], np.square(distances))


def weights(queries: NDArray[np.float64], distances: NDArray[np.float64], sigma: float) -> NDArray[np.float64]:
    """How much each pair of patch and neighbour counts.

    ``exp(-distance / (2 sigma^2))``, normalised over a patch's neighbours as in the paper, times
    ``exp(-f / 0.03)``, where f is the nearest neighbour's distance as a fraction of the patch's own variance. Without
    this, the many patches that do not recur outvote the others: fitted to mere look-alikes, kernels grow wide.

    Returns
    -------
    (n, neighbours), in 0..1.
    """
    exponents = -(distances - distances[:, :1]) / (2 * sigma**2)
    pairs = np.exp(exponents)
    pairs /= pairs.sum(1, keepdims=True)
    unexplained = distances[:, :1] / (PATCH_PX**2 * queries.var(1, keepdims=True))
    weighted: NDArray[np.float64] = pairs * np.exp(-unexplained / UNRELIABLE)
    return weighted
