"""Applying the network to tiles."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from blindsr.api import DataStep, border_decay_px, with_border
from blindsr_unfolding.network import UnfoldingNet
from blindsr_unfolding.usrnet import USRNet

if TYPE_CHECKING:
    from blindsr.api import Image, Kernel


@dataclass(frozen=True)
class UnfoldingUpscaler:
    """Upscales tiles with one kernel.

    Attributes
    ----------
    noise
        Standard deviation of the image's noise, where the image runs from 0 to 1.
    kernel_error
        Expected relative L2 error of the kernel.
    alpha
        Of a data step behind the network; None for none.
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
    alpha: float | None = None
    mirrored: bool = False
    bfloat16: bool = False

    @property
    def halo(self) -> int | None:
        """LR pixels of context; None if mirrored, because the wrong border of a tile would be felt all over it."""
        if self.mirrored:
            return None
        return -(-self.network.reach_px // self.kernel.scale) + border_decay_px(self.kernel, self.alpha)

    def __call__(self, tile: Image) -> Image:
        """The tile (h, w, 3) at ``scale`` times its size."""
        told = [torch.tensor([value], dtype=torch.float32, device=self.device) for value in (self.noise, self.kernel_error)]

        def restore(lr: torch.Tensor, transfer: torch.Tensor) -> torch.Tensor:
            with torch.autocast(lr.device.type, torch.bfloat16, enabled=self.bfloat16):
                sr: torch.Tensor = self.network(lr, transfer, *told)
            if self.alpha is None:
                return sr
            return DataStep(lr, transfer, self.kernel.scale)(sr, lr.new_tensor([self.alpha]))

        with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
            return with_border(restore, tile, self.kernel, device=self.device, periodic=not self.mirrored)
