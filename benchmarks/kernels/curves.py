"""Kernels of the benchmark by family; all are aligned and sum to 1."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from blindsr_training.kernel_families import (
    FRAME_PX,
    aligned,
    box,
    covariance,
    disk,
    growth,
    middle_px,
    motion,
    noisy_gaussian,
)
from numpy.typing import NDArray
from scipy import ndimage

from blindsr.api import Kernel

Array = NDArray[np.float64]
Generator = np.random.Generator
NARROW_VARIANCES, DIV2KRK_VARIANCES, WIDE_VARIANCES = (0.2, 0.6), (0.6, 5.0), (5.0, 8.0)
"""In square pixels at x2, along a Gaussian's axes."""
POINTS = 400
INERTIA = 0.97
"""Of the velocity of a measured-like curve: how much of it a point keeps of the point before."""
MIN_TAP = 0.02
"""What of a measured-like curve is below this share of its peak is lost, as in measuring."""


def _gaussian(variances: tuple[float, float]) -> Callable[[Generator, int, int], Array]:
    def draw(rng: Generator, side: int, scale: int) -> Array:
        return noisy_gaussian(rng, scale, covariance(rng.uniform(*variances, 2), rng.uniform(-np.pi, np.pi)))

    return draw


def _motion(rng: Generator, side: int, scale: int) -> Array:
    size = growth(scale) ** 0.5
    return ndimage.gaussian_filter(motion(rng, side, scale, size * rng.uniform(4, 12)), 0.5 * size)


def _disk(rng: Generator, side: int, scale: int) -> Array:
    size = growth(scale) ** 0.5
    return disk(side, scale, size * rng.uniform(1.5, 4), size * 0.2)


def _box(rng: Generator, side: int, scale: int) -> Array:
    height, width = growth(scale) ** 0.5 * rng.uniform(2, 6, 2)
    return box(side, scale, height, width, rng.uniform(-np.pi, np.pi))


def _measured_like(rng: Generator, side: int, scale: int) -> Array:
    """A camera shake as it is measured: a curve that turns, slows and dwells (inertia), a little blur, uneven taps."""
    size = growth(scale) ** 0.5
    velocity = np.zeros((2, POINTS))
    for point in range(1, POINTS):
        velocity[:, point] = INERTIA * velocity[:, point - 1] + rng.normal(size=2)
    path = np.cumsum(velocity, 1)
    path *= size * rng.uniform(4, 9) / np.ptp(path, axis=1).max()
    path += middle_px(side, scale) - (path.max(1, keepdims=True) + path.min(1, keepdims=True)) / 2
    edges = np.arange(side + 1) - 0.5
    taps = np.histogram2d(*path, bins=[edges, edges])[0]
    taps = ndimage.gaussian_filter(taps, size * rng.uniform(0.5, 0.8)) * rng.uniform(0.75, 1.25, (side, side))
    return np.where(taps > MIN_TAP * taps.max(), taps, 0)


FAMILIES: dict[str, Callable[[Generator, int, int], Array]] = {
    "Gaussian, narrow": _gaussian(NARROW_VARIANCES),
    "Gaussian, DIV2KRK's": _gaussian(DIV2KRK_VARIANCES),
    "Gaussian, wide": _gaussian(WIDE_VARIANCES),
    "motion": _motion,
    "disk": _disk,
    "box": _box,
    "measured-like": _measured_like,
}
"""How a kernel of each family is drawn for a frame and a scale."""
BICUBIC = "bicubic"
NAMES = (*FAMILIES, BICUBIC)


def kernel(family: str, scale: int, rng: Generator) -> Kernel:
    """A random kernel of a family; of the bicubic one, MATLAB's own kernel with its negative lobes."""
    if family == BICUBIC:
        return Kernel.bicubic(scale)
    return Kernel(aligned(FAMILIES[family](rng, FRAME_PX[scale], scale), scale), scale)
