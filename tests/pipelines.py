"""Pipelines small enough for tests: bicubic and true kernels, on a crop of a photograph."""

from __future__ import annotations

from pathlib import Path

from blindsr.pipeline import Pipeline, load
from blindsr.registry import Registry

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
    """A pipeline out of its text."""
    return load(write(folder, text), Registry.discover(), **options)  # type: ignore[arg-type]
