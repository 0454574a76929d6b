"""Pipelines small enough for tests: bicubic and true kernels, on a crop of a photograph."""

from __future__ import annotations

from pathlib import Path

from blindsr.components.registry import Registry
from blindsr.execution.resources import Resources
from blindsr.execution.runner import run_plan
from blindsr.execution.scheduler import Report
from blindsr.pipeline.loader import load
from blindsr.pipeline.outcome import Failure, Outcome
from blindsr.pipeline.plan import Plan
from blindsr.pipeline.schema import Pipeline
from blindsr.pipeline.steps import Step
from blindsr.storage.output_folder import OutputFolder

QUICK = """\
name: quick
scale: 2
data: {hr: hr}
degradation: random_kernel
methods:
  Bicubic interpolation: {type: 1, sr: bicubic}
  Ground truth: {type: 4, kernel: ground_truth, sr: bicubic}
"""


def write(folder: Path, text: str = QUICK, name: str = "quick.yaml") -> Path:
    """A pipeline file."""
    path = folder / name
    path.write_text(text)
    return path


def read(folder: Path, text: str = QUICK, **options: object) -> Pipeline:
    """A pipeline from its text."""
    return load(write(folder, text), Registry.discover(), **options)  # type: ignore[arg-type]


class Quiet:
    """Records the events of a run."""

    def __init__(self) -> None:
        self.ends: list[tuple[str, bool]] = []
        self.notes: list[str] = []
        self.reports = 0

    def begun(self, steps: int) -> None:
        pass

    def started(self, step: Step) -> None:
        pass

    def progress(self, step: Step, done: int, total: int) -> None:
        self.reports += 1

    def ended(self, step: Step, outcome: Outcome | Failure) -> None:
        self.ends.append((step.label, isinstance(outcome, Outcome)))

    def writing(self, done: int, total: int) -> None:
        pass

    def note(self, text: str) -> None:
        self.notes.append(text)


def run(
    plan: Plan, out: Path, *, workers: int = 0, listener: Quiet | None = None, registry: Registry | None = None, **options: object
) -> Report:
    """Run a plan on the CPU, by default in this process."""
    resources = Resources("cpu", None if "dask" in options else workers, **options)  # type: ignore[arg-type]
    return run_plan(plan, registry or Registry.discover(), resources, folder=OutputFolder(out), listener=listener or Quiet())
