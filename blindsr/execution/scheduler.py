"""Does the steps of a plan, each after what it needs. The parent alone reads the inputs and keeps the outcomes."""

from __future__ import annotations

import heapq
import time
import traceback
from collections.abc import Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from blindsr.errors import BlindSRError, described
from blindsr.execution.events import Listener
from blindsr.execution.forecast import Timings
from blindsr.execution.perform import Task
from blindsr.execution.placement import Placement
from blindsr.execution.processes import NoWorkerError, Pool, StepTimeoutError, WorkerDiedError
from blindsr.execution.signals import Interrupts
from blindsr.pipeline.outcome import Failure, Outcome
from blindsr.pipeline.plan import Plan
from blindsr.pipeline.steps import Absent, ImageFile, Input, KernelFile, Step
from blindsr.storage.images import write_pictures
from blindsr.storage.result import RESULT_FILE
from blindsr.storage.step_store import DamagedStepError, Done, StepStore

POLL_SECONDS = 0.25


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
        return self.folder / RESULT_FILE

    @property
    def images(self) -> Path:
        """The folder of SR images."""
        return self.folder / "images"


class Schedule:
    """Which steps wait, which are under way; what is done is kept, and what fails takes with it only what needs it.

    Parameters
    ----------
    report
        Its plan's steps are done; it is told of all of them.
    missing
        The keys of the steps to do.
    """

    def __init__(
        self, report: Report, missing: Sequence[str], steps: StepStore, placement: Placement, timings: Timings,
        listener: Listener, interrupts: Interrupts,
    ) -> None:  # fmt: skip
        plan = report.plan
        self.plan = plan
        self.report = report
        self.steps = steps
        self.placement = placement
        self.timings = timings
        self.listener = listener
        self.interrupts = interrupts
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
        for key in missing:
            self._schedule(key)

    def run(self, pool: Pool) -> None:
        """Do them all; Ctrl-C ends it early, and is noted in the report."""
        self.listener.begun(len(self.waits_for))
        finished = False
        try:
            while self.ready or self.under_way:
                while self.ready and len(self.under_way) < pool.workers:
                    self.interrupts.let_through()
                    self._start(self.plan.steps[heapq.heappop(self.ready)[-1]], pool)
                self._collect(pool)
                self.interrupts.let_through()
            finished = True
        except KeyboardInterrupt:
            self.report.interrupted = True
        finally:
            pool.close(now=not finished)
            self.timings.save()
            self.report.interrupted |= self.interrupts.take()  # also what came meanwhile

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
                self.listener.note("no worker is left that can be used; waiting for others to join (Ctrl-C ends the run)")
                time.sleep(POLL_SECONDS)
            return
        done, _ = wait(self.under_way, POLL_SECONDS, FIRST_COMPLETED)
        for future in done:
            step = self.under_way.pop(future)
            try:
                outcome = pool.result(future)
            except StepTimeoutError:
                outcome = Failure(f"{step.label} took longer than --timeout {self.placement.timeout:g} seconds and was stopped")
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
            self.steps.save(step.key, step.kind, Done(outcome, outcome.device, self.placement.threads))
        except BlindSRError:  # the disk is full, or the like: no later step would fare better
            raise
        except Exception as error:  # a plugin gave what cannot be stored
            return Failure(f"the outcome cannot be stored ({described(error)})", traceback.format_exc())
        sr = outcome.arrays.get("sr")
        if sr is not None:
            write_pictures(self.report.images, self.plan, step.key, lambda: sr)
        return outcome

    def _task(self, step: Step) -> Task:
        inputs = {role: self._input(source, step.item) for role, source in step.inputs.items()}
        paths = {role: str(source.path) for role, source in step.inputs.items() if isinstance(source, ImageFile | KernelFile)}
        return Task(
            step.kind, step.component, step.scale, inputs, step.key, step.kernel_seed, self.placement.device, paths, step.files
        )

    def _input(self, source: Input, item: str) -> Any:
        if isinstance(source, Absent):
            raise BlindSRError(source.message)
        if isinstance(source, ImageFile):
            picture = source.read()
            if picture.notes and source.path not in self.noted:
                self.noted.add(source.path)
                self.listener.note(f"{item}: {'; '.join(picture.notes)}")
            return picture.pixels
        if isinstance(source, KernelFile):
            return source.read()
        outcome = self.steps.load(source.key).outcome
        return outcome.kernel if source.what == "kernel" else outcome.arrays[source.what]


def _heights(plan: Plan) -> Mapping[str, int]:
    """How many steps still hang on each step, one after another."""
    heights = dict.fromkeys(plan.steps, 0)
    for step in reversed(plan.steps.values()):
        for key in step.needs:
            heights[key] = max(heights[key], heights[step.key] + 1)
    return heights
