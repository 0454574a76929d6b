"""Chooses where steps run: in this process, in others of this machine, or on a Dask cluster."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path

from blindsr import __version__
from blindsr.components.registry import Registry
from blindsr.errors import BlindSRError
from blindsr.execution.device import cores, gpus, resolve_device
from blindsr.execution.events import Listener
from blindsr.execution.processes import InProcess, Pool, ProcessPool
from blindsr.execution.signals import Interrupts
from blindsr.pipeline.plan import Plan


@dataclass(frozen=True)
class Placement:
    """Where the steps of a run are computed.

    Attributes
    ----------
    device
        ``cpu``, ``cuda``, or ``auto``: a GPU if there is one.
    workers
        Worker processes; 0 runs everything in this process; None: one for each `threads` cores, or one for each GPU.
    threads
        Threads of each worker. Float sums depend on it, so results are equal bit for bit only for equal numbers.
    timeout
        Seconds after which a step is given up; None: never. Not for ``workers=0``.
    dask
        Run on the workers of this Dask scheduler instead, which resolve the device themselves.

    Raises
    ------
    BlindSRError
        If two of these do not go together.
    """

    device: str = "auto"
    workers: int | None = None
    threads: int = 1
    timeout: float | None = None
    dask: str | None = None

    def __post_init__(self) -> None:
        if self.dask and self.workers is not None:
            raise BlindSRError("--workers is for this machine; a Dask cluster has the workers that were started for it")
        if self.workers == 0 and self.timeout is not None:
            raise BlindSRError("--timeout needs a worker process that can be stopped: --workers 1 or more")
        if self.timeout is not None and not 0 < self.timeout < math.inf:
            raise BlindSRError(f"--timeout {self.timeout}: must be a number of seconds above 0")

    def resolved(self) -> Placement:
        """The same with the device that ``auto`` means here.

        Raises
        ------
        BlindSRError
            If the device is not there.
        """
        return self if self.dask else replace(self, device=resolve_device(self.device))

    def workers_for(self, steps: int) -> int:
        """How many processes of this machine so many steps get."""
        if self.workers is not None:
            return self.workers
        return max(1, min(gpus() if self.device == "cuda" else cores() // self.threads, steps))

    def pool(self, plan: Plan, registry: Registry, steps: int, folder: Path, listener: Listener, interrupts: Interrupts) -> Pool:
        """The pool for so many steps of a plan; its workers keep notes of their progress in the folder.

        Raises
        ------
        BlindSRError
            If the cluster cannot be reached, or lacks something; or the folder cannot be made.
        """
        if self.dask:
            from blindsr.execution.dask_cluster import DaskPool

            with interrupts.at_once():
                return DaskPool(
                    self.dask, needs(plan, registry), interrupts, threads=self.threads, timeout=self.timeout, note=listener.note
                )
        workers = self.workers_for(steps)
        if not workers:
            return InProcess(self.threads, lambda key, done, total: listener.progress(plan.steps[key], done, total), interrupts)
        return ProcessPool(workers, self.threads, folder, timeout=self.timeout, gpus=gpus() if self.device == "cuda" else 0)


def needs(plan: Plan, registry: Registry) -> dict[str, tuple[str, str]]:
    """The modules that a plan's steps import, and the distribution and version that each is of here."""
    found = {"blindsr": ("blindsr", __version__)} | {name: (name, version(name)) for name in ("numpy", "torch")}
    used = {type(step.component) for step in plan.steps.values() if step.component}
    entries = [entry for entry in registry.entries.values() if entry.component in used]
    return found | {entry.component.__module__: (entry.distribution, entry.version) for entry in entries}
