"""Runs the steps of a plan, each after what it needs. This process alone reads the inputs and keeps the outcomes."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from blindsr.components.interfaces import KernelEstimator
from blindsr.components.signals import Interrupts
from blindsr.errors import BlindSRError, described, shortened
from blindsr.execution.events import Listener
from blindsr.execution.executors import Executor, Lost
from blindsr.execution.graph import StepGraph
from blindsr.execution.resources import Resources
from blindsr.execution.saving import RecentSteps, StepSaver
from blindsr.execution.tasks import Task
from blindsr.pipeline.outcome import Failure, Outcome, StepInputs
from blindsr.pipeline.plan import Plan
from blindsr.pipeline.steps import Absent, ImageCache, ImageFile, Input, KernelFile, Step
from blindsr.storage.images import write_pictures
from blindsr.storage.output_folder import ResultFolder
from blindsr.storage.step_store import DamagedStepError
from blindsr.storage.timings import Timings

POLL_SECONDS = 0.25
SAVING_POLL_SECONDS = 0.01
"""The same while outcomes are being saved, whose end is not polled for together with the workers."""
MAX_TOGETHER_PX = 32 << 20
"""LR pixels of estimates that are computed together: they lie in memory as floats."""


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
        return ResultFolder(self.folder).result_file

    @property
    def images(self) -> Path:
        return ResultFolder(self.folder).images


class Scheduler:
    """Does the missing steps of the report's plan; what is done is kept, and what fails takes with it only what needs it."""

    def __init__(
        self, report: Report, missing: Iterable[str], steps: RecentSteps, resources: Resources, timings: Timings,
        listener: Listener, interrupts: Interrupts,
    ) -> None:  # fmt: skip
        self.plan = report.plan
        self.report = report
        self.steps = steps
        self.resources = resources
        self.timings = timings
        self.listener = listener
        self.interrupts = interrupts
        self.images = ImageCache()
        self.noted: set[str] = set()
        self.together: dict[str, tuple[str, ...]] = {}  # of each step that the executor has, those that it was submitted with
        self.alone: set[str] = set()  # steps that are not computed together with others again
        self.saver = StepSaver(self._save)
        needs = {key: step.needs for key, step in self.plan.steps.items()}
        self.graph = StepGraph(needs, lambda key: key in steps, report.failures)
        for key in missing:
            self._record(self.graph.add(key))

    def run(self, executor: Executor) -> None:
        """Do them all; Ctrl-C ends it early, which the report notes."""
        self.listener.begun(self.graph.left)
        finished = False
        try:
            while self.graph.ready or self.graph.running:
                while self.graph.ready and self._computing < executor.workers and not self.saver.full:
                    self.interrupts.let_through()
                    self._start(executor)
                self._collect(executor)
                self.interrupts.let_through()
            finished = True
        except KeyboardInterrupt:
            self.report.interrupted = True
        finally:
            executor.close(now=not finished)
            self.saver.close()
            self.timings.save()
            self.report.interrupted |= self.interrupts.take()  # also what came meanwhile
        self._take_saved(0)

    @property
    def _computing(self) -> int:
        """How many workers have something to do."""
        return len({keys[0] for keys in self.together.values()})

    def _start(self, executor: Executor) -> None:
        """Have a worker compute the next step, or those that its device gains by computing together."""
        tasks: dict[str, Task] = {}
        left_px = MAX_TOGETHER_PX
        for key in self._next(executor):
            task = self._task(self.plan.steps[self.graph.take(key)])
            if task:
                tasks[key] = task
                left_px -= math.prod(task.inputs.lr.shape[:2]) if task.inputs.lr is not None else 0
            if left_px <= 0:
                break
        if tasks:
            self.together |= dict.fromkeys(tasks, tuple(tasks))
            executor.submit(tasks)

    def _next(self, executor: Executor) -> list[str]:
        """The next step that is ready, and those like it that its device gains by; the idle workers share what is ready."""
        first = self.graph.next
        step = self.plan.steps[first]
        most = self._batch_size(step, executor.device)
        if most <= 1 or first in self.alone:
            return [first]

        def alike(key: str) -> bool:
            other = self.plan.steps[key]
            return key not in self.alone and (other.component, other.scale) == (step.component, step.scale)

        found = self.graph.ready_like(alike)
        return found[: min(most, math.ceil(len(found) / (executor.workers - self._computing)))]

    def _batch_size(self, step: Step, device: str | None) -> int:
        """How many steps like this one may be computed together on a device."""
        if device is None or not isinstance(step.component, KernelEstimator):
            return 1
        try:
            return int(step.component.batch_size(device))
        except Exception as error:  # a plugin's
            self._note_once(f"the `batch_size` of {step.label} failed ({described(error)}); its steps are computed one by one")
            return 1

    def _note_once(self, text: str) -> None:
        if text not in self.noted:
            self.noted.add(text)
            self.listener.note(text)

    def _task(self, step: Step) -> Task | None:
        """A step with its inputs; None if these cannot be read, or have to be made again."""
        self.listener.started(step)
        try:
            inputs: dict[str, Any] = {role: self._input(source, step.item) for role, source in step.inputs.items()}
        except DamagedStepError as error:
            self.listener.note(str(error))
            if self.report.damaged(error):
                self._fail(step, Failure(str(error)))
            else:
                self._record(self.graph.wait_for(step.key, error.key))
        except BlindSRError as error:
            self._fail(step, Failure(str(error)))
        else:
            return Task.of(step, StepInputs(**inputs), device=self.resources.device)
        return None

    def _input(self, source: Input, item: str) -> Any:
        if isinstance(source, Absent):
            raise BlindSRError(source.message)
        if isinstance(source, ImageFile):
            picture = source.read(self.images)
            if picture.notes:
                self._note_once(f"{item}: {'; '.join(picture.notes)}")
            return picture.pixels
        if isinstance(source, KernelFile):
            return source.read()
        outcome = self.steps.load(source.key)
        return outcome.kernel if source.what == "kernel" else outcome.arrays[source.what]

    def _collect(self, executor: Executor) -> None:
        """Wait for steps to end, and take note of those that did."""
        computing = self._computing
        if computing:
            update = executor.poll(SAVING_POLL_SECONDS if self.saver else POLL_SECONDS)
            for key, progress in update.progress.items():
                self.listener.progress(self.plan.steps[key], *progress)
            for key, ended in update.ended.items():
                self._ended(self.plan.steps[key], ended)
        elif self.graph.ready and not executor.workers and not self.saver:
            self.listener.note("no worker is left that can be used; waiting for others to join (Ctrl-C ends the run)")
            executor.poll(POLL_SECONDS)
        if self.saver:
            self._take_saved(0 if computing else POLL_SECONDS)

    def _ended(self, step: Step, ended: Outcome | Failure | Lost) -> None:
        """Have an outcome saved, or decide what comes of a step that gave none."""
        others = self.together.pop(step.key)
        if isinstance(ended, Outcome):
            ended.threads = self.resources.threads
            self.saver.submit(step, ended)
        elif isinstance(ended, Failure):
            self._fail(step, ended)
        elif ended.why == "no worker":
            self.graph.release(step.key)
        elif len(others) > 1:
            if self.alone.isdisjoint(others):
                how = ended.how or f"it took longer than `timeout` {self.resources.timeout:g} seconds"
                self.listener.note(f"{len(others)} steps of {step.label} were lost together ({how}); each is tried alone")
            self.alone.add(step.key)
            self.graph.release(step.key)
        elif ended.why == "timeout":
            self._fail(step, Failure(f"{step.label} took longer than `timeout` {self.resources.timeout:g} seconds and was stopped"))
        elif self.graph.retry(step.key):
            self.listener.note(
                f"{step.item}: the worker process of {step.label} ended abruptly ({ended.how}); it is tried once more"
            )
        else:
            reason = f"the worker process ended abruptly, twice ({ended.how})"
            self._fail(step, Failure(f"{reason}; it may have run out of memory: try `workers` 1"))

    def _save(self, step: Step, outcome: Outcome) -> None:
        """Write an outcome, in a thread of the saver."""
        self.steps.save(step.key, step.kind, outcome)
        if "sr" in outcome.arrays:
            write_pictures(self.report.images, self.plan, step.key, lambda: outcome.arrays["sr"])

    def _take_saved(self, seconds: float) -> None:
        """Steps are done whose outcomes are on the disk; wait for the first of them at most so long."""
        for step, saved in self.saver.poll(seconds):
            if isinstance(saved, Failure):
                self._fail(step, saved)
                continue
            self.steps.keep(step.key, saved)
            self.listener.ended(step, saved)
            self.report.computed[step.key] = None
            self.report.cached.pop(step.key, None)
            self.timings.add(step, saved.seconds)
            self.graph.finish(step.key)

    def _fail(self, step: Step, failure: Failure) -> None:
        """A step has failed, and with it all that needs it."""
        self._record(self.graph.fail(step.key), replace(failure, where=self._where(step)))

    def _record(self, keys: Iterable[str], failure: Failure | None = None) -> None:
        """Take note of steps that have failed: for this reason, or for that of others which they need."""
        for key in keys:
            step, failures = self.plan.steps[key], self.report.failures
            failures[key] = failure or next(failures[need] for need in step.needs if need in failures)
            self.listener.ended(step, failures[key])

    def _where(self, step: Step) -> str:
        """The item, component, methods and seed of a step."""
        rows = self.plan.uses.get(step.key, [])
        methods = list(dict.fromkeys(row.method.name for row in rows))
        seeds = {row.seed for row in rows}
        about = [f"method{'s' if len(methods) > 1 else ''} {shortened(methods)}"] if methods else []
        if step.component and step.component.stochastic and len(seeds) == 1:
            about.append(f"seed {seeds.pop()}")
        return f"{step.item}: {step.label}" + (f" ({'; '.join(about)})" if about else "")
