"""The noise of an image."""

import math
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from blindsr.imaging.reader import to_float

ROUNDING = 12**-0.5
"""Standard deviation of what rounding changes, in levels: the least noise that an image has."""
PATCH_PX = 8
MAX_PATCHES = 40_000
PATCHES_PER_VALUE = 12
"""So many patches for each of their values: with fewer the smallest eigenvalues come out too small."""


def noise_level(pixels: NDArray[Any]) -> float:
    """Standard deviation of the white noise of an image (H, W, C), in levels of 255.

    Patches of an image lie near a subspace; across it there is only noise. The eigenvalues of the patches' covariance that belong
    to noise are the smallest ones, as many as have a median equal to their mean. Source: Chen, Zhu, Heng, *An Efficient Statistical
    Method for Image Noise Level Estimation*, ICCV 2015, algorithm 1, here with at most 40,000 patches.

    Examples
    --------
    >>> noise = np.random.default_rng(0).normal(0.5, 5 / 255, (200, 200, 3))
    >>> round(noise_level(noise.astype(np.float32)), 1)
    5.0
    """
    side = _patch_side(pixels.shape)
    stride = max(1, math.ceil(math.sqrt(pixels.shape[0] * pixels.shape[1] / MAX_PATCHES)))
    patches = sliding_window_view(pixels, (side, side), axis=(0, 1))[::stride, ::stride]
    if (patches[:, :, :1] == patches).all():  # between channels that are alike there is no noise
        patches = patches[:, :, :1]
    vectors = to_float(patches.reshape(patches.shape[0] * patches.shape[1], -1)).astype(np.float64)
    if len(vectors) < 2:
        return 0.0
    values = np.linalg.eigvalsh(np.atleast_2d(np.cov(vectors, rowvar=False))).clip(0)
    sizes = np.arange(1, len(values) + 1)
    means = np.cumsum(values) / sizes
    medians = np.array([np.median(values[:size]) for size in sizes])
    noise = means[means <= medians][-1]  # the largest set; a single eigenvalue is its own median
    return 255 * math.sqrt(noise)


def _patch_side(shape: tuple[int, ...]) -> int:
    """The side of the patches: `PATCH_PX`, or less in an image that has too few of them."""
    for side in range(min(PATCH_PX, *shape[:2]), 2, -1):
        patches = (shape[0] - side + 1) * (shape[1] - side + 1)
        if patches >= PATCHES_PER_VALUE * side**2 * shape[2]:
            return side
    return min(2, *shape[:2])
