"""Applying a trained network: interpolation, residual, self-ensemble, back-projection."""

import math
from dataclasses import dataclass

import numpy as np
import torch

from blindsr.api import CUBIC_RADIUS, Image, Kernel, Symmetry, back_project, back_projection_reach_px, bicubic, border_decay_px
from blindsr_zssr.network import Network
from blindsr_zssr.restoring import Restoring


@dataclass
class ZSSRUpscaler:
    """Upscales tiles of the image that `network` was trained on. All in float32, so that tiles equal the whole.

    With two kernels, x2 and x4, the network enlarges its own x2 result once more: it has learned to undo a downscaling by
    2, and the x4 kernel downscales by 2 twice.
    """

    network: Network
    kernels: tuple[Kernel, ...]
    """Of the scales on the way, from the LR image, each twice or more the one before; the last is the result's."""
    device: str
    back_projections: int
    symmetries: tuple[Symmetry, ...]
    """Of the self-ensemble; the identity alone for none."""
    restoring: Restoring | None = None
    """What makes the image that the network starts from; None: bicubic interpolation."""

    @property
    def halo(self) -> int:
        """LR pixels of context that can change a pixel of the result."""
        done, reach, back_projections = 1, 0, []
        for kernel in self.kernels:
            # What this step reads, in pixels of the step before, of which there are `done` to an LR pixel.
            around = border_decay_px(kernel) if self.restoring else CUBIC_RADIUS
            reach += math.ceil((around + math.ceil(self.network.reach_px * done / kernel.scale)) / done)
            back_projections.append(back_projection_reach_px(kernel))
            done = kernel.scale
        if len(self.symmetries) > 1:
            back_projections.append(back_projections[-1])
        return reach + self.back_projections * sum(back_projections)

    def __call__(self, tile: Image) -> Image:
        """The tile (h, w, 3) at ``scale`` times its size, in [0, 1]."""
        results = [s.undo(self._once(np.ascontiguousarray(s.apply(tile)))) for s in self.symmetries]
        if len(results) == 1:
            return np.ascontiguousarray(results[0])
        return back_project(np.median(np.stack(results), axis=0), tile, self.kernels[-1], times=self.back_projections)

    def _once(self, tile: Image) -> Image:
        sr, done = tile, 1
        for kernel in self.kernels:
            planes = self._seen(sr, self.kernels[0], kernel.scale // done)
            sr = np.clip(planes[:, :, :3] + self._residual(planes), 0, 1)
            sr = back_project(sr, tile, kernel, times=self.back_projections)
            done = kernel.scale
        return sr

    def _seen(self, image: Image, kernel: Kernel, scale: int) -> Image:
        if self.restoring is None:
            return bicubic(image, scale=scale)
        return self.restoring(image, kernel, kernel.expected_error or 0)

    def _residual(self, seen: Image) -> Image:
        with torch.inference_mode(), torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
            planes = torch.from_numpy(seen).to(self.device).permute(2, 0, 1)[None]
            residual: Image = self.network(planes)[0].permute(1, 2, 0).cpu().numpy()
        return residual
