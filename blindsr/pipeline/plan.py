"""Pipeline and dataset to steps, each with a content key: equal keys are the same step."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blindsr.components.builtin import External, Given, GroundTruth
from blindsr.components.interfaces import Component, Degradation, KernelEstimator, NonBlindSR
from blindsr.components.nested import components_in
from blindsr.errors import BlindSRError
from blindsr.imaging.kernel import ALIGNED_WITHIN_PX, Convention, Kernel
from blindsr.pipeline.datasets import Dataset, Item
from blindsr.pipeline.hashes import Hashes
from blindsr.pipeline.keys import StepMaker, shipped_weights
from blindsr.pipeline.schema import Method, Pipeline
from blindsr.pipeline.steps import Absent, ImageFile, Input, KernelFile, PlannedItem, PlannedRow, Step, StepKind, StepOutput


@dataclass
class Plan:
    """What a run consists of.

    `steps` are by their keys, each after all that it needs. `weights` are the networks that the methods load: ``path``,
    ``sha256``, and ``licence`` where the plugin ships them. `left_out` and `remarks` are for the user: the methods that are left
    out and why, and what is odd about the inputs.
    """

    pipeline: Pipeline
    dataset: Dataset
    steps: dict[str, Step] = field(default_factory=dict)
    items: list[PlannedItem] = field(default_factory=list)
    rows: list[PlannedRow] = field(default_factory=list)
    weights: list[dict[str, str]] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    @cached_property
    def uses(self) -> dict[str, list[PlannedRow]]:
        """The rows of each step; of degradations and registered kernels, only those that use the kernel as theirs."""
        found: dict[str, list[PlannedRow]] = {}
        for row in self.rows:
            for key in row.steps:
                found.setdefault(key, []).append(row)
        return found


def make_plan(pipeline: Pipeline, dataset: Dataset, hashes: Hashes | None = None) -> Plan:
    """Lay out every step of a pipeline on a dataset; `hashes` knows the files that were hashed before.

    A missing file, an unreadable kernel and a parameter that cannot be part of a key are errors: before anything is computed.
    """
    planner = _Planner(pipeline, dataset, hashes or Hashes())
    for item in dataset.items:
        planner.add(item)
    planner.list_weights()
    plan = planner.plan
    if not plan.rows:
        raise BlindSRError("; ".join(["nothing can be run", *plan.left_out]))
    return plan


def single_step(
    kind: StepKind, component: Component, scale: int, inputs: Mapping[str, Input | Path | Kernel | NDArray[Any]], *, seed: int = 0,
    hashes: Hashes | None = None, item: str = "",
) -> Step:  # fmt: skip
    """One component on one image outside a pipeline: the step, with its key and seeds, that a pipeline would have for it.

    `inputs` of ``degrade``: ``hr``; of ``estimate``: ``lr``; of ``upscale``: ``lr`` and ``kernel``. A path means an image file;
    arrays and kernels are known by their numbers. `seed` is the pipeline's, or its ``data_seed`` for ``degrade``; messages
    call the image `item`.
    """
    if not isinstance(component, (Degradation, KernelEstimator, NonBlindSR)):
        raise BlindSRError(f"'{component.name}' is for pipelines; for a single image, choose another from `blindsr plugins`")
    hashes = hashes or Hashes()
    sources = {role: _input(value, hashes) for role, value in inputs.items()}
    step = StepMaker(scale, hashes).step(kind, component, sources, seed=seed, item=item)
    for source in step.inputs.values():
        if isinstance(source, Absent):
            raise BlindSRError(source.message)
    return step


def _input(value: Input | Path | Kernel | NDArray[Any], hashes: Hashes) -> Input:
    match value:
        case Path():
            return ImageFile.of(hashes.file(value))
        case Kernel():
            return _kernel_input(value)
        case np.ndarray():
            return ImageFile(Path("<array>"), _array_digest(value))
    return value


def _kernel_input(kernel: Kernel) -> KernelFile:
    half = _kernel_input(kernel.half) if kernel.half else None
    return KernelFile(Path("<kernel>"), _array_digest(kernel.array), scale=kernel.scale, to_scale=kernel.scale, half=half)


def _array_digest(array: NDArray[Any]) -> str:
    header = f"{array.dtype.str} {array.shape} ".encode()
    return hashlib.sha256(header + np.ascontiguousarray(array).tobytes()).hexdigest()


class _Planner:
    def __init__(self, pipeline: Pipeline, dataset: Dataset, hashes: Hashes) -> None:
        self.plan = Plan(pipeline, dataset, left_out=list(pipeline.left_out))
        self.pipeline = pipeline
        self.hashes = hashes
        self.maker = StepMaker(pipeline.scale, hashes)
        self.read: set[KernelFile] = set()

    def add(self, item: Item) -> None:
        planned = self._inputs(item)
        self.plan.items.append(planned)
        for method in self.pipeline.methods:
            if isinstance(method.kernel, GroundTruth) and planned.true is None:
                remark = f"method '{method.name}' is left out where there is no true kernel"
                if remark not in self.plan.left_out:
                    self.plan.left_out.append(remark)
                continue
            self.plan.rows += [self._row(planned, method, seed) for seed in self.pipeline.seeds]

    def list_weights(self) -> None:
        """Every file that the components were given or ship, kernels and SR images apart."""
        found: dict[Path, str] = {}
        parts = [part for method in self.pipeline.methods for part in (method.kernel, method.sr)]
        for component in (*parts, self.pipeline.degradation):
            if component is None or isinstance(component, Given):
                continue
            given = (getattr(part, name) for part in components_in(component) for name in type(part).model_fields)
            found |= {value: "" for value in given if isinstance(value, Path) and value.is_file()}
            with contextlib.suppress(BlindSRError):  # its steps fail, and say why
                found |= shipped_weights(component, self.pipeline.scale)
        self.plan.weights = [{"path": str(p), "sha256": self.hashes.of(p), "licence": licence} for p, licence in found.items()]

    def _inputs(self, item: Item) -> PlannedItem:
        scale = self.pipeline.scale
        hr = self._image(item.hr) if item.hr else None
        if item.lr is None:
            assert hr is not None
            key = self._step("degrade", item.id, self.pipeline.degradation, {"hr": hr}, seed=self.pipeline.data_seed)
            return PlannedItem(item, StepOutput(key, "lr"), hr, StepOutput(key, "kernel"))
        lr = self._image(item.lr)
        if item.kernel is None:
            return PlannedItem(item, lr, hr, None)
        half = self._kernel(item.half_kernel, 2, 2) if item.half_kernel else None
        stored = self._kernel(item.kernel, scale, scale, half=half)
        if hr is None:
            return PlannedItem(item, lr, None, stored)
        key = self._step("register", item.id, None, {"hr": hr, "lr": lr, "kernel": stored})
        return PlannedItem(item, lr, hr, StepOutput(key, "kernel"))

    def _row(self, planned: PlannedItem, method: Method, seed: int) -> PlannedRow:
        item = planned.item.id
        kernel: Input | None = None
        estimate = None
        if isinstance(method.sr, External):
            upscale = self._step("external", item, None, {"lr": planned.lr, "sr": self._made_elsewhere(method.sr, item)})
        else:
            kernel, estimate = self._kernel_of(planned, method, seed)
            upscale = self._step("upscale", item, method.sr, {"lr": planned.lr, "kernel": kernel}, seed=seed)
        truth: dict[str, Input] = {}
        if planned.hr:
            truth |= {"hr": planned.hr, "sr": StepOutput(upscale, "sr")}
        if planned.true and kernel and not isinstance(method.kernel, GroundTruth):
            truth |= {"true": planned.true, "kernel": kernel}
        score = self._step("score", item, None, truth) if truth else None
        return PlannedRow(item, method, seed, kernel, estimate, upscale, score)

    def _kernel_of(self, planned: PlannedItem, method: Method, seed: int) -> tuple[Input, str | None]:
        """The kernel of a row, and the key of the step that estimates it, if one does."""
        if isinstance(method.kernel, GroundTruth):
            assert planned.true is not None
            return planned.true, None
        if isinstance(method.kernel, Given):
            given, scale = method.kernel, self.pipeline.scale
            return self._kernel(given.path_for(planned.item.id), given.scale or scale, scale, given.convention), None
        estimate = self._step("estimate", planned.item.id, method.kernel, {"lr": planned.lr}, seed=seed)
        return StepOutput(estimate, "kernel"), estimate

    def _made_elsewhere(self, external: External, item: str) -> Input:
        try:
            return self._image(external.path_for(item))
        except BlindSRError as error:
            return Absent(str(error))

    def _image(self, path: Path) -> ImageFile:
        return ImageFile.of(self.hashes.file(path))

    def _kernel(
        self, path: Path, scale: int, to_scale: int, convention: Convention = "kernelgan", half: KernelFile | None = None
    ) -> KernelFile:
        known = self.hashes.file(path)
        file = KernelFile(path, known.sha256, known.stamp, scale=scale, to_scale=to_scale, convention=convention, half=half)
        if file not in self.read:
            self.read.add(file)
            # So that a wrong kernel is reported before anything starts.
            rows, columns = self.hashes.fact(f"misalignment of {file.key}", 2, lambda: file.read().misalignment_px)
            if max(abs(rows), abs(columns)) > ALIGNED_WITHIN_PX:
                self.plan.remarks.append(
                    f"{path}: the kernel is ({rows:+.2f}, {columns:+.2f}) px off alignment, and shifts the SR image by as much; "
                    "if another tool wrote it, name its convention: usrnet or fkp"
                )
        return file

    def _step(self, kind: StepKind, item: str, component: Component | None, inputs: Mapping[str, Input], *, seed: int = 0) -> str:
        """The key of a step, which becomes part of the plan."""
        step = self.maker.step(kind, component, inputs, seed=seed, item=item)
        return self.plan.steps.setdefault(step.key, step).key
