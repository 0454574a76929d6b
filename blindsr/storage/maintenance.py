"""Care of a folder of results: is all of it whole, and what of it does nobody need?"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from blindsr.errors import BlindSRError
from blindsr.imaging.files import explained
from blindsr.imaging.reader import verify_png
from blindsr.pipeline.hashes import FILE as HASHES
from blindsr.storage.hdf5 import opened, verify
from blindsr.storage.manifest import FILE as CONTENTS
from blindsr.storage.manifest import KEY, Contents
from blindsr.storage.result import FILE as RESULT
from blindsr.storage.result import open_result
from blindsr.storage.step_store import read_step
from blindsr.storage.timings import FILE as TIMINGS

STEPS = "steps"
PROGRESS = ".progress"
STEP_FILE = re.compile(rf"{KEY.pattern}\.h5(\.part|\.corrupt)?")


@dataclass(frozen=True)
class Leftover:
    """A file or folder that can go, and its size in bytes."""

    path: Path
    size: int

    def remove(self) -> None:
        """Delete it."""
        with explained(self.path):
            if self.path.is_dir():
                shutil.rmtree(self.path)
            else:
                self.path.unlink(missing_ok=True)


def leftovers(out: Path) -> list[Leftover]:
    """What no result in the folder needs: steps of no result, files set aside as damaged, and what killed runs left behind.

    Call it under `blindsr.storage.lock.locked`. Every result counts whose folder is there, finished or not.

    Raises
    ------
    BlindSRError
        If a result does not say which steps are its own: nothing is known to be superfluous then.
    """
    ours = [path for path in (out / STEPS).glob("*") if STEP_FILE.fullmatch(path.name) and path.is_file()]
    if not ours and not _result_folders(out):
        raise BlindSRError(f"{out}: holds no results of blindsr")
    needed: set[str] = set()
    for folder in _result_folders(out):
        needed |= set(Contents.read(folder).steps)
    unneeded = [path for path in ours if path.suffix != ".h5" or path.stem not in needed]
    torn = [folder / f"{name}.part" for folder in _result_folders(out) for name in (RESULT, CONTENTS)]
    torn += [out / f"{name}.part" for name in (HASHES, TIMINGS)]
    pictures = [path for folder in _result_folders(out) for path in (folder / "images").rglob("*.png.part")]
    torn = [path for path in (*torn, *pictures) if path.is_file()]
    found = dict.fromkeys(sorted([*unneeded, *torn, *((out / PROGRESS,) if (out / PROGRESS).exists() else ())]))
    return [Leftover(path, _size(path)) for path in found]


@dataclass(frozen=True)
class Checked:
    """A file that was read to its end; `problem` is empty where all was well."""

    path: Path
    problem: str


def check(path: Path) -> Iterator[Checked]:
    """Read all steps, results and images of a folder of results (or one result), every checksum of them; nothing is changed.

    Raises
    ------
    BlindSRError
        If there is nothing to check.
    """
    if path.is_file():
        files = [path]
    else:
        folders = [path] if (path / RESULT).is_file() else sorted(path.glob("*/"))
        files = [*sorted((path / STEPS).glob("*.h5")), *(folder / RESULT for folder in folders)]
        files += [picture for folder in folders for picture in sorted((folder / "images").rglob("*.png"))]
        files = [file for file in files if file.is_file()]
    if not files:
        raise BlindSRError(f"{path}: no such file, nor a folder with results of blindsr")
    for file in files:
        yield Checked(file, _problem(file))


def _problem(file: Path) -> str:
    try:
        if file.absolute().parent.name == STEPS:
            with opened(file, "blindsr-step") as opened_file:
                verify(opened_file)
            read_step(file, file.stem)
        elif file.suffix == ".png":
            verify_png(file)
        else:
            with open_result(file) as result:
                verify(result.file)
                result.verify()
    except Exception as error:  # a damaged or hostile file can make h5py raise anything
        text = str(error).removeprefix(f"{file}: ").strip()
        return text.splitlines()[0] if text else type(error).__name__
    return ""


def _result_folders(out: Path) -> list[Path]:
    return [path for path in sorted(out.iterdir()) if (path / CONTENTS).is_file() or (path / RESULT).is_file()]


def _size(path: Path) -> int:
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return sum(file.stat().st_size for file in files)
