"""Upscaling of tiles by a network, and the geometric self-ensemble, which the "+" in EDSR+ and RCAN+ stands for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING

import numpy as np
import torch

from blindsr.api import SYMMETRIES, Symmetry

if TYPE_CHECKING:
    from blindsr.api import Image, RunContext

Function = Callable[[torch.Tensor], torch.Tensor]
"""Makes an SR image (1, 3, scale H, scale W) of an image (1, 3, H, W) in [0, 1], and may overwrite that."""


@dataclass
class NetworkUpscaler:
    """Upscales tiles by a network, in float32 on every device: bfloat16 has 8 bits, and the image alone has as many."""

    network: Function
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


def ensembled(network: Function, image: torch.Tensor) -> torch.Tensor:
    """The mean of what `network` makes of the eight flips and quarter turns of `image` (1, 3, H, W), each undone.

    One after another, so that it takes little more memory than one.
    Source: Lim et al., CVPR workshops 2017, section 4.3, after Timofte et al., CVPR 2016.
    """

    def through(symmetry: Symmetry) -> torch.Tensor:
        turned = symmetry.apply(image, axes=(-2, -1)).clone(memory_format=torch.contiguous_format)
        return symmetry.undo(network(turned), axes=(-2, -1))

    return reduce(torch.Tensor.add_, map(through, SYMMETRIES)).div_(len(SYMMETRIES))


def halo_unless_small(lr: Image, *, max_whole_px: int, halo: int, what: str, run: RunContext) -> int | None:
    """For networks that look at the whole image: None if it has at most `max_whole_px` pixels, else `halo`, and a warning."""
    height, width = lr.shape[:2]
    if height * width <= max_whole_px:
        return None
    run.warn(
        f"{what} looks at the whole image, but {width} x {height} pixels are too many at once (at most {max_whole_px:,}): "
        f"it is cut into tiles, whose brightness or sharpness may differ slightly"
    )
    return halo
