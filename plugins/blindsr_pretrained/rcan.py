"""RCAN: groups of residual blocks with channel attention.

spandrel has this network, too, but needs torchvision and is an optional extra; what RCAN shares with EDSR is here anyway.
"""

from __future__ import annotations

import torch
from torch import nn

from blindsr.api import Weights
from blindsr_pretrained import layouts
from blindsr_pretrained.network import Network, check_scale, convolution, load

MAX_WHOLE_PX = 2_000_000
"""LR images of up to so many pixels come whole, in about 1 kB a pixel; DIV2K's have half as many at x2."""

TILE_HALO_PX = 32
"""LR pixels that the tiles of larger images overlap by on each side. The official test program has 10; what remains of the
tiles' difference from the whole comes from their means, which no halo mends."""


class ChannelAttention(nn.Module):
    """Each channel times a weight in (0, 1) that depends on all channels' means. Source: Zhang et al., section 3.3."""

    def __init__(self, channels: int, squeezed: int) -> None:
        super().__init__()
        self.conv_du = nn.Sequential(
            nn.Conv2d(channels, squeezed, 1), nn.ReLU(inplace=True), nn.Conv2d(squeezed, channels, 1), nn.Sigmoid()
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Features (1, C, H, W); `x` is overwritten."""
        weights: torch.Tensor = self.conv_du(x.mean((2, 3), keepdim=True))
        return x.mul_(weights)


class Block(nn.Module):
    """Two convolutions and channel attention, added to the input. Source: Zhang et al., section 3.4, RCAB."""

    def __init__(self, channels: int, squeezed: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            convolution(channels, channels),
            nn.ReLU(inplace=True),
            convolution(channels, channels),
            ChannelAttention(channels, squeezed),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Features (1, C, H, W) of features (1, C, H, W)."""
        residual: torch.Tensor = self.body(x)
        return residual.add_(x)


class Group(nn.Module):
    """Blocks and a convolution, added to the input. Source: Zhang et al., section 3.2, the short skip connection."""

    def __init__(self, blocks: int, channels: int, squeezed: int) -> None:
        super().__init__()
        self.body = nn.Sequential(*(Block(channels, squeezed) for _ in range(blocks)), convolution(channels, channels))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Features (1, C, H, W) of features (1, C, H, W)."""
        residual: torch.Tensor = self.body(x)
        return residual.add_(x)


class RCAN(Network):
    """The whole network. Source: Zhang et al., section 3.5: 10 groups of 20 blocks, 64 channels, squeezed to 4."""

    def __init__(self, *, groups: int, blocks: int, channels: int, squeezed: int, scale: int) -> None:
        super().__init__([Group(blocks, channels, squeezed) for _ in range(groups)], channels, scale)


def network(weights: Weights, scale: int) -> RCAN:
    """The RCAN of a checkpoint, on the CPU.

    Raises
    ------
    BlindSRError
        If the checkpoint is not of an RCAN for this scale.
    """
    state = layouts.official(weights, "RCAN")
    check_scale(weights, state, scale, what="RCAN")
    channels = layouts.outputs(state, "head.0.weight")
    squeezed = layouts.outputs(state, "body.0.body.0.body.3.conv_du.0.weight")
    groups, blocks = layouts.length(state, "body", "body.0.body.0.weight"), layouts.length(state, "body.0.body", "body.0.weight")
    with torch.device("meta"):
        rcan = RCAN(groups=groups, blocks=blocks, channels=channels, squeezed=squeezed, scale=scale)
    load(rcan, weights, state, what=f"an RCAN of {groups} groups, {blocks} blocks each, and {channels} channels")
    return rcan
