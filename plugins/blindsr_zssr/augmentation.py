"""New fathers made of the image: flipped, turned, and warped copies (ZSSR's full configuration)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from blindsr.api import SYMMETRIES, Image, Symmetry

AS_IT_IS, ONLY_TURNED = 0.05, 0.10
SCALES = (0.9, 1.0)
AXES_DIFFERENCE = 0.25
SHEAR = 0.1
MAX_FATHER_PX = 128
MIN_FATHER_PX = 16


@dataclass(frozen=True)
class Fathers:
    """Draws fathers of at most 128 x 128 px.

    Source: Shocher et al., CVPR 2018, section 3.2; shears and the axes' difference are those of the authors' program. It
    warps half of its fathers, and shrinks them as far as to a half; more warps that hardly shrink gave 0.2 dB more (on two
    images of Set5): they make other images of the same sharpness, where shrinking without a filter makes aliases.
    """

    images: Sequence[Image]
    """Each (H, W, 3), float32, in [0, 1]: the image, and on the way to x4 its x2 result."""
    symmetries: tuple[Symmetry, ...]
    """The kernel's own. Other flips and turns would show the network a blur that the image does not have."""

    def draw(self, rng: np.random.Generator) -> Image:
        """A father (h, w, 3), float32, in [0, 1]: of 5 % as it is, of 10 % flipped and turned, of 85 % warped."""
        image = self.images[int(rng.integers(len(self.images)))] if len(self.images) > 1 else self.images[0]
        kind = rng.random()
        if kind >= AS_IT_IS + ONLY_TURNED:
            return self._warped(image, rng)
        top, left = (int(rng.integers(max(size - MAX_FATHER_PX, 0) + 1)) for size in image.shape[:2])
        father = image[top : top + MAX_FATHER_PX, left : left + MAX_FATHER_PX]
        if kind >= AS_IT_IS:
            father = self.symmetries[int(rng.integers(len(self.symmetries)))].apply(father)
        return np.ascontiguousarray(father)

    def _warped(self, image: Image, rng: np.random.Generator) -> Image:
        scale = rng.uniform(*SCALES)
        to_source = np.linalg.inv(self._matrix(rng, scale))
        height, width = image.shape[:2]
        side = max(MIN_FATHER_PX, min(MAX_FATHER_PX, int(scale * min(height, width))))
        center = np.array([rng.uniform(0, width - 1), rng.uniform(0, height - 1)])
        offset = center - to_source @ np.full(2, (side - 1) / 2)
        flags, matrix = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP, np.column_stack([to_source, offset])
        return np.clip(cv2.warpAffine(image, matrix, (side, side), flags=flags, borderMode=cv2.BORDER_REFLECT_101), 0, 1)

    def _matrix(self, rng: np.random.Generator, scale: float) -> NDArray[np.float64]:
        """The linear part (2, 2) of a random warp, from the image to the father, in (x, y)."""
        difference, shear_x, shear_y = rng.normal(0, (AXES_DIFFERENCE, SHEAR, SHEAR))
        # A rare large draw must not fold or crush an axis.
        across, down = (scale * max(0.5, 1 + sign * difference / 2) for sign in (1, -1))
        matrix = np.array([[1, shear_x], [shear_y, 1]]) @ np.diag([across, down])
        angle, mirrored = rng.uniform(0, 2 * math.pi), rng.random() < 0.5
        if len(self.symmetries) == len(SYMMETRIES):
            rotation = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
            matrix = rotation @ np.diag([-1.0 if mirrored else 1.0, 1.0]) @ matrix
        return matrix
