"""What the generator's kernel is asked to be, beside deceiving the discriminator; and what is made of it in the end.

Source: KernelGAN, section 4.2 and equation 3; exponents, weights and schedule as in the release, which differs from the paper.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from blindsr.api import BlindSRError, Kernel, cubic
from blindsr_kernelgan.generator import KERNEL_SIDE

SUM_WEIGHT = 0.5
BOUNDARY_WEIGHT = 0.5
CENTER_WEIGHT = 1.0
SPARSITY_WEIGHT = 5.0

SPARSITY_POWER = 0.2
TINY = 1e-30  # under it, the power's infinite slope is cut off
CENTER = KERNEL_SIDE // 2 + 0.5
BOUNDARY_PENALTY = 30.0
FREE_MARGIN = 2  # taps at each side beyond the central 9 x 9, which the boundary loss leaves alone

BICUBIC_WEIGHT = 5.0
BICUBIC_REACHED = 0.4
BICUBIC_PATIENCE = 3
BICUBIC_EVERY = 200
BICUBIC_DROP = 100.0
MIN_BICUBIC_WEIGHT = 5e-6
CONSTRAIN_BELOW = 5e-3

NEGLIGIBLE_RANK = 41
NEGLIGIBLE_FACTOR = 0.75


class KernelLosses:
    """The losses on the 13 x 13 kernel alone, with their constants on one device."""

    def __init__(self, device: str = "cpu", dtype: torch.dtype = torch.float32) -> None:
        position = torch.arange(KERNEL_SIDE, dtype=torch.float64)
        square = (position - KERNEL_SIDE // 2) ** 2
        mask = BOUNDARY_PENALTY * (1 - torch.exp(-(square[:, None] + square) / (2 * KERNEL_SIDE**2)))
        mask[FREE_MARGIN:-FREE_MARGIN, FREE_MARGIN:-FREE_MARGIN] = 0
        # Columns: rows' and columns' positions (for the centre of mass), and ones (for the sum).
        columns = [position.repeat_interleave(KERNEL_SIDE), position.repeat(KERNEL_SIDE), torch.ones(KERNEL_SIDE**2)]
        self.moments = torch.stack(columns, 1).to(device, dtype)
        self.boundary = (BOUNDARY_WEIGHT / KERNEL_SIDE**2 * mask).flatten().to(device, dtype)

    def __call__(self, kernel: Tensor, *, constrain: bool) -> Tensor:
        """The weighted sum of the losses of a flattened kernel (169,); `constrain` asks for a centred and sparse one, too."""
        row, column, total = kernel @ self.moments
        size = kernel.abs()
        loss: Tensor = SUM_WEIGHT * (1 - total).abs() + torch.dot(size, self.boundary)
        if constrain:
            off_center = ((row / total - CENTER) ** 2 + (column / total - CENTER) ** 2) / 2
            loss = loss + CENTER_WEIGHT * off_center + SPARSITY_WEIGHT * size.clamp_min(TINY).pow(SPARSITY_POWER).mean()
        return loss


class BicubicSchedule:
    """How strongly the generator is held to bicubic downscaling: until it can do that, and then less and less."""

    def __init__(self) -> None:
        self.weight = BICUBIC_WEIGHT

    @property
    def constrain(self) -> bool:
        """Whether the generator is free enough for the losses that ask for a centred and sparse kernel."""
        return self.weight < CONSTRAIN_BELOW

    def relax(self, losses: Tensor) -> None:
        """Lower the weight, if the losses so far (one an iteration) were small enough in enough consecutive iterations.

        To be called at each `BICUBIC_EVERY`-th iteration. (The colour-summing target keeps the loss of many images above that
        limit to the end. So it is in the release; repairing it made kernels worse.)
        """
        small = losses < BICUBIC_REACHED
        if len(small) >= BICUBIC_PATIENCE and bool(small.unfold(0, BICUBIC_PATIENCE, 1).all(1).any()):
            self.weight = max(self.weight / BICUBIC_DROP, MIN_BICUBIC_WEIGHT)


def bicubic_kernel() -> NDArray[np.float64]:
    """Antialiased bicubic downscaling by 2, 8 x 8 taps in the 13 x 13 frame, centred at 6.5 as the kernel ought to be."""
    taps = cubic((np.arange(KERNEL_SIDE) - CENTER) / 2)
    taps /= taps.sum()
    return np.outer(taps, taps)


def finished(kernel: NDArray[np.float64]) -> Kernel:
    """The generator's kernel without its negligible values, normalised and aligned."""
    threshold = NEGLIGIBLE_FACTOR * np.sort(kernel, axis=None)[-NEGLIGIBLE_RANK]
    kept = np.maximum(kernel - threshold, 0)
    if not (np.isfinite(kernel).all() and kept.sum() > 0):
        raise BlindSRError("KernelGAN's training left no usable kernel; try a lower learning_rate or another seed")
    return Kernel(kept / kept.sum(), 2).align()
