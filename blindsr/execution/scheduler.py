"""Runs the steps of a plan, each after what it needs. This process alone reads the inputs and keeps the outcomes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from blindsr.errors import BlindSRError, shortened
from blindsr.execution.events import Listener
from blindsr.execution.executors import Executor, NoWorkerError, StepTimeoutError, TaskError
from blindsr.execution.graph import StepGraph
from blindsr.execution.resources import Resources
from blindsr.execution.saving import RecentSteps, StepSaver
from blindsr.execution.signals import Interrupts
from blindsr.execution.tasks import Task
from blindsr.pipeline.outcome import Failure, Outcome, StepInputs
from blindsr.pipeline.plan import Plan
from blindsr.pipeline.steps import Absent, ImageCache, ImageFile, Input, KernelFile, PlannedRow, Step
from blindsr.storage.images import write_pictures
from blindsr.storage.output_folder import ResultFolder
from blindsr.storage.step_store import DamagedStepError, Done
from blindsr.storage.timings import Timings

POLL_SECONDS = 0.25
SAVING_POLL_SECONDS = 0.01
"""The same while outcomes are being saved, whose end is not polled for together with the workers."""


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
        return ResultFolder(self.folder).result_file

    @property
    def images(self) -> Path:
        """The folder of SR images."""
        return ResultFolder(self.folder).images


class Scheduler:
    """Runs steps; what is done is kept, and what fails takes with it only what needs it.

    Parameters
    ----------
    report
        Its plan's steps are done; it takes note of all of them.
    missing
        The keys of the steps to do.
    """

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
        self.noted: set[Path] = set()
        self.saver = StepSaver(self._save)
        needs = {key: step.needs for key, step in self.plan.steps.items()}
        self.graph = StepGraph(needs, lambda key: key in steps, report.failures)
        for key in missing:
            self._fail_with_needs(self.graph.add(key))

    def run(self, executor: Executor) -> None:
        """Do them all; Ctrl-C ends it early, which the report notes."""
        self.listener.begun(self.graph.left)
        finished = False
        try:
            self._loop(executor)
            finished = True
        except KeyboardInterrupt:
            self.report.interrupted = True
        finally:
            executor.close(now=not finished)
            self.saver.close()
            self.timings.save()
            self.report.interrupted |= self.interrupts.take()  # also what came meanwhile
        for step, saved in self.saver.poll(0):
            self._saved(step, saved)

    def _loop(self, executor: Executor) -> None:
        while self.graph.ready or self.graph.running:
            while self.graph.ready and self._computing < executor.workers and not self.saver.full:
                self.interrupts.let_through()
                self._start(self.plan.steps[self.graph.take()], executor)
            self._collect(executor)
            self.interrupts.let_through()

    @property
    def _computing(self) -> int:
        """How many steps the executor has."""
        return self.graph.running - len(self.saver)

    def _start(self, step: Step, executor: Executor) -> None:
        self.listener.started(step)
        try:
            task = self._task(step)
        except DamagedStepError as error:
            self.listener.note(str(error))
            if self.report.damaged(error):
                self._fail(step, Failure(str(error)))
            else:
                self._fail_with_needs(self.graph.wait_for(step.key, error.key))
        except BlindSRError as error:
            self._fail(step, Failure(str(error)))
        else:
            executor.submit(step.key, task)

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
            for step, saved in self.saver.poll(0 if computing else POLL_SECONDS):
                self._saved(step, saved)

    def _ended(self, step: Step, ended: Outcome | Failure | TaskError) -> None:
        """Have an outcome saved, or decide what comes of a step that gave none."""
        if isinstance(ended, Outcome):
            self.saver.submit(step, ended)
        elif isinstance(ended, Failure):
            self._fail(step, ended)
        elif isinstance(ended, StepTimeoutError):
            self._fail(step, Failure(f"{step.label} took longer than `timeout` {self.resources.timeout:g} seconds and was stopped"))
        elif isinstance(ended, NoWorkerError):
            self.graph.release(step.key)
        elif self.graph.retry(step.key):
            self.listener.note(f"{step.item}: the worker process of {step.label} ended abruptly ({ended}); it is tried once more")
        else:
            reason = f"the worker process ended abruptly, twice ({ended})"
            self._fail(step, Failure(f"{reason}; it may have run out of memory: try `workers` 1"))

    def _save(self, step: Step, outcome: Outcome) -> None:
        """Write an outcome, in a thread of the saver."""
        self.steps.save(step.key, step.kind, self._done(outcome))
        if "sr" in outcome.arrays:
            write_pictures(self.report.images, self.plan, step.key, lambda: outcome.arrays["sr"])

    def _done(self, outcome: Outcome) -> Done:
        return Done(outcome, outcome.device, self.resources.threads)

    def _saved(self, step: Step, saved: Outcome | Failure) -> None:
        """A step is done: its outcome is on the disk."""
        if isinstance(saved, Failure):
            self._fail(step, saved)
            return
        self.steps.keep(step.key, self._done(saved))
        self.listener.ended(step, saved)
        self.report.computed[step.key] = None
        self.report.cached.pop(step.key, None)
        self.timings.add(step, saved.seconds)
        self.graph.finish(step.key)

    def _fail(self, step: Step, failure: Failure) -> None:
        """A step has failed, and with it all that needs it."""
        failure = replace(failure, where=self._where(step))
        for key in self.graph.fail(step.key):
            self._record(key, failure)

    def _fail_with_needs(self, keys: Iterable[str]) -> None:
        """Steps have failed because others that they need had."""
        for key in keys:
            needs = self.plan.steps[key].needs
            self._record(key, next(self.report.failures[need] for need in needs if need in self.report.failures))

    def _record(self, key: str, failure: Failure) -> None:
        self.listener.ended(self.plan.steps[key], failure)
        self.report.failures[key] = failure

    def _where(self, step: Step) -> str:
        """The item, component, methods and seed of a step."""
        rows = self._rows.get(step.key, [])
        methods = list(dict.fromkeys(row.method.name for row in rows))
        seeds = {row.seed for row in rows}
        about = [f"method{'s' if len(methods) > 1 else ''} {shortened(methods)}"] if methods else []
        if step.component and step.component.stochastic and len(seeds) == 1:
            about.append(f"seed {seeds.pop()}")
        return f"{step.item}: {step.label}" + (f" ({'; '.join(about)})" if about else "")

    @cached_property
    def _rows(self) -> dict[str, list[PlannedRow]]:
        """The rows that each step serves; those of degradations and of registered kernels serve all of an item."""
        rows: dict[str, list[PlannedRow]] = {}
        for row in self.plan.rows:
            for key in row.steps:
                rows.setdefault(key, []).append(row)
        return rows

    def _task(self, step: Step) -> Task:
        inputs: dict[str, Any] = {role: self._input(source, step.item) for role, source in step.inputs.items()}
        paths = {role: str(source.path) for role, source in step.inputs.items() if isinstance(source, ImageFile | KernelFile)}
        return Task.of(step, StepInputs(**inputs), device=self.resources.device, paths=paths)

    def _input(self, source: Input, item: str) -> Any:
        if isinstance(source, Absent):
            raise BlindSRError(source.message)
        if isinstance(source, ImageFile):
            picture = source.read(self.images)
            if picture.notes and source.path not in self.noted:
                self.noted.add(source.path)
                self.listener.note(f"{item}: {'; '.join(picture.notes)}")
            return picture.pixels
        if isinstance(source, KernelFile):
            return source.read()
        outcome = self.steps.load(source.key).outcome
        return outcome.kernel if source.what == "kernel" else outcome.arrays[source.what]
