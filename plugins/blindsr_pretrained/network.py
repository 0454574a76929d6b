"""What EDSR and RCAN are made of. Names are those of the official files."""

from collections.abc import Iterable

import torch
from torch import nn

STRIP_PX = 1 << 14
STRIP_ROWS = 8
"""The tail works on strips of about so many LR pixels, and of so many rows at least: its features take up to 8 (x2, x3) or
32 (x4) times what the body's do."""

TAIL_REACH_PX = 2
"""LR pixels around one that the tail looks at: 1 for its convolution at the LR size, and less than 1 for those after it."""


class Network(nn.Module):
    """Head, body with a skip connection around it, and a tail that enlarges: float32, RGB, zero padding.

    Sources: Lim et al., CVPR workshops 2017, section 3.2; Zhang et al., ECCV 2018, section 3.1.
    """

    def __init__(self, blocks: Iterable[nn.Module], channels: int, scale: int) -> None:
        super().__init__()
        self.scale = scale
        self.value_range = 255.0
        """What the network takes white to be."""
        self.reach_px: int | None = None
        """LR pixels around one that can change its result; None if all can."""
        self.sub_mean = nn.Conv2d(3, 3, 1)
        self.head = nn.Sequential(convolution(3, channels))
        self.body = nn.Sequential(*blocks, convolution(channels, channels))
        steps = {2: (2,), 3: (3,), 4: (2, 2)}[scale]
        upsampler = [layer for s in steps for layer in (convolution(channels, s**2 * channels), nn.PixelShuffle(s))]
        self.tail = nn.Sequential(nn.Sequential(*upsampler), convolution(channels, 3))
        self.add_mean = nn.Conv2d(3, 3, 1)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """The SR image (1, 3, scale H, scale W) of an image (1, 3, H, W) in [0, 1]; not clipped."""
        shallow = self.head(self.sub_mean(image * self.value_range))
        return self._enlarged(self.body(shallow).add_(shallow)) / self.value_range

    def _enlarged(self, features: torch.Tensor) -> torch.Tensor:
        """The tail of all features (1, C, H, W), strip by strip, which saves memory and gives the same result."""
        height, width = features.shape[-2:]
        sr = features.new_empty((1, 3, self.scale * height, self.scale * width))
        rows = max(STRIP_ROWS, STRIP_PX // width)
        for start in range(0, height, rows):
            stop, top = min(start + rows, height), max(start - TAIL_REACH_PX, 0)
            strip = self.add_mean(self.tail(features[:, :, top : stop + TAIL_REACH_PX]))
            sr[:, :, self.scale * start : self.scale * stop] = strip[:, :, self.scale * (start - top) : self.scale * (stop - top)]
        return sr


class Residual(nn.Module):
    """Layers whose result, scaled, is added to their input: EDSR's blocks, and RCAN's blocks and groups."""

    def __init__(self, *layers: nn.Module, scaling: float = 1.0) -> None:
        super().__init__()
        self.body = nn.Sequential(*layers)
        self.scaling = scaling

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        residual: torch.Tensor = self.body(x)
        return (residual if self.scaling == 1 else residual.mul_(self.scaling)).add_(x)


class ChannelAttention(nn.Module):
    """Each channel times a weight in (0, 1) that depends on all channels' means. Source: Zhang et al., section 3.3."""

    def __init__(self, channels: int, squeezed: int) -> None:
        super().__init__()
        down, up = nn.Conv2d(channels, squeezed, 1), nn.Conv2d(squeezed, channels, 1)
        self.conv_du = nn.Sequential(down, nn.ReLU(inplace=True), up, nn.Sigmoid())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Overwrites `x`."""
        weights: torch.Tensor = self.conv_du(x.mean((2, 3), keepdim=True))
        return x.mul_(weights)


def convolution(channels_in: int, channels_out: int) -> nn.Conv2d:
    """A 3 x 3 convolution that keeps the size."""
    return nn.Conv2d(channels_in, channels_out, 3, padding=1)
