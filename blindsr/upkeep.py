"""Care of a folder of results: is all of it whole, and what of it does nobody need?"""

from __future__ import annotations

import contextlib
import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from blindsr.errors import BlindSRError
from blindsr.files import explained, write_whole
from blindsr.forecast import FILE as TIMINGS
from blindsr.hashes import FILE as HASHES
from blindsr.hdf5 import opened, verify
from blindsr.plan import Plan
from blindsr.result import open_result
from blindsr.store import read_step

STEPS = "steps"
PROGRESS = ".progress"
STEP_FILE = re.compile(r"[0-9a-f]{64}\.h5(\.part|\.corrupt)?")
LIST = "steps.json"
"""In a result's folder: the keys of all its steps, written before the first of them is done."""


def list_steps(folder: Path, plan: Plan) -> None:
    """Note which steps a result is made of, so that `leftovers` leaves them alone.

    A plan of some of the items or seeds of the one before adds to its list: a look at a few images gives up none of the others.
    """
    settings = {name: value for name, value in plan.pipeline.resolved().items() if name != "seeds"}
    items = [planned.item.id for planned in plan.items]
    listed = {"settings": settings, "items": items, "seeds": list(plan.pipeline.seeds), "steps": list(plan.steps)}
    listed = json.loads(json.dumps(listed))
    with contextlib.suppress(OSError, ValueError, TypeError, KeyError, RecursionError):
        before = json.loads((folder / LIST).read_bytes())
        if before["settings"] == settings and all(set(listed[name]) <= set(before[name]) for name in ("items", "seeds")):
            smaller = any(set(listed[name]) < set(before[name]) for name in ("items", "seeds"))
            listed = {**before, "steps": list(dict.fromkeys(before["steps"] + listed["steps"]))} if smaller else listed
    write_whole(folder / LIST, lambda part: part.write_text(json.dumps(listed)))


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
    ours = [path for path in (out / STEPS).glob("*") if STEP_FILE.fullmatch(path.name) and path.is_file()]
    if not ours and not _result_folders(out):
        raise BlindSRError(f"{out}: holds no results of blindsr")
    needed: set[str] = set()
    for folder in _result_folders(out):
        try:
            listed = json.loads((folder / LIST).read_bytes())
            needed |= {str(key) for key in listed["steps"]}
        except (OSError, ValueError, TypeError, KeyError, RecursionError):
            raise BlindSRError(
                f"{folder / LIST}: cannot be read, so nobody knows which steps this result needs; run its pipeline again, or "
                "remove the folder"
            ) from None
    unneeded = [path for path in ours if path.suffix != ".h5" or path.stem not in needed]
    torn = [path for folder in _result_folders(out) for path in (*folder.glob("*.part"), *(folder / "images").rglob("*.part"))]
    torn += [path for name in (HASHES, TIMINGS) if (path := out / f"{name}.part").is_file()]
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
        if file.absolute().parent.name == STEPS:
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
