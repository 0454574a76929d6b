"""EDSR: a body of plain residual blocks without normalisation."""

from __future__ import annotations

import torch
from torch import nn

from blindsr.api import Weights
from blindsr_pretrained import layouts
from blindsr_pretrained.network import TAIL_REACH_PX, Network, check_scale, convolution, load

WIDE = 256
"""From so many channels on, training is only stable with scaled residuals (Lim et al., section 3.2)."""


class ResidualBlock(nn.Module):
    """Convolution, ReLU, convolution; scaled and added to the input. Source: Lim et al., section 3.1 and figure 2c."""

    def __init__(self, channels: int, scaling: float) -> None:
        super().__init__()
        self.body = nn.Sequential(convolution(channels, channels), nn.ReLU(inplace=True), convolution(channels, channels))
        self.scaling = scaling

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Features (1, C, H, W) of features (1, C, H, W)."""
        residual: torch.Tensor = self.body(x)
        return residual.mul_(self.scaling).add_(x)


class EDSR(Network):
    """The single-scale network. Source: Lim et al., section 3.2: 32 blocks of 256 channels; the baseline has 16 of 64."""

    def __init__(self, *, blocks: int, channels: int, scale: int, residual_scaling: float) -> None:
        super().__init__([ResidualBlock(channels, residual_scaling) for _ in range(blocks)], channels, scale)
        self.reach_px = 1 + 2 * blocks + 1 + TAIL_REACH_PX
        """LR pixels around one that can change its result: 68 for the full network, 36 for the baseline."""


def network(weights: Weights, scale: int, *, residual_scaling: float | None = None) -> EDSR:
    """The EDSR of a checkpoint, on the CPU.

    Raises
    ------
    BlindSRError
        If the checkpoint is not of an EDSR for this scale.
    """
    state = layouts.official(weights, "EDSR")
    check_scale(weights, state, scale, what="EDSR")
    channels, blocks = layouts.outputs(state, "head.0.weight"), layouts.length(state, "body", "body.0.weight")
    if residual_scaling is None:
        residual_scaling = 0.1 if channels >= WIDE else 1.0
    with torch.device("meta"):
        edsr = EDSR(blocks=blocks, channels=channels, scale=scale, residual_scaling=residual_scaling)
    load(edsr, weights, state, what=f"an EDSR of {blocks} blocks and {channels} channels")
    return edsr
