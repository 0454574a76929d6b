"""What each kind of step does: pure functions from arrays to arrays."""

from __future__ import annotations

import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stdout
from functools import partial
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from blindsr.components.interfaces import Degradation, KernelEstimator, NonBlindSR
from blindsr.errors import BlindSRError, described
from blindsr.execution.resources import resolve_device
from blindsr.execution.tasks import Context, Task, generator
from blindsr.execution.tiling import upscale
from blindsr.imaging.kernel import Kernel
from blindsr.imaging.metrics import METRICS
from blindsr.imaging.reader import crop_to_multiple, to_depth, to_float
from blindsr.imaging.registration import register
from blindsr.pipeline.outcome import Failure, Outcome
from blindsr.pipeline.steps import StepKind

T = TypeVar("T")


def perform(task: Task, progress: Callable[[int, int], None] = lambda done, total: None) -> Outcome:
    """Compute a step. What its component prints goes to standard error: standard output is the command's own.

    Raises a `BlindSRError` if its inputs cannot be used, or its component returns something invalid.
    """
    context = _context(task, progress)
    start = time.perf_counter()
    for file in task.files:
        file.check()
    with redirect_stdout(sys.stderr):
        outcome = _PERFORM[task.kind](task, context)
    for file in task.files:
        file.check()
    return _completed(outcome, context, time.perf_counter() - start)


def attempt(task: Task, progress: Callable[[int, int], None] = lambda done, total: None) -> Outcome | Failure:
    """Compute a step, and turn what it raises into a `Failure`."""
    return _attempted(lambda: perform(task, progress))


def attempt_all(tasks: Sequence[Task], progress: Callable[[int, int, int], None]) -> list[Outcome | Failure]:
    """Compute a step, or estimates of one component for one scale together; what each gave, as `attempt` would have it.

    Each takes an equal share of the seconds. If all fail together, the halves are tried, in the end each step alone.
    `progress` is called with (number of the task, done, total).
    """
    if len(tasks) == 1:
        return [attempt(tasks[0], partial(progress, 0))]
    found = _estimated_together(tasks, progress)
    if found is None:
        half = len(tasks) // 2
        found = attempt_all(tasks[:half], progress)
        found += attempt_all(tasks[half:], lambda number, done, total: progress(half + number, done, total))
    return found


def _estimated_together(tasks: Sequence[Task], progress: Callable[[int, int, int], None]) -> list[Outcome | Failure] | None:
    """The outcomes of estimates that are computed together; None if it failed as a whole."""
    estimator, files = tasks[0].component, tasks[0].files
    assert isinstance(estimator, KernelEstimator)
    try:
        contexts = [_context(task, partial(progress, number)) for number, task in enumerate(tasks)]
        start = time.perf_counter()
        for file in files:
            file.check()
        with redirect_stdout(sys.stderr):
            kernels = estimator.estimate_many([_floats(_given(task.inputs.lr)) for task in tasks], tasks[0].scale, contexts)
        for file in files:
            file.check()
        seconds = (time.perf_counter() - start) / len(tasks)
        each = list(zip(tasks, contexts, kernels, strict=True))
    except KeyboardInterrupt:
        raise
    except BaseException:  # the halves show whose fault it is, unless it was that of their number
        return None

    def outcome(task: Task, context: Context, kernel: Kernel | Exception) -> Outcome:
        if isinstance(kernel, Exception):
            raise kernel
        return _completed(_taken(kernel, task, context), context, seconds)

    return [_attempted(partial(outcome, *one)) for one in each]


def _attempted(compute: Callable[[], Outcome]) -> Outcome | Failure:
    try:
        return compute()
    except BlindSRError as error:
        return Failure(str(error))
    except MemoryError:
        return Failure("out of memory; try `workers` 1, or crop the image")
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        return Failure(described(error), traceback.format_exc())


def _context(task: Task, progress: Callable[[int, int], None]) -> Context:
    for image in task.inputs.images().values():
        image.flags.writeable = False
    return Context(resolve_device(task.device), task.seed, progress)  # the device, on a cluster, of this very machine


def _completed(outcome: Outcome, context: Context, seconds: float) -> Outcome:
    """An outcome, with what its context says about it."""
    outcome.seconds = seconds
    outcome.device = context.device
    outcome.curves = {name: np.array(points) for name, points in context.points.items()}
    outcome.warnings = list(dict.fromkeys(context.warnings + outcome.warnings))
    return outcome


