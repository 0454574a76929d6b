"""Runs a plan's steps on a pool. The parent alone reads the inputs and writes the results."""

from __future__ import annotations

import functools
import heapq
import re
import time
import traceback
from collections.abc import Callable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

from blindsr import __version__
from blindsr.device import cores, gpus, resolve_device
from blindsr.errors import BlindSRError
from blindsr.files import sha256
from blindsr.forecast import Timings
from blindsr.image import read_image, write_png
from blindsr.lock import locked
from blindsr.plan import Absent, ImageFile, Input, KernelFile, Plan, Step
from blindsr.pool import InProcess, NoWorkerError, Pool, ProcessPool, StepTimeoutError, WorkerDiedError
from blindsr.registry import Registry
from blindsr.result import provenance, write_result
from blindsr.steps import Outcome, Task
from blindsr.store import DamagedStepError, Done, Failure, StepStore
from blindsr.upkeep import PROGRESS, STEPS, list_steps

POLL_SECONDS = 0.25
HASHES = "hashes.json"


class Listener(Protocol):
    """Hears what happens to steps, for people to see."""

    def begun(self, steps: int) -> None:
        """So many steps are to be done."""
        ...

    def started(self, step: Step) -> None:
        """A step begins."""
        ...

    def progress(self, step: Step, done: int, total: int) -> None:
        """A step says how far it is."""
        ...

    def ended(self, step: Step, outcome: Outcome | Failure) -> None:
        """A step has ended, well or not."""
        ...

    def note(self, text: str) -> None:
        """Something about the input that the user should know."""
        ...


@dataclass
class Report:
    """What a run did: step keys computed now, found in the cache, and failed; files written."""

    plan: Plan
    folder: Path
    computed: dict[str, None] = field(default_factory=dict)
    cached: dict[str, None] = field(default_factory=dict)
    failures: dict[str, Failure] = field(default_factory=dict)
    interrupted: bool = False

    def damaged(self, error: DamagedStepError) -> bool:
        """Note that a step's file was set aside; whether it is to be given up, since this very run had made it."""
        self.cached.pop(error.key, None)
        if error.key in self.computed:
            self.failures[error.key] = Failure(str(error))
        return error.key in self.failures

    @property
    def result(self) -> Path:
        """The consolidated result file."""
        return self.folder / "result.h5"


def run(
    plan: Plan,
    registry: Registry,
    *,
    out: Path,
    device: str = "auto",
    workers: int | None = None,
    threads: int = 1,
    timeout: float | None = None,
    dask: str | None = None,
    listener: Listener,
) -> Report:
    """Run all that is not yet done of a plan, and consolidate the result.

    Parameters
    ----------
    out
        The folder of results; finished steps lie in ``out/steps`` and serve later runs.
    device
        ``cpu``, ``cuda``, or ``auto``: a GPU if there is one.
    workers
        Worker processes; 0 runs everything in this process; None: one for each ``threads`` cores, or one for each GPU.
    threads
        Threads of each worker. Float sums depend on it, so results are equal bit for bit only for equal numbers.

    timeout
        Seconds after which a step is given up; None: never. Not for ``workers=0``.
    dask
        Run the steps on the workers of this Dask scheduler instead, which resolve the device themselves.

    Raises
    ------
    BlindSRError
        If the folder cannot be written, another run is using it, or the device is not there.
    """
    pipeline = plan.pipeline
    folder = out / f"{pipeline.name}-{plan.dataset.name}-x{pipeline.scale}"
    steps = StepStore(out / STEPS)
    report = Report(plan, folder)
    with locked(out):
        timings = Timings(out)
        list_steps(folder, list(plan.steps))
        report.cached = dict.fromkeys(key for key in plan.steps if key in steps)
        while True:
            missing = [key for key in plan.steps if key not in steps and key not in report.failures]
            if missing and not report.interrupted:
                device = device if dask else resolve_device(device)
                pool = functools.partial(
                    _pool, plan, registry, workers, threads, device, timeout, dask, len(missing), out / PROGRESS, listener
                )
                _Run(plan, steps, report, listener, device, threads, timeout, timings).all(missing, pool)
            try:
                _conclude(report, steps, listener, provenance(plan, _plugins(registry), device=device, threads=threads))
            except DamagedStepError as error:
                listener.note(str(error))
                report.damaged(error)
            else:
                return report


def _conclude(report: Report, steps: StepStore, listener: Listener, about: Mapping[str, Any]) -> None:
    """Write all that is finished where people look for it."""
    _tell_registration(report, steps, listener)
    write_images(report, steps)
    write_result(report.result, report.plan, steps, report.failures, about)


