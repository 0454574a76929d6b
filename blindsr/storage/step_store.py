"""Finished steps on disk: an HDF5 file each, whole or absent. docs/file-format.md specifies it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
from numpy.typing import NDArray

from blindsr.errors import BlindSRError
from blindsr.imaging.files import bring_to_disk, explained, write_whole
from blindsr.pipeline.outcome import Outcome
from blindsr.storage.hdf5 import (
    file_image,
    get_attribute,
    get_attributes,
    get_kernel,
    opened,
    put_array,
    put_curve,
    put_kernel,
    set_attributes,
)

HOLDS = {
    "degrade": ("arrays/lr", "kernel"),
    "register": ("kernel",),
    "estimate": ("kernel",),
    "upscale": ("arrays/sr",),
    "external": ("arrays/sr",),
    "score": (),
}
"""What a step's file must have, by its kind."""


@dataclass(frozen=True)
class Done:
    """A finished step as it is stored."""

    outcome: Outcome
    device: str
    threads: int


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
        """The file of a step."""
        return self.folder / f"{key}.h5"

    def keys(self) -> set[str]:
        """The keys of all steps that are done."""
        return {path.stem for path in self.folder.glob("*.h5")}

    def __contains__(self, key: str) -> bool:
        return self.path(key).is_file()

    def stamp(self, key: str) -> tuple[int, ...]:
        """The size and the time stamp of a step's file, which differ once the step was computed again; empty if it is not done."""
        try:
            state = self.path(key).stat()
        except OSError:
            return ()
        return state.st_size, state.st_mtime_ns

    def save(self, key: str, kind: str, done: Done) -> None:
        """Write a finished step. Call `sync` once the last one is saved."""
        about = {"key": key, "kind": kind, "device": done.device, "threads": done.threads, "seconds": done.outcome.seconds}

        def write(file: h5py.File) -> None:
            set_attributes(file, about)
            set_attributes(file.create_group("values"), done.outcome.values)
            set_attributes(file.create_group("warnings"), {str(n): text for n, text in enumerate(done.outcome.warnings)})
            for name, array in done.outcome.arrays.items():
                put_array(file, f"arrays/{name}", array)
            for name, curve in done.outcome.curves.items():
                put_curve(file, name, curve)
            if done.outcome.kernel:
                put_kernel(file, "kernel", done.outcome.kernel)

        image = file_image("blindsr-step", write)
        # The folder is synced once for all: a power failure before that can cost whole steps of the last seconds, never parts.
        write_whole(self.path(key), lambda part: part.write_bytes(image), sync_folder=False)

    def sync(self) -> None:
        """Bring the names of all saved files to the disk."""
        if self.folder.is_dir():
            with explained(self.folder):
                bring_to_disk(self.folder)

    def load(self, key: str) -> Done:
        """Read a finished step.

        Raises
        ------
        DamagedStepError
            If the file is not a whole step file; it is renamed ``<key>.h5.corrupt``, so that the step is done again.
        """
        path = self.path(key)
        try:
            return read_step(path, key)
        except (OSError, KeyError, ValueError, TypeError, BlindSRError, RuntimeError) as error:
            aside = path.with_suffix(".h5.corrupt")
            with explained(aside):
                path.replace(aside)
            raise DamagedStepError(
                key, f"{path}: not a whole step file ({error}); set aside as {aside.name}, a run will compute it again"
            ) from None


def read_step(path: Path, key: str) -> Done:
    """Read a step file; all that is wrong with it, h5py and the checks raise as they like."""
    with opened(path, "blindsr-step") as file:
        kind, device, threads = (get_attribute(file, name) for name in ("kind", "device", "threads"))
        if get_attribute(file, "key") != key:
            raise ValueError("holds another step")
        for place in HOLDS[kind]:
            if place not in file:
                raise ValueError(f"{place} is missing")
        warnings = get_attributes(file["warnings"])
        outcome = Outcome(
            _arrays(file, "arrays"),
            get_kernel(file, "kernel") if "kernel" in file else None,
            {name: float(value) for name, value in get_attributes(file["values"]).items()},
            _arrays(file, "curves"),
            [warnings[name] for name in sorted(warnings, key=int)],
            float(get_attribute(file, "seconds")),
            device,
        )
        return Done(outcome, device, int(threads))


def _arrays(file: h5py.File, place: str) -> dict[str, NDArray[Any]]:
    return {name: node[()] for name, node in file[place].items()} if place in file else {}
