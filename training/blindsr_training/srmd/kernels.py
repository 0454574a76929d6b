"""Random SR kernels over and beyond DIV2KRK's range, and LR images made with them."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from blindsr_srmd.stretching import framed
from numpy.typing import NDArray
from torch.nn import functional as F

from blindsr.api import Kernel, compose, gaussian_array, precision_of

VARIANCES = (0.35, 6.5)
"""Of the Gaussian's axes, in square pixels at x2; DIV2KRK has 0.6 to 5."""
NARROW_SHARE, NARROW_VARIANCES = 0.3, (0.25, 2.5)
"""Of the kernels, this share has variances drawn evenly in their logarithm from this range."""
NOISE = 0.4
"""Largest amplitude of the multiplicative noise; DIV2KRK has 0.25."""
SUPPORTS = (11, 11, 11, 13, 15)
"""Sides outside which a x2 kernel is zero, drawn evenly; DIV2KRK has 11."""
BICUBIC_SHARE = 0.04
FRAME = {2: 15, 3: 23, 4: 43}
"""Sides of the kernels' frames; at x4 that of two x2 kernels, composed."""

Array = NDArray[np.float64]


def sample_kernels(count: int, scale: int, rng: np.random.Generator) -> Array:
    """Aligned kernels (count, side, side) for a scale, each summing to 1.

    Anisotropic Gaussians with multiplicative noise, centred so that the noisy kernel is aligned; at x4 the x2 kernel applied
    twice; at x3 Gaussians 8/3 as wide in variance, which is what a kernel grows by from scale 2 to 3 as from 2 to 4 by 5:
    as scale^2 - 1. A few are bicubic's kernel.
    """
    arrays = _gaussians(count, 2 if scale == 4 else scale, rng)
    if scale == 4:
        arrays = np.clip(compose(arrays, 2), 0, None)
        arrays /= arrays.sum((1, 2), keepdims=True)
    arrays[rng.random(count) < BICUBIC_SHARE] = framed(Kernel.bicubic(scale).array, FRAME[scale])
    return arrays


def _gaussians(count: int, scale: int, rng: np.random.Generator) -> Array:
    side = FRAME[scale]
    variances = rng.uniform(*VARIANCES, (count, 2))
    narrow = rng.random(count) < NARROW_SHARE
    low, high = np.log(NARROW_VARIANCES)
    variances[narrow] = np.exp(rng.uniform(low, high, (np.count_nonzero(narrow), 2)))
    variances *= (scale**2 - 1) / 3
    precision = precision_of(variances, rng.uniform(-np.pi, np.pi, count))
    noise = 1 + rng.uniform(0, NOISE, (count, 1, 1)) * rng.uniform(-1, 1, (count, side, side))
    if scale == 2:
        half = rng.choice(np.array(SUPPORTS), count)[:, None] // 2
        inside = np.abs(np.arange(side) - side // 2) <= half
        noise *= inside[:, :, None] & inside[:, None, :]
    target = side // 2 + (scale - 1) / 2
    center = np.full((count, 2), target)
    for _ in range(4):  # the noise moves the centre of mass; move the Gaussian against it
        arrays = gaussian_array(precision, side, center=center) * noise
        arrays /= arrays.sum((1, 2), keepdims=True)
        center += target - np.stack([arrays.sum(2) @ np.arange(side), arrays.sum(1) @ np.arange(side)], axis=1)
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
