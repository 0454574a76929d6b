"""Patches of noise from the flat regions of a photograph."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from blindsr.imaging.reader import to_float
from blindsr.storage.kernel_pool import NOISE_PX

MIN_MEAN, MAX_MEAN = 32, 224
"""Of a patch, in levels of 255: nearer to black or white, noise is clipped."""
MIN_STD, MAX_STD = 0.2, 12
"""In levels of 255: less is a region without noise, more is texture."""
MAX_MEAN_DIFFERENCE = 0.35
"""How far the mean of a quarter may be from that of its patch, in standard deviations of the patch. A slope has 0.43 and more."""
MAX_VARIANCE_RATIO = 1.4
"""How many times the variance of the patch a quarter's may be, or the reverse."""
STRIP_ROWS = 32 * NOISE_PX


def noise_patches(pixels: NDArray[Any], count: int) -> NDArray[np.float32]:
    """At most `count` patches (N, 32, 32, 3) of noise, spread over all flat regions of an image (H, W, 3), uint8 or uint16.

    A region is flat where its brightness has a middle mean and a small variance, and its four quarters have both as the whole:
    where there is nothing but noise. The mean of each channel is subtracted; the values are in units of the range [0, 1].
    Source: Chen et al., *Image Blind Denoising With Generative Adversarial Network Based Noise Modeling*, CVPR 2018, section 3.1;
    Ji et al., *Real-World Super-Resolution via Kernel Estimation and Noise Injection*, CVPRW 2020, section 3.2.
    """
    strips = [pixels[top : top + STRIP_ROWS] for top in range(0, pixels.shape[0] - NOISE_PX + 1, STRIP_ROWS)]
    places = [(strip, row, column) for strip, found in ((each, _flat(each)) for each in strips) for row, column in found]
    if not places:
        return np.zeros((0, NOISE_PX, NOISE_PX, 3), np.float32)
    chosen = np.unique(np.linspace(0, len(places) - 1, min(count, len(places))).round().astype(int))
    patches = np.stack([_patch(*places[number]) for number in chosen])
    patches -= patches.mean(axis=(1, 2), keepdims=True, dtype=np.float64).astype(np.float32)
    return patches


def _patch(strip: NDArray[Any], row: int, column: int) -> NDArray[np.float32]:
    return to_float(strip[row : row + NOISE_PX, column : column + NOISE_PX])


def _flat(strip: NDArray[Any]) -> list[tuple[int, int]]:
    """The corners of the flat patches of a grid."""
    gray = 255 * to_float(strip).mean(axis=2)
    means, variances = _moments(gray, NOISE_PX)
    std = np.sqrt(variances)
    good = (means >= MIN_MEAN) & (means <= MAX_MEAN) & (std >= MIN_STD) & (std <= MAX_STD)
    inner = gray[: means.shape[0] * NOISE_PX, : means.shape[1] * NOISE_PX]
    quarter_means, quarter_variances = (
        each.reshape(means.shape[0], 2, means.shape[1], 2).swapaxes(1, 2) for each in _moments(inner, NOISE_PX // 2)
    )
    off = np.abs(quarter_means - means[..., None, None]).max(axis=(2, 3))
    ratios = quarter_variances / np.maximum(variances, 1e-9)[..., None, None]
    alike = (ratios.max(axis=(2, 3)) <= MAX_VARIANCE_RATIO) & (ratios.min(axis=(2, 3)) >= 1 / MAX_VARIANCE_RATIO)
    return [
        (int(row) * NOISE_PX, int(column) * NOISE_PX)
        for row, column in np.argwhere(good & (off <= MAX_MEAN_DIFFERENCE * std) & alike)
    ]


def _moments(gray: NDArray[np.float32], side: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Means and variances of the squares of a grid."""
    rows, columns = (size // side for size in gray.shape)
    squares = gray[: rows * side, : columns * side].astype(np.float64).reshape(rows, side, columns, side)
    return squares.mean(axis=(1, 3)), squares.var(axis=(1, 3))
