"""Upscaling of tiles by a network, and the geometric self-ensemble, which the "+" in EDSR+ and RCAN+ stands for."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce

import numpy as np
import torch

from blindsr.api import IDENTITY, SYMMETRIES, Image, RunContext

Function = Callable[[torch.Tensor], torch.Tensor]
"""Makes an SR image (1, 3, scale H, scale W) of an image (1, 3, H, W) in [0, 1], and may overwrite that."""


@dataclass
class NetworkUpscaler:
    """Upscales tiles by a network, in float32 on every device: bfloat16 has 8 bits, and the image alone has as many.

    The self-ensemble is the mean of what the network makes of the eight flips and quarter turns of a tile, each undone. They come
    one after another, so that it takes little more memory than one.
    Source: Lim et al., CVPR workshops 2017, section 4.3, after Timofte et al., CVPR 2016.
    """

    network: Function
    device: str
    self_ensemble: bool
    halo: int | None

    def __call__(self, tile: Image) -> Image:
        """The tile (h, w, 3) at ``scale`` times its size."""
        symmetries = SYMMETRIES if self.self_ensemble else (IDENTITY,)
        return reduce(np.add, (each.undo(self._once(each.apply(tile))) for each in symmetries)) / np.float32(len(symmetries))

    def _once(self, tile: Image) -> Image:
        with torch.inference_mode(), torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
            image = torch.tensor(np.ascontiguousarray(tile), device=self.device).permute(2, 0, 1)[None].contiguous()
            sr: Image = self.network(image)[0].permute(1, 2, 0).cpu().numpy()
        return sr


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
