"""Runs a plan's steps on a pool. The parent alone reads the inputs and writes the results."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from blindsr.errors import BlindSRError
from blindsr.files import explained
from blindsr.image import read_image, write_png
from blindsr.plan import ImageFile, Input, KernelFile, Plan, Step
from blindsr.pool import InProcess, Pool, ProcessPool
from blindsr.registry import Registry
from blindsr.result import provenance, write_result
from blindsr.steps import Outcome, Task
from blindsr.store import DamagedStepError, Done, Failure, StepStore

POLL_SECONDS = 0.25


class Listener(Protocol):
    """Hears what happens to steps, for people to see."""

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
    computed: list[str] = field(default_factory=list)
    cached: list[str] = field(default_factory=list)
    failures: dict[str, Failure] = field(default_factory=dict)
    interrupted: bool = False

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
        Worker processes; 0 runs everything in this process; None: one for each ``threads`` cores, or one for a GPU.
    threads
        Threads of each worker. Float sums depend on it, so results are equal bit for bit only for equal numbers.

    Raises
    ------
    BlindSRError
        If the folder cannot be written, another run is using it, or the device is not there.
    """
    pipeline = plan.pipeline
    folder = out / f"{pipeline.name}-{plan.dataset.name}-x{pipeline.scale}"
    steps = StepStore(out / "steps")
    report = Report(plan, folder)
    with _locked(out):
        missing = [step for key, step in plan.steps.items() if key not in steps]
        report.cached = [key for key in plan.steps if key in steps]
        device = resolve_device(device) if missing else "cpu"
        if missing:
            _Run(plan, steps, report, listener, device, threads).all(missing, _workers(workers, threads, device, len(missing)))
        _tell_registration(report, steps, listener)
        write_images(report, steps)
        about = provenance(plan, _plugins(registry), device=device, threads=threads)
        write_result(report.result, plan, steps, report.failures, about)
    return report


class _Run:
    """The bookkeeping of one run: which steps wait, which are under way."""

    def __init__(self, plan: Plan, steps: StepStore, report: Report, listener: Listener, device: str, threads: int) -> None:
        self.plan = plan
        self.steps = steps
        self.report = report
        self.listener = listener
        self.device = device
        self.threads = threads
        self.under_way: dict[Future[Outcome | Failure], Step] = {}
        self.noted: set[Path] = set()

    def all(self, missing: list[Step], workers: int) -> None:
        rank = _heights(self.plan)
        waiting = sorted(missing, key=lambda step: -rank[step.key])  # what most depends on comes first
        pool: Pool = ProcessPool(workers, self.threads) if workers else InProcess(self.threads, self._on_progress)
        finished = False
        try:
            while waiting or self.under_way:
                waiting = self._submit(waiting, pool)
                self._collect(pool)
            finished = True
        except KeyboardInterrupt:
            self.report.interrupted = True
        finally:
            pool.close(now=not finished)

    def _submit(self, waiting: list[Step], pool: Pool) -> list[Step]:
        """Start what can start; drop what never can; give back the rest."""
        rest = []
        known = {step.key for step in (*waiting, *self.under_way.values())}
        for step in waiting:
            unknown = step.needs - known - self.report.failures.keys()
            gone = [key for key in unknown if key not in self.steps]  # was set aside as damaged
            rest += [self.plan.steps[key] for key in gone]
            known.update(gone)
            broken = next((self.report.failures[key] for key in step.needs if key in self.report.failures), None)
            if broken:
                self.report.failures[step.key] = Failure(broken.message, broken.traceback)
            elif len(self.under_way) >= pool.workers or any(key not in self.steps for key in step.needs):
                rest.append(step)
            else:
                self.listener.started(step)
                try:
                    task = self._task(step)
                except DamagedStepError as error:
                    self.listener.note(str(error))
                    rest += [self.plan.steps[error.key], step]
                except BlindSRError as error:
                    self._end(step, Failure(str(error)))
                else:
                    self.under_way[pool.submit(step.key, task)] = step
        return rest

    def _collect(self, pool: Pool) -> None:
        if not self.under_way:
            return
        done, _ = wait(self.under_way, POLL_SECONDS, FIRST_COMPLETED)
        for future in done:
            step = self.under_way.pop(future)
            try:
                outcome = future.result()
            except Exception as error:
                outcome = Failure(f"the worker process ended abruptly ({error}); it may have run out of memory: try --workers 1")
            self._end(step, outcome)
        for step in self.under_way.values():
            if state := pool.progress(step.key):
                self.listener.progress(step, *state)

    def _end(self, step: Step, outcome: Outcome | Failure) -> None:
        if isinstance(outcome, Outcome):
            self.steps.save(step.key, step.kind, Done(outcome, self.device, self.threads))
            self.report.computed.append(step.key)
            if step.key in self.report.cached:
                self.report.cached.remove(step.key)
            if step.kind == "upscale":
                write_images(self.report, self.steps, only=step.key)
        else:
            self.report.failures[step.key] = outcome
        self.listener.ended(step, outcome)

    def _on_progress(self, key: str, done: int, total: int) -> None:
        self.listener.progress(self.plan.steps[key], done, total)

    def _task(self, step: Step) -> Task:
        inputs = {role: self._input(source, step.item) for role, source in step.inputs.items()}
        return Task(step.kind, step.component, step.scale, inputs, step.key, step.kernel_seed, self.device)

    def _input(self, source: Input, item: str) -> Any:
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
    """Write ``images/METHOD/ITEM.png`` (with several seeds ``images/METHOD/seed-N/ITEM.png``) where it is not there yet.

    `only` limits it to the rows of one upscaling step, whose image is then written anew.
    """
    plan = report.plan
    names = folder_names([method.name for method in plan.pipeline.methods])
    for row in plan.rows:
        folder = report.folder / "images" / names[row.method.name]
        if len(plan.pipeline.seeds) > 1:
            folder /= f"seed-{row.seed}"
        path = folder / f"{row.item}.png"
        made_now = row.upscale in report.computed
        if row.upscale == only or (only is None and row.upscale in steps and not made_now):
            write_png(path, steps.load(row.upscale).outcome.arrays["sr"])


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


def resolve_device(device: str) -> str:
    """``auto`` becomes ``cuda`` if a GPU is there, else ``cpu``; a ``cuda`` that is not there is an error."""
    if device == "cpu":
        return device
    import torch

    if torch.cuda.is_available():
        return "cuda"
    if device == "cuda":
        raise BlindSRError("--device cuda: torch sees no CUDA GPU on this machine; use --device cpu")
    return "cpu"


def _workers(workers: int | None, threads: int, device: str, steps: int) -> int:
    if workers is not None:
        return workers
    if device == "cuda":
        return 1
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(cores // threads, steps))


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


@contextmanager
def _locked(out: Path) -> Iterator[None]:
    """Keep a second run out of the folder while this one works in it."""
    import filelock

    with explained(out):
        out.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(out / ".lock")
        holder = out / ".lock-holder"
        try:
            lock.acquire(timeout=0)
        except filelock.Timeout:
            raise BlindSRError(
                f"{out}: another run is using this folder ({_holder(holder)}); wait for it, or choose another --out"
            ) from None
        holder.write_text(json.dumps({"process": os.getpid()}))
    try:
        yield
    finally:
        holder.unlink(missing_ok=True)
        lock.release()


def _holder(path: Path) -> str:
    try:
        return f"process {json.loads(path.read_text())['process']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "an unknown process"
