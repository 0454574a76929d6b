"""Correcting a kernel: super-resolve a part of the image with it, and let the network judge what that does not explain."""

from __future__ import annotations

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

CROP_PX = 320
MIN_SIDE_PX = 64
"""Of an LR image: smaller ones keep their kernel."""
MIN_RESIDUAL = 1e-5


class Told(NamedTuple):
    """The arguments of the network, each with one row for a kernel."""

    frames: torch.Tensor
    corrections: torch.Tensor
    residual: torch.Tensor
    expected_error: torch.Tensor


def corrected(kernel: Kernel, sr: NonBlindSR, lr: Image, weights: Path, run: RunContext) -> Kernel:
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
    with torch.inference_mode():
        answer = load(weights)(*told(kernel, sr, crop, run))
    return unframed(answer.frames[0].double().numpy(), kernel.scale, min(1.0, float(answer.log_error.exp())))


def told(kernel: Kernel, sr: NonBlindSR, lr: Image, run: RunContext) -> Told:
    """What the network is told of the kernel of an LR image (H, W, 3), which is super-resolved with it."""
    frame = framed(kernel)
    made = np.clip(sr.fit(lr, kernel, run)(lr), 0, 1)
    found = corrections(lr, made, frame, kernel.scale)
    expected = UNKNOWN_ERROR if kernel.expected_error is None else kernel.expected_error
    numbers = torch.tensor([[max(found.residual, MIN_RESIDUAL)], [expected]])
    return Told(torch.from_numpy(frame).float()[None], found.taps[None], *numbers)
