"""Components that fail in many ways, for tests. They are in a module so that worker processes can import them."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from blindsr import __version__
from blindsr.components.interfaces import KernelEstimator, NonBlindSR, RunContext, Upscaler
from blindsr.components.parameters import InputFile
from blindsr.components.registry import RegisteredComponent, Registry
from blindsr.imaging.kernel import Kernel
from blindsr.pipeline.loader import load
from blindsr.pipeline.schema import Pipeline
from pipelines import QUICK, write

if TYPE_CHECKING:
    from blindsr.components.interfaces import Image


def _takes_one(folder: str) -> bool:
    """Remove a file from the folder; whether there was one."""
    file = next(Path(folder).glob("*"), None)
    if file:
        file.unlink()
    return file is not None


class Wrapped(Kernel):
    """A kernel that cannot be pickled, and so not be sent to another process."""

    def __reduce__(self) -> tuple[object, ...]:
        raise TypeError("not for sending")


class SpeechlessError(Exception):
    """An exception whose `str` raises another exception."""

    def __str__(self) -> str:
        raise RuntimeError("and this, too")


class Faulty(KernelEstimator):
    """Returns the bicubic kernel. As long as the folder `left` holds files, it removes one and fails as `fault` says."""

    name: ClassVar[str] = "faulty"

    fault: str
    left: str

    def __setstate__(self, state: dict[str, object]) -> None:
        super().__setstate__(state)
        if self.fault == "arrival" and _takes_one(self.left):  # in a worker that has not started its step
            os.kill(os.getpid(), signal.SIGKILL)

    def estimate(self, lr: Image, scale: int, run: RunContext) -> Kernel:
        if not _takes_one(self.left):
            return Kernel.bicubic(scale)
        faults: dict[str, Callable[[], object]] = {
            "die": lambda: os.kill(os.getpid(), signal.SIGKILL),
            "exit": lambda: sys.exit("enough"),
            "hang": lambda: time.sleep(1000),
            "leave": lambda: os._exit(0),
            "leave in C": lambda: ctypes.CDLL(None).exit(0),
            "fork": lambda: _forks(Kernel.bicubic(scale)),
            "speechless": lambda: _raise(SpeechlessError()),
            "base": lambda: _raise(GeneratorExit()),
            "deaf": lambda: (signal.signal(signal.SIGTERM, signal.SIG_IGN), time.sleep(1000)),
            "speak": lambda: (sys.stderr.write("."), Kernel.bicubic(scale))[1],
            "array": lambda: np.eye(3),
            "scale": lambda: Kernel.bicubic(scale + 1),
            "nan": lambda: Kernel(np.full((3, 3), np.nan), scale),
            "wrapped": lambda: Wrapped(Kernel.bicubic(scale).array, scale),
            "modify": lambda: lr.__setitem__(0, 0),
            "interrupt": lambda: _raise(KeyboardInterrupt()),
            "raise": lambda: _raise(RuntimeError("\x1b[31mred\nlines")),
        }
        return faults[self.fault]()  # type: ignore[return-value]


def _forks(kernel: Kernel) -> Kernel:
    """The kernel, after checking that a forked process ends with exit code 0."""
    child = os.fork()
    if not child:
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    return kernel


def _raise(error: BaseException) -> None:
    raise error


class FaultySR(NonBlindSR):
    """Repeats pixels, or fails in the way of `Faulty`."""

    name: ClassVar[str] = "faulty_sr"

    fault: str
    left: str

    def fit(self, lr: Image, kernel: Kernel, run: RunContext) -> Upscaler:
        fault = self.fault if _takes_one(self.left) else ""
        if fault == "raise":
            raise RuntimeError("it would not")
        if fault == "upscaler":
            return None  # type: ignore[return-value]
        return FaultyUpscaler(fault, kernel.scale)


class ReadsAFile(NonBlindSR):
    """Repeats pixels; it has a file parameter that it never reads."""

    name: ClassVar[str] = "reads_a_file"

    file: InputFile

    def fit(self, lr: Image, kernel: Kernel, run: RunContext) -> Upscaler:
        return FaultyUpscaler("", kernel.scale)


class FaultyUpscaler:
    halo: int | None = 2

    def __init__(self, fault: str, scale: int) -> None:
        self.fault = fault
        self.scale = scale
        if fault == "halo":
            self.halo = -3
        if fault == "no_halo":
            self.halo = "wide"  # type: ignore[assignment]

    def __call__(self, tile: Image) -> Image:
        sr = tile.repeat(self.scale, axis=0).repeat(self.scale, axis=1)
        if self.fault in ("nan", "inf"):
            sr[3, 4, 1] = float(self.fault)
        if self.fault == "modify":
            tile[0] = 0
        wrong: dict[str, object] = {"shape": sr[1:], "channels": sr[..., 0], "text": "sharp", "none": None, "complex": sr + 1j}
        wrong["integer"] = np.zeros(sr.shape, np.uint8)
        return wrong.get(self.fault, sr)  # type: ignore[return-value]


def registry() -> Registry:
    """The installed components and the faulty ones."""
    installed = Registry.discover()
    components = {("kernel", "faulty"): Faulty, ("sr", "faulty_sr"): FaultySR, ("sr", "reads_a_file"): ReadsAFile}
    faulty = {place: RegisteredComponent(place[0], component, "blindsr", __version__) for place, component in components.items()}
    return Registry({**installed.entries, **faulty})


def pipeline(folder: Path, fault: str, times: int, *, sr: bool = False) -> Pipeline:
    """`QUICK` with another row, whose estimate (or SR) fails the first `times` times."""
    left = folder / "left"
    left.mkdir(exist_ok=True)
    for number in range(times):
        (left / str(number)).touch()
    settings = f"{{fault: {fault}, left: {left}}}"
    row = f"  Bad: {{sr: {{faulty_sr: {settings}}}}}\n" if sr else f"  Bad: {{kernel: {{faulty: {settings}}}, sr: bicubic}}\n"
    return load(write(folder, QUICK + row), registry())
