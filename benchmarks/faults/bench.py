"""What the parts share: photographs, pipelines, runs of the command, and what they leave behind."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from skimage import data

from blindsr.imaging.writer import write_png
from blindsr.storage.result import open_result

TESTS = Path(__file__).parents[2] / "tests"
"""Whose helpers serve here, too."""
sys.path.insert(0, str(TESTS))
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}


def photographs(folder: Path, count: int, side: int) -> None:
    """Crops of a photograph as ``hr/N.png``, no two alike."""
    photo = data.astronaut()
    span = photo.shape[0] - side + 1
    columns = min(span, max(1, round(count**0.5)))
    for number in range(count):
        row, column = divmod(number, columns)
        top, left = (row * 7) % span, column * (span - 1) // max(1, columns - 1)
        crop = np.ascontiguousarray(photo[top : top + side, left : left + side])
        crop[0, 0] = number % 256, number // 256, 0  # some parts of it are black
        write_png(folder / "hr" / f"{number}.png", crop)


def blindsr(*arguments: str | Path) -> list[str]:
    """The command, as one runs it."""
    return [sys.executable, "-m", "blindsr", *map(str, arguments)]


@dataclass(frozen=True)
class Ended:
    """How a command ended: its exit code, all that it printed, seconds, and the largest memory of one process in MB."""

    code: int
    text: str
    seconds: float
    peak_mb: float


def ended(command: list[str], folder: Path, *, limit: float = 3600) -> Ended:
    """Run a command to its end; one that takes longer than `limit` seconds is killed, which its exit code tells."""
    log = folder / "command.log"
    start = time.perf_counter()
    with log.open("wb") as out:
        process = subprocess.Popen(command, cwd=folder, stdout=out, stderr=out, env=ENVIRONMENT, start_new_session=True)
        while True:
            pid, status, usage = os.wait4(process.pid, os.WNOHANG)
            if pid:
                break
            if time.perf_counter() - start > limit:
                os.killpg(process.pid, 9)
            time.sleep(0.01)
    process.returncode = os.waitstatus_to_exitcode(status)
    text = log.read_text(errors="replace")
    return Ended(process.returncode, text, time.perf_counter() - start, usage.ru_maxrss / 1e3)


def numbers(result: Path) -> dict[str, np.ndarray]:
    """The columns of a result, but for the seconds."""
    with open_result(result) as opened:
        return {name: column for name, column in opened.columns.items() if not name.startswith("seconds")}


def equal(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> bool:
    """Whether two results are the same, bit for bit."""
    return all(np.array_equal(column, other[name], equal_nan=column.dtype.kind == "f") for name, column in one.items())


def steps_of(out: Path) -> dict[str, tuple[int, int]]:
    """The finished steps in a folder of results: each file's number in the file system and its time stamp."""
    return {path.name: (path.stat().st_ino, path.stat().st_mtime_ns) for path in (out / "steps").glob("*.h5")}
