"""The network that makes one correction of many."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import nn
from torch.nn import functional as F

from blindsr_selection.least_squares import CHANNELS

WIDTH, BLOCKS = 48, 4
SR_IMAGES = 2
"""That there are corrections and a residual of."""
TOLD = 4
"""Planes beside those: the taps, their logarithm, the expected error, the distance from the middle."""
SMALLEST = 1e-3
"""Of the largest tap; the logarithm of taps ends there."""


class Answer(NamedTuple):
    """Taps (N, side, side) that sum to 1, and the logarithm of their expected relative L2 error (N,)."""

    frames: torch.Tensor
    log_error: torch.Tensor


class _Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = features + self.second(F.gelu(self.first(features)))
        return result


class CorrectionNet(nn.Module):
    """A small residual network on the grid of the taps. In the beginning it changes nothing."""

    def __init__(self, *, width: int = WIDTH, blocks: int = BLOCKS) -> None:
        super().__init__()
        self.head = nn.Conv2d(SR_IMAGES * (len(CHANNELS) + 1) + TOLD, width, 3, padding=1)
        self.blocks = nn.ModuleList(_Block(width) for _ in range(blocks))
        self.tail = nn.Conv2d(width, 2, 3, padding=1)
        self.log_error = nn.Linear(width, 1)
        for layer in (self.tail, self.log_error):
            for weights in layer.parameters():
                nn.init.zeros_(weights)

    def forward(
        self, frames: torch.Tensor, corrections: torch.Tensor, residuals: torch.Tensor, expected_error: torch.Tensor
    ) -> Answer:
        """The corrected taps.

        Parameters
        ----------
        frames
            (N, side, side) taps of kernels.
        corrections
            (N, SR images x channels, side, side), see `least_squares.corrections`.
        residuals
            (N, SR images) of the kernels as they are.
        expected_error
            (N,) of the kernels as they are.
        """
        # The factors and summands below make all planes, and what is added, of about one size.
        largest = frames.amax((1, 2), keepdim=True)
        taps = (frames / largest)[:, None]
        side = frames.shape[1]
        axis = (torch.arange(side, device=frames.device) - (side - 1) / 2) / side
        distance = (axis[:, None].square() + axis[None].square()).expand_as(taps)
        numbers = torch.cat([(255 * residuals).log(), expected_error[:, None].log() + 1.5], 1)
        told = numbers[:, :, None, None].expand(-1, -1, side, side)
        planes = [taps, (taps.clamp_min(0) + SMALLEST).log() / 3, 2 * corrections / largest[:, None], told, 5 * distance]
        features = F.gelu(self.head(torch.cat(planes, 1)))
        for block in self.blocks:
            features = block(features)
        factor, added = self.tail(features).unbind(1)
        corrected = (taps[:, 0] * (1 + factor) + 0.05 * added).clamp_min(0) + 1e-6
        pooled = (features * taps).sum((2, 3)) / taps.sum((2, 3))
        log_error = expected_error.log() + self.log_error(pooled)[:, 0]
        return Answer(corrected / corrected.sum((1, 2), keepdim=True), log_error)
