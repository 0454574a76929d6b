"""Trainings of a few steps, and a program that kills one again and again: ``python tiny_training.py NETWORK PHOTOS OUT SEED``."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from blindsr_training import harness, precomputed
from blindsr_training.__main__ import TRAININGS
from blindsr_training.corrected.examples import examples_recipe
from blindsr_training.kernelnet import calibrate
from blindsr_training.kernelnet import training as kernelnet
from blindsr_training.settings import Settings
from blindsr_training.srmd import training as srmd

STEPS = 4
MAX_KILLS = 3
SMALL = (
    (srmd, "BASIS_KERNELS", 2000), (kernelnet, "HELD_OUT_CROPS", 4), (calibrate, "CROPS", calibrate.BATCH),
    (precomputed, "PART", 2), (precomputed, "HELD_OUT_PARTS", 1),
)  # fmt: skip
"""Numbers of the trainings that would make them take long: module, name, value."""
FIELDS: dict[str, dict[str, Any]] = {
    "corrected": {"scale": 2, "batch": 64},  # at its real size, to last long enough to be killed
    "kernelnet": {},
    "srmd": {"scale": 2, "patch": 8},
    "unfolding": {"scale": 2, "patch": 48, "width": 16, "stages": 2},
    "zssr": {"patch": 48},
}


def settings(network: str, hr: Path, **fields: Any) -> Settings:
    """Of a tiny training. Examples for `corrected` are made beside the photographs, once."""
    if network == "corrected" and "examples" not in fields:
        fields["examples"] = hr.with_name(f"{hr.name}-examples")
        precomputed.precompute(examples_recipe(2), hr, fields["examples"], count=4, seed=0)
    common = {"hr": hr, "steps": STEPS, "batch": 2, "every": 3, "threads": 1, "device": "cpu"}
    return TRAININGS[network].Settings(**(common | FIELDS[network] | fields))


def _run(network: str, hr: Path, out: Path, dies_at: int = 0) -> int:
    """Start a training in a process of its own, that kills itself at so many calls that bring data to the disk; its id."""
    process = os.fork()
    if process:
        return process
    calls = 0

    def around(function: Callable[..., object]) -> Callable[..., object]:
        def called(*arguments: object) -> object:
            nonlocal calls
            calls += 1
            if calls == dies_at:
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*arguments)

        return called

    try:
        os.fsync = around(os.fsync)
        Path.replace = around(Path.replace)
        harness.train(TRAININGS[network], settings(network, hr), out)
    except BaseException as error:
        print(error, file=sys.stderr)
        os._exit(1)
    os._exit(0)


def _killed(process: int, state: Path, rng: np.random.Generator) -> bool:
    """Kill a training at a random moment up to about a second after it began or saved its state; whether it was not yet done."""
    before, end = _age(state), time.monotonic() + 60
    saves = rng.random() < 0.7
    while (
        saves
        and _age(state) == before
        and time.monotonic() < end
        and os.waitid(os.P_PID, process, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None
    ):
        time.sleep(0.002)
    time.sleep(rng.uniform(0, 0.3))
    os.kill(process, signal.SIGKILL)
    status = os.waitpid(process, 0)[1]
    assert os.WIFSIGNALED(status) or status == 0, status
    return os.WIFSIGNALED(status)


def _age(path: Path) -> int:
    return path.stat().st_mtime_ns if path.exists() else 0


def main(network: str, photographs: str, folder: str, seed: str) -> None:
    """Train in OUT/straight without a kill, in OUT/random with kills at random moments, srmd in OUT/disk at each call to the disk."""
    torch.set_num_threads(1)
    for module, name, value in SMALL:
        setattr(module, name, value)
    harness.SAVE_EVERY_SECONDS = 0
    hr, out, rng = Path(photographs), Path(folder), np.random.default_rng(int(seed))
    assert os.waitpid(_run(network, hr, out / "straight"), 0)[1] == 0
    kills = 0
    while kills < MAX_KILLS and _killed(_run(network, hr, out / "random"), out / "random/training.pt", rng):
        kills += 1
    assert os.waitpid(_run(network, hr, out / "random"), 0)[1] == 0
    calls, status = 0, int(network == "srmd")
    while status:
        calls += 1
        status = os.waitpid(_run(network, hr, out / "disk", calls), 0)[1]
        assert status in (0, signal.SIGKILL)
    print(kills, calls)


if __name__ == "__main__":
    main(*sys.argv[1:])
