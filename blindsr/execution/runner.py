"""Runs a plan: does what is missing, and consolidates the result."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from blindsr.components.registry import Registry
from blindsr.components.signals import Interrupts
from blindsr.errors import shortened
from blindsr.execution.events import Listener
from blindsr.execution.executors import open_executor
from blindsr.execution.resources import Resources
from blindsr.execution.saving import RecentSteps
from blindsr.execution.scheduler import Report, Scheduler
from blindsr.pipeline.plan import Plan
from blindsr.storage.images import remove_pictures, write_pictures
from blindsr.storage.output_folder import OutputFolder
from blindsr.storage.result_writer import provenance, up_to_date, write_result
from blindsr.storage.step_store import DamagedStepError, StepStore
from blindsr.storage.timings import Timings


def run_plan(
    plan: Plan, registry: Registry, resources: Resources, *, folder: OutputFolder, listener: Listener, name: str | None = None
) -> Report:
    """Compute all that is not yet done of a plan, and write the result; one that is there and would be the same is left alone.

    `name` is that of the result's folder in the output folder, by default ``PIPELINE-DATA-xSCALE``. A `BlindSRError` says that the
    folder cannot be written, another run is using it, or what `resources` name is not there.
    """
    resources = resources.resolved()
    with folder.locked(), Interrupts() as interrupts:
        steps = RecentSteps(folder.steps.folder)
        timings = folder.timings()
        result = folder.claim(plan, name)
        report = Report(plan, result.path)
        if others := result.manifest().beyond(plan):
            kept = f"what is done of them stays, and a run that names all puts all into {report.result.name}"
            listener.note(f"{result.path} is also of {shortened(others)}: {kept}")
        report.cached = dict.fromkeys(key for key in plan.steps if key in steps)
        plugins = [
            {"name": e.component.name, "kind": e.kind, "distribution": e.distribution, "version": e.version}
            for e in registry.entries.values()
        ]
        about = provenance(plan, plugins, resources.device, resources.threads)

        def conclude() -> None:
            _conclude(report, steps, listener, interrupts, about)

        _complete(report, steps, registry, resources, timings, listener, interrupts, conclude)
        return report


def run_steps(
    plan: Plan, registry: Registry, resources: Resources, *, folder: OutputFolder, listener: Listener,
    conclude: Callable[[Report, StepStore], None],
) -> Report:  # fmt: skip
    """Compute all that is not yet done of a plan without rows; `conclude` then writes what is finished to where people look.

    What `conclude` raises is that of `run_plan`; a `DamagedStepError` has the step computed again.
    """
    resources = resources.resolved()
    with folder.locked(), Interrupts() as interrupts:
        steps = RecentSteps(folder.steps.folder)
        report = Report(plan, folder.path)
        report.cached = dict.fromkeys(key for key in plan.steps if key in steps)
        timings = folder.timings()
        _complete(report, steps, registry, resources, timings, listener, interrupts, lambda: conclude(report, steps))
        return report


def _complete(
    report: Report, steps: RecentSteps, registry: Registry, resources: Resources, timings: Timings, listener: Listener,
    interrupts: Interrupts, conclude: Callable[[], None],
) -> None:  # fmt: skip
    """Compute what is missing and conclude, until no step that was done turns out to be damaged."""
    plan = report.plan
    while True:
        missing = [key for key in plan.steps if key not in steps and key not in report.failures]
        if missing and not report.interrupted:
            scheduler = Scheduler(report, missing, steps, resources, timings, listener, interrupts)
            scheduler.run(open_executor(resources, plan, registry, len(missing), listener, interrupts))
            steps.sync()
        try:
            conclude()
        except DamagedStepError as error:
            listener.note(str(error))
            report.damaged(error)
        else:
            return


def _conclude(report: Report, steps: RecentSteps, listener: Listener, interrupts: Interrupts, about: Mapping[str, Any]) -> None:
    """Write all that is finished where people look for it."""
    if report.interrupted:
        listener.note("writing the result of what is finished; Ctrl-C once more leaves that for the next run")
    _tell_registration(report, steps, listener, interrupts)
    for key in dict.fromkeys(row.upscale for row in report.plan.rows):
        interrupts.let_through()
        if key in steps and key not in report.computed:
            write_pictures(report.images, report.plan, key, lambda key=key: steps.load(key).arrays["sr"])  # type: ignore[misc]
        elif key in report.failures:
            remove_pictures(report.images, report.plan, key)

    def progress(done: int, total: int) -> None:
        interrupts.let_through()
        listener.writing(done, total)

    if not up_to_date(report.result, report.plan, steps, report.failures):
        write_result(report.result, report.plan, steps, report.failures, about, progress)


def _tell_registration(report: Report, steps: RecentSteps, listener: Listener, interrupts: Interrupts) -> None:
    """Tell how well the stored true kernels regenerate their LR images."""
    values = []
    for key, step in report.plan.steps.items():
        if step.kind == "register" and key in steps:
            interrupts.let_through()
            values.append(steps.load(key).values)
    if values:
        stored, moved = ([value[name] for value in values] for name in ("residual_stored", "residual_moved"))
        used = sum(value["moved"] > 0 for value in values)
        listener.note(
            f"the true kernels regenerate their LR images to {min(stored):.3f}..{max(stored):.3f} of 255 (RMS) as stored, "
            f"to {min(moved):.3f}..{max(moved):.3f} after the best shift; {used} of {len(values)} are used shifted"
        )
