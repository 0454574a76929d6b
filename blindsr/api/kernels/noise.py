"""Patches of noise from the flat regions of a photograph."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from blindsr.imaging.reader import to_float
from blindsr.storage.kernel_pool import NOISE_PX

MIN_MEAN, MAX_MEAN = 32, 224
"""Of a patch, in levels of 255: nearer to black or white, noise is clipped."""
MIN_STD, MAX_STD = 0.2, 8
"""In levels of 255: less is a region without noise, more is texture."""
MAX_MEAN_DIFFERENCE = 0.35
"""How far the mean of a quarter may be from that of its patch, in standard deviations of the patch."""
MAX_VARIANCE_RATIO = 2
"""How many times the variance of the patch a quarter's may be, or the reverse."""
MAX_CORRELATION = 0.6
"""Between neighbouring rows and columns: that of fine texture is higher, that of a camera's noise 0.2 to 0.5."""
STRIP_ROWS = 32 * NOISE_PX

Array = NDArray[np.float32]


def noise_patches(pixels: NDArray[Any], count: int) -> Array:
    """At most `count` patches (N, 32, 32, 3) of noise, spread over all flat regions of an image (H, W, 3), uint8 or uint16.

    A region is flat if, after its slope is subtracted, its brightness has a middle mean and a small variance, its four quarters
    have both as the whole, and neighbouring pixels differ: then there is nothing but noise. The slope and the mean are subtracted
    from each channel; the values are in units of the range [0, 1].
    Source: Chen et al., *Image Blind Denoising With Generative Adversarial Network Based Noise Modeling*, CVPR 2018, section 3.1;
    Ji et al., *Real-World Super-Resolution via Kernel Estimation and Noise Injection*, CVPRW 2020, section 3.2.
    """
    strips = [pixels[top : top + STRIP_ROWS] for top in range(0, pixels.shape[0] - NOISE_PX + 1, STRIP_ROWS)]
    places = [(strip, row, column) for strip, found in ((each, _flat(each)) for each in strips) for row, column in found]
    if not places:
        return np.zeros((0, NOISE_PX, NOISE_PX, 3), np.float32)
    chosen = np.unique(np.linspace(0, len(places) - 1, min(count, len(places))).round().astype(int))
    patches = np.stack([_patch(*places[number]) for number in chosen])
    return np.moveaxis(_level(np.moveaxis(patches, -1, 1)), 1, -1)


def _patch(strip: NDArray[Any], row: int, column: int) -> Array:
    return to_float(strip[row : row + NOISE_PX, column : column + NOISE_PX])


def _level(patches: Array) -> Array:
    """Patches (..., side, side) without their best-fitting plane."""
    side = patches.shape[-1]
    steps = np.arange(side, dtype=np.float32) - (side - 1) / 2
    norm = side * np.square(steps).sum()
    down, right = (np.expand_dims((patches * axis).sum((-2, -1)) / norm, (-2, -1)) for axis in (steps[:, None], steps))
    left: Array = patches - down * steps[:, None] - right * steps
    left -= left.mean((-2, -1), keepdims=True)
    left -= left.mean((-2, -1), keepdims=True)  # once more: float32 leaves a little
    return left


def _flat(strip: NDArray[Any]) -> list[tuple[int, int]]:
    """The corners of the flat patches of a grid."""
    gray = 255 * to_float(strip).mean(axis=2)
    rows, columns = (size // NOISE_PX for size in gray.shape)
    patches = gray[: rows * NOISE_PX, : columns * NOISE_PX].reshape(rows, NOISE_PX, columns, NOISE_PX).swapaxes(1, 2)
    means, left = patches.mean(axis=(2, 3)), _level(patches)
    variances = np.maximum(left.var(axis=(2, 3)), 1e-9)
    quarters = left.reshape(rows, columns, 2, NOISE_PX // 2, 2, NOISE_PX // 2)
    off = np.abs(quarters.mean(axis=(3, 5))).max(axis=(2, 3))
    ratios = quarters.var(axis=(3, 5)) / variances[..., None, None]
    below, beside = left[..., 1:, :] * left[..., :-1, :], left[..., 1:] * left[..., :-1]
    correlation = np.maximum(below.mean(axis=(2, 3)), beside.mean(axis=(2, 3))) / variances
    std = np.sqrt(variances)
    flat = (means >= MIN_MEAN) & (means <= MAX_MEAN) & (std >= MIN_STD) & (std <= MAX_STD) & (off <= MAX_MEAN_DIFFERENCE * std)
    flat &= (ratios.max(axis=(2, 3)) <= MAX_VARIANCE_RATIO) & (ratios.min(axis=(2, 3)) >= 1 / MAX_VARIANCE_RATIO)
    return [(int(row) * NOISE_PX, int(column) * NOISE_PX) for row, column in np.argwhere(flat & (correlation <= MAX_CORRELATION))]
