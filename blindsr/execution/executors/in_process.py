"""An executor without workers: tasks run in this process, one after another."""

from __future__ import annotations

from collections.abc import Callable

from blindsr.execution.executors import Update
from blindsr.execution.perform import attempt
from blindsr.execution.signals import Interrupts
from blindsr.execution.tasks import Task
from blindsr.pipeline.outcome import Failure, Outcome


class InProcessExecutor:
    """Computes each task as it is submitted: for debuggers, and for steps too short to be sent away.

    Parameters
    ----------
    threads
        Of torch, in this process from now on.
    progress
        Is called with (key, done, total) while a task runs.
    interrupts
        Signals take effect at once while a task runs.
    """

    workers = 1

    def __init__(self, threads: int, progress: Callable[[str, int, int], None], interrupts: Interrupts) -> None:
        import torch

        torch.set_num_threads(threads)
        self._progress = progress
        self._interrupts = interrupts
        self._ended: dict[str, Outcome | Failure] = {}

    def submit(self, key: str, task: Task) -> None:
        with self._interrupts.at_once():
            self._ended[key] = attempt(task, lambda done, total: self._progress(key, done, total))

    def poll(self, seconds: float) -> Update:
        ended, self._ended = self._ended, {}
        return Update(ended={**ended})

    def close(self, *, now: bool = False) -> None:
        pass
