"""Kernel pools: the kernels of many photographs, in ``kernels.h5`` or as a folder of kernel files. docs/kernel_pools.md."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from blindsr.errors import BlindSRError, shortened
from blindsr.imaging.files import write_whole
from blindsr.imaging.kernel import Kernel
from blindsr.imaging.kernel_files import scale_in_name
from blindsr.storage import hdf5

POOL_FILE = "kernels.h5"
ENCODING = "blindsr-kernel-pool"
CAMERAS = "cameras"
DIGEST = "contents_digest"
NOISE_PX = 32
"""Side of a noise patch, in pixels of a photograph."""
READ_SUFFIXES = (".mat", ".npy")


@dataclass(frozen=True)
class PooledKernel:
    """A kernel and where it comes from.

    Attributes
    ----------
    source
        The name of the photograph's file, or of the camera whose photographs it is the mean of.
    kernel
        The kernel, with its expected error where that is known.
    file
        Its kernel file, relative to the pool's folder; empty if it has none.
    about
        More about it: ``cell`` of a grid, ``camera``, ``sha256`` of the photograph, its widths and angle, remarks.
    """

    source: str
    kernel: Kernel
    file: str = ""
    about: Mapping[str, str | float] = field(default_factory=dict)


def _no_noise() -> NDArray[np.float32]:
    return np.zeros((0, NOISE_PX, NOISE_PX, 3), np.float32)


@dataclass(frozen=True)
class KernelPool:
    """The kernels of many photographs.

    `cameras` are means over the photographs of one camera, lens and aperture; `left_out` are the doubtful kernels. `noise` are
    patches (N, 32, 32, 3) of noise, mean-free, in units of the range [0, 1]. `settings` say how the pool was made.
    """

    kernels: tuple[PooledKernel, ...]
    cameras: tuple[PooledKernel, ...] = ()
    left_out: tuple[PooledKernel, ...] = ()
    noise: NDArray[np.float32] = field(default_factory=_no_noise)
    settings: Mapping[str, str | float] = field(default_factory=dict)


def write_pool(path: Path, pool: KernelPool, digest: str) -> None:
    """Write ``kernels.h5`` whole or not at all; `digest` stands for its contents (`pool_digest`)."""

    def write(part: Path) -> None:
        with hdf5.new_file_on_disk(part, ENCODING) as file:
            hdf5.set_attributes(file, {**pool.settings, DIGEST: digest})
            for group, entries in (("kernels", pool.kernels), (CAMERAS, pool.cameras), ("left_out", pool.left_out)):
                file.create_group(group)
                for number, entry in enumerate(entries, 1):
                    node = hdf5.put_kernel(file[group], f"{number:05}", entry.kernel)
                    hdf5.set_attributes(node, {"source": entry.source, "file": entry.file, **entry.about})
            if len(pool.noise):
                patches = pool.noise.reshape(-1, NOISE_PX, 3)  # one below the other
                hdf5.set_attributes(hdf5.put_array(file, "noise", patches), {"axes": "yxc", "patch_px": NOISE_PX})

    write_whole(path, write)


def pool_digest(path: Path) -> str:
    """What `write_pool` was told of the contents; empty if there is no such file."""
    try:
        with hdf5.opened(path, ENCODING) as file:
            return hdf5.get_text(file, DIGEST)
    except Exception:  # h5py raises exceptions of many types for files that are missing or damaged
        return ""


def read_kernel_pool(path: Path, *, scale: int = 2) -> KernelPool:
    """Read a pool: ``kernels.h5``, a folder with one, or a folder of kernel files (``.mat``, ``.npy``; also one folder deeper).

    Parameters
    ----------
    path
        The file or the folder. Of a folder with ``kernels.h5`` that file is read.
    scale
        What the kernel files are for whose names (or their folder's) do not end in ``_x2``, ``_x3`` or ``_x4``.

    Raises
    ------
    BlindSRError
        If there are no kernels, one cannot be read, or some of the kernel files that ``kernels.h5`` names are not there any more.
    """
    if path.is_dir() and not (path / POOL_FILE).is_file():
        return _read_folder(path, scale)
    file = path / POOL_FILE if path.is_dir() else path
    pool = read_pool_file(file)
    files = [entry.file for entry in pool.kernels if entry.file]
    gone = [name for name in files if not (file.parent / name).is_file()]
    if 0 < len(gone) < len(files):  # the file alone may have been moved elsewhere
        remedy = f"delete {POOL_FILE} to use the kernel files that are left, or make the pool again"
        raise BlindSRError(f"{file}: some of its kernel files are not there any more: {shortened(gone)}; {remedy}")
    if not pool.kernels:
        raise BlindSRError(f"{file}: holds no kernels")
    return pool


def read_pool_file(path: Path) -> KernelPool:
    """Read ``kernels.h5`` by itself, whatever lies beside it; a `BlindSRError` if it cannot be read."""
    if not path.is_file():
        raise BlindSRError(f"{path}: no such file or folder")
    try:
        with hdf5.opened(path, ENCODING) as file:
            hdf5.verify(file)
            kernels, cameras, left_out = (_entries(file, name) for name in ("kernels", CAMERAS, "left_out"))
            noise = hdf5.read(file, "noise").reshape(-1, NOISE_PX, NOISE_PX, 3) if "noise" in file else _no_noise()
            return KernelPool(kernels, cameras, left_out, noise.astype(np.float32), hdf5.get_attributes(file))
    except (OSError, KeyError, ValueError, TypeError, RuntimeError, BlindSRError) as error:
        raise BlindSRError(f"{path}: not a kernel pool that can be read ({hdf5.reason(error)})") from None


def _entries(file: h5py.File, group: str) -> tuple[PooledKernel, ...]:
    found = []
    for name in sorted(file[group]):
        if name.endswith("_half"):
            continue
        about = hdf5.get_attributes(file[group][name])
        own = {key: value for key, value in about.items() if key not in ("axes", "scale", "origin", "expected_error")}
        kernel = hdf5.get_kernel(file, f"{group}/{name}")
        found.append(PooledKernel(str(own.pop("source")), kernel, str(own.pop("file")), own))
    return tuple(found)


def _read_folder(folder: Path, scale: int) -> KernelPool:
    inside = [*folder.iterdir(), *(path for inner in _folders(folder) for path in inner.iterdir())]
    files = sorted(path for path in inside if path.suffix in READ_SUFFIXES and path.is_file() and not path.name.startswith("."))
    if not files:
        raise BlindSRError(f"{folder}: holds no kernels ({', '.join((POOL_FILE, *READ_SUFFIXES))})")
    kernels = [(file.relative_to(folder), Kernel.load(file, scale=scale_in_name(file) or scale)) for file in files]
    return KernelPool(tuple(PooledKernel(str(name), kernel, str(name)) for name, kernel in kernels))


def _folders(folder: Path) -> list[Path]:
    """The folders in which each photograph's kernel may lie; means over photographs are no kernels of their own."""
    return [inner for inner in folder.iterdir() if inner.is_dir() and inner.name != CAMERAS and not inner.name.startswith(".")]
