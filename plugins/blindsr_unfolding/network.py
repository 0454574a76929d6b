"""The unfolding network: a few data steps, each followed by a small learned prior at a fraction of the resolution."""

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


class Coarse(nn.Module):
    """Residual blocks at half the resolution, which see twice as far for a quarter of the time."""

    def __init__(self, width: int, blocks: int) -> None:
        super().__init__()
        self.down = nn.Conv2d(width, width, 2, stride=2)
        self.blocks = nn.ModuleList(Block(width) for _ in range(blocks))
        self.up = nn.ConvTranspose2d(width, width, 2, stride=2)
        for weights in self.up.parameters():
            nn.init.zeros_(weights)  # In the beginning it changes nothing: a network without it can be started from.

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        coarse = F.relu(self.down(features))
        for block in self.blocks:
            coarse = block(coarse)
        result: torch.Tensor = features + self.up(coarse)
        return result


class Prior(nn.Module):
    """Improves what a data step gave; hands its features on to the next stage's prior.

    It works at a fraction of the HR resolution: `fold` x `fold` HR pixels are channels of one.
    """

    def __init__(self, fold: int, width: int, blocks: int, coarse_blocks: int) -> None:
        super().__init__()
        self.fold = fold
        pixels = 3 * fold**2
        self.head = _convolution(2 * pixels + width + CONDITIONS, width)
        self.blocks = nn.ModuleList(Block(width) for _ in range(blocks))
        self.coarse = Coarse(width, coarse_blocks) if coarse_blocks else None
        self.tail = _convolution(width, pixels)

    def forward(
        self, z: torch.Tensor, x: torch.Tensor, features: torch.Tensor, conditions: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        height, width = z.shape[2:]
        beyond = (0, self.fold * features.shape[3] - width, 0, self.fold * features.shape[2] - height)
        planes = torch.cat([z, CORRECTION_GAIN * (z - x)], 1)
        planes = F.pad(planes, beyond, mode="replicate") if any(beyond) else planes
        seen = torch.cat([F.pixel_unshuffle(planes, self.fold), features, conditions], 1)
        features = F.relu(self.head(seen.contiguous(memory_format=torch.channels_last)))
        for block in self.blocks:
            features = block(features)
        if self.coarse:
            features = self.coarse(features)
        return z + F.pixel_shuffle(self.tail(features), self.fold)[:, :, :height, :width], features


class UnfoldingNet(nn.Module):
    """Stages of a data step and a prior each, unshared. It takes any scale, but is good at the one that it was trained for.

    Parameters
    ----------
    fold
        HR pixels a side that are one pixel to the priors.
    width, blocks
        Channels and residual blocks of each prior.
    stages
        How many.
    coarse_blocks
        Residual blocks of each prior at half its resolution; 0 for none.
    """

    def __init__(self, fold: int = 2, *, width: int = 64, blocks: int = 2, stages: int = 4, coarse_blocks: int = 3) -> None:
        super().__init__()
        self.fold = fold
        self.width = width
        self.blocks = blocks
        self.coarse_blocks = coarse_blocks
        self.priors = nn.ModuleList(Prior(fold, width, blocks, coarse_blocks) for _ in range(stages))
        # log alpha = a + b noise / NOISE_UNIT + c error: a noisier image or a less certain kernel is trusted less.
        self.log_alpha = nn.Parameter(torch.tensor([[-5.0, 4.0, 3.0]] * stages))

    @property
    def reach_px(self) -> int:
        """HR pixels around one that its priors see, without their coarse blocks.

        Those see three times as far, and the data steps the whole image, but faintly: results change by less than 0.001.
        """
        return self.fold * len(self.priors) * (2 + 2 * self.blocks)

    def forward(self, lr: torch.Tensor, transfer: torch.Tensor, noise: torch.Tensor, kernel_error: torch.Tensor) -> torch.Tensor:
        """SR images (N, 3, s h, s w) of LR images (N, 3, h, w) in [0, 1] with periodic borders.

        Parameters
        ----------
        transfer
            Of the kernels on the HR grid, see `DataStep`.
        noise
            (N,) standard deviations of the noise, where the image runs from 0 to 1.
        kernel_error
            (N,) expected relative L2 errors of the kernels; 0 for exact ones.
        """
        scale = transfer.shape[2] // lr.shape[2]
        data_step = DataStep(lr, transfer, scale)
        x = F.interpolate(lr, scale_factor=scale, mode="bicubic", align_corners=False)
        grid = 2 if self.coarse_blocks else 1
        size = [grid * -(-side // (grid * self.fold)) for side in x.shape[2:]]
        features = lr.new_zeros(len(lr), self.width, *size)
        told = torch.stack([noise / NOISE_UNIT, kernel_error / ERROR_UNIT, torch.ones_like(noise)], 1)
        conditions = told[:, :, None, None].expand(-1, -1, *size)
        for prior, (a, b, c) in zip(self.priors, self.log_alpha, strict=True):
            with torch.autocast(lr.device.type, enabled=False):
                z = data_step(x.float(), torch.exp(a + b * noise / NOISE_UNIT + c * kernel_error))
            x, features = prior(z, x, features, conditions)
        return x.float()
