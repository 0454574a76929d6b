"""What a worker does: the six kinds of step, as pure functions from arrays to arrays."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from blindsr.components.interfaces import Component, Degradation, KernelEstimator, NonBlindSR
from blindsr.errors import BlindSRError
from blindsr.execution.tiling import upscale
from blindsr.imaging.kernel import Kernel
from blindsr.imaging.metrics import kernel_errors, psnr_y, ssim_y
from blindsr.imaging.reader import crop_to_multiple, to_depth, to_float
from blindsr.imaging.registration import register
from blindsr.pipeline.hashes import HashedFile, check_unchanged
from blindsr.pipeline.outcome import Outcome
from blindsr.pipeline.steps import StepKind

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Task:
    """A step with its inputs at hand, as it travels to a worker.

    Attributes
    ----------
    inputs
        Integer images ``lr``, ``hr``, ``sr`` (H, W, 3); kernels ``kernel`` and ``true``.
    paths
        Where inputs that are files lie, for messages.
    files
        The files that the component itself reads: the step fails if they changed since the run was planned.
    seed, kernel_seed
        Hexadecimal keys that seed the step's generators; `kernel_seed` is the same for all scales of an item.
    """

    kind: StepKind
    component: Component | None
    scale: int
    inputs: Mapping[str, Any]
    seed: str
    kernel_seed: str
    device: str = "cpu"
    paths: Mapping[str, str] = field(default_factory=dict)
    files: tuple[HashedFile, ...] = ()


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
        """The numpy generator."""
        return generator(self._seed)

    @cached_property
    def torch_rng(self) -> torch.Generator:
        """The torch generator."""
        import torch

        return torch.Generator().manual_seed(int(self._seed[:15], 16))

    def progress(self, done: int, total: int) -> None:
        """Hand on how far the work is."""
        self._progress(int(done), int(total))

    def log(self, name: str, step: int, value: float) -> None:
        """Add a point to a curve."""
        if not re.fullmatch(r"\w[\w .+-]*", name):
            raise ValueError(f"a curve's name is letters, digits, spaces and _ . + -, not {name!r}")
        self.points.setdefault(name, []).append((int(step), float(value)))

    def warn(self, text: str) -> None:
        """Keep a remark."""
        self.warnings.append(str(text))


def generator(seed: str) -> np.random.Generator:
    """The numpy generator of a hexadecimal seed."""
    return np.random.default_rng(int(seed, 16))


def perform(task: Task, progress: Callable[[int, int], None] = lambda done, total: None) -> Outcome:
    """Do a step.

    Raises
    ------
    BlindSRError
        If its inputs cannot serve, or its component gives what it must not.
    """
    for value in task.inputs.values():
        if isinstance(value, np.ndarray):
            value.flags.writeable = False
    context = Context(task.device, task.seed, progress)
    start = time.perf_counter()
    check_unchanged(task.files)
    outcome = _PERFORM[task.kind](task, context)
    check_unchanged(task.files)
    outcome.seconds = time.perf_counter() - start
    outcome.device = task.device
    outcome.curves = {name: np.array(points) for name, points in context.points.items()}
    outcome.warnings = list(dict.fromkeys(context.warnings + outcome.warnings))
    return outcome


def _degrade(task: Task, context: Context) -> Outcome:
    assert isinstance(task.component, Degradation)
    kernel = _checked_kernel(task.component.sample_kernel(task.scale, generator(task.kernel_seed)), task)
    hr = _read_only(to_float(crop_to_multiple(task.inputs["hr"], task.scale)))
    if not hr.size:
        raise BlindSRError(f"the HR image is smaller than {task.scale} pixels a side")
    lr = np.asarray(task.component.degrade(hr, kernel, context.rng))
    expected = (hr.shape[0] // task.scale, hr.shape[1] // task.scale, 3)
    if lr.shape != expected or not np.isfinite(lr).all():
        raise BlindSRError(f"{task.component.name} made an image of shape {lr.shape} (expected {expected}) or with NaN")
    return Outcome({"lr": to_depth(lr.astype(np.float32), np.uint8)}, kernel)


def _register(task: Task, context: Context) -> Outcome:
    """Check a stored true kernel against its own images, and move it where that is plainly better.

    Some published kernels do not regenerate their LR images exactly: they are a sub-pixel shift away.
    """
    lr = to_float(task.inputs["lr"])
    hr = to_float(_cropped_to(task.inputs["hr"], task.inputs["lr"], task.scale))
    found = register(hr, lr, task.inputs["kernel"])
    (rows_px, columns_px), before, after = found.shift_px, found.residual_stored, found.residual_moved
    values = {
        "residual_stored": before,
        "residual_moved": after,
        "shift_rows_px": rows_px,
        "shift_columns_px": columns_px,
        "moved": float(found.gains),
    }
    remark = f"the stored kernel is moved by ({rows_px:+.2f}, {columns_px:+.2f}) px: residual {before:.3f} -> {after:.3f} of 255"
    return Outcome({}, found.better, values, warnings=[remark] if found.gains else [])


def _estimate(task: Task, context: Context) -> Outcome:
    assert isinstance(task.component, KernelEstimator)
    kernel = _checked_kernel(task.component.estimate(_read_only(to_float(task.inputs["lr"])), task.scale, context), task)
    if not kernel.aligned:
        rows, columns = kernel.misalignment_px
        off = f"({rows:+.2f}, {columns:+.2f}) px"
        context.warn(f"{task.component.name}: the kernel is {off} off alignment; the SR image will be shifted by as much")
    return Outcome({}, kernel)


def _upscale(task: Task, context: Context) -> Outcome:
    assert isinstance(task.component, NonBlindSR)
    pixels = task.inputs["lr"]
    lr = _read_only(to_float(pixels))
    upscaler = task.component.fit(lr, task.inputs["kernel"], context)
    return Outcome({"sr": upscale(upscaler, lr, task.scale, pixels.dtype, context.progress)})


def _external(task: Task, context: Context) -> Outcome:
    """Take over an SR image that was made elsewhere, if its size is right."""
    sr, lr = task.inputs["sr"], task.inputs["lr"]
    height, width = (task.scale * size for size in lr.shape[:2])
    if sr.shape[:2] != (height, width):
        raise BlindSRError(
            f"{task.paths.get('sr', 'the SR image')}: has {sr.shape[1]} x {sr.shape[0]} pixels; "
            f"expected {width} x {height}, {task.scale} times the LR image"
        )
    return Outcome({"sr": np.ascontiguousarray(sr)})


def _score(task: Task, context: Context) -> Outcome:
    values: dict[str, float] = {}
    if "hr" in task.inputs:
        sr, hr = task.inputs["sr"], crop_to_multiple(task.inputs["hr"], task.scale)
        hr = _cropped_to(hr, sr, 1)
        for name, metric in (("psnr", psnr_y), ("ssim", ssim_y)):
            try:
                values[name] = metric(sr, hr, shave=task.scale)
            except BlindSRError as error:  # too small for one metric is not too small for the other
                context.warn(str(error))
    if "true" in task.inputs:
        values |= kernel_errors(task.inputs["kernel"], task.inputs["true"])
    return Outcome(values=values)


_PERFORM: Mapping[StepKind, Callable[[Task, Context], Outcome]] = {
    "degrade": _degrade,
    "register": _register,
    "estimate": _estimate,
    "upscale": _upscale,
    "external": _external,
    "score": _score,
}


def _read_only(image: NDArray[np.float32]) -> NDArray[np.float32]:
    image.flags.writeable = False
    return image


def _checked_kernel(kernel: Any, task: Task) -> Kernel:
    name = task.component.name if task.component else ""
    if not isinstance(kernel, Kernel):
        raise BlindSRError(f"{name} gave {type(kernel).__name__}, not a Kernel")
    if kernel.scale != task.scale:
        raise BlindSRError(f"{name} gave a kernel for scale {kernel.scale}, not {task.scale}")
    return kernel


def _cropped_to(hr: NDArray[Any], lr: NDArray[Any], scale: int) -> NDArray[Any]:
    """The HR image, less the last few pixels that fill no LR pixel."""
    height, width = (scale * size for size in lr.shape[:2])
    spare = (hr.shape[0] - height, hr.shape[1] - width)
    if not all(0 <= s < scale for s in spare):
        raise BlindSRError(
            f"the HR image has {hr.shape[1]} x {hr.shape[0]} pixels; for this LR image it should have {width} x {height}"
        )
    return hr[:height, :width]
