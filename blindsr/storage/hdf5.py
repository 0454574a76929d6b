"""HDF5 as blindsr writes and reads it: checksums everywhere, and what each kind of dataset says of itself."""

from __future__ import annotations

import contextlib
import functools
import io
import os
import platform
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from blindsr import __version__
from blindsr.imaging.kernel import Kernel

ENCODING_VERSION = "0.1.0"
READABLE = ("0.1.",)
MOST_COMPRESSED = 1100
"""How many times its size on disk a dataset can have: gzip's limit is 1032."""


class _Disk(io.FileIO):
    """A file that HDF5 writes. What the operating system refuses is kept in `error`, and HDF5 not told.

    HDF5 cannot close a file that it cannot write: it would leave it open, and h5py print tracebacks of that.
    """

    error: OSError | None = None

    def write(self, data: Any, /) -> int:
        size = memoryview(data).nbytes
        with self._kept():
            left = memoryview(data).cast("B")
            while left:
                left = left[os.write(self.fileno(), left) :]
        return size

    def truncate(self, size: int | None = None, /) -> int:
        with self._kept():
            os.ftruncate(self.fileno(), self.tell() if size is None else size)
        return size or 0

    @contextlib.contextmanager
    def _kept(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self.error = self.error or error


@contextlib.contextmanager
def new_file(path: Path, encoding_type: str) -> Iterator[h5py.File]:
    """A fresh file that says what it is, and what wrote it; `OSError` where the disk refuses."""
    with _Disk(path, "w+") as disk:
        try:
            # The v1.10 layout keeps a checksum with every piece of metadata, as Fletcher-32 does for the datasets.
            with h5py.File(disk, "w", libver=("v110", "v110"), track_order=True) as file:
                set_attributes(file, {"encoding-type": encoding_type, "encoding-version": ENCODING_VERSION, "creator": "blindsr"})
                set_attributes(file, {"creator_version": __version__, "file_time": datetime.now(UTC).isoformat(timespec="seconds")})
                set_attributes(file, {f"version_{name}": text for name, text in _versions().items()})
                yield file
        finally:
            if disk.error:
                raise disk.error


@contextlib.contextmanager
def opened(path: Path, encoding_type: str) -> Iterator[h5py.File]:
    """A file for reading; `ValueError` if it is of another type, or of a version that cannot be read."""
    with h5py.File(path, "r") as file:
        found = get_text(file, "encoding-type")
        if found != encoding_type:
            raise ValueError(f"it is a {found} file, not a {encoding_type}" if found else f"it is no {encoding_type} file")
        number = get_text(file, "encoding-version")
        if not number.startswith(READABLE):
            raise ValueError(f"it has format version {number}; this blindsr reads {', '.join(READABLE)}x")
        yield file


def dataset(file: h5py.File, place: str) -> h5py.Dataset:
    """A dataset of this very file; `ValueError` where it lies elsewhere, or says that it is larger than the file can hold."""
    node = file[place]
    if not isinstance(node, h5py.Dataset):
        raise ValueError(f"{place} is no dataset")
    if node.is_virtual or node.external or node.file.filename != file.filename:
        raise ValueError(f"{place} lies in another file")
    if node.nbytes > MOST_COMPRESSED * Path(file.filename).stat().st_size:
        raise ValueError(f"{place} claims {node.nbytes} bytes, more than the file can hold")
    return node


def read(file: h5py.File, place: str) -> NDArray[Any]:
    """All of such a dataset."""
    values: NDArray[Any] = dataset(file, place)[()]
    return values


def verify(file: h5py.File) -> None:
    """Read every dataset, so that every checksum is tested; `ValueError` for what blindsr never writes: links."""
    seen: set[int] = set()

    def visit(group: h5py.Group) -> None:
        for name in group:
            place = f"{group.name.rstrip('/')}/{name}"
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                raise ValueError(f"{place} is a link to elsewhere")
            dict(group.attrs)
            node = group[name]
            address = h5py.h5o.get_info(node.id).addr
            if address in seen:  # a few such groups in one another would take forever
                raise ValueError(f"{place} is there under another name, too")
            seen.add(address)
            if isinstance(node, h5py.Group):
                visit(node)
            else:
                dict(node.attrs)
                read(file, place)

    visit(file)


@functools.cache
def _versions() -> dict[str, str]:
    found = {"python": platform.python_version(), "hdf5": h5py.version.hdf5_version}
    for name in ("h5py", "numpy", "torch"):
        with contextlib.suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


def set_attributes(group: h5py.Group | h5py.Dataset, values: Mapping[str, Any]) -> None:
    """Set attributes, texts as UTF-8 of fixed length."""
    for name, value in values.items():
        if isinstance(value, str):
            data = value.encode(errors="backslashreplace")
            # Of fixed length: variable-length strings lie in HDF5's global heap, which has no checksum.
            group.attrs.create(name, np.array(data or b"\0", dtype=h5py.string_dtype("utf-8", max(1, len(data)))))
        else:
            group.attrs[name] = value


def get_text(group: h5py.Group, name: str) -> str:
    """A text attribute, empty where there is none."""
    value = group.attrs.get(name, "")
    return value.decode().rstrip("\0") if isinstance(value, bytes) else str(value)


def put_array(group: h5py.Group, name: str, array: NDArray[Any]) -> h5py.Dataset:
    """Write an array: chunked, compressed, with a Fletcher-32 checksum for each chunk."""
    chunks = tuple(min(size, 256) for size in array.shape) or None
    return group.create_dataset(
        name, data=array, chunks=chunks, compression="gzip", compression_opts=1, shuffle=True, fletcher32=True
    )


def put_image(group: h5py.Group, name: str, pixels: NDArray[Any]) -> None:
    """Write uint8 or uint16 RGB pixels (H, W, 3) so that HDF5 viewers show them as an image."""
    _describe(put_array(group, name, pixels))


def copy_image(path: Path, place: str, group: h5py.Group, name: str) -> None:
    """Write such pixels as they lie in another file of ours: packed, with their checksums."""
    with h5py.File(path, "r") as source:
        source.copy(place, group, name)
    _describe(group[name])


def _describe(node: h5py.Dataset) -> None:
    about = {"CLASS": "IMAGE", "IMAGE_VERSION": "1.2", "IMAGE_SUBCLASS": "IMAGE_TRUECOLOR", "INTERLACE_MODE": "INTERLACE_PIXEL"}
    set_attributes(node, about | {"axes": "yxc", "color_space": "sRGB", "data_range": int(np.iinfo(node.dtype).max)})


def put_curve(group: h5py.Group, name: str, curve: NDArray[np.float64]) -> None:
    """Write rows of (step, value) under ``curves/``."""
    set_attributes(put_array(group, f"curves/{name}", curve), {"axes": "step, value"})


def put_kernel(group: h5py.Group, name: str, kernel: Kernel) -> h5py.Dataset:
    """Write a kernel, and beside it as ``NAME_half`` the x2 kernel that goes with it."""
    node = put_array(group, name, kernel.array)
    set_attributes(
        node, {"axes": "yx", "scale": kernel.scale, "origin": "correlation; centre of mass at size // 2 + (scale - 1) / 2"}
    )
    if kernel.half:
        set_attributes(put_array(group, f"{name}_half", kernel.half.array), {"axes": "yx", "scale": kernel.half.scale})
    return node


def get_kernel(file: h5py.File, place: str) -> Kernel:
    """Read what `put_kernel` wrote."""
    half = get_kernel(file, f"{place}_half") if f"{place}_half" in file else None
    return Kernel(read(file, place), int(file[place].attrs["scale"]), half)
