"""Runs killed or interrupted at random moments, and gone on with."""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import bench
import numpy as np

from blindsr.storage.maintenance import check_files

RUNS = 100
PATIENCE = 300
PIPELINE = """\
name: killed
scale: 2
data: {hr: hr}
degradation: random_kernel
methods:
  Bicubic interpolation: {type: 1, sr: bicubic}
  Ground truth: {type: 4, kernel: ground_truth, sr: {zssr: {iterations: 40}}}
  Michaeli and Irani: {type: 3, kernel: michaeli_irani, sr: bicubic}
  KernelGAN: {type: 3, kernel: {kernelgan: {iterations: 60}}, sr: {zssr: {iterations: 40}}}
"""
RESULT = "killed-hr-x2"
RESUMED = {"parent": "resumed", "worker": "which went on by themselves"}
INTERRUPTED = 130


@dataclass(frozen=True)
class Outcome:
    """What came of a killed run once it was run again."""

    finished: bool
    equal: bool
    recomputed: int
    unreadable: int
    orphans: int
    steps_kept: int


def figures(folder: Path) -> Iterator[str]:
    seconds, expected = _undisturbed(folder)
    steps = len(bench.steps_of(folder / "whole"))
    yield f"an undisturbed run of {steps} steps with 2 workers takes {seconds:.1f} s"
    chance = random.Random(0)
    outcomes: dict[str, list[Outcome]] = {"parent": [], "worker": []}
    number = 0
    while sum(map(len, outcomes.values())) < RUNS:
        number += 1
        who = chance.choice(list(outcomes))
        out = folder / str(number)
        victim, killed = _killed(folder, out, who, chance.uniform(0.05, 1.0) * seconds)
        if victim:
            outcomes[victim].append(_resumed(folder, out, killed, expected, (0, -signal.SIGKILL)))  # who loses a worker goes on
    for who, seen in outcomes.items():
        yield f"{len(seen)} runs whose {who} was killed, {RESUMED[who]}: {_totals(seen)}"


def signal_figures(folder: Path) -> Iterator[str]:
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it, and so would the runs
    whole, expected = _undisturbed(folder)
    chance = random.Random(0)
    outcomes: list[Outcome] = []
    waits: list[float] = []
    words = 0
    number = 0
    while len(outcomes) < RUNS:
        number += 1
        out = folder / str(number)
        which = chance.choice([signal.SIGINT, signal.SIGTERM])
        gaps = [chance.uniform(0.05, 1.0) * whole] + [chance.uniform(0, 1)] * chance.choice([0, 1])
        run, waited = _interrupted(folder, out, which, gaps)
        if run.returncode:
            text = (folder / "killed.log").read_text()
            if re.search("interrupted|steps computed", text) and not re.search("Traceback|Exception", text):
                words += 1
            else:
                print(f"  {which.name} after {gaps}:\n{text}", file=sys.stderr)
            waits.append(waited)
            codes = (INTERRUPTED, -which)  # the latter once all is said, from Python itself
            outcomes.append(_resumed(folder, out, run, expected, codes))
    yield f"{RUNS} runs got SIGINT or SIGTERM, about half of them twice, and were resumed: {_totals(outcomes)}"
    yield (
        f"they ended {np.median(waits):.1f} s after the first signal, {max(waits):.1f} s at most; "
        f"{words} said that they were interrupted, or what they had done, and left no traceback"
    )


def _interrupted(folder: Path, out: Path, which: signal.Signals, gaps: list[float]) -> tuple[subprocess.Popen[bytes], float]:
    """Start a run, give it a signal after each gap in seconds, and await its end: the run, and the seconds from the first to it."""
    with (folder / "killed.log").open("wb") as log:
        run = subprocess.Popen(_command(out), cwd=folder, stdout=log, stderr=log, env=bench.ENVIRONMENT, start_new_session=True)
    began = 0.0
    for gap in gaps:
        time.sleep(gap)
        began = began or time.monotonic()
        if run.poll() is None:
            # A terminal gives Ctrl-C to all of its processes, a batch system SIGTERM to the first.
            (os.killpg if which == signal.SIGINT else os.kill)(run.pid, which)
    try:
        run.wait(60)
    except subprocess.TimeoutExpired:
        run.kill()
        run.wait()
    return run, time.monotonic() - began


