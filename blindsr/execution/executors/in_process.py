"""An executor without workers: tasks run in this process, one after another."""

from __future__ import annotations

from collections.abc import Callable

from blindsr.execution.executors import Update
from blindsr.execution.perform import attempt
from blindsr.execution.signals import Interrupts
from blindsr.execution.tasks import Task


class InProcessExecutor:
    """Computes each task as it is submitted: for debuggers, and for steps too short to be sent away.

    Meanwhile `progress` is called with (key, done, total), and signals take effect at once.
    """

    workers = 1

    def __init__(self, threads: int, progress: Callable[[str, int, int], None], interrupts: Interrupts) -> None:
        import torch

        torch.set_num_threads(threads)
        self._progress = progress
        self._interrupts = interrupts
        self._update = Update()

    def submit(self, key: str, task: Task) -> None:
        with self._interrupts.at_once():
            self._update.ended[key] = attempt(task, lambda done, total: self._progress(key, done, total))

    def poll(self, seconds: float) -> Update:
        update, self._update = self._update, Update()
        return update

    def close(self, *, now: bool = False) -> None:
        pass
