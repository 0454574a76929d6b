"""Applying the network to tiles."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from blindsr_unfolding.data_step import transfer_function
from blindsr_unfolding.network import UnfoldingNet

if TYPE_CHECKING:
    from blindsr.api import Image, Kernel

BORDER_PX = 16
"""LR pixels that are mirrored beyond each side, since the data step's borders are periodic."""
DECAY_PX = 8
"""LR pixels beyond the priors' reach over which what a data step makes of a tile's border dies away."""


@dataclass(frozen=True)
class UnfoldingUpscaler:
    """Upscales tiles with one kernel.

    Attributes
    ----------
    noise
        Standard deviation of the image's noise, where the image runs from 0 to 1.
    kernel_error
        Expected relative L2 error of the kernel.
    """

    network: UnfoldingNet
    kernel: Kernel
    noise: float
    kernel_error: float
    device: str

    @property
    def halo(self) -> int:
        """LR pixels of context."""
        return self.network.reach_px + DECAY_PX

    def __call__(self, tile: Image) -> Image:
        """The tile (h, w, 3) at ``scale`` times its size."""
        height, width = tile.shape[:2]
        scale = self.network.scale
        bordered = np.pad(tile, ((BORDER_PX, BORDER_PX), (BORDER_PX, BORDER_PX), (0, 0)), mode="symmetric")
        with torch.inference_mode(), torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
            lr = torch.from_numpy(bordered).to(self.device).permute(2, 0, 1)[None]
            kernel = torch.from_numpy(self.kernel.array.astype(np.float32))[None].to(self.device)
            transfer = transfer_function(kernel, (scale * lr.shape[2], scale * lr.shape[3]))
            told = (torch.tensor([value], dtype=torch.float32, device=self.device) for value in (self.noise, self.kernel_error))
            sr: Image = self.network(lr, transfer, *told)[0].permute(1, 2, 0).cpu().numpy()
        border = scale * BORDER_PX
        return sr[border : border + scale * height, border : border + scale * width]
