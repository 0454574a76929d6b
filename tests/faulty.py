"""Components that misbehave, for tests: importable by worker processes."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np

from blindsr.interfaces import KernelEstimator, RunContext
from blindsr.kernel import Kernel
from blindsr.pipeline import Pipeline, load
from blindsr.registry import Entry, Registry
from pipelines import QUICK, write

if TYPE_CHECKING:
    from blindsr.interfaces import Image


class Faulty(KernelEstimator):
    """Gives the bicubic kernel, or what `fault` says, as long as the folder `left` holds a file; it takes one each time."""

    name: ClassVar[str] = "faulty"

    fault: Literal["die", "hang", "array", "scale", "nan", "modify", "raise"]
    left: str

    def estimate(self, lr: Image, scale: int, run: RunContext) -> Kernel:
        files = sorted(Path(self.left).glob("*"))
        if not files:
            return Kernel.bicubic(scale)
        files[0].unlink()
        if self.fault == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.fault == "hang":
            time.sleep(1000)
        if self.fault == "array":
            return np.eye(3)  # type: ignore[return-value]
        if self.fault == "scale":
            return Kernel.bicubic(scale + 1)
        if self.fault == "nan":
            return Kernel(np.full((3, 3), np.nan), scale)
        if self.fault == "modify":
            lr[0] = 0
        raise RuntimeError("\x1b[31mred\nlines")


def registry() -> Registry:
    """The installed components, and the faulty one."""
    installed = Registry.discover()
    return Registry({**installed.entries, ("kernel", "faulty"): Entry("kernel", Faulty, "tests", "0")})


def pipeline(folder: Path, fault: str, times: int) -> Pipeline:
    """`QUICK` with a row whose estimate misbehaves so many times."""
    left = folder / "left"
    left.mkdir(exist_ok=True)
    for number in range(times):
        (left / str(number)).touch()
    row = f"  Bad: {{kernel: {{faulty: {{fault: {fault}, left: {left}}}}}, sr: bicubic}}\n"
    return load(write(folder, QUICK + row), registry())
