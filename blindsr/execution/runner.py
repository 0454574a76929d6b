"""Runs a plan: does what is missing, and consolidates the result."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from blindsr.components.registry import Registry
from blindsr.errors import BlindSRError, shortened
from blindsr.execution.events import Listener
from blindsr.execution.executors import open_executor
from blindsr.execution.resources import Resources
from blindsr.execution.saving import RecentSteps
from blindsr.execution.scheduler import Report, Scheduler
from blindsr.execution.signals import Interrupts
from blindsr.pipeline.plan import Plan
from blindsr.storage.hdf5 import ENCODING_VERSION, get_text
from blindsr.storage.images import remove_pictures, write_pictures
from blindsr.storage.lock import locked
from blindsr.storage.maintenance import STEPS, check
from blindsr.storage.manifest import Contents, take_folder
from blindsr.storage.result import open_result, provenance, write_result
from blindsr.storage.step_store import DamagedStepError
from blindsr.storage.timings import Timings

DIGEST = "digest"
"""The attribute of ``/provenance`` by which a later run knows a result that it would write again."""


def run(plan: Plan, registry: Registry, resources: Resources, *, out: Path, listener: Listener) -> Report:
    """Run all that is not yet done of a plan, and consolidate the result; one that is there and would be the same is left alone.

    Parameters
    ----------
    out
        The folder of results; finished steps lie in ``out/steps`` and serve later runs.

    Raises
    ------
    BlindSRError
        If the folder cannot be written, another run is using it, or what `resources` name is not there.
    """
    steps = RecentSteps(out / STEPS)
    resources = resources.resolved()
    with locked(out), Interrupts() as interrupts:
        timings = Timings(out)
        folder, contents = take_folder(out, plan)
        report = Report(plan, folder)
        _tell_others(report, contents, listener)
        report.cached = dict.fromkeys(key for key in plan.steps if key in steps)
        while True:
            missing = [key for key in plan.steps if key not in steps and key not in report.failures]
            if missing and not report.interrupted:
                scheduler = Scheduler(report, missing, steps, resources, timings, listener, interrupts)
                scheduler.run(
                    open_executor(
                        resources, plan, registry, len(missing), interrupts=interrupts, note=listener.note,
                        progress=lambda key, done, total: listener.progress(plan.steps[key], done, total),
                    )
                )  # fmt: skip
            try:
                about = provenance(plan, _plugins(registry), resources.device, resources.threads)
                _conclude(report, steps, listener, interrupts, about)
            except DamagedStepError as error:
                listener.note(str(error))
                report.damaged(error)
            else:
                return report


def _conclude(report: Report, steps: RecentSteps, listener: Listener, interrupts: Interrupts, about: Mapping[str, Any]) -> None:
    """Write all that is finished where people look for it."""
    if report.interrupted:
        listener.note("writing the result of what is finished; Ctrl-C once more leaves that for the next run")
    _tell_registration(report, steps, listener, interrupts)
    for key in report.plan.uses:
        interrupts.let_through()
        if key in steps and key not in report.computed:
            write_pictures(report.images, report.plan, key, lambda key=key: steps.load(key).outcome.arrays["sr"])  # type: ignore[misc]
        elif key in report.failures:
            remove_pictures(report.images, report.plan, key)

    def progress(done: int, total: int) -> None:
        interrupts.let_through()
        listener.writing(done, total)

    digest = _digest(report, steps)
    if report.computed or not _is_there(report.result, digest):
        write_result(report.result, report.plan, steps, report.failures, {**about, DIGEST: digest}, progress)
        return
    for number, key in enumerate(report.plan.steps, 1):
        progress(number, len(report.plan.steps))
        if key in steps:
            steps.load(key)  # a damaged one is found by this


def _digest(report: Report, steps: RecentSteps) -> str:
    """What a result consists of, in short; not on what it was computed, which it says for each row."""
    plan, pipeline = report.plan, report.plan.pipeline
    done = [key for key in plan.steps if key in steps]
    failed = {key: failure.message for key, failure in report.failures.items()}
    rows = [(row.item, row.method.name, row.seed, row.steps) for row in plan.rows]
    items = [(planned.item.id, planned.source.path, planned.source.sha256) for planned in plan.items]
    parts = (ENCODING_VERSION, pipeline.text, pipeline.resolved(), done, failed, rows, items, plan.weights, plan.left_out)
    return hashlib.sha256(json.dumps(parts, default=str).encode()).hexdigest()


def _is_there(path: Path, digest: str) -> bool:
    """Whether the result with this digest is there already, and whole."""
    try:
        with open_result(path) as result:
            found = get_text(result.file["provenance"], DIGEST)
    except (BlindSRError, KeyError):
        return False
    return found == digest and not any(checked.problem for checked in check(path))


def _tell_others(report: Report, contents: Contents, listener: Listener) -> None:
    """Tell that a folder has more in it than its result will have."""
    items = {planned.item.id for planned in report.plan.items}
    others = [item for item in contents.items if item not in items]
    others += [f"seed {seed}" for seed in contents.seeds if seed not in report.plan.pipeline.seeds]
    if others:
        kept = f"what is done of them stays, and a run that names all puts all into {report.result.name}"
        listener.note(f"{report.folder} is also of {shortened(others)}: {kept}")


def _tell_registration(report: Report, steps: RecentSteps, listener: Listener, interrupts: Interrupts) -> None:
    """Tell how well the stored true kernels regenerate their LR images."""
    values = []
    for key, step in report.plan.steps.items():
        if step.kind == "register" and key in steps:
            interrupts.let_through()
            values.append(steps.load(key).outcome.values)
    if values:
        stored, moved = ([value[name] for value in values] for name in ("residual_stored", "residual_moved"))
        used = sum(value["moved"] > 0 for value in values)
        listener.note(
            f"the true kernels regenerate their LR images to {min(stored):.3f}..{max(stored):.3f} of 255 (RMS) as stored, "
            f"to {min(moved):.3f}..{max(moved):.3f} after the best shift; {used} of {len(values)} are used shifted"
        )


def _plugins(registry: Registry) -> list[dict[str, str]]:
    return [
        {"name": e.component.name, "kind": e.kind, "distribution": e.distribution, "version": e.version}
        for e in registry.entries.values()
    ]
