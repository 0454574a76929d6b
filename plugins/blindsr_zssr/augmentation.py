"""New fathers made of the image: flipped, turned, and warped copies (ZSSR's full configuration)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from blindsr_zssr.symmetry import ALL, Symmetry

if TYPE_CHECKING:
    from blindsr.interfaces import Image

AS_IT_IS, ONLY_TURNED = 0.05, 0.45
SMALLEST_SCALE = 0.5
AXES_DIFFERENCE = 0.25
SHEAR = 0.1
FATHER_PX = 128
SMALLEST_FATHER_PX = 16


class Fathers:
    """Draws fathers from the image and, on the way to x4, from its own enlargement.

    Source: Shocher et al., CVPR 2018, section 3.2; the probabilities and ranges are those of the authors' program.

    Parameters
    ----------
    sources
        Images (H, W, 3), float32, in [0, 1], in the order of their sizes, the LR image first.
    symmetries
        The kernel's own: other flips and turns would show the network a blur that the image does not have.
    """

    def __init__(self, sources: list[Image], symmetries: tuple[Symmetry, ...]) -> None:
        self.sources = sources
        self.symmetries = symmetries
        self.scales = [source.shape[0] / sources[0].shape[0] for source in sources]

    def draw(self, rng: np.random.Generator) -> Image:
        """A father (h, w, 3), float32, in [0, 1], at most 128 px a side: of 5 % as it is, of 45 % flipped, of 50 % warped."""
        kind = rng.random()
        if kind >= AS_IT_IS + ONLY_TURNED:
            return self._warped(rng)
        source = self.sources[int(rng.integers(len(self.sources)))]
        top, left = (int(rng.integers(max(size - FATHER_PX, 0) + 1)) for size in source.shape[:2])
        father = source[top : top + FATHER_PX, left : left + FATHER_PX]
        if kind >= AS_IT_IS:
            father = self.symmetries[int(rng.integers(len(self.symmetries)))].apply(father)
        return np.ascontiguousarray(father)

    def _warped(self, rng: np.random.Generator) -> Image:
        scale = rng.uniform(SMALLEST_SCALE, self.scales[-1])
        # The smallest source that need not be enlarged, so that no father is blurred by its own warp.
        chosen = next(i for i, available in enumerate(self.scales) if available >= scale)
        source = self.sources[chosen]
        to_source = np.linalg.inv(self._matrix(rng, scale / self.scales[chosen]))
        height, width = source.shape[:2]
        side = max(SMALLEST_FATHER_PX, min(FATHER_PX, int(scale / self.scales[chosen] * min(height, width))))
        center = np.array([rng.uniform(0, width - 1), rng.uniform(0, height - 1)])
        offset = center - to_source @ np.full(2, (side - 1) / 2)
        warped = cv2.warpAffine(
            source,
            np.column_stack([to_source, offset]),
            (side, side),
            flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REFLECT_101,
        )
        return np.clip(warped, 0, 1)

    def _matrix(self, rng: np.random.Generator, scale: float) -> NDArray[np.float64]:
        """The linear part (2, 2) of a random warp, from source to father, in (x, y)."""
        difference, shear_x, shear_y = rng.normal(0, (AXES_DIFFERENCE, SHEAR, SHEAR))
        across, down = (max(SMALLEST_SCALE * scale, scale * (1 + sign * difference / 2)) for sign in (1, -1))
        matrix = np.array([[1, shear_x], [shear_y, 1]]) @ np.diag([across, down])
        angle = rng.uniform(0, 2 * math.pi)
        mirrored = rng.random() < 0.5
        if len(self.symmetries) == len(ALL):
            rotation = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
            matrix = rotation @ np.diag([-1.0 if mirrored else 1.0, 1.0]) @ matrix
        return matrix
