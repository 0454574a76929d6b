"""The SR kernel: alignment, composition to x4, files."""

from __future__ import annotations

import io
import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from blindsr.errors import BlindSRError
from blindsr.imaging.cubic import cubic
from blindsr.imaging.files import write_whole

Convention = Literal["kernelgan", "usrnet", "fkp"]

KERNEL_SUFFIXES = (".mat", ".npy", ".png")
MAT_HEADER = b"MATLAB 5.0 MAT-file, written by blindsr"
MOST_BYTES = 500_000
MOST_VALUES = 1_000_000
SUM_TOLERANCE = 1e-3
ALIGNED_WITHIN_PX = 0.25  # DIV2KRK's own x4 kernels are up to 0.22 px off


@dataclass(frozen=True, eq=False)
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

    Raises
    ------
    BlindSRError
        If the array is no such kernel.
    """

    array: NDArray[np.float64]
    scale: int
    half: Kernel | None = None

    def __post_init__(self) -> None:
        array = np.array(self.array, dtype=np.float64)
        if array.ndim != 2 or array.shape[0] % 2 == 0 or array.shape[1] % 2 == 0:
            raise BlindSRError(f"a kernel must be 2-D with an odd number of rows and columns, not of shape {array.shape}")
        if not np.isfinite(array).all():
            raise BlindSRError(f"the kernel holds {int((~np.isfinite(array)).sum())} values that are NaN or infinite")
        if abs(array.sum() - 1) > SUM_TOLERANCE:
            raise BlindSRError(f"the kernel sums to {array.sum():.6g}, not to 1; divide it by its sum")
        if self.scale < 2:
            raise BlindSRError(f"a kernel's scale must be 2 or more, not {self.scale}")
        array.flags.writeable = False
        object.__setattr__(self, "array", array)

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
        """How far, in HR pixels, the centre of mass lies beyond the aligned place ``size // 2 + (scale - 1) / 2``."""
        row, column = (size // 2 + (self.scale - 1) / 2 for size in self.shape)
        return self.center_of_mass[0] - row, self.center_of_mass[1] - column

    @property
    def aligned(self) -> bool:
        """Whether an LR pixel lies in the middle of its HR block, so that plain upscaling is registered with the HR image."""
        return max(map(abs, self.misalignment_px)) <= ALIGNED_WITHIN_PX

    @property
    def widths_px(self) -> tuple[float, float]:
        """Standard deviations of its mass along its long and its short axis, in HR pixels."""
        grid = np.indices(self.shape).reshape(2, -1)
        weights = np.clip(self.array, 0, None).ravel()
        long_, short = np.linalg.eigvalsh(np.cov(grid, aweights=weights, ddof=0))[::-1].clip(0)
        return math.sqrt(long_), math.sqrt(short)

    def shifted(self, rows_px: float, columns_px: float) -> Kernel:
        """The kernel moved by a sub-pixel shift (cubic spline) on a frame wide enough to lose nothing."""
        return Kernel(shift(self.array, (rows_px, columns_px)), self.scale)

    def align(self) -> Kernel:
        """The kernel with its centre of mass at ``size // 2 + (scale - 1) / 2`` on both axes."""
        off_rows, off_columns = self.misalignment_px
        return self.shifted(-off_rows, -off_columns)

    def composed(self) -> Kernel:
        """The kernel of twice this downscaling: x4 out of x2, of size 3 n - 2, with `half` set to this one.

        ``k4 = k2 * dilate2(k2)`` (full convolution): downscaling by 4 is downscaling by 2 twice.
        Source: Bell-Kligler et al., KernelGAN (NeurIPS 2019), section 4.2.
        """
        from scipy.signal import convolve2d

        rows, columns = self.shape
        s = self.scale
        dilated = np.zeros((s * (rows - 1) + 1, s * (columns - 1) + 1))
        dilated[::s, ::s] = self.array
        return Kernel(convolve2d(self.array, dilated), s * s, half=self)

    def composes(self, other: Kernel) -> bool:
        """Whether `other` is this kernel, composed (to 1e-3 of its largest value)."""
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
    def load(cls, path: str | Path, *, scale: int, convention: Convention = "kernelgan") -> Kernel:
        """Read a ``.mat`` (variable ``Kernel`` or ``ker``, or the only 2-D one) or ``.npy`` file.

        `convention` names the tool that wrote it: ``kernelgan`` (as here, also ZSSR's and DIV2KRK's), ``usrnet`` (USRNet's
        and KAIR's: a convolution) or ``fkp`` (a correlation, centred ``(scale - 1) / 2`` px before the middle).
        """
        path = Path(path)
        try:
            array = _read_array(path)
            if convention == "usrnet":
                array = array[::-1, ::-1]
            elif convention == "fkp":
                array = shift(array, (scale - 1, scale - 1))
            return cls(array, scale)
        except BlindSRError as error:
            raise BlindSRError(f"{path}: {error}") from None

    def save(self, path: str | Path, *, convention: Convention = "kernelgan") -> None:
        """Write ``.mat`` (variable ``Kernel``), ``.npy``, or ``.png`` (a picture of it, for people; it cannot be read back)."""
        path = Path(path)
        array = self.array
        if convention == "usrnet":
            array = array[::-1, ::-1]
        elif convention == "fkp":
            array = shift(array, (1 - self.scale, 1 - self.scale))
        if path.suffix not in KERNEL_SUFFIXES:
            raise BlindSRError(f"{path}: a kernel is written as {', '.join(KERNEL_SUFFIXES)}, not as '{path.suffix}'")
        write_whole(path, lambda part: part.write_bytes(_encoded(array, path.suffix)))


def _encoded(array: NDArray[np.float64], suffix: str) -> bytes:
    out = io.BytesIO()
    if suffix == ".mat":
        from scipy.io import savemat

        savemat(out, {"Kernel": array}, do_compression=True)
        out.seek(0)
        out.write(MAT_HEADER.ljust(116))  # scipy's own header holds the time: the same kernel would not give the same bytes
    elif suffix == ".npy":
        np.save(out, array)
    else:
        from PIL import Image

        gray = np.round(255 * np.clip(array / array.max(), 0, 1)).astype(np.uint8)
        Image.fromarray(gray.repeat(16, 0).repeat(16, 1)).save(out, "PNG")
    return out.getvalue()


def center_of_mass(array: NDArray[np.float64]) -> tuple[float, float]:
    """Row and column of the centre of mass of a 2-D array, in pixels from the first."""
    total = array.sum()
    rows, columns = (float(array.sum(1 - axis) @ np.arange(array.shape[axis]) / total) for axis in (0, 1))
    return rows, columns


def shift(array: ArrayLike, by_px: tuple[float, float]) -> NDArray[np.float64]:
    """A kernel array moved by a sub-pixel shift with a cubic spline, renormalised.

    The frame first grows by ``ceil(largest shift) + 1`` on each side, as in KernelGAN's release, so that no mass falls off.
    """
    from scipy import ndimage

    padded = np.pad(np.asarray(array, dtype=np.float64), math.ceil(max(map(abs, by_px))) + 1)
    moved = ndimage.shift(padded, by_px, order=3, mode="constant")
    shifted: NDArray[np.float64] = moved / moved.sum()
    return shifted


def _read_mat(path: Path) -> NDArray[np.float64]:
    """The variable ``Kernel`` or ``ker``, or the only 2-D one."""
    from scipy.io import loadmat

    if path.stat().st_size > MOST_BYTES:  # packed, it can be a thousand times larger
        raise BlindSRError(f"has {path.stat().st_size} bytes, which is no kernel")
    variables: dict[str, NDArray[np.float64]] = {
        name: value
        for name, value in loadmat(path).items()
        if isinstance(value, np.ndarray) and value.ndim == 2 and value.dtype.kind in "fiu"
    }
    names: list[str] = [n for n in ("Kernel", "ker") if n in variables] or list(variables)
    if len(names) != 1 and names[:1] not in (["Kernel"], ["ker"]):
        raise BlindSRError(f"the file should hold one 2-D variable 'Kernel'; it holds {sorted(variables) or 'none'}")
    return variables[names[0]]


def _check_count(values: int) -> None:
    if values > MOST_VALUES:
        raise BlindSRError(f"holds {values} values, which is no kernel")


def _read_array(path: Path) -> NDArray[np.float64]:
    if not path.is_file():
        raise BlindSRError("no such file")
    try:
        if path.suffix == ".npy":
            array = np.load(path, allow_pickle=False, mmap_mode="r")
        elif path.suffix == ".mat":
            array = _read_mat(path)
        else:
            raise BlindSRError(f"a kernel is read from .mat or .npy, not from '{path.suffix}'")
    except BlindSRError:
        raise
    except Exception as error:  # the parsers of foreign formats raise whatever they like
        raise BlindSRError(
            f"not a readable {path.suffix} file ({str(error).splitlines()[0] if str(error) else type(error).__name__})"
        ) from None
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "fiu":
        raise BlindSRError("the file does not hold an array of numbers")
    _check_count(array.size)
    return np.asarray(array, dtype=np.float64)
