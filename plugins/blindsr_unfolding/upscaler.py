"""Applying the network to tiles."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from blindsr.api import periodic_border, transfer_function
from blindsr_unfolding.network import UnfoldingNet
from blindsr_unfolding.usrnet import USRNet

if TYPE_CHECKING:
    from blindsr.api import Image, Kernel

MIN_MIRRORED_PX = 16
"""LR pixels that are added beyond each side, at least, where they stay a mirror image."""
MIN_PERIODIC_PX = 24
"""The same, where they are changed until the image is periodic, as the data step takes it to be."""
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
    mirrored
        Whether the image is continued by its mirror image, or by what makes it periodic.
    bfloat16
        Whether the priors compute in bfloat16 instead of float32.
    """

    network: UnfoldingNet | USRNet
    kernel: Kernel
    noise: float
    kernel_error: float
    device: str
    mirrored: bool = False
    bfloat16: bool = False

    @property
    def halo(self) -> int | None:
        """LR pixels of context; None if mirrored, because the wrong border of a tile would be felt all over it."""
        return None if self.mirrored else -(-self.network.reach_px // self.kernel.scale) + DECAY_PX

    @property
    def border_px(self) -> int:
        """LR pixels that are added beyond each side."""
        kernel_px = -(-max(self.kernel.shape) // self.kernel.scale)
        return max(MIN_MIRRORED_PX if self.mirrored else MIN_PERIODIC_PX, kernel_px)

    def __call__(self, tile: Image) -> Image:
        """The tile (h, w, 3) at ``scale`` times its size."""
        height, width = tile.shape[:2]
        scale, border = self.kernel.scale, self.border_px
        bordered = np.pad(tile, ((border, border), (border, border), (0, 0)), mode="symmetric")
        with torch.inference_mode(), torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
            lr = torch.from_numpy(bordered).to(self.device).permute(2, 0, 1)[None]
            kernel = torch.from_numpy(self.kernel.array.astype(np.float32))[None].to(self.device)
            transfer = transfer_function(kernel, (scale * lr.shape[2], scale * lr.shape[3]))
            if not self.mirrored:
                lr = periodic_border(lr, transfer, border, scale)
            told = (torch.tensor([value], dtype=torch.float32, device=self.device) for value in (self.noise, self.kernel_error))
            with torch.autocast(lr.device.type, torch.bfloat16, enabled=self.bfloat16):
                sr: Image = self.network(lr, transfer, *told)[0].permute(1, 2, 0).cpu().numpy()
        inside = slice(scale * border, scale * (border + height)), slice(scale * border, scale * (border + width))
        return sr[inside]
