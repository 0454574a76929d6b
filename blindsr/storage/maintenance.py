"""Maintenance of an output folder: find damaged files, and files that no result needs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from blindsr.errors import BlindSRError
from blindsr.imaging.files import explained
from blindsr.imaging.writer import verify_png
from blindsr.storage.hdf5 import opened, verify
from blindsr.storage.output_folder import OutputFolder, ResultFolder
from blindsr.storage.result import open_result
from blindsr.storage.step_store import read_step

STEP_FILE = re.compile(r"[0-9a-f]{64}\.h5(\.part|\.corrupt)?")


@dataclass(frozen=True)
class Leftover:
    """A file that can be removed, and its size in bytes."""

    path: Path
    size: int

    def remove(self) -> None:
        """Delete it."""
        with explained(self.path):
            self.path.unlink(missing_ok=True)


def leftovers(output: OutputFolder) -> list[Leftover]:
    """What no result in the folder needs: steps of no result, files set aside as damaged, and files of killed runs.

    Call it while the folder is locked. Every result counts whose folder is there, finished or not.

    Raises
    ------
    BlindSRError
        If the folder holds no results of blindsr, or a manifest cannot be read, so that nothing is known to be superfluous.
    """
    results = output.result_folders()
    steps = [path for path in output.steps.folder.glob("*") if STEP_FILE.fullmatch(path.name) and path.is_file()]
    if not steps and not results:
        raise BlindSRError(f"{output.path}: holds no results of blindsr")
    needed = {f"{key}.h5" for folder in results for key in folder.manifest().steps}
    unneeded = [path for path in steps if path.name not in needed]
    written = [output.hashes_file, output.timings_file, *(file for r in results for file in (r.result_file, r.manifest_file))]
    parts = [path.with_name(f"{path.name}.part") for path in written]
    parts += [path for folder in results for path in folder.images.rglob("*.png.part")]
    unneeded += [path for path in parts if path.is_file()]
    return [Leftover(path, path.stat().st_size) for path in sorted(unneeded)]


@dataclass(frozen=True)
class Checked:
    """A file that was read to its end; `problem` is empty where it is sound."""

    path: Path
    problem: str


def check_files(path: Path) -> Iterator[Checked]:
    """Read every step, result and image in an output folder, in a result's folder, or one file. Nothing is changed.

    Raises
    ------
    BlindSRError
        If there is nothing to check.
    """
    output, result = OutputFolder(path), ResultFolder(path)
    results = [result] if result.result_file.is_file() else [ResultFolder(folder) for folder in sorted(path.glob("*/"))]
    files = [path, *sorted(output.steps.folder.glob("*.h5")), *(folder.result_file for folder in results)]
    files += [image for folder in results for image in sorted(folder.images.rglob("*.png"))]
    files = [file for file in files if file.is_file()]
    if not files:
        raise BlindSRError(f"{path}: no such file, nor a folder with results of blindsr")
    for file in files:
        yield Checked(file, _problem(file))


def _problem(file: Path) -> str:
    try:
        if STEP_FILE.fullmatch(file.name):
            with opened(file, "blindsr-step") as opened_file:
                verify(opened_file)
            read_step(file, file.stem)
        elif file.suffix == ".png":
            verify_png(file)
        else:
            with open_result(file) as result:
                verify(result.file)
                result.verify()
    except Exception as error:  # h5py raises exceptions of many types for damaged files
        text = str(error).removeprefix(f"{file}: ").strip()
        return text.splitlines()[0] if text else type(error).__name__
    return ""
