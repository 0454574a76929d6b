"""What the networks are trained on: random kernels over and beyond DIV2KRK's range, and LR images made with them."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.signal import fftconvolve
from torch.nn import functional as F

from blindsr.api import Kernel
from blindsr_srmd.stretching import framed

VARIANCES = (0.35, 6.5)
"""Of the Gaussian's axes, in square pixels at x2; DIV2KRK has 0.6 to 5."""
NOISE = 0.4
"""Largest amplitude of the multiplicative noise; DIV2KRK has 0.25."""
SUPPORTS = (11, 11, 11, 13, 15)
"""Sides outside which a x2 kernel is zero, drawn evenly; DIV2KRK has 11."""
BICUBIC_SHARE = 0.04
FRAME = {2: 15, 3: 23, 4: 43}
"""Sides of the kernels' frames; at x4 that of two x2 kernels, composed."""

Arrays = NDArray[np.float64]


def sample_kernels(count: int, scale: int, rng: np.random.Generator) -> Arrays:
    """Aligned kernels (count, side, side) for a scale, each summing to 1.

    Anisotropic Gaussians with multiplicative noise, centred so that the noisy kernel is aligned; at x4 the x2 kernel applied
    twice; at x3 Gaussians 8/3 as wide in variance, which is what a kernel grows by from scale 2 to 3 as from 2 to 4 by 5:
    as scale^2 - 1. A few are bicubic's kernel.
    """
    direct = 2 if scale == 4 else scale
    arrays = _gaussians(count, direct, rng)
    if scale == 4:
        side = arrays.shape[1]
        dilated = np.zeros((count, 2 * side - 1, 2 * side - 1))
        dilated[:, ::2, ::2] = arrays
        arrays = np.clip(fftconvolve(arrays, dilated, axes=(1, 2)), 0, None)
        arrays /= arrays.sum((1, 2), keepdims=True)
    bicubic = framed(Kernel.bicubic(scale).array, FRAME[scale])
    arrays[rng.random(count) < BICUBIC_SHARE] = bicubic
    return arrays


def _gaussians(count: int, scale: int, rng: np.random.Generator) -> Arrays:
    side = FRAME[scale]
    growth = (scale**2 - 1) / 3
    variances = growth * rng.uniform(*VARIANCES, (count, 2))
    angles = rng.uniform(-np.pi, np.pi, count)
    noise = 1 + rng.uniform(0, NOISE, (count, 1, 1)) * rng.uniform(-1, 1, (count, side, side))
    if scale == 2:
        half = rng.choice(np.array(SUPPORTS), count)[:, None] // 2
        inside = np.abs(np.arange(side) - side // 2) <= half
        noise *= inside[:, :, None] & inside[:, None, :]
    cos, sin = np.cos(angles), np.sin(angles)
    first, second = 1 / variances[:, 0], 1 / variances[:, 1]
    a, b, c = first * cos**2 + second * sin**2, (first - second) * cos * sin, first * sin**2 + second * cos**2
    target = side // 2 + (scale - 1) / 2
    center = np.full((count, 2), target)
    grid = np.arange(side)
    for _ in range(4):  # the noise moves the centre of mass; move the Gaussian against it
        y, x = (grid[None] - center[:, axis, None] for axis in (0, 1))
        y, x = y[:, :, None], x[:, None, :]
        arrays = np.exp(-0.5 * (a[:, None, None] * y**2 + 2 * b[:, None, None] * y * x + c[:, None, None] * x**2)) * noise
        arrays /= arrays.sum((1, 2), keepdims=True)
        mass = np.stack([arrays.sum(2) @ grid, arrays.sum(1) @ grid], axis=1)
        center += target - mass
    return arrays


def degraded(hr: torch.Tensor, kernels: torch.Tensor, scale: int) -> torch.Tensor:
    """LR images (N, 3, h, w), rounded to 8 bit, of HR images (N, 3, H, W) that reach ``side // 2`` beyond the LR image's area.

    Image n is correlated with kernel n of (N, side, side) and sub-sampled, as `downscale` does, without borders.
    """
    count, channels, height, width = hr.shape
    weight = kernels.repeat_interleave(channels, 0)[:, None]
    out = F.conv2d(hr.reshape(1, count * channels, height, width), weight, stride=scale, groups=count * channels)
    lr = out.reshape(count, channels, *out.shape[2:])
    return (lr.clamp(0, 1) * 255).round() / 255


def as_tensor(kernels: NDArray[Any]) -> torch.Tensor:
    """Kernels in float32 for `degraded`."""
    return torch.from_numpy(kernels.astype(np.float32))
