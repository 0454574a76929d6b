"""HDF5 as blindsr writes and reads it: a checksum for every dataset, and attributes that describe it."""

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
from h5py import h5a, h5f, h5s, h5t
from numpy.typing import NDArray

from blindsr import __version__
from blindsr.imaging.kernel import Kernel

ENCODING_VERSION = "0.1.2"
READABLE = "0.1."
MAX_COMPRESSION = 1100
"""How many times its size on disk a dataset can have: gzip's limit is 1032."""
MIN_COMPRESSED_BYTES = 4096
"""Smaller arrays are stored as they are: setting up gzip takes longer than writing them."""
MAX_CHUNK = 256
"""Largest side of a chunk. A chunk of an image is of one channel: photographs take 12 % less so than with all channels together."""
SCALAR = h5s.create(h5s.SCALAR)


class _Disk(io.FileIO):
    """A file that HDF5 writes to; it keeps an `OSError` in `error` and does not tell HDF5, which could not close the file then."""

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
def new_file_on_disk(path: Path, encoding_type: str) -> Iterator[h5py.File]:
    """A new file; `OSError` where the disk refuses."""
    with _Disk(path, "w+") as disk:
        try:
            with new_file(disk, encoding_type) as file:
                yield file
        finally:
            if disk.error:
                raise disk.error


def new_file(file: io.FileIO | io.BytesIO, encoding_type: str) -> h5py.File:
    """HDF5 in an open file or in memory, with the attributes that all files have."""
    # The v1.10 layout keeps a checksum with every piece of metadata, as Fletcher-32 does for the datasets.
    new = h5py.File(file, "w", libver=("v110", "v110"), track_order=True)
    now = datetime.now(UTC).isoformat(timespec="seconds")
    set_attributes(new, {"encoding-type": encoding_type, "encoding-version": ENCODING_VERSION, "creator": "blindsr"})
    set_attributes(new, {"creator_version": __version__, "file_time": now, **_versions()})
    return new


class OtherVersionError(ValueError):
    """A file is of a version of the format that cannot be read."""


@contextlib.contextmanager
def opened(path: Path, encoding_type: str) -> Iterator[h5py.File]:
    """A file for reading; `ValueError` if it is of another type, or of a version that cannot be read."""
    with h5py.File(path, "r") as file:
        found = get_text(file, "encoding-type")
        if found != encoding_type:
            raise ValueError(f"it is a {found} file, not a {encoding_type}" if found else f"it is no {encoding_type} file")
        number = get_text(file, "encoding-version")
        if not number.startswith(READABLE):
            raise OtherVersionError(f"it has format version {number}; this blindsr reads {READABLE}x")
        yield file


def dataset(file: h5py.File, place: str) -> h5py.Dataset:
    """A dataset of this very file; `ValueError` where it lies elsewhere, or claims more than the file can hold."""
    node = file[place]
    if not isinstance(node, h5py.Dataset):
        raise ValueError(f"{place} is no dataset")
    if node.is_virtual or node.external or h5f.get_name(node.id) != h5f.get_name(file.id):
        raise ValueError(f"{place} lies in another file")
    if node.nbytes > MAX_COMPRESSION * file.id.get_filesize():
        raise ValueError(f"{place} claims {node.nbytes} bytes, more than the file can hold")
    return node


def read(file: h5py.File, place: str) -> NDArray[Any]:
    """All of such a dataset."""
    values: NDArray[Any] = dataset(file, place)[()]
    return values


def verify(group: h5py.Group, seen: set[int] | None = None) -> None:
    """Read all attributes and datasets, so that all checksums are tested; `ValueError` for what blindsr never writes: links."""
    seen = set() if seen is None else seen
    dict(group.attrs)
    for name in group:
        place = f"{group.name.rstrip('/')}/{name}"
        if not isinstance(group.get(name, getlink=True), h5py.HardLink):
            raise ValueError(f"{place} is a link to elsewhere")
        node = group[name]
        address = h5py.h5o.get_info(node.id).addr
        if address in seen:  # a few such groups in one another would take forever
            raise ValueError(f"{place} is there under another name, too")
        seen.add(address)
        if isinstance(node, h5py.Group):
            verify(node, seen)
        else:
            dict(node.attrs)
            read(group.file, place)


