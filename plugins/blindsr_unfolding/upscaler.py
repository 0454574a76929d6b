"""Applying the network to tiles."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn import functional as F

from blindsr_unfolding.data_step import transfer_function
from blindsr_unfolding.network import UnfoldingNet
from blindsr_unfolding.usrnet import USRNet

if TYPE_CHECKING:
    from blindsr.api import Image, Kernel

MIN_MIRRORED_PX = 16
"""LR pixels that are added beyond each side, at least, where they stay a mirror image."""
UNTAPERED_PX = 4
"""Where they do not, so many next to the image stay one;"""
MIN_TAPER_PX = 20
"""and over at least so many more the image becomes periodic, as the data step takes it to be."""
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
    tapered
        Whether the image becomes periodic beyond its sides, or stays its mirror image.
    """

    network: UnfoldingNet | USRNet
    kernel: Kernel
    noise: float
    kernel_error: float
    device: str
    tapered: bool = True

    @property
    def halo(self) -> int | None:
        """LR pixels of context; None if mirrored, because the wrong border of a tile would be felt all over it."""
        return self.network.reach_px + DECAY_PX if self.tapered else None

    @property
    def border_px(self) -> int:
        """LR pixels that are added beyond each side."""
        kernel_px = -(-max(self.kernel.shape) // self.kernel.scale)
        return UNTAPERED_PX + max(MIN_TAPER_PX, kernel_px) if self.tapered else max(MIN_MIRRORED_PX, kernel_px)

    def __call__(self, tile: Image) -> Image:
        """The tile (h, w, 3) at ``scale`` times its size."""
        height, width = tile.shape[:2]
        scale, border = self.network.scale, self.border_px
        bordered = np.pad(tile, ((border, border), (border, border), (0, 0)), mode="symmetric")
        with torch.inference_mode(), torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
            lr = torch.from_numpy(bordered).to(self.device).permute(2, 0, 1)[None]
            kernel = torch.from_numpy(self.kernel.array.astype(np.float32))[None].to(self.device)
            transfer = transfer_function(kernel, (scale * lr.shape[2], scale * lr.shape[3]))
            if self.tapered:
                lr = tapered(lr, transfer, border - UNTAPERED_PX, scale)
            told = (torch.tensor([value], dtype=torch.float32, device=self.device) for value in (self.noise, self.kernel_error))
            sr: Image = self.network(lr, transfer, *told)[0].permute(1, 2, 0).cpu().numpy()
        inside = slice(scale * border, scale * (border + height)), slice(scale * border, scale * (border + width))
        return sr[inside]


def tapered(lr: torch.Tensor, transfer: torch.Tensor, taper_px: int, scale: int) -> torch.Tensor:
    """An LR image whose outermost pixels pass over into what the kernel makes of the enlarged image, which is periodic.

    A mirrored border is no periodic image blurred by the kernel; the data step would amplify the difference all over the image.
    """
    shape = (scale * lr.shape[2], scale * lr.shape[3])
    enlarged = F.interpolate(lr, scale_factor=scale, mode="bicubic", align_corners=False)
    periodic = torch.fft.irfft2(transfer * torch.fft.rfft2(enlarged), s=shape)[:, :, ::scale, ::scale]
    rows, columns = (_ramps(size, taper_px, lr) for size in lr.shape[2:])
    weight = rows[:, None] * columns[None]
    blended: torch.Tensor = weight * lr + (1 - weight) * periodic
    return blended


def _ramps(size: int, taper_px: int, like: torch.Tensor) -> torch.Tensor:
    """From 0 at the ends to 1 at `taper_px` pixels from them."""
    distance = torch.arange(size, dtype=like.dtype, device=like.device)
    return (torch.minimum(distance, size - 1 - distance) / taper_px).clamp_max(1)