class _Run:
    """The bookkeeping of one run: which steps wait, which are under way."""

    def __init__(
        self, plan: Plan, steps: StepStore, report: Report, listener: Listener, device: str, threads: int,
        timeout: float | None, timings: Timings,
    ) -> None:  # fmt: skip
        self.plan = plan
        self.steps = steps
        self.report = report
        self.listener = listener
        self.device = device
        self.threads = threads
        self.timeout = timeout
        self.timings = timings
        self.tried_again: set[str] = set()
        self.waits_for: dict[str, set[str]] = {}  # of every step that is not done yet: what must be done before it
        self.ready: list[tuple[int, int, str]] = []  # a heap: what most depends on comes first, then the plan's order
        self.under_way: dict[Future[Outcome | Failure], Step] = {}
        self.noted: set[Path] = set()
        self.order = {key: (-height, number) for number, (key, height) in enumerate(_heights(plan).items())}
        self.dependants: dict[str, list[str]] = {key: [] for key in plan.steps}
        for step in plan.steps.values():
            for key in step.needs:
                self.dependants[key].append(step.key)

    def all(self, missing: list[str], make_pool: Callable[[Callable[[str, int, int], None]], Pool]) -> None:
        for key in missing:
            self._schedule(key)
        self.listener.begun(len(self.waits_for))
        pool = make_pool(self._on_progress)
        finished = False
        try:
            while self.ready or self.under_way:
                while self.ready and len(self.under_way) < pool.workers:
                    self._start(self.plan.steps[heapq.heappop(self.ready)[-1]], pool)
                self._collect(pool)
            finished = True
        except KeyboardInterrupt:
            self.report.interrupted = True
        finally:
            pool.close(now=not finished)
            self.timings.save()

    def _schedule(self, key: str) -> None:
        """Have a step done, and before it all that it needs and is not there."""
        if key in self.waits_for:
            return
        self.waits_for[key] = {need for need in self.plan.steps[key].needs if need not in self.steps}
        for need in list(self.waits_for[key]):
            if need in self.report.failures:
                self._end(self.plan.steps[key], self.report.failures[need])
                return
            self._schedule(need)
        if not self.waits_for[key]:
            heapq.heappush(self.ready, (*self.order[key], key))

    def _start(self, step: Step, pool: Pool) -> None:
        self.listener.started(step)
        try:
            task = self._task(step)
        except DamagedStepError as error:
            self.listener.note(str(error))
            if self.report.damaged(error):
                self._end(step, Failure(str(error)))
            else:
                self.waits_for[step.key].add(error.key)
                self._schedule(error.key)
        except BlindSRError as error:
            self._end(step, Failure(str(error)))
        else:
            self.under_way[pool.submit(step.key, task)] = step

    def _collect(self, pool: Pool) -> None:
        if not self.under_way:
            if self.ready and not pool.workers:
                time.sleep(POLL_SECONDS)  # all workers are gone; others may come
            return
        done, _ = wait(self.under_way, POLL_SECONDS, FIRST_COMPLETED)
        for future in done:
            step = self.under_way.pop(future)
            try:
                outcome = pool.result(future)
            except StepTimeoutError:
                outcome = Failure(f"{step.label} took longer than --timeout {self.timeout:g} seconds and was stopped")
            except NoWorkerError:
                heapq.heappush(self.ready, (*self.order[step.key], step.key))
                continue
            except WorkerDiedError as error:
                if step.key not in self.tried_again:
                    self.tried_again.add(step.key)
                    self.listener.note(
                        f"{step.item}: the worker process of {step.label} ended abruptly ({error}); it is tried once more"
                    )
                    heapq.heappush(self.ready, (*self.order[step.key], step.key))
                    continue
                outcome = Failure(
                    f"the worker process ended abruptly, twice ({error}); it may have run out of memory: try --workers 1"
                )
            self._end(step, outcome)
        for step in self.under_way.values():
            if state := pool.progress(step.key):
                self.listener.progress(step, *state)

    def _end(self, step: Step, outcome: Outcome | Failure) -> None:
        """Keep what a step gave, and let go what waits for it; or fail with it all that needs it."""
        self.waits_for.pop(step.key, None)
        if isinstance(outcome, Outcome):
            outcome = self._saved(step, outcome)
        self.listener.ended(step, outcome)
        if isinstance(outcome, Failure):
            self.report.failures[step.key] = outcome
            for key in self.dependants[step.key]:
                if key in self.waits_for:
                    self._end(self.plan.steps[key], outcome)
            return
        self.report.computed[step.key] = None
        self.timings.add(step, outcome.seconds)
        self.report.cached.pop(step.key, None)
        for key in self.dependants[step.key]:
            waits = self.waits_for.get(key, set())
            if step.key in waits:
                waits.remove(step.key)
                if not waits:
                    heapq.heappush(self.ready, (*self.order[key], key))

    def _saved(self, step: Step, outcome: Outcome) -> Outcome | Failure:
        try:
            self.steps.save(step.key, step.kind, Done(outcome, outcome.device, self.threads))
        except BlindSRError:  # the disk is full, or the like: no later step would fare better
            raise
        except Exception as error:  # a plugin gave what cannot be stored
            return Failure(f"the outcome cannot be stored ({type(error).__name__}: {error})", traceback.format_exc())
        if "sr" in outcome.arrays:
            write_images(self.report, self.steps, only=step.key)
        return outcome

    def _on_progress(self, key: str, done: int, total: int) -> None:
        self.listener.progress(self.plan.steps[key], done, total)

    def _task(self, step: Step) -> Task:
        inputs = {role: self._input(source, step.item) for role, source in step.inputs.items()}
        paths = {role: str(source.path) for role, source in step.inputs.items() if isinstance(source, ImageFile | KernelFile)}
        return Task(step.kind, step.component, step.scale, inputs, step.key, step.kernel_seed, self.device, paths)

    def _input(self, source: Input, item: str) -> Any:
        if isinstance(source, Absent):
            raise BlindSRError(source.message)
        if isinstance(source, ImageFile | KernelFile) and sha256(source.path) != source.sha256:
            raise BlindSRError(f"{source.path}: changed since the run began; run again")
        if isinstance(source, ImageFile):
            picture = read_image(source.path)
            if picture.notes and source.path not in self.noted:
                self.noted.add(source.path)
                self.listener.note(f"{item}: {'; '.join(picture.notes)}")
            return picture.pixels
        if isinstance(source, KernelFile):
            return source.read()
        outcome = self.steps.load(source.key).outcome
        return outcome.kernel if source.what == "kernel" else outcome.arrays[source.what]


