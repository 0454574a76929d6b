"""Kernel files of other tools made blindsr's, and the reverse: conventions, orientation, place, scale."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from blindsr.errors import BlindSRError
from blindsr.imaging.files import check_output
from blindsr.imaging.kernel import SUM_TOLERANCE, Convention, Kernel, converted
from blindsr.imaging.kernel_files import KERNEL_SUFFIXES, read_kernel_array, scale_in_name

SCALES = (2, 3, 4)
MAX_SHIFT_PX = 64

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Conversion:
    """What makes blindsr's kernel of an array, in this order.

    Attributes
    ----------
    convention
        The tool whose convention the array has (`Kernel.load`).
    transpose, flip_rows, flip_columns
        Exchange rows and columns, turn upside down, mirror left to right.
    shift_px
        Move by so many HR pixels down and to the right.
    align
        Move the centre of mass to where blindsr has it (`Kernel.align`).
    compose
        Make a x4 kernel of a x2 one (`Kernel.composed`).
    """

    convention: Convention = "kernelgan"
    transpose: bool = False
    flip_rows: bool = False
    flip_columns: bool = False
    shift_px: tuple[float, float] = (0.0, 0.0)
    align: bool = False
    compose: bool = False

    def __call__(self, array: Array, scale: int) -> Kernel:
        """The kernel for `scale`; with `compose` for its square."""
        array = converted(array, self.convention, scale - 1)
        array = array.T if self.transpose else array
        array = array[::-1] if self.flip_rows else array
        kernel = Kernel(array[:, ::-1] if self.flip_columns else array, scale)
        if any(self.shift_px):
            if not all(abs(px) <= MAX_SHIFT_PX for px in self.shift_px):
                raise BlindSRError(f"`shift` {self.shift_px}: must be at most {MAX_SHIFT_PX} pixels")
            kernel = kernel.shifted(*self.shift_px)
        kernel = kernel.align() if self.align else kernel
        if not self.compose:
            return kernel
        if scale != 2:
            raise BlindSRError(f"`to_scale` 4: only a kernel for x2 can be made one for x4, not one for x{scale}")
        return kernel.composed()


def convert_kernel(
    source: str | Path, target: str | Path, *, scale: int | None = None, conversion: Conversion = Conversion(),
    to_convention: Convention = "kernelgan", force: bool = False,
) -> tuple[Kernel, list[str]]:  # fmt: skip
    """Convert a kernel file; blindsr's kernel that is in the new file, and what had to be tidied up.

    Parameters
    ----------
    source
        A ``.mat`` or ``.npy`` file.
    target
        The file to write: ``.mat``, ``.npy`` or ``.png``.
    scale
        What the kernel in `source` is for; by default what its name or its folder's says (``_x2``).
    conversion
        What makes it blindsr's.
    to_convention
        The convention of `target`.
    force
        Whether `target` may be replaced.

    Raises
    ------
    BlindSRError
        If `source` holds no kernel, the scale is not known, or `target` is there or cannot be written.
    """
    source, target = Path(source), Path(target)
    check_output(target, "kernel", KERNEL_SUFFIXES, force=force, argument="target")
    array, remarks = read_tidied(source)
    scale = known_scale(source, scale)
    try:
        kernel = conversion(array, scale)
    except BlindSRError as error:
        raise BlindSRError(f"{source}: {error}") from None
    kernel.save(target, convention=to_convention)
    return kernel, remarks


def known_scale(path: Path, scale: int | None) -> int:
    """The scale that was given, or that a kernel file's name tells; a `BlindSRError` if there is none."""
    found = scale_in_name(path) if scale is None else scale
    if found is None:
        raise BlindSRError(f"{path}: neither its name nor its folder's tells for which scale it is; give 2, 3 or 4 as `scale`")
    if found not in SCALES:
        raise BlindSRError(f"`scale` {found}: must be 2, 3 or 4")
    return found


def read_tidied(path: Path) -> tuple[Array, list[str]]:
    """A kernel file's array with odd sides and the sum 1, and what was done for that.

    An even side gets zeros at its end, which changes nothing: the origin of all conventions is at ``size // 2``.
    """
    try:
        array, remarks = read_kernel_array(path), []
    except BlindSRError as error:
        raise BlindSRError(f"{path}: {error}") from None
    while array.ndim > 2 and array.shape[0] == 1:  # some tools save (1, 1, n, n)
        array = array[0]
    with np.errstate(over="ignore", invalid="ignore"):
        total = array.sum()
    if array.ndim != 2 or not (np.isfinite(total) and total > 0):
        raise BlindSRError(
            f"{path}: holds no kernel: an array {array.shape} whose sum is {total:.3g}; it must be 2-D, its sum finite and above 0"
        )
    if any(size % 2 == 0 for size in array.shape):
        remarks.append(f"it has {array.shape[0]} x {array.shape[1]} values; zeros make its sides odd")
        array = np.pad(array, [(0, 1 - size % 2) for size in array.shape])
    if abs(array.sum() - 1) > SUM_TOLERANCE:
        remarks.append(f"it sums to {array.sum():.4g}; it is divided by that")
        array = array / array.sum()
    return array, remarks
