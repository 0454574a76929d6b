"""Finished steps on disk: an HDF5 file each, whole or absent. docs/file-format.md specifies it."""

from __future__ import annotations

import contextlib
import errno
import io
import os
from pathlib import Path
from typing import Any

import h5py
from numpy.typing import NDArray

from blindsr.errors import BlindSRError
from blindsr.imaging.files import bring_to_disk, explained, write_whole
from blindsr.pipeline.outcome import Outcome
from blindsr.storage import hdf5

HOLDS = {
    "degrade": ("arrays/lr", "kernel"), "register": ("kernel",), "estimate": ("kernel",),
    "upscale": ("arrays/sr",), "external": ("arrays/sr",), "score": (),
}  # fmt: skip
"""What a step's file must have, by its kind."""


PASSING_ERRORS = (errno.EACCES, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ESTALE)
"""Of which a file is not to blame."""


class DamagedStepError(BlindSRError):
    """A step file that cannot be read, and has been set aside."""

    def __init__(self, key: str, message: str) -> None:
        super().__init__(message)
        self.key = key


class StepStore:
    """The folder of finished steps: ``<key>.h5`` each, whole or absent."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, key: str) -> Path:
        return self.folder / f"{key}.h5"

    def keys(self) -> set[str]:
        return {path.stem for path in self.folder.glob("*.h5")}

    def __contains__(self, key: str) -> bool:
        return self.path(key).is_file()

    def stamp(self, key: str) -> tuple[int, ...]:
        """The size and the time stamp of a step's file, which differ once the step was computed again; empty if it is not done."""
        with contextlib.suppress(OSError):
            state = self.path(key).stat()
            return state.st_size, state.st_mtime_ns
        return ()

    def save(self, key: str, kind: str, outcome: Outcome) -> None:
        """Write a finished step. Call `sync` after the last one."""
        about = {"key": key, "kind": kind, "device": outcome.device, "threads": outcome.threads, "seconds": outcome.seconds}
        buffer = io.BytesIO()
        with hdf5.new_file(buffer, "blindsr-step") as file:
            hdf5.set_attributes(file, about)
            hdf5.set_attributes(file.create_group("values"), outcome.values)
            hdf5.set_attributes(file.create_group("warnings"), {str(n): text for n, text in enumerate(outcome.warnings)})
            for name, array in outcome.arrays.items():
                hdf5.put_array(file, f"arrays/{name}", array)
            for name, curve in outcome.curves.items():
                hdf5.put_curve(file, name, curve)
            if outcome.kernel:
                hdf5.put_kernel(file, "kernel", outcome.kernel)

        # The folder is synced once for all: a power failure before that can cost whole steps of the last seconds, never parts.
        write_whole(self.path(key), lambda part: part.write_bytes(buffer.getbuffer()), sync_folder=False)

    def sync(self) -> None:
        """Bring the names of all saved files to the disk."""
        if self.folder.is_dir():
            with explained(self.folder):
                bring_to_disk(self.folder)

    def load(self, key: str) -> Outcome:
        """Read a finished step; a file that is damaged is set aside, so that the step is done again.

        One that cannot be read now, or not by this version, is left alone: a `BlindSRError`.
        """
        path = self.path(key)
        try:
            return read_step(path, key)
        except hdf5.OtherVersionError as error:
            raise BlindSRError(f"{path}: {error}; update blindsr, or choose another `out`") from None
        except (OSError, KeyError, ValueError, TypeError, BlindSRError, RuntimeError) as error:
            if isinstance(error, OSError) and error.errno in PASSING_ERRORS:
                raise BlindSRError(f"{path}: {os.strerror(error.errno)}") from None
            aside = path.with_suffix(".h5.corrupt")
            with explained(aside):
                path.replace(aside)
            problem = f"not a whole step file ({error}); set aside as {aside.name}, a run will compute it again"
            raise DamagedStepError(key, f"{path}: {problem}") from None


def read_step(path: Path, key: str) -> Outcome:
    """Read a step file; where it is damaged, exceptions of many types come out of h5py."""
    with hdf5.opened(path, "blindsr-step") as file:
        kind, device, threads, seconds = (hdf5.get_attribute(file, name) for name in ("kind", "device", "threads", "seconds"))
        if hdf5.get_attribute(file, "key") != key:
            raise ValueError("holds another step")
        for place in HOLDS[kind]:
            if place not in file:
                raise ValueError(f"{place} is missing")
        warnings = hdf5.get_attributes(file["warnings"])
        return Outcome(
            _arrays(file, "arrays"),
            hdf5.get_kernel(file, "kernel") if "kernel" in file else None,
            {name: float(value) for name, value in hdf5.get_attributes(file["values"]).items()},
            _arrays(file, "curves"),
            [warnings[name] for name in sorted(warnings, key=int)],
            float(seconds), device, int(threads),
        )  # fmt: skip


def _arrays(file: h5py.File, place: str) -> dict[str, NDArray[Any]]:
    return {name: node[()] for name, node in file[place].items()} if place in file else {}
