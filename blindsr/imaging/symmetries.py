"""The eight flips and quarter turns of an image, and which of them leave a kernel as it is."""

from importlib import import_module
from itertools import product
from typing import Any, NamedTuple, TypeVar

import numpy as np

from blindsr.imaging.kernel import Kernel

TOLERANCE = 1e-3

Array = TypeVar("Array")


class Symmetry(NamedTuple):
    """A mirror image (left to right) or not, then quarter turns."""

    mirrored: bool
    turns: int

    def apply(self, image: Array, axes: tuple[int, int] = (0, 1)) -> Array:
        """A numpy or torch array flipped and turned; `axes` are its rows and columns, (-2, -1) in torch's usual layout."""
        library = _library(image)
        turned: Array = library.rot90(library.flip(image, axes[1:]) if self.mirrored else image, self.turns, axes)
        return turned

    def undo(self, image: Array, axes: tuple[int, int] = (0, 1)) -> Array:
        """The inverse of `apply`."""
        library = _library(image)
        turned: Array = library.rot90(image, -self.turns, axes)
        return library.flip(turned, axes[1:]) if self.mirrored else turned


IDENTITY = Symmetry(False, 0)
SYMMETRIES = tuple(Symmetry(*each) for each in product((False, True), range(4)))
"""All eight; the identity comes first."""


def symmetries_of(kernel: Kernel) -> tuple[Symmetry, ...]:
    """The symmetries of a kernel about the middle of its LR pixel's ``scale x scale`` block; the identity comes first.

    Downscaling a flipped or turned image by the kernel gives the flipped or turned result exactly for these. A bicubic
    kernel has all eight, a kernel of a camera shake none but the identity. Values may differ by 1e-3 of the kernel's norm.

    Examples
    --------
    >>> from blindsr.api import Kernel
    >>> len(symmetries_of(Kernel.bicubic(2)))
    8
    """
    # The block's middle lies (scale - 1) / 2 beyond the array's: with scale - 1 more rows and columns it is the array's.
    side = max(kernel.shape) + kernel.scale - 1
    frame = np.zeros((side, side))
    top, left = ((side - size - kernel.scale + 1) // 2 for size in kernel.shape)
    frame[top : top + kernel.shape[0], left : left + kernel.shape[1]] = kernel.array
    limit = TOLERANCE * np.linalg.norm(frame)
    return tuple(s for s in SYMMETRIES if np.linalg.norm(s.apply(frame) - frame) <= limit)


def _library(array: Any) -> Any:
    """Numpy or torch, whichever the array is of; both have flip and rot90."""
    return np if isinstance(array, np.ndarray) else import_module("torch")