def write_images(report: Report, steps: StepStore, *, only: str | None = None) -> None:
    """Write ``images/METHOD/ITEM.png`` (with several seeds ``images/METHOD/seed-N/ITEM.png``) of what was done before this run.

    `only` writes those of one upscaling step instead.
    """
    plan = report.plan
    names = folder_names([method.name for method in plan.pipeline.methods])
    keys = [only] if only else [key for key in plan.uses if key in steps and key not in report.computed]
    for key in keys:
        pixels = steps.load(key).outcome.arrays["sr"]
        for row in plan.uses[key]:
            folder = report.folder / "images" / names[row.method.name]
            if len(plan.pipeline.seeds) > 1:
                folder /= f"seed-{row.seed}"
            write_png(folder / f"{row.item}.png", pixels)


def _tell_registration(report: Report, steps: StepStore, listener: Listener) -> None:
    """Say how well the stored true kernels regenerate their LR images."""
    keys = [key for key, step in report.plan.steps.items() if step.kind == "register" and key in steps]
    values = [steps.load(key).outcome.values for key in keys]
    if values:
        stored, moved = ([value[name] for value in values] for name in ("residual_stored", "residual_moved"))
        used = sum(value["moved"] > 0 for value in values)
        listener.note(
            f"the true kernels regenerate their LR images to {min(stored):.3f}..{max(stored):.3f} of 255 (RMS) as stored, "
            f"to {min(moved):.3f}..{max(moved):.3f} after the best shift; {used} of {len(values)} are used shifted"
        )


def folder_names(names: list[str]) -> dict[str, str]:
    """A folder name for each method name: its letters, digits and ``+ - _ . ,``, told apart by a number where need be."""
    taken: dict[str, str] = {}
    for name in names:
        plain = re.sub(r"[^\w+.,-]+", "_", name).strip("._") or "method"
        number = 2
        unique = plain
        while unique in taken.values():
            unique, number = f"{plain}-{number}", number + 1
        taken[name] = unique
    return taken


def _pool(
    plan: Plan, registry: Registry, workers: int | None, threads: int, device: str, timeout: float | None, dask: str | None,
    steps: int, folder: Path, listener: Listener, report: Callable[[str, int, int], None],
) -> Pool:  # fmt: skip
    """Where the steps run."""
    if dask:
        from blindsr.cluster import DaskPool

        return DaskPool(dask, needs(plan, registry), threads=threads, timeout=timeout, note=listener.note)
    count = _workers(workers, threads, device, steps)
    if not count:
        return InProcess(threads, report)
    return ProcessPool(count, threads, folder, timeout=timeout, gpus=gpus() if device == "cuda" else 0)


def needs(plan: Plan, registry: Registry) -> dict[str, tuple[str, str]]:
    """The modules that a plan's steps import, and the distribution and version that each is of here."""
    found = {"blindsr": ("blindsr", __version__)} | {name: (name, version(name)) for name in ("numpy", "torch")}
    used = {type(step.component) for step in plan.steps.values() if step.component}
    entries = [entry for entry in registry.entries.values() if entry.component in used]
    return found | {entry.component.__module__: (entry.distribution, entry.version) for entry in entries}


def _workers(workers: int | None, threads: int, device: str, steps: int) -> int:
    if workers is not None:
        return workers
    return max(1, min(gpus() if device == "cuda" else cores() // threads, steps))


def _heights(plan: Plan) -> Mapping[str, int]:
    """How many steps still hang on each step, one after another."""
    heights = dict.fromkeys(plan.steps, 0)
    for step in reversed(plan.steps.values()):
        for key in step.needs:
            heights[key] = max(heights[key], heights[step.key] + 1)
    return heights


def _plugins(registry: Registry) -> list[dict[str, str]]:
    return [
        {"name": e.component.name, "kind": e.kind, "distribution": e.distribution, "version": e.version}
        for e in registry.entries.values()
    ]
