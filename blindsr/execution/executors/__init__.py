"""Executors run tasks: in this process, in worker processes of this machine, or on a Dask cluster.

An executor for another engine is a module of this package with a class that has the methods of `Executor`, and a branch in
`open_executor`. Worker processes import this package, so it imports nothing heavy.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol

from blindsr.execution.resources import Resources, visible_gpus

if TYPE_CHECKING:
    from blindsr.components.registry import Registry
    from blindsr.components.signals import Interrupts
    from blindsr.execution.events import Listener
    from blindsr.execution.tasks import Task
    from blindsr.pipeline.outcome import Failure, Outcome
    from blindsr.pipeline.plan import Plan


class Lost(NamedTuple):
    """Why a task gave nothing: it was stopped as it ran too long, its worker ended before it did, or no worker was left for it."""

    why: Literal["timeout", "worker died", "no worker"]
    how: str = ""


@dataclass
class Update:
    """What happened since the last poll: tasks that ended, by key, and how far others are (done, total)."""

    ended: dict[str, Outcome | Failure | Lost] = field(default_factory=dict)
    progress: dict[str, tuple[int, int]] = field(default_factory=dict)


class Executor(Protocol):
    """Runs tasks, on each of its workers one at a time, or several that are computed together."""

    @property
    def device(self) -> str | None:
        """Where all of its workers compute, 'cpu' or 'cuda'; None if each of them decides."""
        ...

    @property
    def workers(self) -> int:
        """How many workers can run at a time, as of the last `poll`."""
        ...

    def submit(self, tasks: Mapping[str, Task]) -> None:
        """Have a worker start a task, or several together, by their keys. One of the workers must have nothing to do.

        Several tasks are estimates of one component for one scale (`blindsr.execution.perform.attempt_all`). Each ends by itself.
        """

    def poll(self, seconds: float) -> Update:
        """Wait until something happens, at most so long, and say what did; a `BlindSRError` if no task can be run any more."""
        ...

    def close(self, *, now: bool = False) -> None:
        """Release the workers; `now` stops what they are doing."""


class InProcessExecutor:
    """Computes tasks in this process as they are submitted: for debuggers, and for steps too short to be sent away.

    Meanwhile `progress` is called with (key, done, total), and signals take effect at once.
    """

    workers = 1

    def __init__(
        self, threads: int, progress: Callable[[str, int, int], None], interrupts: Interrupts, device: str = "cpu"
    ) -> None:
        import torch

        self._threads_before = torch.get_num_threads()
        torch.set_num_threads(threads)
        self.device = device
        self._progress = progress
        self._interrupts = interrupts
        self._update = Update()

    def submit(self, tasks: Mapping[str, Task]) -> None:
        from blindsr.execution.perform import attempt_all

        keys = list(tasks)
        with self._interrupts.at_once():
            ended = attempt_all(list(tasks.values()), lambda number, done, total: self._progress(keys[number], done, total))
        self._update.ended |= zip(keys, ended, strict=True)

    def poll(self, seconds: float) -> Update:
        update, self._update = self._update, Update()
        return update

    def close(self, *, now: bool = False) -> None:
        import torch

        torch.set_num_threads(self._threads_before)  # the caller's


def open_executor(
    resources: Resources, plan: Plan, registry: Registry, steps: int, listener: Listener, interrupts: Interrupts
) -> Executor:
    """The executor for that many steps of a plan; a `BlindSRError` if a cluster cannot be reached, or lacks something."""
    if resources.dask:
        from blindsr.execution.executors.dask import DaskExecutor, requirements

        needs = requirements(plan, registry)
        with interrupts.at_once():
            return DaskExecutor(resources.dask, needs, interrupts, listener.note, resources.threads, resources.timeout)
    workers = resources.workers_for(steps)
    if not workers:

        def progress(key: str, done: int, total: int) -> None:
            listener.progress(plan.steps[key], done, total)

        return InProcessExecutor(resources.threads, progress, interrupts, resources.device)
    from blindsr.execution.executors.processes import ProcessExecutor

    gpus = visible_gpus() if resources.device == "cuda" else []
    return ProcessExecutor(workers, threads=resources.threads, timeout=resources.timeout, device=resources.device, gpus=gpus)
