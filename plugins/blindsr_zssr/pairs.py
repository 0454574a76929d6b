"""What the network trains on: pairs of an image and its own interpolated downscaling, and crops of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from blindsr.kernel import Kernel
from blindsr.resize import bicubic, downscale

if TYPE_CHECKING:
    from blindsr.interfaces import Image

GRAY = np.array([0.299, 0.587, 0.114], np.float32)
MAP_WINDOW_PX = 5
MAP_MARGIN_PX = 3
CROP_PX = 32


@dataclass(frozen=True)
class Batch:
    """Crops, as the network takes them."""

    son: torch.Tensor
    """(N, 3, c, c), float32: the interpolated son."""
    residual: torch.Tensor
    """(N, 3, c, c), float32: the father less the interpolated son."""
    weight: torch.Tensor
    """(N, 1, c, c), float32: the weight of each pixel's error."""


class Pair:
    """A father, its interpolated son, and where in them to learn.

    The son is the father downscaled by the kernel, clipped to [0, 1] and upscaled again by bicubic interpolation. No
    crop needs any resizing afterwards: a crop's own son differs from the crop of the son at its borders alone.
    Source: Shocher et al., CVPR 2018, section 3.1.

    Parameters
    ----------
    father
        (H, W, 3), float32, in [0, 1].
    kernel
        The kernel to downscale by.
    """

    def __init__(self, father: Image, kernel: Kernel) -> None:
        height, width = father.shape[:2]
        self.crop_px = min(CROP_PX, height, width)
        son = np.clip(downscale(father, kernel), 0, 1)
        son = bicubic(son, scale=kernel.scale)[:height, :width]
        importance = loss_map(father)
        self._places = _Places(importance, self.crop_px)
        self._planes = torch.from_numpy(np.dstack([son, father - son, importance]))

    def crop(self, rng: np.random.Generator) -> torch.Tensor:
        """A random crop (c, c, 7): the son, the residual, the weight."""
        top, left, factor = self._places.draw(rng)
        crop = self._planes[top : top + self.crop_px, left : left + self.crop_px].clone()
        crop[..., 6] *= factor
        return crop


def batch_of(crops: list[torch.Tensor], device: str) -> Batch:
    """The crops of one size (c, c, 7) as a batch on the device."""
    # Permuted, not transposed: the channels stay last in memory, where the convolutions want them.
    planes = torch.stack(crops).to(device).permute(0, 3, 1, 2)
    return Batch(planes[:, :3], planes[:, 3:6], planes[:, 6:])


def loss_map(image: Image) -> Image:
    """How much each pixel's error counts (H, W): the local gradient magnitude, of mean 1; a flat image counts evenly.

    The magnitude of the gray image's central differences, box-filtered by 5 x 5, the outer 3 px set to 0. Source: the
    ZSSR bundled with KernelGAN's release.
    """
    down, across = np.gradient(image @ GRAY)
    magnitude = cv2.boxFilter(np.hypot(down, across), -1, (MAP_WINDOW_PX, MAP_WINDOW_PX), borderType=cv2.BORDER_REFLECT)
    inner = np.zeros_like(magnitude)
    inside = slice(MAP_MARGIN_PX, -MAP_MARGIN_PX)
    inner[inside, inside] = magnitude[inside, inside]
    mean = float(inner.mean())
    # The differences of a flat image are rounding errors: dividing by their mean would blow them up to a pattern.
    return inner / np.float32(mean) if mean > 1e-6 else np.ones_like(inner)


class _Places:
    """Draws corners of crops in proportion to the map's mean over the crop.

    Each crop's weights are divided by what that favours it by. The expected loss is that of evenly drawn crops, but the
    steps are spent where the map says the errors count.
    """

    def __init__(self, importance: Image, crop_px: int) -> None:
        c = crop_px
        integral = np.pad(importance, ((1, 0), (1, 0))).astype(np.float64).cumsum(0).cumsum(1)
        means = (integral[c:, c:] - integral[:-c, c:] - integral[c:, :-c] + integral[:-c, :-c]).clip(min=0) / c**2
        self._columns = means.shape[1]
        self._cumulative: NDArray[np.float64] = means.ravel().cumsum()
        self._means = means.ravel()

    def draw(self, rng: np.random.Generator) -> tuple[int, int, float]:
        """The top, the left, and the factor for the crop's weights."""
        total = self._cumulative[-1]
        place = int(np.searchsorted(self._cumulative, rng.random() * total, side="right"))
        place = min(place, len(self._means) - 1)
        top, left = divmod(place, self._columns)
        return top, left, float(total / len(self._means) / self._means[place])
