"""Places of the training crops, drawn from probability maps that favour strong gradients.

Source: KernelGAN's release (the paper's section 3 only says that crops are drawn from the LR image).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from blindsr.api import BlindSRError, bicubic

if TYPE_CHECKING:
    from blindsr.api import Image

GENERATOR_CROP_PX = 64
DISCRIMINATOR_CROP_PX = 26

GRAY = np.array([0.299, 0.587, 0.114], np.float32)
BORDER_PX = 5  # of a gradient map, left out
SMOOTHING_PX = 5
QUANTILE = 0.97
FLAT = 1e-6  # of the [0, 1] range: far under one step of a 16-bit image, well over the rounding of float32


def training_area(lr: Image, edge_shave: int) -> Image:
    """The part of the image that is trained on: `edge_shave` pixels shaved from each side, then cut to even sides (a view)."""
    height, width = (max(0, size - 2 * edge_shave) // 2 * 2 for size in lr.shape[:2])
    if min(height, width) < GENERATOR_CROP_PX:
        room, crop = (min(lr.shape[:2]) - GENERATOR_CROP_PX) // 2, f"{GENERATOR_CROP_PX} x {GENERATOR_CROP_PX}"
        remedy = f"set edge_shave to {room} or less" if room >= 0 else f"it takes an image of at least {crop}"
        raise BlindSRError(
            f"the LR image of {lr.shape[1]} x {lr.shape[0]} pixels leaves {width} x {height} after edge_shave={edge_shave}, "
            f"but KernelGAN trains on crops of {crop}: {remedy}"
        )
    return lr[edge_shave : edge_shave + height, edge_shave : edge_shave + width]


def draw_crops(image: Image, count: int, rng: np.random.Generator) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Corners of the generator's and of the discriminator's crops, for all iterations at once: (count, 2) each, all even.

    The generator's crops are drawn where the image *downscaled by 2* has gradients, since that is what it makes of them.
    """
    half = gradient_map(bicubic(image, scale=0.5)).repeat(2, 0).repeat(2, 1)
    generator = draw_corners(crop_probability(half, GENERATOR_CROP_PX), GENERATOR_CROP_PX, count, rng)
    del half  # large images: hold one map at a time
    discriminator = draw_corners(crop_probability(gradient_map(image), DISCRIMINATOR_CROP_PX), DISCRIMINATOR_CROP_PX, count, rng)
    return generator, discriminator


def gradient_map(image: Image) -> NDArray[np.float32]:
    """How much structure lies around each pixel: the strongest horizontal and vertical gradients, and all magnitudes.

    (H, W), non-negative, of mean 1. An image without gradients is refused.
    """
    gray = image @ GRAY
    across, along = np.zeros_like(gray), np.zeros_like(gray)
    b = BORDER_PX
    across[b:-b, b:-b] = np.abs(gray[b:-b, b + 1 : 1 - b] - gray[b:-b, b - 1 : -b - 1]) / 2
    along[b:-b, b:-b] = np.abs(gray[b + 1 : 1 - b, b:-b] - gray[b - 1 : -b - 1, b:-b]) / 2
    magnitude = np.hypot(across, along)
    if magnitude.max() < FLAT:
        raise BlindSRError(
            f"the LR image is flat: its largest gradient is {magnitude.max():.1g} of the full range, "
            "so it shows nothing of its blur; KernelGAN needs an image with edges or texture"
        )
    total = magnitude / magnitude.sum(dtype=np.float64)
    for component in (across, along):
        strongest = _above_quantile(component)
        if mass := strongest.sum(dtype=np.float64):  # without horizontal edges, say, only the other two terms are left
            total += strongest / mass
    smooth = box_mean(total, SMOOTHING_PX)
    smooth /= smooth.mean(dtype=np.float64)
    return smooth


def crop_probability(gradients: NDArray[np.float32], crop_px: int) -> NDArray[np.float32]:
    """The probability of each pixel of a gradient map to be the centre of a crop: (H, W), summing to 1.

    The mean of the map over a box of half the crop's side; zero within half a crop of the border. Uniform, but for the
    border, where the map is zero all over the inside.
    """
    half = crop_px // 2
    # A side of exactly 64 would leave nothing of the generator's map: there keep the two middle rows (any corner is 0).
    rows, columns = (slice(margin, size - margin) for size in gradients.shape for margin in [min(half, (size - 1) // 2)])
    probability = np.zeros_like(gradients)
    inside = box_mean(gradients, half)[rows, columns]
    mass = inside.sum(dtype=np.float64)
    probability[rows, columns] = inside / mass if mass > 0 else 1 / inside.size
    return probability


def draw_corners(probability: NDArray[np.float32], crop_px: int, count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Top-left corners of `count` crops whose centres are drawn from `probability`: (count, 2), inside the image, even."""
    cumulative = np.cumsum(probability, dtype=np.float64)
    drawn = np.searchsorted(cumulative, rng.random(count) * cumulative[-1], side="right")
    centers = np.stack(np.unravel_index(drawn, probability.shape), axis=1)
    corners = np.clip(centers - crop_px // 2, 0, np.array(probability.shape) - crop_px)
    even: NDArray[np.int64] = corners - corners % 2
    return even


def _above_quantile(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """By how much the top 3 % exceed the rest, cut at the next value: nearly a mask of the strongest pixels."""
    rank = int(QUANTILE * values.size)
    low, high = np.partition(values.ravel(), (rank, rank + 1))[rank : rank + 2]
    if high == low:
        high = low + np.float32(1e-5)
    excess: NDArray[np.float32] = np.clip(values, low, high) - low
    return excess


def box_mean(values: NDArray[np.float32], side_px: int) -> NDArray[np.float32]:
    """The mean over a square box around each pixel of a non-negative map, zeros beyond its border."""
    mean: NDArray[np.float32] = ndimage.uniform_filter(values, side_px, mode="constant")
    return mean.clip(0)  # its running sums leave rounding errors of either sign where the true mean is 0
