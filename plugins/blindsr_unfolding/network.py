"""The unfolding network: a few data steps, each followed by a small learned prior at LR resolution."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from blindsr.api import DataStep

CONDITIONS = 3
"""Maps that tell the prior the noise, the expected error of the kernel, and 1."""
NOISE_UNIT = 0.05
ERROR_UNIT = 0.25
CORRECTION_GAIN = 8.0
"""The change by the data step is small beside the image; the prior sees it this much larger."""


def _convolution(channels_in: int, channels_out: int) -> nn.Conv2d:
    return nn.Conv2d(channels_in, channels_out, 3, padding=1)


class Block(nn.Module):
    """A residual block of two convolutions."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = _convolution(width, width)
        self.second = _convolution(width, width)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = features + self.second(F.relu(self.first(features)))
        return result


class Prior(nn.Module):
    """Improves what a data step gave; hands its features on to the next stage's prior.

    It works at LR resolution: the s x s HR pixels of an LR pixel are channels.
    """

    def __init__(self, scale: int, width: int, blocks: int) -> None:
        super().__init__()
        self.scale = scale
        pixels = 3 * scale**2
        self.head = _convolution(2 * pixels + width + CONDITIONS, width)
        self.blocks = nn.ModuleList(Block(width) for _ in range(blocks))
        self.tail = _convolution(width, pixels)

    def forward(
        self, z: torch.Tensor, x: torch.Tensor, features: torch.Tensor, conditions: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        correction = CORRECTION_GAIN * F.pixel_unshuffle(z - x, self.scale)
        seen = torch.cat([F.pixel_unshuffle(z, self.scale), correction, features, conditions], 1)
        features = F.relu(self.head(seen.contiguous(memory_format=torch.channels_last)))
        for block in self.blocks:
            features = block(features)
        return z + F.pixel_shuffle(self.tail(features), self.scale), features


class UnfoldingNet(nn.Module):
    """Stages of a data step and a prior each, unshared.

    Parameters
    ----------
    scale
        2, 3 or 4.
    width, blocks
        Channels and residual blocks of each prior.
    stages
        How many.
    """

    def __init__(self, scale: int, *, width: int = 64, blocks: int = 2, stages: int = 4) -> None:
        super().__init__()
        self.scale = scale
        self.width = width
        self.blocks = blocks
        self.priors = nn.ModuleList(Prior(scale, width, blocks) for _ in range(stages))
        # log alpha = a + b noise / NOISE_UNIT + c error: a noisier image or a less certain kernel is trusted less.
        self.log_alpha = nn.Parameter(torch.tensor([[-5.0, 4.0, 3.0]] * stages))

    @property
    def reach_px(self) -> int:
        """LR pixels around one that its priors see; the data steps see, faintly, the whole image."""
        return len(self.priors) * (2 + 2 * self.blocks)

    def forward(self, lr: torch.Tensor, transfer: torch.Tensor, noise: torch.Tensor, kernel_error: torch.Tensor) -> torch.Tensor:
        """SR images (N, 3, s h, s w) of LR images (N, 3, h, w) in [0, 1] with periodic borders.

        Parameters
        ----------
        transfer
            Of the kernels, see `DataStep`.
        noise
            (N,) standard deviations of the noise, where the image runs from 0 to 1.
        kernel_error
            (N,) expected relative L2 errors of the kernels; 0 for exact ones.
        """
        count, _, height, width = lr.shape
        data_step = DataStep(lr, transfer, self.scale)
        x = F.interpolate(lr, scale_factor=self.scale, mode="bicubic", align_corners=False)
        features = lr.new_zeros(count, self.width, height, width)
        told = torch.stack([noise / NOISE_UNIT, kernel_error / ERROR_UNIT, torch.ones_like(noise)], 1)
        conditions = told[:, :, None, None].expand(-1, -1, height, width)
        for prior, (a, b, c) in zip(self.priors, self.log_alpha, strict=True):
            with torch.autocast(lr.device.type, enabled=False):
                z = data_step(x.float(), torch.exp(a + b * noise / NOISE_UNIT + c * kernel_error))
            x, features = prior(z, x, features, conditions)
        return x.float()