def reason(error: Exception) -> str:
    """What is wrong with a damaged file, in one line: h5py's messages have several, or none."""
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__


@functools.cache
def _versions() -> dict[str, str]:
    found = {"version_python": platform.python_version(), "version_hdf5": h5py.version.hdf5_version}
    for name in ("h5py", "numpy", "torch"):
        with contextlib.suppress(PackageNotFoundError):
            found[f"version_{name}"] = version(name)
    return found


def set_attributes(group: h5py.Group | h5py.Dataset, values: Mapping[str, Any]) -> None:
    """Add attributes, which must not be there yet: numbers, and texts as UTF-8 of fixed length."""
    for name, value in values.items():
        if isinstance(value, str):  # of fixed length: variable-length texts lie in HDF5's global heap, which has no checksum
            data = np.array(value.encode(errors="backslashreplace") or b"\0")
            kind = h5t.C_S1.copy()
            kind.set_size(data.itemsize)
            kind.set_cset(h5t.CSET_UTF8)
            kind.set_strpad(h5t.STR_NULLPAD)
        else:
            data = np.array(value)
            kind = h5t.py_create(data.dtype, logical=True)
        # h5py's own group.attrs takes several times as long, and each file has a dozen attributes.
        h5a.create(group.id, name.encode(), kind, SCALAR).write(data, kind)


def get_attribute(group: h5py.Group | h5py.Dataset, name: str) -> Any:
    """An attribute: a text or a number; `KeyError` where there is none."""
    attribute = h5a.open(group.id, name.encode())
    if attribute.shape or attribute.dtype.kind == "O":  # blindsr writes none such
        return group.attrs[name]
    value = np.empty((), attribute.dtype)  # h5py's own group.attrs takes several times as long
    attribute.read(value)
    return value.item().decode() if value.dtype.kind == "S" else value.item()


def get_attributes(group: h5py.Group | h5py.Dataset) -> dict[str, Any]:
    """All attributes by name."""
    return {name: get_attribute(group, name) for name in group.attrs}


def get_text(group: h5py.Group | h5py.Dataset, name: str) -> str:
    """A text attribute, empty where there is none."""
    return str(get_attribute(group, name)) if h5a.exists(group.id, name.encode()) else ""


def put_array(group: h5py.Group, name: str, array: NDArray[Any]) -> h5py.Dataset:
    """Write an array: chunked, with a Fletcher-32 checksum for each chunk, and compressed unless it is small."""
    options: dict[str, Any] = {"chunks": (*(min(size, MAX_CHUNK) for size in array.shape[:2]), 1)[: array.ndim], "fletcher32": True}
    if array.nbytes >= MIN_COMPRESSED_BYTES:
        options |= {"compression": "gzip", "compression_opts": 1, "shuffle": array.itemsize > 1}
    return group.create_dataset(name, data=array, **options)


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
    origin = "correlation; centre of mass at size // 2 + (scale - 1) / 2"
    set_attributes(node, {"axes": "yx", "scale": kernel.scale, "origin": origin})
    if kernel.expected_error is not None:
        set_attributes(node, {"expected_error": float(kernel.expected_error)})
    if kernel.half:
        set_attributes(put_array(group, f"{name}_half", kernel.half.array), {"axes": "yx", "scale": kernel.half.scale})
    return node


def get_kernel(file: h5py.File, place: str) -> Kernel:
    """Read what `put_kernel` wrote."""
    half = get_kernel(file, f"{place}_half") if f"{place}_half" in file else None
    node = file[place]
    error = float(get_attribute(node, "expected_error")) if h5a.exists(node.id, b"expected_error") else None
    return Kernel(read(file, place), int(get_attribute(node, "scale")), half, error)
