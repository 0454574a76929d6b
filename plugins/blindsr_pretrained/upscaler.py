"""Upscaling of tiles by a network."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from blindsr_pretrained.ensemble import ensembled

if TYPE_CHECKING:
    from blindsr.api import Image, RunContext


@dataclass
class NetworkUpscaler:
    """Upscales tiles by a network, in float32 on every device: bfloat16 has 8 bits, and the image alone has as many."""

    network: Callable[[torch.Tensor], torch.Tensor]
    """Makes an SR image (1, 3, scale H, scale W) of an image (1, 3, H, W) in [0, 1], and may overwrite that."""
    device: str
    self_ensemble: bool
    halo: int | None

    def __call__(self, tile: Image) -> Image:
        """The tile (h, w, 3) at ``scale`` times its size."""
        with torch.inference_mode(), torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
            image = torch.tensor(np.ascontiguousarray(tile), device=self.device).permute(2, 0, 1)[None].contiguous()
            result = ensembled(self.network, image) if self.self_ensemble else self.network(image)
            sr: Image = result[0].permute(1, 2, 0).cpu().numpy()
        return sr


def halo_unless_small(lr: Image, *, max_whole_px: int, halo: int, what: str, run: RunContext) -> int | None:
    """None, for the image as a whole, if it has at most `max_whole_px` pixels; else `halo`, and a warning.

    For networks that look at the whole image. `what` names the network.
    """
    height, width = lr.shape[:2]
    if height * width <= max_whole_px:
        return None
    run.warn(
        f"{what} looks at the whole image, but {width} x {height} pixels are too many at once (at most {max_whole_px:,}): "
        f"it is cut into tiles, whose brightness or sharpness may differ slightly"
    )
    return halo
