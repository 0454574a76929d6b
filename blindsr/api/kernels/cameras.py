"""The camera, lens and aperture of a photograph, and one kernel for all photographs that share them."""

import math
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from blindsr.api.photographs.reading import exif_of
from blindsr.imaging.kernel import Kernel, in_one_frame
from blindsr.storage.kernel_pool import PooledKernel

MAKE, MODEL, LENS_MODEL, F_NUMBER = 0x010F, 0x0110, 0xA434, 0x829D
LEAST_ERROR = 0.02
"""A smaller expected error counts as this one, so that no photograph outweighs all others."""


def camera_of(photo: Path) -> str:
    """The camera, lens and aperture that the EXIF data of a photograph name, as one text; empty if they name no camera."""
    try:
        exif = exif_of(photo)
        make, model, lens = (_text(exif.get(tag)) for tag in (MAKE, MODEL, LENS_MODEL))
        aperture = float(exif.get(F_NUMBER, math.nan))
    except Exception:  # Pillow raises whatever it likes for damaged EXIF data, which are no reason to do without the kernel
        return ""
    if not model:
        return ""
    camera = model if model.lower().startswith(make.split(" ")[0].lower()) else f"{make} {model}"
    return " ".join(part for part in (camera, lens, f"f{aperture:g}" if math.isfinite(aperture) else "") if part)


def _text(value: object) -> str:
    return " ".join(str(value or "").replace("\0", " ").split())


def camera_kernels(entries: Iterable[PooledKernel]) -> list[PooledKernel]:
    """The mean kernel of each camera, lens and aperture (and cell of a grid) that several photographs share."""
    groups: dict[tuple[str, str], list[PooledKernel]] = {}
    for entry in entries:
        if camera := entry.about.get("camera"):
            groups.setdefault((str(camera), str(entry.about.get("cell", ""))), []).append(entry)
    means = []
    for (camera, cell), found in groups.items():
        about: dict[str, str | float] = {"photographs": len(found)}
        if cell:
            about["cell"] = cell
        if len(found) > 1:
            means.append(PooledKernel(camera, mean_kernel([entry.kernel for entry in found]), "", about))
    return means


def mean_kernel(kernels: Sequence[Kernel]) -> Kernel:
    """The mean of kernels of one scale after each is aligned, weighted by 1 / expected error^2; equally if one has none.

    Examples
    --------
    >>> pair = [Kernel.gaussian(1, 2), Kernel.gaussian(4, 2)]
    >>> [round(width**2, 1) for width in mean_kernel(pair).widths_px]
    [2.5, 2.5]
    """
    arrays = in_one_frame([kernel.align().array for kernel in kernels])
    errors = [kernel.expected_error for kernel in kernels]
    weights = [1.0 if error is None or None in errors else max(error, LEAST_ERROR) ** -2 for error in errors]
    array = np.average(arrays, axis=0, weights=weights)
    return Kernel(array / array.sum(), kernels[0].scale)
