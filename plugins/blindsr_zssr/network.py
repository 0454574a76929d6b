"""ZSSR's network: what is added to the image that it starts from."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F

LAYERS = 8
CHANNELS = 64


class Network(NamedTuple):
    """Eight 3 x 3 convolutions with 64 channels, ReLU between them, no biases, zero padding.

    With `fold` 2 they work at half the resolution: each 2 x 2 pixels are channels of one.
    Source: Shocher et al., CVPR 2018, section 3.1, for `fold` 1.
    """

    first: torch.Tensor
    """(64, p * fold^2, 3, 3): out, in, row, column; p planes are seen of the image."""
    hidden: torch.Tensor
    """(6, 64, 3, 3, 64): layer, out, row, column, in. The channels come last because the CPU is fastest with them so."""
    last: torch.Tensor
    """(3 * fold^2, 64, 3, 3): out, in, row, column."""

    @property
    def fold(self) -> int:
        """Pixels a side that are channels of one."""
        return math.isqrt(len(self.last) // 3)

    @property
    def reach_px(self) -> int:
        """Pixels to either side of one that can change its residual: `fold` for each convolution."""
        return LAYERS * self.fold

    def __call__(self, planes: torch.Tensor) -> torch.Tensor:
        """The residual (N, 3, H, W), float32, of float32 `planes` (N, p, H, W), the first three of them the image in [0, 1]."""
        height, width = planes.shape[2:]
        fold = self.fold
        if fold > 1:
            planes = F.pixel_unshuffle(F.pad(planes, (0, -width % fold, 0, -height % fold), mode="replicate"), fold)
        # The first layer always computes in float32: eight bits of mantissa would lose the image's own faint detail.
        x = F.relu_(F.conv2d(planes, self.first, padding=1)).to(self.hidden.dtype)
        for weight in self.hidden.permute(0, 1, 4, 2, 3).unbind():
            x = F.relu_(F.conv2d(x, weight, padding=1))
        residual = F.conv2d(x, self.last, padding=1).float()
        return F.pixel_shuffle(residual, fold)[:, :, :height, :width] if fold > 1 else residual

    def copy(self, dtype: torch.dtype) -> Network:
        """Leaves of autograd with the same weights; all but the first layer's in `dtype`."""
        first, *others = (weight.detach().clone() for weight in self)
        return Network(first.requires_grad_(), *(weight.to(dtype).requires_grad_() for weight in others))


def initial(generator: torch.Generator, device: str, *, planes: int = 3, fold: int = 1) -> Network:
    """Normal weights of variance ``2 / (9 * channels in)``, of a hundredth of that in the last layer.

    The variance keeps the signal's size from layer to layer (He et al., ICCV 2015); the last layer makes the network
    start near plain interpolation. The original's 0.1 instead of 2 leaves almost no signal after eight layers, and costs
    the first few hundred steps.
    """

    def normal(*shape: int, inputs: int, gain: float = 1.0) -> torch.Tensor:
        return torch.randn(shape, generator=generator).mul_(gain * (2 / (9 * inputs)) ** 0.5).to(device)

    return Network(
        first=normal(CHANNELS, planes * fold**2, 3, 3, inputs=planes * fold**2),
        hidden=normal(LAYERS - 2, CHANNELS, 3, 3, CHANNELS, inputs=CHANNELS),
        last=normal(3 * fold**2, CHANNELS, 3, 3, inputs=CHANNELS, gain=0.1).contiguous(memory_format=torch.channels_last),
    )
