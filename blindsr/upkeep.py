"""Care of a folder of results: is all of it whole, and what of it does nobody need?"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from blindsr.errors import BlindSRError
from blindsr.files import explained, write_whole
from blindsr.hdf5 import opened, verify
from blindsr.result import open_result
from blindsr.store import read_step

STEPS = "steps"
PROGRESS = ".progress"
LIST = "steps.json"
"""In a result's folder: the keys of all its steps, written before the first of them is done."""


def list_steps(folder: Path, keys: Sequence[str]) -> None:
    """Note which steps a result is made of, so that `leftovers` leaves them alone."""
    write_whole(folder / LIST, lambda part: part.write_text(json.dumps(list(keys))))


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

    Call it under `blindsr.lock.locked`. Every result counts whose folder is there, finished or not.

    Raises
    ------
    BlindSRError
        If a result does not say which steps are its own: nothing is known to be superfluous then.
    """
    if not (out / STEPS).is_dir():
        raise BlindSRError(f"{out}: holds no results of blindsr (there is no folder {STEPS})")
    needed: set[str] = set()
    for folder in _result_folders(out):
        try:
            keys = json.loads((folder / LIST).read_bytes())
            needed |= {str(key) for key in keys}
        except (OSError, ValueError, TypeError, RecursionError):
            raise BlindSRError(
                f"{folder / LIST}: cannot be read, so nobody knows which steps this result needs; run its pipeline again, or "
                "remove the folder"
            ) from None
    unneeded = [path for path in (out / STEPS).iterdir() if path.suffix != ".h5" or path.stem not in needed]
    torn = [path for folder in (out, *_result_folders(out)) for path in folder.rglob("*.part")]
    found = dict.fromkeys(sorted([*unneeded, *torn, *((out / PROGRESS,) if (out / PROGRESS).exists() else ())]))
    return [Leftover(path, _size(path)) for path in found]


@dataclass(frozen=True)
class Checked:
    """A file that was read to its end; `problem` is empty where all was well."""

    path: Path
    problem: str


def check(path: Path) -> Iterator[Checked]:
    """Read all steps and results of a folder of results (or one result), every checksum of them; nothing is changed.

    Raises
    ------
    BlindSRError
        If there is nothing to check.
    """
    files = [path] if path.is_file() else [*sorted((path / STEPS).glob("*.h5")), *sorted(path.glob("*/result.h5"))]
    if not path.is_file() and (path / "result.h5").is_file():
        files = [path / "result.h5"]
    if not files:
        raise BlindSRError(f"{path}: no such file, nor a folder with results of blindsr")
    for file in files:
        yield Checked(file, _problem(file))


def _problem(file: Path) -> str:
    try:
        if file.parent.name == STEPS:
            with opened(file, "blindsr-step") as opened_file:
                verify(opened_file)
            read_step(file, file.stem)
        else:
            with open_result(file) as result:
                verify(result.file)
    except Exception as error:  # a damaged or hostile file can make h5py raise anything
        text = str(error).removeprefix(f"{file}: ").strip()
        return text.splitlines()[0] if text else type(error).__name__
    return ""


def _result_folders(out: Path) -> list[Path]:
    return [path for path in sorted(out.iterdir()) if (path / LIST).is_file() or (path / "result.h5").is_file()]


def _size(path: Path) -> int:
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return sum(file.stat().st_size for file in files)
