"""The SR kernel: alignment, composition to x4, Gaussians, files."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from blindsr.errors import BlindSRError
from blindsr.imaging.kernel_files import kernel_picture, read_kernel_array, write_kernel_array
from blindsr.imaging.resize import cubic

Convention = Literal["kernelgan", "usrnet", "fkp"]
Array = NDArray[np.float64]

SUM_TOLERANCE = 1e-3
MAX_SHIFT_PX = 1000
ALIGNED_WITHIN_PX = 0.25  # DIV2KRK's own x4 kernels are up to 0.22 px off
GAUSSIAN_REACH = 4  # standard deviations that the frame of a Gaussian kernel reaches by default


@dataclass(frozen=True, eq=False, repr=False)
class Kernel:
    """An SR kernel, applied as a correlation: ``lr = correlate(hr, kernel)[::scale, ::scale]``.

    Parameters
    ----------
    array
        2-D, odd-sized on both axes, finite, summing to 1 (within 1e-3). Kept as float64, read-only.
    scale
        The downscaling factor that it belongs to, 2 or more.
    half
        For x4: the x2 kernel that goes with it (that it was composed of), where known.
    expected_error
        The relative L2 error to expect of it (`kernel_errors`): 0 if it is exact, None if unknown. Kernel files do not keep it.

    Raises
    ------
    BlindSRError
        If the array is no such kernel.

    Examples
    --------
    >>> Kernel.bicubic(2)
    Kernel(9 x 9, scale=2, aligned, widths 0.85 x 0.85 px)
    >>> Kernel(np.ones((3, 3)) / 9, scale=2).align().shape
    (7, 7)
    """

    array: Array
    scale: int
    half: Kernel | None = None
    expected_error: float | None = None

    def __post_init__(self) -> None:
        try:
            array = np.array(self.array, dtype=np.float64)
        except (TypeError, ValueError):
            raise BlindSRError(f"a kernel's array must hold real numbers, not {str(self.array)[:40]}") from None
        if array.ndim != 2 or not all(size % 2 for size in array.shape):
            expected = "2-D with an odd number of rows and columns"
            raise BlindSRError(f"a kernel's array must be {expected}, not {array.shape}; pad it with zeros")
        if bad := int((~np.isfinite(array)).sum()):
            raise BlindSRError(f"the kernel's array holds {bad} values that are NaN or infinite; replace them")
        if abs(array.sum() - 1) > SUM_TOLERANCE:
            raise BlindSRError(f"the kernel sums to {array.sum():.6g}, not to 1; divide its array by its sum")
        if self.scale != int(self.scale) or self.scale < 2:
            raise BlindSRError(f"a kernel's scale must be a whole number of 2 or more, not {self.scale}")
        if self.expected_error is not None and not 0 <= self.expected_error < math.inf:
            raise BlindSRError(f"a kernel's expected_error must be 0 or more, or None, not {self.expected_error}")
        array.flags.writeable = False
        object.__setattr__(self, "array", array)

    def __repr__(self) -> str:
        rows, columns = self.shape
        off_rows, off_columns = self.misalignment_px
        place = "aligned" if self.aligned else f"({off_rows:+.2f}, {off_columns:+.2f}) px off alignment"
        long_, short = self.widths_px
        error = "" if self.expected_error is None else f", expected error {self.expected_error:.2f}"
        return f"Kernel({rows} x {columns}, scale={self.scale}, {place}, widths {long_:.2f} x {short:.2f} px{error})"

    def _repr_png_(self) -> bytes:
        """A picture of it, which Jupyter shows."""
        return kernel_picture(self.array)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.array.shape[0], self.array.shape[1]

    @cached_property
    def center_of_mass(self) -> tuple[float, float]:
        """Row and column of the centre of mass, in pixels from the first."""
        return center_of_mass(self.array)

    @property
    def misalignment_px(self) -> tuple[float, float]:
        """Distance, in HR pixels, of the centre of mass from the aligned place ``size // 2 + (scale - 1) / 2``: rows, columns."""
        row, column = (m - (n // 2 + (self.scale - 1) / 2) for m, n in zip(self.center_of_mass, self.shape, strict=True))
        return row, column

    @property
    def aligned(self) -> bool:
        """Whether an LR pixel lies in the middle of its HR block (within 0.25 px), so that upscaling does not shift the image."""
        return max(map(abs, self.misalignment_px)) <= ALIGNED_WITHIN_PX

    @property
    def covariance(self) -> Array:
        """The covariance of its mass over (row, column), (2, 2), in square HR pixels; negative values count as 0."""
        weights = np.clip(self.array, 0, None).ravel()
        covariance: Array = np.cov(np.indices(self.shape).reshape(2, -1), aweights=weights, ddof=0)
        return covariance

    @property
    def widths_px(self) -> tuple[float, float]:
        """Standard deviations of its mass along its long and its short axis, in HR pixels."""
        long_, short = np.linalg.eigvalsh(self.covariance)[::-1].clip(0)
        return math.sqrt(long_), math.sqrt(short)

    def shifted(self, rows_px: float, columns_px: float) -> Kernel:
        """The kernel moved by a sub-pixel shift (cubic spline), in a frame that is enlarged so that nothing is cut off."""
        return Kernel(shift(self.array, (rows_px, columns_px)), self.scale, expected_error=self.expected_error)

    def align(self) -> Kernel:
        """The kernel with its centre of mass at ``size // 2 + (scale - 1) / 2`` on both axes."""
        rows_px, columns_px = self.misalignment_px
        return self.shifted(-rows_px, -columns_px)

    def composed(self) -> Kernel:
        """The kernel that downscales as this one applied twice: x4 from x2, with `half` set to this one. See `compose`.

        Its `expected_error` is this one's: a Gaussian that is too wide by a factor composes to one too wide by the same factor.
        """
        return Kernel(compose(self.array, self.scale), self.scale**2, self, self.expected_error)

    def composes(self, other: Kernel) -> bool:
        """Whether `other` equals ``self.composed()``, to 1e-3 of its largest value."""
        whole = self.composed().array
        return whole.shape == other.shape and bool(np.abs(whole - other.array).max() < 1e-3 * other.array.max())

    @classmethod
    def bicubic(cls, scale: int) -> Kernel:
        """MATLAB's antialiased bicubic downscaling by an integer as one aligned SR kernel (cubic with a = -0.5)."""
        offset = (scale - 1) / 2
        reach = math.ceil(2 * scale + offset) - 1
        taps = cubic((np.arange(-reach, reach + 1) - offset) / scale)
        array = np.outer(taps, taps)
        return cls(array / array.sum(), scale, half=cls.bicubic(scale // 2) if scale == 4 else None)

    @classmethod
    def gaussian(cls, covariance: ArrayLike, scale: int, *, size: int | None = None) -> Kernel:
        """An aligned Gaussian, isotropic or not, in a frame of `size` pixels; by default one that reaches 4 standard deviations.

        `covariance` is (2, 2), symmetric and positive definite, in square HR pixels, over (row, column); a number stands for that
        variance along both axes. Raises `BlindSRError` if it is no covariance, or `size` is not odd.

        Examples
        --------
        >>> Kernel.gaussian([[4, 0], [0, 1]], scale=2)
        Kernel(19 x 19, scale=2, aligned, widths 2.00 x 1.00 px)
        """
        matrix: Array = np.asarray(covariance, dtype=np.float64)
        matrix = matrix * np.eye(2) if matrix.ndim == 0 else matrix
        if matrix.shape != (2, 2) or not np.allclose(matrix, matrix.T) or not np.linalg.eigvalsh(matrix).min() > 0:
            raise BlindSRError(f"covariance must be a positive number or a symmetric positive definite 2 x 2 matrix, not {matrix}")
        offset = (scale - 1) / 2
        reach = math.ceil(GAUSSIAN_REACH * math.sqrt(np.diag(matrix).max()) + offset)
        side = 2 * reach + 1 if size is None else size
        precision = np.linalg.inv(matrix).astype(np.float64, copy=False)
        array = gaussian_array(precision, side, center=(side // 2 + offset, side // 2 + offset))
        return cls(array / array.sum(), scale)

    @classmethod
    def load(cls, path: str | Path, *, scale: int, convention: Convention = "kernelgan") -> Kernel:
        """Read a ``.mat`` (variable ``Kernel`` or ``ker``, or the only 2-D one) or ``.npy`` file.

        `convention` names the tool that wrote it: ``kernelgan`` (as here, also ZSSR's and DIV2KRK's), ``usrnet`` (USRNet's
        and KAIR's: a convolution) or ``fkp`` (a correlation, centred ``(scale - 1) / 2`` px before the middle).
        """
        path = Path(path)
        try:
            return cls(converted(read_kernel_array(path), convention, scale - 1), scale)
        except BlindSRError as error:
            raise BlindSRError(f"{path}: {error}") from None

    def save(self, path: str | Path, *, convention: Convention = "kernelgan") -> None:
        """Write ``.mat`` (variable ``Kernel``), ``.npy``, or ``.png`` (a picture of it, for people; it cannot be read back)."""
        write_kernel_array(Path(path), converted(self.array, convention, 1 - self.scale))


def converted(array: Array, convention: Convention, shift_px: int) -> Array:
    """An array in blindsr's convention where it has that of another tool, with `shift_px` scale - 1; 1 - scale: the reverse."""
    if convention == "usrnet":
        return array[::-1, ::-1]
    return shift(array, (shift_px, shift_px)) if convention == "fkp" else array


def center_of_mass(array: Array) -> tuple[float, float]:
    """Row and column of the centre of mass of a 2-D array, in pixels from the first."""
    row, column = (float(array.sum(1 - axis) @ np.arange(array.shape[axis]) / array.sum()) for axis in (0, 1))
    return row, column


def in_one_frame(arrays: Sequence[Array], min_side: int = 0) -> list[Array]:
    """Kernel arrays of odd sizes in frames of one shape and one middle, filled up with zeros; `min_side` is odd, too, or 0.

    Examples
    --------
    >>> [array.shape for array in in_one_frame([np.ones((3, 5)), np.ones((7, 1))])]
    [(7, 5), (7, 5)]
    """
    rows, columns = (max(min_side, *(array.shape[axis] for array in arrays)) for axis in (0, 1))
    return [np.pad(array, [((rows - array.shape[0]) // 2,) * 2, ((columns - array.shape[1]) // 2,) * 2]) for array in arrays]


def centered_taps(kernel: Kernel, side: int) -> Array:
    """The taps of an aligned kernel in a frame (side, side) whose middle is its centre of mass, so that the frame can be turned.

    `side` is even at even scales, and odd at x3. Taps beyond the frame are cut off.
    """
    taps = np.pad(kernel.array, (0, kernel.scale - 1))
    missing = [(side - size) // 2 for size in taps.shape]
    taps = np.pad(taps, [(max(0, size),) * 2 for size in missing])
    top, left = (max(0, -size) for size in missing)
    return taps[top : top + side, left : left + side]


def from_centered_taps(taps: Array, scale: int, expected_error: float | None = None) -> Kernel:
    """The aligned kernel of such a frame; the inverse of `centered_taps`."""
    return Kernel(np.pad(taps, (scale - 1, 0)), scale, expected_error=expected_error)


def shift(array: ArrayLike, by_px: tuple[float, float]) -> Array:
    """A kernel array moved by a sub-pixel shift with a cubic spline, renormalised.

    The frame first grows by ``ceil(largest shift) + 1`` on each side, as in KernelGAN's release, so that nothing is cut off.
    """
    from scipy import ndimage

    if not all(abs(px) <= MAX_SHIFT_PX for px in by_px):
        raise BlindSRError(f"a shift by {by_px[0]:.3g} and {by_px[1]:.3g} pixels: no kernel needs more than {MAX_SHIFT_PX}")
    padded = np.pad(np.asarray(array, dtype=np.float64), math.ceil(max(map(abs, by_px))) + 1)
    moved = ndimage.shift(padded, by_px, order=3, mode="constant")
    return np.asarray(moved / moved.sum())


def compose(array: Array, scale: int) -> Array:
    """Kernel arrays (..., n, n) applied twice: ``k * dilate(k)``, a full convolution of side ``(scale + 1) (n - 1) + 1``.

    Several at once are convolved by Fourier transforms, which round differently: a value that should be 0 can be -1e-17.

    Downscaling by 4 is downscaling by 2 twice. Source: Bell-Kligler et al., KernelGAN (NeurIPS 2019), section 4.2.
    """
    from scipy.signal import convolve2d, fftconvolve

    *others, rows, columns = array.shape
    dilated = np.zeros((*others, scale * (rows - 1) + 1, scale * (columns - 1) + 1))
    dilated[..., ::scale, ::scale] = array
    composed: Array = fftconvolve(array, dilated, axes=(-2, -1)) if others else convolve2d(array, dilated)
    return composed


def gaussian_array(precision: Array, size: int, *, center: ArrayLike) -> Array:
    """Gaussians ``exp(-x^T precision x / 2)`` on a square grid of side `size`, (..., size, size); not normalised.

    `precision`, (..., 2, 2), is the inverse of the covariance, in pixels to the power of -2, over (row, column); `center`,
    (..., 2), the row and column of each maximum, in pixels from the first.
    """
    grid = np.stack(np.meshgrid(np.arange(size), np.arange(size), indexing="ij"), axis=-1)
    offset = grid - np.asarray(center)[..., None, None, :]
    gaussians: Array = np.exp(-0.5 * np.einsum("...yxi,...ij,...yxj->...yx", offset, precision, offset))
    return gaussians


def precision_of(variances: Array, angles: ArrayLike) -> Array:
    """Inverse covariances (..., 2, 2) of Gaussians, by the variances (..., 2) of their axes and the first one's angle (...)."""
    cos, sin = np.cos(angles), np.sin(angles)
    axes = np.stack([np.stack([cos, -sin], axis=-1), np.stack([sin, cos], axis=-1)], axis=-2)
    precision: Array = (axes * (1 / variances)[..., None, :]) @ np.swapaxes(axes, -1, -2)
    return precision


def nonnegative_kernel(factor: Array, target: Array) -> Array:
    """The array k >= 0, (n, n), summing to 1, that best solves the normal equations ``A k = b`` (least squares).

    `factor` is the lower Cholesky factor of A, (n^2, n^2), and `target` is ``factor^-1 b``, (n^2,). The result is the minimum of
    ``k^T A k - 2 k^T b`` over k >= 0, then divided by its sum.
    """
    from scipy.optimize import nnls

    taps: Array = nnls(factor.T, target)[0]
    side = math.isqrt(len(taps))
    kernel: Array = (taps / taps.sum()).reshape(side, side)
    return kernel
