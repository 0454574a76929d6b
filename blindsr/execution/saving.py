"""Outcomes on their way to the disk: written by threads while other steps run, and the last ones kept in memory."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path

from blindsr.errors import BlindSRError, described
from blindsr.imaging.kernel import Kernel
from blindsr.pipeline.outcome import Failure, Outcome
from blindsr.pipeline.steps import Step
from blindsr.storage.step_store import StepStore

SAVING_THREADS = 4
"""HDF5 writes one file at a time; compressing PNG and waiting for the disk go on beside it."""
MAX_WAITING = 8
"""Outcomes that may wait for the disk: they lie in memory."""
MAX_RECENT_BYTES = 128 << 20


class RecentSteps(StepStore):
    """A step store that also keeps the last outcomes in memory, for the steps and rows that need them."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._recent: dict[str, Outcome] = {}
        self._bytes = 0

    def keep(self, key: str, outcome: Outcome) -> None:
        """Keep an outcome in memory, as `load` would give it; the oldest give way."""
        outcome.kernel = outcome.kernel and _plain(outcome.kernel)
        self._forget(key)
        self._recent[key] = outcome
        self._bytes += _size(outcome)
        while self._bytes > MAX_RECENT_BYTES:
            self._forget(next(iter(self._recent)))

    def load(self, key: str) -> Outcome:
        return self._recent.get(key) or super().load(key)

    def _forget(self, key: str) -> None:
        if key in self._recent:
            self._bytes -= _size(self._recent.pop(key))


class StepSaver:
    """Saves outcomes in threads of its own, by `save`, which writes the outcome of a step."""

    def __init__(self, save: Callable[[Step, Outcome], None]) -> None:
        self._save = save
        self._threads = ThreadPoolExecutor(SAVING_THREADS, "blindsr-save")
        self._saving: dict[Future[None], tuple[Step, Outcome | Failure]] = {}

    def __len__(self) -> int:
        return len(self._saving)

    @property
    def full(self) -> bool:
        """Whether so many outcomes wait that others should come later."""
        return len(self._saving) >= MAX_WAITING

    def submit(self, step: Step, outcome: Outcome) -> None:
        self._saving[self._threads.submit(self._save, step, outcome)] = step, outcome

    def poll(self, seconds: float) -> list[tuple[Step, Outcome | Failure]]:
        """The steps whose outcomes are on the disk by now, or could not be stored; wait for the first at most so long.

        Raises a `BlindSRError` if the disk is full or the like: no later step would fare better.
        """
        ended: list[tuple[Step, Outcome | Failure]] = []
        for future in wait(self._saving, seconds, FIRST_COMPLETED).done:
            step, saved = self._saving.pop(future)
            try:
                future.result()
            except BlindSRError:
                raise
            except Exception as error:  # a plugin gave what cannot be stored
                saved = Failure(f"the outcome cannot be stored ({described(error)})", traceback.format_exc())
            ended.append((step, saved))
        return ended

    def close(self) -> None:
        """Wait for the threads; `poll` then gives what they did."""
        self._threads.shutdown()


def _plain(kernel: Kernel) -> Kernel:
    """The kernel without what a plugin's own class may add to it."""
    return Kernel(kernel.array, kernel.scale, kernel.half and _plain(kernel.half), kernel.expected_error)


def _size(outcome: Outcome) -> int:
    arrays = [*outcome.arrays.values(), *outcome.curves.values(), *([outcome.kernel.array] if outcome.kernel else [])]
    return sum(array.nbytes for array in arrays) + 10_000  # about what the objects take
