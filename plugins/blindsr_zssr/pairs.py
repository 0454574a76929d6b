"""What the network trains on: pairs of an image and its own interpolated downscaling, and crops of them."""

import numpy as np
import torch

from blindsr.api import CUBIC_RADIUS, Image, Kernel, bicubic, downscale
from blindsr_zssr.restoring import Restoring

CROP_PX = 32
"""Side of a crop, as the network sees it. Many steps on small crops train further in a given time than few on large ones."""


class Pair:
    """A father and its interpolated son.

    The son is the father downscaled by the kernel, clipped to [0, 1] and upscaled again by bicubic interpolation. Crops of
    the pair need no resizing any more: a crop's own son would differ from the crop of the son at its borders alone.
    Every crop counts alike, as in ZSSR's paper; the release bundled with KernelGAN weights the loss by the image's gradients,
    which gains nothing here.
    The son gets noise of a standard deviation of `noise`, new for each crop, which the network learns to remove.
    Source: Shocher et al., CVPR 2018, section 3.1.
    """

    def __init__(self, father: Image, kernel: Kernel, noise: float = 0.0) -> None:
        height, width = father.shape[:2]
        self.noise, self.scale, self.crop_px = noise, kernel.scale, min(CROP_PX, height, width)
        son = bicubic(np.clip(downscale(father, kernel), 0, 1), scale=kernel.scale)[:height, :width]
        self._planes = torch.from_numpy(np.dstack([son, father - son]))

    def crop(self, rng: np.random.Generator) -> torch.Tensor:
        """A random crop (c, c, 6): the interpolated son, and the residual, which is the father less that."""
        c = self.crop_px
        top, left = (int(rng.integers(size - c + 1)) for size in self._planes.shape[:2])
        crop = self._planes[top : top + c, left : left + c]
        if self.noise:
            added = torch.from_numpy(self._interpolated_noise(rng, top % self.scale, left % self.scale))
            crop = crop + torch.cat([added, -added], dim=2)
        return crop

    def _interpolated_noise(self, rng: np.random.Generator, row: int, column: int) -> Image:
        """White noise of the son, interpolated as the son is: (c, c, 3), from a row and column of the son's pixel on."""
        # Interpolation is linear, so the noise can be interpolated by itself; the margin keeps its borders out of the crop.
        s, c, margin = self.scale, self.crop_px, CUBIC_RADIUS
        side = -(-(c + s - 1) // s) + 2 * margin
        field = bicubic(rng.standard_normal((side, side, 3), dtype=np.float32), scale=s)
        top, left = margin * s + row, margin * s + column
        return np.float32(self.noise) * field[top : top + c, left : left + c]


class RestoredPair:
    """A father and its restored son, in place of the interpolated one; its noise is drawn once.

    Crops begin on the grid of the network, which takes `fold` x `fold` pixels for one.
    """

    def __init__(self, father: Image, kernel: Kernel, restoring: Restoring, rng: np.random.Generator, fold: int) -> None:
        height, width = father.shape[:2]
        self.fold = fold
        self.crop_px = min(CROP_PX * fold, *(side // fold * fold for side in (height, width)))
        son = np.clip(downscale(father, kernel), 0, 1)
        if restoring.noise:
            son += np.float32(restoring.noise) * rng.standard_normal(son.shape, dtype=np.float32)
        planes = restoring(son, kernel, error=0)[:height, :width]
        self._planes = torch.from_numpy(np.dstack([planes, father - planes[:, :, :3]]))

    def crop(self, rng: np.random.Generator) -> torch.Tensor:
        """A random crop (c, c, p + 3): what the network sees of the son, and the father less the restored son."""
        c, fold = self.crop_px, self.fold
        top, left = (fold * int(rng.integers((size - c) // fold + 1)) for size in self._planes.shape[:2])
        return self._planes[top : top + c, left : left + c]


def batch_of(crops: list[torch.Tensor], device: str) -> torch.Tensor:
    """The crops (c, c, p) as a batch (N, p, c, c), float32, on the device, cut to the smallest one's size."""
    side = min(crop.shape[0] for crop in crops)
    # Permuted, not transposed: the channels stay last in memory, where the convolutions want them.
    return torch.stack([crop[:side, :side] for crop in crops]).to(device).permute(0, 3, 1, 2)
