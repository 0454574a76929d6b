"""Photographs degraded at random: what estimators are asked about before a training."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

from blindsr.api import BlindSRError, Image, Kernel, KernelEstimator, downscale, read_image, to_depth, to_float
from blindsr.api.testing import run_context
from blindsr_training import kernel_families as families

Generator = np.random.Generator

SIDES = ((120, 200), (120, 240))
"""Rows and columns of the LR images, from and to."""
GAUSSIAN_SHARE = 0.25
"""Of DIV2KRK's Gaussians; the other kernels are of all families, of which Gaussians are most."""
NOISY_SHARE, JPEG_SHARE, MAX_NOISE = 0.15, 0.15, 8 / 255
JPEG_QUALITIES = (65, 99)
MAX_REFUSALS = 100


class Degraded(NamedTuple):
    """A part of an LR image, rounded to 8 bit; its kernel and what family that is of; whether the image has no noise or JPEG."""

    lr: Image
    kernel: Kernel
    family: str
    clean: bool


def random_degraded(files: Sequence[Path], scale: int, rng: Generator) -> Degraded:
    """A random photograph, degraded at random."""
    hr = to_float(read_image(files[int(rng.integers(len(files)))]).pixels)
    kernel, family = _random_kernel(scale, rng)
    lr, clean = _degraded(hr, kernel, rng)
    return Degraded(lr, kernel, family, clean)


def random_estimate(
    files: Sequence[Path], scale: int, rng: Generator, estimators: Sequence[KernelEstimator]
) -> tuple[Degraded, Kernel]:
    """A random photograph, degraded at random, and the aligned kernel that one of the estimators, drawn evenly, answers.

    Where that refuses the image (a flat one, say), another is taken; a `BlindSRError` if it does so again and again.
    """
    for _ in range(MAX_REFUSALS):
        image = random_degraded(files, scale, rng)
        estimator, context = estimators[int(rng.integers(len(estimators)))], run_context(seed=int(rng.integers(2**32)))
        try:
            return image, estimator.with_error(estimator.estimate(image.lr, scale, context)).align()
        except BlindSRError as refused:
            refusal = f"{estimator.full_name}: {refused}"
    raise BlindSRError(f"of {MAX_REFUSALS} photographs, degraded, none gets a kernel ({refusal}); name others")


def _random_kernel(scale: int, rng: Generator) -> tuple[Kernel, str]:
    if rng.random() < GAUSSIAN_SHARE:
        covariance = families.covariance(rng.uniform(*families.DIV2KRK_VARIANCES, 2), rng.uniform(-np.pi, np.pi))
        return Kernel(families.noisy_gaussian(rng, scale, covariance), scale), "gaussian"
    array, family = families.random_kernel(rng, scale)
    return Kernel(array, scale), family


def _degraded(hr: Image, kernel: Kernel, rng: Generator) -> tuple[Image, bool]:
    height, width = (size // kernel.scale * kernel.scale for size in hr.shape[:2])
    lr = downscale(hr[:height, :width], kernel)
    rows, columns = (_part(size, *sides, rng) for size, sides in zip(lr.shape[:2], SIDES, strict=True))
    lr, kind = lr[rows, columns], rng.random()
    if kind < NOISY_SHARE:
        lr = lr + rng.uniform(0, MAX_NOISE) * rng.standard_normal(lr.shape)
    levels: NDArray[np.uint8] = to_depth(np.clip(lr, 0, 1), np.uint8)
    if NOISY_SHARE < kind < NOISY_SHARE + JPEG_SHARE:
        file = io.BytesIO()
        Pillow.fromarray(levels).save(file, "JPEG", quality=int(rng.integers(*JPEG_QUALITIES)))
        levels = np.asarray(Pillow.open(file))
    return to_float(np.ascontiguousarray(levels)), kind > NOISY_SHARE + JPEG_SHARE


def _part(size: int, least: int, most: int, rng: Generator) -> slice:
    side = min(size, int(rng.integers(least, most)))
    start = int(rng.integers(size - side + 1))
    return slice(start, start + side)
