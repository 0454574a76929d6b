"""Correcting a kernel: super-resolve a part of the image with it in two ways; the network judges what that does not explain."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from blindsr.api import Kernel
from blindsr_selection.evidence import UNKNOWN_ERROR, textured_crop
from blindsr_selection.files import load
from blindsr_selection.least_squares import corrections, framed, unframed

if TYPE_CHECKING:
    from blindsr.api import Image, NonBlindSR, RunContext

CROP_PX = 340
MIN_SIDE_PX = 64
"""Of an LR image: smaller ones keep their kernel."""
MIN_RESIDUAL = 1e-5


POWERS = (0.8, 1)
"""Of the taps, in the kernels of the two SR images. The first is wider than the kernel at hand, and its SR method trusts it little;
the second, whose SR method is told of noise, is the kernel as it is.

Of 26 ways (powers, errors and noise that the method is told; 52 photographs, kernels of DIV2KRK's recipe) these two together say
most of the kernel's error: the best linear mixture of their corrections leaves 85 % of its size, that of one SR image with the
kernel and its own expected error 97 %.
"""


class Told(NamedTuple):
    """The arguments of the network, each with one row for a kernel."""

    frames: torch.Tensor
    corrections: torch.Tensor
    residuals: torch.Tensor
    expected_error: torch.Tensor


def corrected(kernel: Kernel, srs: Sequence[NonBlindSR], lr: Image, weights: Path, run: RunContext) -> Kernel:
    """An aligned kernel of an LR image (H, W, 3), its taps corrected, with the error to expect of it then.

    It stays as it is if the image is too small to say much.

    Raises
    ------
    BlindSRError
        If the weights cannot be read.
    """
    crop = np.ascontiguousarray(textured_crop(lr, CROP_PX))
    if min(crop.shape[:2]) < MIN_SIDE_PX:
        run.warn(f"corrected: the image has less than {MIN_SIDE_PX} pixels a side; its kernel is left as it is")
        return kernel
    seen = told(kernel, srs, crop, run)
    with torch.inference_mode():
        answer = load(weights, kernel.scale)(*seen)
    return unframed(answer.frames[0].double().numpy(), kernel.scale, min(1.0, float(answer.log_error.exp())))


def told(kernel: Kernel, srs: Sequence[NonBlindSR], lr: Image, run: RunContext) -> Told:
    """What the network is told of the kernel of an LR image (H, W, 3), which `srs` super-resolve with its taps to the `POWERS`."""
    frame = framed(kernel)
    found = []
    for power, sr in zip(POWERS, srs, strict=True):
        tried = unframed(np.clip(frame, 0, None) ** power, kernel.scale)
        found.append(corrections(lr, np.clip(sr.fit(lr, tried, run)(lr), 0, 1), frame, kernel.scale))
    residuals = [max(each.residual, MIN_RESIDUAL) for each in found]
    expected = UNKNOWN_ERROR if kernel.expected_error is None else kernel.expected_error
    taps = torch.cat([each.taps for each in found])
    return Told(torch.from_numpy(frame).float()[None], taps[None], torch.tensor([residuals]), torch.tensor([expected]))