def _undisturbed(folder: Path) -> tuple[float, dict[str, np.ndarray]]:
    """The seconds and the numbers of a run that nothing befalls."""
    (folder / "killed.yaml").write_text(PIPELINE)
    bench.photographs(folder, 2, 192)
    whole = bench.ended(_command(folder / "whole"), folder)
    assert whole.code == 0, whole.text
    return whole.seconds, bench.numbers(folder / "whole" / RESULT)


def _totals(outcomes: list[Outcome]) -> str:
    total = Counter({name: sum(getattr(o, name) for o in outcomes) for name in Outcome.__dataclass_fields__})
    return (
        f"{total['finished']} finished, {total['equal']} with "
        f"equal numbers, {total['recomputed']} of {total['steps_kept']} finished steps computed again, "
        f"{total['unreadable']} files unreadable, {total['orphans']} orphans after 5 s"
    )


def _command(out: Path) -> list[str]:
    return bench.blindsr("run", "killed.yaml", "--workers", "2", "--threads", "1", "--device", "cpu", "--out", out)


def _killed(folder: Path, out: Path, who: str, after: float) -> tuple[str, subprocess.Popen[bytes]]:
    """Start a run and kill one of its processes: which (none if it had ended; the parent before it has workers), and the run."""
    with (folder / "killed.log").open("wb") as log:
        parent = subprocess.Popen(_command(out), cwd=folder, stdout=log, stderr=log, env=bench.ENVIRONMENT, start_new_session=True)
        time.sleep(after)
        if parent.poll() is not None:
            return "", parent
        workers = [pid for pid in _session(parent.pid) if "spawn_main" in _read(pid, "cmdline")]
        if who == "worker" and workers:
            os.kill(random.Random(after).choice(workers), signal.SIGKILL)
            parent.wait(PATIENCE)
            return "worker", parent
        parent.kill()
        parent.wait()
        return "parent", parent


def _resumed(
    folder: Path, out: Path, killed: subprocess.Popen[bytes], expected: dict[str, np.ndarray], codes: tuple[int, ...]
) -> Outcome:
    """Run it again, and compare; the first time it may have ended with one of `codes`."""
    patience = time.monotonic() + 5
    while (orphans := _session(killed.pid)) and time.monotonic() < patience:
        time.sleep(0.1)
    before = bench.steps_of(out)
    unreadable = _unreadable(out)
    again = bench.ended(_command(out), folder, limit=120)
    after = bench.steps_of(out)
    finished = again.code == 0 and killed.returncode in codes
    if not finished:
        print(f"  exit codes {killed.returncode}, {again.code}\n{(folder / 'killed.log').read_text()}", file=sys.stderr)
    return Outcome(
        finished,
        finished and bench.equal(bench.numbers(out / RESULT), expected),
        sum(after.get(name) != state for name, state in before.items()),
        unreadable + _unreadable(out),
        len(orphans),
        len(before),
    )


def _unreadable(out: Path) -> int:
    if not list(out.glob("steps/*.h5")):
        return 0
    return sum(bool(problem) for _, problem in check_files(out))


def _session(leader: int) -> list[int]:
    """The living processes of a session."""
    found = []
    for pid in (int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()):
        state, _, _, session = [*_read(pid, "stat").rpartition(")")[2].split(), *"----"][:4]
        if session == str(leader) and state not in "ZX":
            found.append(pid)
    return found


def _read(pid: int, what: str) -> str:
    try:
        return Path(f"/proc/{pid}/{what}").read_text().replace("\0", " ")
    except OSError:
        return ""
