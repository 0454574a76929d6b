"""Exact nearest neighbours of patches, and how much each pair counts."""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from blindsr_michaeli_irani.patches import PATCH_PX

MAX_REFERENCES = 400_000  # patches of the downscaled image that are searched: 80 MB, and all of an image of 1.6 megapixels
UNRELIABLE = 0.03  # fraction of its variance that a patch's nearest neighbour misses: at each such step it counts 1 / e as much


Array = NDArray[np.float64]


def find(queries: Array, image: Array, count: int, threads: int = 1) -> tuple[NDArray[np.int64], Array]:
    """The `count` nearest 5 x 5 patches of `image` for each query (n, 25), exactly, by a k-d tree.

    Both results are (n, count): the numbers of the patches' top left pixels among those of all patches, and the squared
    distances, rising.

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
    return places[found], np.square(distances)


def weights(queries: Array, distances: Array, sigma: float) -> Array:
    """How much each pair of patch and neighbour counts: (n, neighbours), in 0..1.

    ``exp(-distance / (2 sigma^2))``, normalised over a patch's neighbours as in the paper, times
    ``exp(-f / 0.03)``, where f is the nearest neighbour's distance as a fraction of the patch's own variance. Without
    this, the many patches that do not recur outvote the others: fitted to mere look-alikes, kernels grow wide.
    """
    pairs = np.exp(-(distances - distances[:, :1]) / (2 * sigma**2))
    pairs /= pairs.sum(1, keepdims=True)
    unexplained = distances[:, :1] / (PATCH_PX**2 * queries.var(1, keepdims=True))
    weighted: Array = pairs * np.exp(-unexplained / UNRELIABLE)
    return weighted
