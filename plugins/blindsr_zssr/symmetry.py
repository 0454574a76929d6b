"""The flips and quarter turns of an image, and which of them leave a kernel as it is."""

from __future__ import annotations

from itertools import product
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from blindsr.api import Kernel

TOLERANCE = 1e-3


class Symmetry(NamedTuple):
    """A mirror image (left to right) or not, then quarter turns."""

    mirrored: bool
    turns: int

    def apply(self, image: NDArray[Any]) -> NDArray[Any]:
        """The image (H, W) or (H, W, C) flipped and turned; a view."""
        return np.rot90(image[:, ::-1] if self.mirrored else image, self.turns)

    def undo(self, image: NDArray[Any]) -> NDArray[Any]:
        """What `apply` was given; a view."""
        image = np.rot90(image, -self.turns)
        return image[:, ::-1] if self.mirrored else image


IDENTITY = Symmetry(False, 0)
ALL = tuple(Symmetry(mirrored, turns) for mirrored, turns in product((False, True), range(4)))


def of_kernel(kernel: Kernel) -> tuple[Symmetry, ...]:
    """The symmetries of a kernel about the middle of its LR pixel's ``scale x scale`` block; the identity comes first.

    Downscaling a flipped or turned image by the kernel gives the flipped or turned result exactly for these. A bicubic
    kernel has all eight, a kernel of a camera shake none but the identity. Values may differ by 1e-3 of the kernel's norm.
    """
    # The block's middle lies (scale - 1) / 2 beyond the array's: with scale - 1 more rows and columns it is the array's.
    rows, columns = (size + kernel.scale - 1 for size in kernel.shape)
    side = max(rows, columns)
    top, left = (side - rows) // 2, (side - columns) // 2
    frame = np.zeros((side, side))
    frame[top : top + kernel.shape[0], left : left + kernel.shape[1]] = kernel.array
    limit = TOLERANCE * np.linalg.norm(frame)
    return tuple(s for s in ALL if np.linalg.norm(s.apply(frame) - frame) <= limit)
