"""Random LR crops of photographs to train on, and their kernels."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from blindsr_kernelnet.estimation import LUMA
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage
from torch import nn

from blindsr.api import BlindSRError
from blindsr_training.kernel_families import FRAME_PX, random_kernel
from blindsr_training.photographs import Photographs

Gray = NDArray[np.float32]
Levels = NDArray[np.uint8]
Generator = np.random.Generator

SCALES = (2, 2, 2, 3, 4)
"""Drawn evenly: x2 is the scale that matters most."""
SIDES_PX = {2: (64, 96, 128, 136), 3: (64, 88), 4: (64, 68)}
"""Sides of the LR crops; all crops of a step have one."""
HELD_OUT_SIDE_PX = {2: 128, 3: 88, 4: 64}
HELD_OUT_CROPS = 120
GAMMA_SHARE = 0.3
SOFT_SHARE, MAX_SOFTNESS_PX = 0.2, 0.6
"""Of photographs that are softened by a Gaussian of up to so many HR pixels: not all are as sharp as these."""
NOISE_SHARE, JPEG_SHARE, BOTH_SHARE, DEMOSAICED_SHARE, SHARPENED_SHARE, SATURATED_SHARE = 0.20, 0.13, 0.03, 0.02, 0.02, 0.05
"""Of crops with white noise, JPEG compression, both, noise that is correlated as by demosaicing, sharpening, clipped highlights
and shadows. The others are rounded to 8 bit and nothing else."""
MAX_NOISE = 7 * 0.67 / 255
"""White noise of a RGB image is about 0.67 as strong in its luma."""


class Crops(NamedTuple):
    """LR crops (N, 1, h, w) in [0, 1], kernels (N, side, side), whether each is of a clean image and a Gaussian, and the scale."""

    lr: torch.Tensor
    kernels: torch.Tensor
    plain: torch.Tensor
    scale: int


def gray_photographs(files: Sequence[Path]) -> list[Levels]:
    """Photographs at all their sizes, gray."""
    return [np.rint(image @ LUMA).astype(np.uint8) for image in Photographs(files, min(SIDES_PX[2]) * 2).images]


def holding(photographs: Sequence[Levels], scale: int, side: int) -> list[Levels]:
    """The photographs that hold an LR crop of a side with what its kernel reaches beyond it; an error where none does."""
    needed = _needed_px(scale, side)
    large = [image for image in photographs if min(image.shape) >= needed]
    if not large:
        raise BlindSRError(f"no image is as large as {needed} pixels a side, which x{scale} needs; add larger ones to `hr`")
    return large


def random_crops(photographs: Sequence[Levels], scale: int, count: int, side: int, rng: Generator) -> Crops:
    """Random crops of gray photographs, degraded."""
    large, needed = holding(photographs, scale, side), _needed_px(scale, side)
    crops, kernels, plain = [], [], []
    for _ in range(count):
        image = large[int(rng.integers(len(large)))]
        row, column = (int(rng.integers(size - needed + 1)) for size in image.shape)
        patch = np.rot90(image[row : row + needed, column : column + needed], int(rng.integers(4)))
        kernel, family = random_kernel(rng, scale)
        lr, clean = _degraded(_unit(patch[:, ::-1] if rng.integers(2) else patch), kernel, scale, side, rng)
        crops.append(lr)
        kernels.append(kernel)
        plain.append(clean and family == "gaussian")
    true = torch.from_numpy(np.array(kernels, np.float32))
    return Crops(torch.from_numpy(np.stack(crops))[:, None], true, torch.tensor(plain), scale)


def _needed_px(scale: int, side: int) -> int:
    return side * scale + 2 * (FRAME_PX[scale] // 2)


def _degraded(hr: Gray, kernel: NDArray[np.float64], scale: int, side: int, rng: Generator) -> tuple[Gray, bool]:
    if rng.random() < SOFT_SHARE:
        hr = ndimage.gaussian_filter(hr, rng.uniform(0.2, MAX_SOFTNESS_PX))
    if rng.random() < GAMMA_SHARE:
        hr = hr ** np.float32(rng.uniform(0.7, 1.4))
    kind = _drawn(
        rng, noise=NOISE_SHARE, jpeg=JPEG_SHARE, both=BOTH_SHARE, demosaiced=DEMOSAICED_SHARE, sharpened=SHARPENED_SHARE,
        saturated=SATURATED_SHARE,
    )  # fmt: skip
    if kind == "saturated":
        hr = np.clip((hr - 0.5) * rng.uniform(1.2, 2) + 0.5 + rng.uniform(-0.2, 0.2), 0, 1).astype(np.float32)
    blurred = nn.functional.conv2d(torch.from_numpy(np.ascontiguousarray(hr))[None, None], _weight(kernel), stride=scale)
    lr: Gray = blurred[0, 0, :side, :side].numpy()
    if kind in ("noise", "both"):
        lr = lr + np.float32(rng.uniform(0, MAX_NOISE)) * rng.standard_normal(lr.shape, dtype=np.float32)
    elif kind == "demosaiced":
        noise = ndimage.gaussian_filter(rng.standard_normal(lr.shape, dtype=np.float32), rng.uniform(0.4, 1))
        lr = lr + np.float32(rng.uniform(1, 6) / 255) * noise / noise.std()
    elif kind == "sharpened":
        lr = lr + np.float32(rng.uniform(0.2, 1)) * (lr - ndimage.gaussian_filter(lr, rng.uniform(0.6, 1.5)))
    levels = np.rint(np.clip(lr, 0, 1) * 255).astype(np.uint8)
    if kind in ("jpeg", "both"):
        file = io.BytesIO()
        Image.fromarray(levels).save(file, "JPEG", quality=int(rng.integers(65, 99)))
        levels = np.asarray(Image.open(file))
    return _unit(levels), kind in ("", "saturated")


def _unit(levels: Levels) -> Gray:
    return levels.astype(np.float32) / np.float32(255)


def _drawn(rng: Generator, **shares: float) -> str:
    place = rng.random()
    for name, share in shares.items():
        if place < share:
            return name
        place -= share
    return ""


def _weight(kernel: NDArray[np.float64]) -> torch.Tensor:
    return torch.from_numpy(kernel.astype(np.float32))[None, None]
