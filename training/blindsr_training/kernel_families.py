"""Random SR kernels to train on: DIV2KRK's Gaussians over a wider range, and families that are no Gaussians."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, signal

Array = NDArray[np.float64]
Generator = np.random.Generator

FRAME_PX = {2: 21, 3: 33, 4: 45}
"""Side of the kernels' frames at each scale."""
DIV2KRK_VARIANCES = (0.6, 5.0)
WIDE_VARIANCES = (0.2, 7.0)
"""Variances along a Gaussian's axes at x2, in square pixels: a half of the kernels from the first range, the others from the second
one, evenly or evenly in the logarithm."""
SUPPORT_RADII_PX = (5, 5, 6, 7, 10)
"""Beyond so many pixels from the middle a x2 kernel is zero; DIV2KRK has 5."""
NOISE = 0.25
MAX_NOISE = 0.4
"""Amplitude of the multiplicative noise: DIV2KRK's for six tenths of the kernels, otherwise anything up to the larger one."""
OVERSAMPLING = 4


def growth(scale: int) -> float:
    """How much wider in variance kernels are at a scale than at x2: composed kernels grow as scale^2 - 1."""
    return (scale**2 - 1) / 3


def middle_px(side: int, scale: int) -> float:
    """Where the centre of mass of an aligned kernel lies."""
    return side // 2 + (scale - 1) / 2


def covariance(variances: Array, angle: float) -> Array:
    """The 2 x 2 covariance (rows, columns) with these variances along its axes, turned by an angle."""
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    matrix: Array = turn @ np.diag(variances) @ turn.T
    return matrix


def random_covariance(rng: Generator) -> Array:
    """The covariance of a x2 kernel."""
    if rng.random() < 0.5:
        variances = rng.uniform(*DIV2KRK_VARIANCES, 2)
    elif rng.random() < 0.5:
        variances = rng.uniform(*WIDE_VARIANCES, 2)
    else:
        low, high = np.log(WIDE_VARIANCES)
        variances = np.exp(rng.uniform(float(low), float(high), 2))
    return covariance(variances, rng.uniform(-np.pi, np.pi))


