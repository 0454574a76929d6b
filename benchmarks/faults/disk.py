"""Disks that fail: every call of the system that changes anything in the folder of results fails in turn, once."""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import bench
import numpy as np

from blindsr.errors import BlindSRError
from blindsr.execution.scheduler import Report
from blindsr.pipeline.plan import make_plan
from blindsr.storage.maintenance import check_files
from pipelines import read, run

ERRORS = (errno.ENOSPC, errno.EACCES, errno.EIO)


def figures(folder: Path) -> Iterator[str]:
    """The trials run in a process of their own, whose writes go through failing_disk.c."""
    library = folder / "failing_disk.so"
    compiler = shutil.which("cc")
    if not compiler:
        yield "left out: there is no C compiler"
        return
    source = Path(__file__).with_name("failing_disk.c")
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", library, source, "-ldl"], check=True)
    command = [sys.executable, __file__, str(library), str(folder)]
    environment = {**bench.ENVIRONMENT, "LD_PRELOAD": str(library)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        for line in process.stdout:
            yield line.strip()
    assert process.returncode == 0


def _trials(library: Path, folder: Path) -> None:
    disk = ctypes.CDLL(str(library))
    bench.photographs(folder, 1, 64)
    expected, calls = _whole(folder, disk)
    for error in ERRORS:
        seen: Counter[str] = Counter()
        for call in range(calls):
            child = os.fork()  # a process for each: what a failure leaves open goes with it
            if not child:
                os._exit(_trial(folder, disk, call, error, expected))
            seen.update(_OUTCOMES[os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])])
        print(
            f"{errno.errorcode[error]} at each of {calls} calls: {seen['line']} refused in one line, "
            f"{seen['unhurt']} unhurt, {seen['unclear']} anything else; {seen['readable']} left nothing unreadable, "
            f"{seen['resumed']} went on to equal numbers, {seen['recomputed']} computed a finished step again",
            flush=True,
        )


_BITS = ("line", "unhurt", "unclear", "readable", "resumed", "recomputed")
_OUTCOMES = {code: [bit for number, bit in enumerate(_BITS) if code >> number & 1] for code in range(1 << len(_BITS))}


def _trial(folder: Path, disk: ctypes.CDLL, call: int, error: int, expected: np.ndarray) -> int:
    out = folder / f"out-{error}-{call}"
    bits = {"line": False, "unhurt": False, "unclear": False}
    disk.armed(os.fsencode(out), ctypes.c_long(call), error)
    try:
        report = _run(folder, out)
        bits["unhurt" if not report.failures else "unclear"] = True
    except BlindSRError as refusal:
        clear = len(refusal.lines) == 1 and os.strerror(error).lower() in str(refusal).lower()
        bits["line" if clear else "unclear"] = True
        if not clear:
            print(f"  call {call}: {refusal}", file=sys.stderr)
    except Exception as defect:
        bits["unclear"] = True
        print(f"  call {call}: {type(defect).__name__}: {defect}", file=sys.stderr)
    disk.armed(b"", ctypes.c_long(-1), 0)
    finished = bench.steps_of(out)
    bits["readable"] = not any(problem for _, problem in check_files(out)) if finished else True
    try:
        report = _run(folder, out)
    except Exception as defect:
        print(f"  going on after call {call}: {type(defect).__name__}: {defect}", file=sys.stderr)
        return sum(bits.get(name, False) << number for number, name in enumerate(_BITS))
    bits["resumed"] = not report.failures and np.array_equal(bench.numbers(report.folder)["psnr"], expected)
    now = bench.steps_of(out)
    bits["recomputed"] = any(now.get(name) != state for name, state in finished.items())
    shutil.rmtree(out)
    return sum(bits[name] << number for number, name in enumerate(_BITS))


def _whole(folder: Path, disk: ctypes.CDLL) -> tuple[np.ndarray, int]:
    """What an undisturbed run gives, and how many calls it makes."""
    out = folder / "whole"
    disk.armed(os.fsencode(out), ctypes.c_long(-1), 0)
    report = _run(folder, out)
    calls = disk.counted()
    return bench.numbers(report.folder)["psnr"], calls


def _run(folder: Path, out: Path) -> Report:
    pipeline = read(folder)
    return run(make_plan(pipeline, pipeline.dataset()), out)


if __name__ == "__main__":
    _trials(Path(sys.argv[1]), Path(sys.argv[2]))