def _degrade(task: Task, context: Context) -> Outcome:
    assert isinstance(task.component, Degradation)
    kernel = _checked_kernel(task.component.sample_kernel(task.scale, generator(task.kernel_seed)), task)
    hr = _floats(crop_to_multiple(_given(task.inputs.hr), task.scale))
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
    pixels = _given(task.inputs.lr)
    hr = _cropped_to(_given(task.inputs.hr), pixels, task.scale)
    found = register(_floats(hr), _floats(pixels), _given(task.inputs.kernel))
    (rows_px, columns_px), before, after = found.shift_px, found.residual_stored, found.residual_moved
    values = {"residual_stored": before, "residual_moved": after, "shift_rows_px": rows_px, "shift_columns_px": columns_px}
    values["moved"] = float(found.gains)
    remark = f"the stored kernel is moved by ({rows_px:+.2f}, {columns_px:+.2f}) px: residual {before:.3f} -> {after:.3f} of 255"
    return Outcome({}, found.better, values, warnings=[remark] if found.gains else [])


def _estimate(task: Task, context: Context) -> Outcome:
    assert isinstance(task.component, KernelEstimator)
    return _taken(task.component.estimate(_floats(_given(task.inputs.lr)), task.scale, context), task, context)


def _taken(found: Any, task: Task, context: Context) -> Outcome:
    """What an estimator found, checked."""
    assert isinstance(task.component, KernelEstimator)
    kernel = task.component.with_error(_checked_kernel(found, task))
    if not kernel.aligned:
        rows, columns = kernel.misalignment_px
        off = f"({rows:+.2f}, {columns:+.2f}) px"
        context.warn(f"{task.component.name}: the kernel is {off} off alignment; the SR image will be shifted by as much")
    return Outcome({}, kernel)


def _upscale(task: Task, context: Context) -> Outcome:
    assert isinstance(task.component, NonBlindSR)
    pixels = _given(task.inputs.lr)
    lr = _floats(pixels)
    upscaler = task.component.fit(lr, _given(task.inputs.kernel), context)
    return Outcome({"sr": upscale(upscaler, lr, task.scale, pixels.dtype, context.progress, context.device)})


def _external(task: Task, context: Context) -> Outcome:
    """Take over an SR image that was made elsewhere, if its size is right."""
    sr, lr = _given(task.inputs.sr), _given(task.inputs.lr)
    height, width = (task.scale * size for size in lr.shape[:2])
    if sr.shape[:2] != (height, width):
        found, expected = f"{sr.shape[1]} x {sr.shape[0]} pixels", f"{width} x {height}, {task.scale} times the LR image"
        raise BlindSRError(f"{task.paths.get('sr', 'the SR image')}: has {found}; expected {expected}")
    return Outcome({"sr": np.ascontiguousarray(sr)})


def _score(task: Task, context: Context) -> Outcome:
    """All metrics for which there is a ground truth."""
    values: dict[str, float] = {}
    sr, hr, true = task.inputs.sr, task.inputs.hr, task.inputs.true
    if hr is not None:
        hr = _cropped_to(crop_to_multiple(hr, task.scale), _given(sr), 1)
    for metric in METRICS.values():
        if metric.of_images and hr is not None:
            try:
                values[metric.name] = metric.of_images(sr, hr, shave=task.scale)
            except BlindSRError as error:  # too small for one metric is not too small for the other
                context.warn(str(error))
        elif metric.of_kernels and true:
            values[metric.name] = metric.of_kernels(_given(task.inputs.kernel), true)
    return Outcome(values=values)


_PERFORM: Mapping[StepKind, Callable[[Task, Context], Outcome]] = {
    "degrade": _degrade, "register": _register, "estimate": _estimate, "upscale": _upscale, "external": _external, "score": _score,
}  # fmt: skip


def _given(value: T | None) -> T:
    """An input that this kind of step always has."""
    assert value is not None
    return value


def _floats(pixels: NDArray[Any]) -> NDArray[np.float32]:
    """An image as components get it, which they must not write to."""
    image = to_float(pixels)
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
    if not (0 <= hr.shape[0] - height < scale and 0 <= hr.shape[1] - width < scale):
        found = f"{hr.shape[1]} x {hr.shape[0]} pixels"
        raise BlindSRError(f"the HR image has {found}; for this LR image it should have {width} x {height}")
    return hr[:height, :width]
