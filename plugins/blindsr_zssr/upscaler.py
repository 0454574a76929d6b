"""Applying a trained network: interpolation, residual, self-ensemble, back-projection."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import torch

from blindsr.kernel import Kernel
from blindsr.resize import CUBIC_RADIUS, bicubic, downscale
from blindsr_zssr.network import REACH_PX, Network
from blindsr_zssr.symmetry import Symmetry

if TYPE_CHECKING:
    from blindsr.interfaces import Image


@dataclass
class ZSSRUpscaler:
    """Upscales tiles of the image that `network` was trained on. All in float32, so that tiles equal the whole."""

    network: Network
    kernel: Kernel
    device: str
    back_projections: int
    symmetries: tuple[Symmetry, ...]
    """Of the self-ensemble; the identity alone for none."""

    halo: int | None = field(init=False)
    """LR pixels of context that can change a pixel of the result."""

    def __post_init__(self) -> None:
        scale = self.kernel.scale
        network = CUBIC_RADIUS + math.ceil(REACH_PX / scale)
        back_projection = CUBIC_RADIUS + math.ceil(max(self.kernel.shape) // 2 / scale)
        rounds = 1 if len(self.symmetries) == 1 else 2
        self.halo = network + rounds * self.back_projections * back_projection

    def __call__(self, tile: Image) -> Image:
        """The tile (h, w, 3) at ``scale`` times its size, in [0, 1]."""
        results = [s.undo(self._once(np.ascontiguousarray(s.apply(tile)))) for s in self.symmetries]
        if len(results) == 1:
            return np.ascontiguousarray(results[0])
        return back_projected(np.median(np.stack(results), axis=0), tile, self.kernel, times=self.back_projections)

    def _once(self, tile: Image) -> Image:
        interpolated = bicubic(tile, scale=self.kernel.scale)
        with torch.inference_mode(), torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
            planes = torch.from_numpy(interpolated).to(self.device).permute(2, 0, 1)[None]
            residual = self.network(planes)[0].permute(1, 2, 0).cpu().numpy()
        sr = np.clip(interpolated + residual, 0, 1)
        return back_projected(sr, tile, self.kernel, times=self.back_projections)


def back_projected(sr: Image, lr: Image, kernel: Kernel, *, times: int) -> Image:
    """`sr` made to agree with `lr`: ``sr <- clip(sr + bicubic(lr - downscale(sr)))``, `times` times.

    Source: Irani and Peleg, CVGIP 53(3), 1991, as used by Shocher et al., CVPR 2018, section 3.2.
    """
    for _ in range(times):
        sr = np.clip(sr + bicubic(lr - downscale(sr, kernel), scale=kernel.scale), 0, 1)
    return sr
