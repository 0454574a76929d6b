"""What the unfolding networks are trained on: kernels, what the network is told of them, and LR patches."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from blindsr.api import SYMMETRIES, transfer_function
from blindsr_training import kernel_families as families
from blindsr_training.unfolding.estimates import EstimatedKernel

Array = NDArray[np.float64]
Generator = np.random.Generator

BICUBIC_SHARE = 0.05
OTHER_SHARE = 0.07
"""Of motion and defocus."""
ESTIMATED_SHARE = 0.45
"""Of kernels of which the network is told an estimate."""
DISTURBED_SHARE = 0.15
"""Of kernels of which it is told a disturbed Gaussian, for other estimators; the rest of the estimates is real ones."""
NOISY_SHARE = 0.2
MAX_NOISE = 15 / 255
JPEG_SHARE = 0.05
"""Of LR images that are compressed; the network is told what that changed as noise."""
JPEG_QUALITIES = (60, 99)
MAX_DISTURBANCE = 0.5
"""Standard deviation of the disturbance of an estimate's log covariance."""
NOISE_FLOOR = 0.1
ERROR_OF_DISTURBANCE = 0.7
"""An estimate lacks the kernel's own noise, a relative error of about the first; a disturbance of d adds about 0.7 d."""


class Example(NamedTuple):
    """A true kernel, the one that the network is told, the LR image's noise, the told kernel's expected error, JPEG's quality."""

    true: Array
    told: Array
    noise: float
    error: float
    jpeg: int | None = None


def random_example(rng: Generator, scale: int, estimates: Sequence[EstimatedKernel] = ()) -> Example:
    """What one patch is degraded with, and what the network is told of it."""
    side = families.FRAME_PX[scale]
    place = rng.random()
    error = 0.0
    if place < BICUBIC_SHARE:
        true = told = families.bicubic(side, scale)
    elif place < BICUBIC_SHARE + OTHER_SHARE:
        size = families.growth(scale) ** 0.5
        shape = families.motion(rng, side, scale, size * rng.uniform(1, 12)) if rng.random() < 0.6 else None
        shape = families.disk(side, scale, size * rng.uniform(0.8, 4.5), 0.5) if shape is None else shape
        true = told = families.aligned(ndimage.gaussian_filter(shape, size * np.sqrt(rng.uniform(0.05, 0.8))), scale)
    else:
        covariance = families.random_covariance(rng)
        true = told = families.noisy_gaussian(rng, scale, covariance)
        if estimates and place > 1 - ESTIMATED_SHARE + DISTURBED_SHARE:
            estimate = estimates[int(rng.integers(len(estimates)))]
            true, told, error = estimate.turned(SYMMETRIES[int(rng.integers(len(SYMMETRIES)))], scale)
        elif place > 1 - ESTIMATED_SHARE:
            told, error = estimate_of(covariance, rng.uniform(0, MAX_DISTURBANCE), scale, rng)
    noise = rng.uniform(0, MAX_NOISE) if rng.random() < NOISY_SHARE else 0.0
    jpeg = int(rng.integers(*JPEG_QUALITIES)) if rng.random() < JPEG_SHARE else None
    return Example(true, told, noise, error, jpeg)


def estimate_of(covariance: Array, disturbance: float, scale: int, rng: Generator) -> tuple[Array, float]:
    """An estimator's answer for a kernel of this x2 covariance, a noise-free Gaussian of a disturbed one; its expected error."""
    values, vectors = np.linalg.eigh(covariance)
    first, mixed, second = rng.normal(0, disturbance, 3)
    logarithm = (vectors * np.log(values)) @ vectors.T + np.array([[first, 0.7 * mixed], [0.7 * mixed, second]])
    values, vectors = np.linalg.eigh(logarithm)
    disturbed = families.growth(scale) * (vectors * np.exp(values)) @ vectors.T
    error = float(np.hypot(NOISE_FLOOR, ERROR_OF_DISTURBANCE * disturbance))
    return families.gaussian(families.FRAME_PX[scale], scale, disturbed), error


class Batch(NamedTuple):
    """HR patches, LR patches with periodic borders and 8 bit, and what the network is told."""

    hr: torch.Tensor
    lr: torch.Tensor
    transfer: torch.Tensor
    noise: torch.Tensor
    error: torch.Tensor


def degraded(hr: torch.Tensor, examples: Sequence[Example], scale: int, rng: Generator) -> Batch:
    """HR patches (N, 3, H, W) degraded as the examples say."""
    shape = (hr.shape[2], hr.shape[3])

    def transfer(kernels: Sequence[Array]) -> torch.Tensor:
        return transfer_function(torch.from_numpy(np.array(kernels, np.float32)), shape)

    true, told = ([getattr(example, name) for example in examples] for name in ("true", "told"))
    noise, error = (torch.tensor([getattr(example, name) for example in examples]).float() for name in ("noise", "error"))
    lr = torch.fft.irfft2(torch.fft.rfft2(hr) * transfer(true), s=shape)[:, :, ::scale, ::scale]
    lr = lr + noise[:, None, None, None] * torch.from_numpy(rng.standard_normal(lr.shape, dtype=np.float32))
    lr = (lr.clamp(0, 1) * 255).round() / 255
    for image, example, level in zip(lr, examples, noise, strict=True):
        if example.jpeg:
            compressed = _compressed(image, example.jpeg)
            level.copy_(torch.hypot(level, (compressed - image).square().mean().sqrt()))
            image.copy_(compressed)
    # A conjugate that is still to be computed would be lost on the way from a process that prepares data.
    return Batch(hr, lr, transfer(told).resolve_conj(), noise, error)


def _compressed(image: torch.Tensor, quality: int) -> torch.Tensor:
    file = io.BytesIO()
    Image.fromarray((image * 255).round().byte().permute(1, 2, 0).numpy()).save(file, "JPEG", quality=quality)
    return torch.from_numpy(np.array(Image.open(file))).permute(2, 0, 1).float() / 255
