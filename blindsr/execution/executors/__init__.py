"""Executors run tasks: in this process, in worker processes of this machine, or on a Dask cluster.

An executor for another engine is a module of this package with a class that has the methods of `Executor`, and a branch in
`open_executor`. Worker processes import this package, so it imports nothing heavy.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from blindsr.components.registry import Registry
    from blindsr.execution.resources import Resources
    from blindsr.execution.signals import Interrupts
    from blindsr.execution.tasks import Task
    from blindsr.pipeline.outcome import Failure, Outcome
    from blindsr.pipeline.plan import Plan


class TaskError(Exception):
    """A task gave nothing, through no fault of its own code."""


class StepTimeoutError(TaskError):
    """A task ran for longer than it may, and was stopped."""


class WorkerDiedError(TaskError):
    """The worker of a task ended before the task did: killed, out of memory, or crashed."""


class NoWorkerError(TaskError):
    """No worker was left to take the task, which was not begun."""


@dataclass
class Update:
    """What happened since the last poll: tasks that ended, by key, and how far others are (done, total)."""

    ended: dict[str, Outcome | Failure | TaskError] = field(default_factory=dict)
    progress: dict[str, tuple[int, int]] = field(default_factory=dict)


class Executor(Protocol):
    """Runs tasks, one at a time for each of its workers."""

    @property
    def workers(self) -> int:
        """How many tasks can run at a time, as of the last `poll`."""
        ...

    def submit(self, key: str, task: Task) -> None:
        """Start a task. There must be fewer running than there are workers."""
        ...

    def poll(self, seconds: float) -> Update:
        """Wait until something happens, at most so long, and say what did.

        Raises
        ------
        BlindSRError
            If no task can be run any more.
        """
        ...

    def close(self, *, now: bool = False) -> None:
        """Release the workers; `now` stops what they are doing."""
        ...


def open_executor(
    resources: Resources,
    plan: Plan,
    registry: Registry,
    steps: int,
    *,
    interrupts: Interrupts,
    note: Callable[[str], None],
    progress: Callable[[str, int, int], None],
) -> Executor:
    """The executor for that many steps of a plan.

    Parameters
    ----------
    note
        Is called with what the user should know about workers.
    progress
        Is called with (key, done, total) while a task runs in this process, which cannot be polled.

    Raises
    ------
    BlindSRError
        If a cluster cannot be reached, or lacks something.
    """
    if resources.dask:
        from blindsr.execution.executors.dask import DaskExecutor, requirements

        needs = requirements(plan, registry)
        with interrupts.at_once():
            return DaskExecutor(resources.dask, needs, interrupts, threads=resources.threads, timeout=resources.timeout, note=note)
    workers = resources.workers_for(steps)
    if not workers:
        from blindsr.execution.executors.in_process import InProcessExecutor

        return InProcessExecutor(resources.threads, progress, interrupts)
    from blindsr.execution.executors.processes import ProcessExecutor, visible_gpus

    gpus = visible_gpus() if resources.device == "cuda" else []
    return ProcessExecutor(workers, threads=resources.threads, timeout=resources.timeout, gpus=gpus)
