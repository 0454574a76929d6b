"""The network: 12 convolutions on the LR image and the kernel's stretched coefficients, then a pixel shuffle."""

from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from blindsr.api import cubic

LAYERS = 12
CHANNELS = 128
REACH_PX = LAYERS
"""LR pixels around a pixel that can change its result: one for each 3 x 3 convolution (the bicubic residual reaches 2)."""


class SRMDNet(nn.Module):
    """SRMD of Zhang, Zuo and Zhang (CVPR 2018, section 3.4); its state dict has the layout of the published weights.

    `maps` are the channels beside RGB: the kernel's coefficients, and the noise level where the network knows one. With `residual`
    the convolutions give what is to be added to the bicubic enlargement, instead of the image itself.
    """

    def __init__(self, scale: int, maps: int, *, residual: bool) -> None:
        super().__init__()
        widths = [3 + maps, *[CHANNELS] * (LAYERS - 1), 3 * scale**2]
        convolutions = [nn.Conv2d(a, b, 3, padding=1) for a, b in pairwise(widths)]
        modules: list[nn.Module] = [module for convolution in convolutions for module in (convolution, nn.ReLU(inplace=True))]
        self.model = nn.Sequential(*modules[:-1], nn.PixelShuffle(scale))
        self.scale, self.residual = scale, residual
        self.register_buffer("taps", torch.from_numpy(_bicubic_taps(scale)), persistent=False)
        self.taps: torch.Tensor

    @property
    def convolutions(self) -> list[nn.Conv2d]:
        """Its convolutions, in order."""
        return [module for module in self.model if isinstance(module, nn.Conv2d)]

    def forward(self, lr: torch.Tensor, maps: torch.Tensor) -> torch.Tensor:
        """The SR images (N, 3, s H, s W) of LR images (N, 3, H, W) in [0, 1], with coefficients (N, maps), the same everywhere."""
        stretched = maps[:, :, None, None].expand(-1, -1, *lr.shape[2:])
        sr: torch.Tensor = self.model(torch.cat([lr, stretched], 1).contiguous(memory_format=torch.channels_last))
        return self.enlarged(lr) + sr if self.residual else sr

    def enlarged(self, lr: torch.Tensor) -> torch.Tensor:
        """MATLAB's bicubic enlargement: one 5 x 5 filter for each of the scale x scale phases; replicated borders."""
        count, channels, height, width = lr.shape
        with torch.autocast(lr.device.type, enabled=False):
            planes = F.pad(lr.float().reshape(count * channels, 1, height, width), (2, 2, 2, 2), mode="replicate")
            result = F.pixel_shuffle(F.conv2d(planes, self.taps), self.scale)
        return result.reshape(count, channels, self.scale * height, self.scale * width)


def _bicubic_taps(scale: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Filters (scale^2, 1, 5, 5) of bicubic enlargement, a phase each."""
    offsets = np.arange(-2, 3)
    phases = (np.arange(scale) + 0.5) / scale - 0.5
    rows = cubic(phases[:, None] - offsets)
    rows = rows / rows.sum(1, keepdims=True)
    taps: np.ndarray[Any, np.dtype[np.float32]] = np.einsum("ai,bj->abij", rows, rows).reshape(scale**2, 1, 5, 5).astype(np.float32)
    return taps