def gaussian(side: int, scale: int, of: Array, noise: Array | None = None, radius_px: int | None = None) -> Array:
    """An aligned Gaussian of covariance `of`, times noise, and zero beyond a radius (of a square)."""
    precision = np.linalg.inv(of)
    grid = np.arange(side)
    center = np.full(2, middle_px(side, scale))
    target = center.copy()
    kernel = np.empty((side, side))
    for _ in range(1 if noise is None and radius_px is None else 4):  # noise and cut move the mass; move the Gaussian against them
        y, x = (grid - center[0])[:, None], (grid - center[1])[None]
        kernel = np.exp(-0.5 * (precision[0, 0] * y**2 + 2 * precision[0, 1] * y * x + precision[1, 1] * x**2))
        if noise is not None:
            kernel *= noise
        if radius_px is not None:
            inside = np.abs(grid - side // 2) <= radius_px
            kernel *= inside[:, None] & inside[None]
        kernel /= kernel.sum()
        center += target - np.array([kernel.sum(1) @ grid, kernel.sum(0) @ grid])
    return kernel


def noisy_gaussian(rng: Generator, scale: int, of: Array) -> Array:
    """DIV2KRK's kernel: a Gaussian of the x2 covariance `of` times noise; at x4 the x2 kernel applied twice."""
    side = FRAME_PX[scale]
    radius = int(rng.choice(SUPPORT_RADII_PX)) if scale != 3 else None
    amplitude = NOISE if rng.random() < 0.6 else rng.uniform(0, MAX_NOISE)
    if scale == 4:
        half = side // 2 - 1 + side // 2 % 2
        kernel = gaussian(half, 2, of, 1 + amplitude * rng.uniform(-1, 1, (half, half)), radius)
        dilated = np.zeros((2 * half - 1, 2 * half - 1))
        dilated[::2, ::2] = kernel
        start = 3 * (half // 2) - side // 2
        kernel = np.clip(signal.fftconvolve(kernel, dilated), 0, None)[start : start + side, start : start + side]
        return np.asarray(kernel / kernel.sum())
    return gaussian(side, scale, of * growth(scale), 1 + amplitude * rng.uniform(-1, 1, (side, side)), radius)


def bicubic(side: int, scale: int) -> Array:
    """MATLAB's antialiased bicubic downscaling."""
    x = np.abs((np.arange(side) - middle_px(side, scale)) / scale)
    far = np.where(x < 2, -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2, 0)
    taps = np.where(x <= 1, 1.5 * x**3 - 2.5 * x**2 + 1, far)
    return np.asarray(np.outer(taps, taps) / taps.sum() ** 2)


def disk(side: int, scale: int, radius_px: float, softness_px: float) -> Array:
    """Defocus: a disk with a soft rim."""
    grid = _fine_grid(side, scale)
    distance = np.hypot(grid[:, None], grid[None])
    return _coarse(1 / (1 + np.exp(np.clip((distance - radius_px) / max(softness_px, 0.05), -50, 50))))


def box(side: int, scale: int, height_px: float, width_px: float, angle: float) -> Array:
    """The mean over a rectangle, its rim a little soft."""
    grid = _fine_grid(side, scale)
    y, x = grid[:, None], grid[None]
    along, across = np.cos(angle) * x + np.sin(angle) * y, np.cos(angle) * y - np.sin(angle) * x
    inside = (np.abs(along) <= width_px / 2) & (np.abs(across) <= height_px / 2)
    softened: Array = ndimage.gaussian_filter(_coarse(inside.astype(float)), 0.4)
    return softened


def motion(rng: Generator, side: int, scale: int, length_px: float) -> Array:
    """The path of a camera shake: straight or curved, at an even or uneven speed."""
    points = 60
    angle = rng.uniform(-np.pi, np.pi) + np.cumsum(rng.normal(0, rng.choice([0.0, 0.02, 0.08]), points))
    speed = length_px / points * (1.0 if rng.random() < 0.5 else rng.uniform(0.3, 1.7, points))
    path = np.cumsum(np.stack([np.sin(angle), np.cos(angle)]) * speed, 1)
    path += middle_px(side, scale) - path.mean(1, keepdims=True)
    pixel = np.clip(np.floor(path).astype(int), 0, side - 2)
    part = np.clip(path - pixel, 0, 1)
    kernel = np.zeros((side, side))
    for row in (0, 1):
        for column in (0, 1):
            weight = (part[0] if row else 1 - part[0]) * (part[1] if column else 1 - part[1])
            np.add.at(kernel, (pixel[0] + row, pixel[1] + column), weight)
    return kernel


def shake(rng: Generator, side: int, scale: int, extent_px: float) -> Array:
    """The path of a hand: it has inertia, turns by jerks, dwells at places, and reaches over so many pixels.

    In the manner of Boracchi and Foi, Modeling the performance of image restoration from motion blur (TIP 2012).
    """
    points = 300
    inertia = 1 - 10 ** rng.uniform(-2.3, -0.7)
    jerks = rng.normal(size=(2, points)) * np.where(rng.random(points) < 0.02, rng.uniform(0, 12), 1)
    velocity = signal.lfilter([1], [1, -inertia], jerks)
    path = np.cumsum(velocity, 1)
    path *= extent_px / np.ptp(path, axis=1).max()
    path += middle_px(side, scale) - path.mean(1, keepdims=True)
    edges: Array = np.arange(-0.5, side)
    return np.asarray(np.histogram2d(path[0], path[1], bins=[edges, edges])[0])


def aligned(kernel: Array, scale: int) -> Array:
    """The kernel moved so that its centre of mass is where `middle_px` says, non-negative, of sum 1."""
    grid, target = np.arange(len(kernel)), middle_px(len(kernel), scale)
    for order in (3, 1):
        kernel = np.clip(kernel, 0, None) / np.clip(kernel, 0, None).sum()
        off = target - np.array([kernel.sum(1) @ grid, kernel.sum(0) @ grid])
        if np.abs(off).max() < 0.02:
            break
        kernel = ndimage.shift(kernel, off, order=order, mode="constant")
    kernel = np.clip(kernel, 0, None)
    return np.asarray(kernel / kernel.sum())


def _blurred_motion(rng: Generator, side: int, scale: int) -> Array:
    size = growth(scale) ** 0.5
    path = motion(rng, side, scale, size * rng.uniform(1.5, 12))
    blurred: Array = ndimage.gaussian_filter(path, size * np.sqrt(rng.uniform(0.05, 0.8)))
    return blurred


def _measured(rng: Generator, side: int, scale: int) -> Array:
    """A hand's shake as it is measured: blurred a little, the taps uneven, the faintest lost."""
    size = growth(scale) ** 0.5
    taps: Array = ndimage.gaussian_filter(shake(rng, side, scale, size * rng.uniform(2, 11)), size * rng.uniform(0.35, 0.9))
    amplitude = rng.uniform(0, MAX_NOISE)
    taps *= 1 + amplitude * rng.uniform(-1, 1, taps.shape)
    return np.where(taps > rng.uniform(0, 0.04) * taps.max(), taps, 0)


def _composed(rng: Generator, side: int, scale: int) -> Array:
    """A Gaussian and a motion, one after the other."""
    size = growth(scale)
    lens = gaussian(side, scale, covariance(size * rng.uniform(0.2, 3, 2), rng.uniform(-np.pi, np.pi)))
    return np.asarray(signal.fftconvolve(lens, motion(rng, side, scale, size**0.5 * rng.uniform(1, 8)), mode="same"))


def _heavy_tailed(rng: Generator, side: int, scale: int) -> Array:
    """A narrow Gaussian and a wide one, mixed."""
    parts = [gaussian(side, scale, growth(scale) * factor * random_covariance(rng)) for factor in (0.5, 1.5)]
    share = rng.uniform(0.1, 0.9)
    return share * parts[0] + (1 - share) * parts[1]


def _disk(rng: Generator, side: int, scale: int) -> Array:
    size = growth(scale) ** 0.5
    return disk(side, scale, size * rng.uniform(0.8, 4.5), size * rng.uniform(0.05, 0.5))


def _box(rng: Generator, side: int, scale: int) -> Array:
    height, width = growth(scale) ** 0.5 * rng.uniform(1, 6, 2)
    return box(side, scale, height, width, 0.0 if rng.random() < 0.5 else rng.uniform(-np.pi, np.pi))


FAMILIES: dict[str, tuple[float, Callable[[Generator, int, int], Array]]] = {
    "bicubic": (0.04, lambda rng, side, scale: bicubic(side, scale)),
    "disk": (0.05, _disk),
    "box": (0.04, _box),
    "motion": (0.08, _blurred_motion),
    "measured": (0.07, _measured),
    "composed": (0.05, _composed),
    "heavy-tailed": (0.04, _heavy_tailed),
}
"""Families that are no Gaussians: their share of all kernels, and how one is drawn. The others are `noisy_gaussian`."""


def random_kernel(rng: Generator, scale: int) -> tuple[Array, str]:
    """A kernel of any family, aligned, of sum 1; and the family's name."""
    place = rng.random()
    for name, (share, draw) in FAMILIES.items():
        if place < share:
            return aligned(draw(rng, FRAME_PX[scale], scale), scale), name
        place -= share
    return noisy_gaussian(rng, scale, random_covariance(rng)), "gaussian"


def _fine_grid(side: int, scale: int) -> NDArray[Any]:
    return (np.arange(side * OVERSAMPLING) + 0.5) / OVERSAMPLING - 0.5 - middle_px(side, scale)


def _coarse(fine: Array) -> Array:
    side = len(fine) // OVERSAMPLING
    mean: Array = fine.reshape(side, OVERSAMPLING, side, OVERSAMPLING).mean((1, 3))
    return mean
