"""A task, which is a step with its inputs at hand, and the context that its component runs in."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from blindsr.components.interfaces import Component
from blindsr.pipeline.hashes import HashedFile
from blindsr.pipeline.outcome import StepInputs
from blindsr.pipeline.steps import Step, StepKind

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Task:
    """A step with its inputs at hand, as it is sent to a worker; the step fails if `files` changed since the run was planned."""

    kind: StepKind
    component: Component | None
    scale: int
    inputs: StepInputs
    seed: str  # hexadecimal, like the next one, which is the same for all scales of an item
    kernel_seed: str
    device: str = "cpu"
    paths: Mapping[str, str] = field(default_factory=dict)  # where inputs that are files lie, for messages
    files: tuple[HashedFile, ...] = ()  # what the component itself reads

    @classmethod
    def of(cls, step: Step, inputs: StepInputs, *, device: str = "cpu") -> Task:
        paths = {role: str(source.path) for role, source in step.inputs.items() if isinstance(source, HashedFile)}
        return cls(step.kind, step.component, step.scale, inputs, step.key, step.kernel_seed, device, paths, step.files)


class Context:
    """The `blindsr.components.interfaces.RunContext` of a step."""

    def __init__(self, device: str, seed: str, progress: Callable[[int, int], None]) -> None:
        self.device = device
        self._progress = progress
        self._seed = seed
        self.points: dict[str, list[tuple[int, float]]] = {}
        self.warnings: list[str] = []

    @cached_property
    def rng(self) -> np.random.Generator:
        return generator(self._seed)

    @cached_property
    def torch_rng(self) -> torch.Generator:
        import torch

        return torch.Generator().manual_seed(int(self._seed[:15], 16))

    def progress(self, done: int, total: int) -> None:
        self._progress(int(done), int(total))

    def log(self, name: str, step: int, value: float) -> None:
        if not re.fullmatch(r"\w[\w .+-]*", name):
            raise ValueError(f"a curve's name is letters, digits, spaces and _ . + -, not {name!r}")
        self.points.setdefault(name, []).append((int(step), float(value)))

    def warn(self, text: str) -> None:
        self.warnings.append(str(text))


def generator(seed: str) -> np.random.Generator:
    """The numpy generator of a hexadecimal seed."""
    return np.random.default_rng(int(seed, 16))
