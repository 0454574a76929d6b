"""Kernel arrays in files: ``.mat`` and ``.npy``, and ``.png`` as a picture to look at."""

import io
import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from blindsr.errors import BlindSRError
from blindsr.imaging.files import check_suffix, write_whole

KERNEL_SUFFIXES = (".mat", ".npy", ".png")
"""What a kernel can be written as; ``.png`` cannot be read back."""

MAT_HEADER = b"MATLAB 5.0 MAT-file, written by blindsr"
MAX_MAT_BYTES = 500_000
MAX_VALUES = 1_000_000
PICTURE_ZOOM = 16

Array = NDArray[np.float64]


def read_kernel_array(path: Path) -> Array:
    """The array in a ``.mat`` or ``.npy`` file; refuses what holds no array of numbers, or one far larger than a kernel."""
    if not path.is_file():
        raise BlindSRError("no such file")
    suffix = path.suffix.lower()
    if suffix not in (".mat", ".npy"):
        raise BlindSRError(f"a kernel is read from .mat or .npy, not from '{path.suffix}'")
    try:
        array = _read_mat(path) if suffix == ".mat" else np.load(path, allow_pickle=False, mmap_mode="r")
    except BlindSRError:
        raise
    except Exception as error:  # the parsers of foreign formats raise whatever they like
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise BlindSRError(f"not a readable {path.suffix} file ({reason})") from None
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "fiu":
        raise BlindSRError("the file does not hold an array of numbers")
    if array.size > MAX_VALUES:
        raise BlindSRError(f"holds {array.size} values, which is no kernel")
    return np.asarray(array, dtype=np.float64)


def write_kernel_array(path: Path, array: Array) -> None:
    """Write an array atomically, in the format that the suffix of `path` names."""
    check_suffix(path, "kernel", KERNEL_SUFFIXES)
    out, suffix = io.BytesIO(), path.suffix.lower()
    if suffix == ".mat":
        from scipy.io import savemat

        savemat(out, {"Kernel": array}, do_compression=True)
        out.seek(0)
        out.write(MAT_HEADER.ljust(116))  # scipy's own header holds the time: the same kernel would not give the same bytes
    elif suffix == ".npy":
        np.save(out, array)
    else:
        out.write(kernel_picture(array))
    write_whole(path, lambda part: part.write_bytes(out.getbuffer()))


def scale_in_name(path: Path) -> int | None:
    """The scale at the end of a kernel file's name or its folder's, as in ``photo_kernel_x4.mat``; None if there is none.

    Examples
    --------
    >>> [scale_in_name(Path(name)) for name in ("photo_kernel_x4.mat", "gt_k_x2/kernel_1.mat", "max2.npy")]
    [4, 2, None]
    """
    found = (re.search(r"(?:^|_)x([234])$", name, re.IGNORECASE) for name in (path.stem, path.parent.name))
    return next((int(match[1]) for match in found if match), None)


def kernel_picture(array: Array) -> bytes:
    """A PNG of the kernel, enlarged: its largest value white, zero and negative values black."""
    from PIL import Image

    gray = np.round(255 * np.clip(array / array.max(), 0, 1)).astype(np.uint8)
    out = io.BytesIO()
    Image.fromarray(gray.repeat(PICTURE_ZOOM, 0).repeat(PICTURE_ZOOM, 1)).save(out, "PNG")
    return out.getvalue()


def _read_mat(path: Path) -> Array:
    from scipy.io import loadmat

    if (size := path.stat().st_size) > MAX_MAT_BYTES:  # unpacked, it can be a thousand times larger
        raise BlindSRError(f"has {size} bytes, which is no kernel")
    variables: dict[str, Array] = {
        name: value
        for name, value in loadmat(path).items()
        if isinstance(value, np.ndarray) and value.ndim == 2 and value.dtype.kind in "fiu"
    }
    named = [variables[name] for name in ("Kernel", "ker") if name in variables]
    if not named and len(variables) != 1:
        raise BlindSRError(f"the file should hold one 2-D variable 'Kernel'; it holds {sorted(variables) or 'none'}")
    return (named or list(variables.values()))[0]
