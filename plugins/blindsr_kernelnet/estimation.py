"""One image to its kernel: the crops that are looked at, the network, the alignment."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from blindsr.api import BlindSRError, Kernel, in_one_frame
from blindsr_kernelnet.files import load
from blindsr_kernelnet.network import WINDOW_PX

if TYPE_CHECKING:
    from blindsr.api import Image

CROP_PX = 256
MAX_CROPS = 12
"""Of a large image, this many crops with the most texture are looked at, so that memory and time are bounded."""
MAX_TURNED_PX = 100_000
"""An image of at most so many pixels is looked at a second time, turned by 90 degrees, and the mean of both kernels taken: it says
less, and there is time. That lowers the mean error by 1 to 2 %."""
MIN_CONTRAST = 0.5 / 255
LUMA = np.array([0.299, 0.587, 0.114], np.float32)


class Found(NamedTuple):
    """An aligned kernel with the error to expect of it, and how unlike the training's the image is (above 1: very)."""

    kernel: Kernel
    strangeness: float


def estimate(lr: Image, scale: int, weights: Path, device: str) -> Found:
    """The kernel of an LR image (H, W, 3) for a scale.

    Raises
    ------
    BlindSRError
        If the image is too small or flat, or the weights cannot be read.
    """
    gray = lr @ LUMA
    if min(gray.shape) < WINDOW_PX:
        raise BlindSRError(f"the image has {lr.shape[1]} x {lr.shape[0]} pixels; kernelnet needs at least {WINDOW_PX} a side")
    if gray.std() < MIN_CONTRAST:
        raise BlindSRError("the image is flat, which says nothing about its blur; give one with texture")
    network, calibration = load(weights)
    network.to(device)
    seen = torch.from_numpy(crops(gray))
    kernels, log_errors, strangeness = [], [], []
    for turns in range(2 if gray.size <= MAX_TURNED_PX else 1):
        turned = seen.rot90(turns, (1, 2))
        with torch.inference_mode():
            found = network(turned[None].to(device), scale)
        kernel = Kernel(np.rot90(found.kernels[0].double().cpu().numpy(), -turns), scale)
        kernels.append(kernel.align())  # turned back, an aligned kernel of an even scale is a pixel off
        log_errors.append(float(found.log_error[0]))
        strangeness.append(calibration.strangeness(found.features[0], turned))
    expected_error = calibration.expected_error(float(np.mean(log_errors)), scale)
    return Found(_mean(kernels, expected_error), max(strangeness))


def _mean(kernels: list[Kernel], expected_error: float) -> Kernel:
    """The mean of aligned kernels, whose frames may differ in size."""
    arrays = in_one_frame([kernel.array for kernel in kernels])
    return Kernel(np.mean(arrays, axis=0), kernels[0].scale, expected_error=expected_error)


def crops(gray: NDArray[np.float32]) -> NDArray[np.float32]:
    """The crops (M, h, w) of a gray image that say most about its blur; all of it where it is small."""
    height, width = gray.shape
    if height * width <= MAX_CROPS * CROP_PX**2:
        return np.ascontiguousarray(gray[None])
    side = min(CROP_PX, height, width)
    places = [
        (round(row), round(column))
        for row in np.linspace(0, height - side, height // side)
        for column in np.linspace(0, width - side, width // side)
    ]
    texture = [_texture(gray[row : row + side, column : column + side]) for row, column in places]
    best = np.argsort(texture)[::-1][:MAX_CROPS]
    return np.stack([gray[places[n][0] : places[n][0] + side, places[n][1] : places[n][1] + side] for n in sorted(best)])


def _texture(crop: NDArray[np.float32]) -> float:
    """Mean absolute gradient; the median over blocks, so that one strong edge does not make a flat crop textured."""
    gradient = np.abs(np.diff(crop, axis=0))[:, :-1] + np.abs(np.diff(crop, axis=1))[:-1]
    side = min(gradient.shape) // 4 * 4
    return float(np.median(gradient[:side, :side].reshape(4, side // 4, 4, side // 4).mean((1, 3))))
