"""Upscaling by a network that is conditioned on a kernel."""

import math
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from scipy import ndimage

from blindsr.api import Image, Kernel, back_project, back_projection_reach_px, border_decay_px, project
from blindsr_srmd.checkpoints import Model
from blindsr_srmd.network import REACH_PX, SRMDNet
from blindsr_srmd.stretching import aligned_array, equivalent_blur

ALIGNED_PX = 1e-3
SPLINE_REACH_PX = 10
"""SR pixels around one that can change it in a cubic spline by more than a millionth."""


@dataclass(frozen=True)
class SRMDUpscaler:
    """Upscales tiles with one kernel. In float32, so that tiles equal the whole."""

    network: SRMDNet
    maps: torch.Tensor
    """The kernel's coefficients, and the noise level where the network takes one: (1, maps)."""
    device: str
    kernel: Kernel
    """How far it is off alignment, the image is moved: the network knows aligned kernels only."""
    back_projections: int = 0
    alpha: float | None = None
    """Of a data step in the place of back-projections; None for none."""

    @property
    def halo(self) -> int:
        """LR pixels around a tile that can change its result."""
        moved_px = max(map(abs, self.kernel.misalignment_px)) + SPLINE_REACH_PX if self._moves else 0
        corrected_px = self.back_projections * back_projection_reach_px(self.kernel)
        corrected_px += border_decay_px(self.kernel, self.alpha) if self.alpha is not None else 0
        return REACH_PX + math.ceil(moved_px / self.kernel.scale) + corrected_px

    @property
    def _moves(self) -> bool:
        return max(map(abs, self.kernel.misalignment_px)) > ALIGNED_PX

    @classmethod
    def told(cls, model: Model, kernel: Kernel, *, noise: float, back_projections: int, alpha: float | None, device: str) -> Self:
        """An upscaler for `kernel`, and for noise of a standard deviation of `noise` levels of 255 where the network takes it."""
        # Networks that expect a centred blur convolve with it: both axes are flipped.
        side = model.basis.mean.shape[0]
        array = equivalent_blur(kernel, side)[::-1, ::-1] if model.centered else aligned_array(kernel)
        maps = [*model.basis.coefficients(array), *([noise / 255] if model.noise_map else [])]
        network = model.network.to(device)
        network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's types lack it
        return cls(network, torch.tensor([maps], dtype=torch.float32, device=device), device, kernel, back_projections, alpha)

    def __call__(self, tile: Image) -> Image:
        """The tile (h, w, 3) at ``scale`` times its size."""
        with torch.inference_mode(), torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
            lr = torch.from_numpy(np.array(tile)).to(self.device).permute(2, 0, 1)[None]
            sr: Image = self.network(lr, self.maps)[0].float().permute(1, 2, 0).cpu().numpy()
        if self._moves:
            sr = ndimage.shift(sr, (*self.kernel.misalignment_px, 0), order=3, mode="nearest")
        if self.alpha is not None:
            return project(sr, tile, self.kernel, alpha=self.alpha, device=self.device)
        return back_project(sr, tile, self.kernel, times=self.back_projections)
