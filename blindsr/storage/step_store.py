"""Finished steps on disk: an HDF5 file each, whole or absent. docs/file-format.md specifies it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from blindsr.errors import BlindSRError
from blindsr.imaging.files import explained, write_whole
from blindsr.pipeline.outcome import Outcome
from blindsr.storage.hdf5 import get_kernel, get_text, new_file, opened, put_array, put_curve, put_kernel, read, set_attributes

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
        """Write a finished step."""

        def write(path: Path) -> None:
            with new_file(path, "blindsr-step") as file:
                set_attributes(
                    file,
                    {"key": key, "kind": kind, "device": done.device, "threads": done.threads, "seconds": done.outcome.seconds},
                )
                set_attributes(file.create_group("values"), done.outcome.values)
                set_attributes(file.create_group("warnings"), {str(n): text for n, text in enumerate(done.outcome.warnings)})
                for name, array in done.outcome.arrays.items():
                    put_array(file, f"arrays/{name}", array)
                for name, curve in done.outcome.curves.items():
                    put_curve(file, name, curve)
                if done.outcome.kernel:
                    put_kernel(file, "kernel", done.outcome.kernel)

        write_whole(self.path(key), write)

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
        if get_text(file, "key") != key:
            raise ValueError("holds another step")
        for place in HOLDS[get_text(file, "kind")]:
            if place not in file:
                raise ValueError(f"{place} is missing")
        outcome = Outcome(
            {name: read(file, f"arrays/{name}") for name in file.get("arrays", {})},
            get_kernel(file, "kernel") if "kernel" in file else None,
            {name: float(value) for name, value in file["values"].attrs.items()},
            {name: read(file, f"curves/{name}") for name in file.get("curves", {})},
            [get_text(file["warnings"], name) for name in sorted(file["warnings"].attrs, key=int)],
            float(file.attrs["seconds"]),
        )
        return Done(outcome, get_text(file, "device"), int(file.attrs["threads"]))
