"""What the network's answers are worth: the errors to expect of them, and images unlike those that it was trained on."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch.nn import functional as F

from blindsr_kernelnet.network import STRIDE_PX, WIDTH, WINDOW_PX

FLAT_SHARE = 0.25
"""Noise is measured where it is stronger than in this share of the windows: more of it would be texture."""

MAX_ERROR = 3.0
"""Beyond the worst errors that were seen, of images unlike any photograph, the network's own expectation grows without bounds."""


class Calibration(NamedTuple):
    """Numbers that a training leaves beside the network.

    Attributes
    ----------
    lines
        (3, 2): for x2, x3 and x4 offset and slope of the logarithm of the error to expect over the network's `log_error`.
    center
        (W,) mean of the network's features of training crops.
    whitening
        (W, W): turns features' differences from it into a vector whose length is their Mahalanobis distance, in units of the
        largest one that is not strange.
    noise_limit
        The largest `flat_noise` that is not strange.
    """

    lines: torch.Tensor
    center: torch.Tensor
    whitening: torch.Tensor
    noise_limit: torch.Tensor

    @classmethod
    def none(cls) -> Calibration:
        """That of a network without one: errors as it expects them, and nothing is strange."""
        return cls(torch.tensor([[0.0, 1.0]] * 3), torch.zeros(WIDTH), torch.zeros(WIDTH, WIDTH), torch.tensor(255.0))

    def expected_error(self, log_error: float, scale: int) -> float:
        """The relative L2 error to expect of a kernel, at most `MAX_ERROR`."""
        offset, slope = self.lines[scale - 2].tolist()
        return math.exp(min(offset + slope * log_error, math.log(MAX_ERROR)))

    def strangeness(self, features: torch.Tensor, crops: torch.Tensor) -> float:
        """How unlike the training's an image is, by its features (W,) and its crops (M, h, w); it is strange above 1."""
        distance = ((features.cpu() - self.center) @ self.whitening).norm()
        return float(torch.maximum(distance, flat_noise(crops[None])[0] / self.noise_limit))


def flat_noise(crops: torch.Tensor) -> torch.Tensor:
    """Standard deviation of white noise in images, in levels of 255: from the highest frequencies in their flat parts.

    Parameters
    ----------
    crops
        (N, M, h, w): M crops of each of N gray images in [0, 1].

    Returns
    -------
    (N,). Texture that is everywhere counts as noise.
    """
    windows = F.unfold(crops.flatten(0, 1)[:, None], WINDOW_PX, stride=STRIDE_PX).transpose(1, 2)
    windows = windows.reshape(len(crops), -1, WINDOW_PX, WINDOW_PX)
    hann = torch.hann_window(WINDOW_PX, periodic=False)
    hann = hann[:, None] * hann
    power = torch.fft.rfft2((windows - windows.mean((2, 3), keepdim=True)) * hann).abs().square() / hann.square().sum()
    corners = torch.hypot(torch.fft.fftfreq(WINDOW_PX)[:, None], torch.fft.rfftfreq(WINDOW_PX)[None]) > 0.5
    return 255 * torch.quantile(power[:, :, corners].mean(2), FLAT_SHARE, dim=1).sqrt()
