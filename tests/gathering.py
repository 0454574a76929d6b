"""An estimator that takes many images at once and says with how many, for tests; in a module that worker processes can import."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from faulty import Wrapped

from blindsr import __version__
from blindsr.components.interfaces import KernelEstimator, RunContext
from blindsr.components.registry import RegisteredComponent, Registry
from blindsr.errors import BlindSRError
from blindsr.imaging.kernel import Kernel

if TYPE_CHECKING:
    from blindsr.components.interfaces import Image


class Gathering(KernelEstimator):
    """A random Gaussian for each image, of up to four together on a CPU. Warnings tell how many were together.

    An image whose first pixel is black is no good: it fails by itself, or takes with it those that are there as `fault` says.
    """

    name: ClassVar[str] = "gathering"
    stochastic: ClassVar[bool] = True

    fault: str = ""

    def estimate(self, lr: Image, scale: int, run: RunContext) -> Kernel:
        run.warn("one alone")
        if not lr[0, 0].any():
            raise BlindSRError("the first pixel is black")
        return self._kernel(scale, run)

    def estimate_many(self, lrs: Sequence[Image], scale: int, runs: Sequence[RunContext]) -> list[Kernel | Exception]:
        black = [not lr[0, 0].any() for lr in lrs]
        if any(black):
            if self.fault == "raise":
                raise MemoryError
            if self.fault == "few":
                return []
            if self.fault == "die":
                os.kill(os.getpid(), signal.SIGKILL)
            if self.fault == "hang":
                time.sleep(1000)
        for number, run in enumerate(runs):
            run.warn(f"{len(lrs)} together")
            run.log("place", 0, number)
            run.progress(1, 1)
        answers = {
            "array": np.eye(3),
            "wrapped": Wrapped(Kernel.bicubic(scale).array, scale),
            "defect": ZeroDivisionError("by black"),
        }
        answer: Any = answers.get(self.fault, BlindSRError("the first pixel is black"))
        return [answer if bad else self._kernel(scale, run) for run, bad in zip(runs, black, strict=True)]

    def batch_size(self, device: str) -> int:
        if self.fault == "size":
            raise ZeroDivisionError("of sizes")
        return 4 if device == "cpu" else 1

    def _kernel(self, scale: int, run: RunContext) -> Kernel:
        return Kernel.gaussian(run.rng.uniform(1, 2), scale)


def registry() -> Registry:
    """The installed components and this one."""
    entry = RegisteredComponent("kernel", Gathering, "blindsr", __version__)
    return Registry({**Registry.discover().entries, ("kernel", "gathering"): entry})
