"""Runs killed at random moments, and gone on with."""

from __future__ import annotations

import os
import random
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

from blindsr import upkeep

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
    (folder / "killed.yaml").write_text(PIPELINE)
    bench.photographs(folder, 2, 192)
    whole = bench.ended(_command(folder / "whole"), folder)
    assert whole.code == 0, whole.text
    expected = bench.numbers(folder / "whole" / RESULT)
    steps = len(bench.steps_of(folder / "whole"))
    yield f"an undisturbed run of {steps} steps with 2 workers takes {whole.seconds:.1f} s"
    chance = random.Random(0)
    outcomes: dict[str, list[Outcome]] = {"parent": [], "worker": []}
    number = 0
    while sum(map(len, outcomes.values())) < RUNS:
        number += 1
        who = chance.choice(list(outcomes))
        out = folder / str(number)
        victim, killed = _killed(folder, out, who, chance.uniform(0.05, 1.0) * whole.seconds)
        if victim:
            outcomes[victim].append(_resumed(folder, out, killed, expected))
    for who, seen in outcomes.items():
        total = Counter({name: sum(getattr(o, name) for o in seen) for name in Outcome.__dataclass_fields__})
        yield (
            f"{len(seen)} runs whose {who} was killed, {RESUMED[who]}: {total['finished']} finished, {total['equal']} with "
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


def _resumed(folder: Path, out: Path, killed: subprocess.Popen[bytes], expected: dict[str, np.ndarray]) -> Outcome:
    patience = time.monotonic() + 5
    while (orphans := _session(killed.pid)) and time.monotonic() < patience:
        time.sleep(0.1)
    before = bench.steps_of(out)
    unreadable = _unreadable(out)
    again = bench.ended(_command(out), folder, limit=120)
    after = bench.steps_of(out)
    finished = again.code == 0 and killed.returncode in (0, -signal.SIGKILL)  # one that lost a worker goes on by itself
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
    return sum(bool(checked.problem) for checked in upkeep.check(out))


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
