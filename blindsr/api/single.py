"""One component on one image, outside any pipeline; the numbers are those that a pipeline would give."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import cast

from blindsr.cli.progress import console
from blindsr.components.registry import Registry
from blindsr.errors import BlindSRError
from blindsr.execution.perform import perform
from blindsr.execution.resources import resolve_device
from blindsr.execution.tasks import Task
from blindsr.imaging.kernel import KERNEL_SUFFIXES, Kernel
from blindsr.imaging.reader import read_image
from blindsr.pipeline.loader import parse
from blindsr.pipeline.outcome import StepInputs
from blindsr.pipeline.plan import make_plan


def estimate(
    image: Path,
    output: Path,
    method: str,
    *,
    registry: Registry | None = None,
    scale: int = 2,
    seed: int = 0,
    settings: Sequence[str] = (),
    device: str = "auto",
    threads: int = 1,
) -> Kernel:
    """Estimate the kernel of an image file and write it.

    Parameters
    ----------
    image, output
        An LR image; a ``.mat``, ``.npy`` or ``.png`` file to write.
    method, settings
        An estimator's name, and ``parameter=value`` strings for it.
    registry
        Where the name is looked up; by default all installed plugins.

    Raises
    ------
    BlindSRError
        For an unknown method or parameter, an unreadable image, an output that cannot be written.
    """
    if output.suffix not in KERNEL_SUFFIXES:
        raise BlindSRError(f"{output}: a kernel is written as {', '.join(KERNEL_SUFFIXES)}, not as '{output.suffix}'")
    if not output.parent.is_dir():
        raise BlindSRError(f"{output}: there is no folder {output.parent}")
    values = {"name": "estimate", "scale": scale, "seeds": [seed], "data": {"lr": [str(image)]}}
    values["methods"] = {"estimate": {"kernel": {method: {}}, "sr": "bicubic"}}
    pipeline = parse(
        values, registry or Registry.discover(), settings=[f"methods.estimate.kernel.{method}.{setting}" for setting in settings]
    )
    plan = make_plan(pipeline, pipeline.dataset())
    step = next((step for step in plan.steps.values() if step.kind == "estimate"), None)
    if step is None:
        raise BlindSRError(f"'{method}' estimates nothing; choose a kernel estimator from `blindsr plugins`")
    device = resolve_device(device)
    import torch

    torch.set_num_threads(threads)
    with console() as listener:
        picture = read_image(image)
        for note in picture.notes:
            listener.note(note)
        listener.started(step)
        task = Task(step.kind, step.component, scale, StepInputs(lr=picture.pixels), step.key, step.kernel_seed, device)
        outcome = perform(task, lambda done, total: listener.progress(step, done, total))
        listener.ended(step, outcome)
    kernel = cast("Kernel", outcome.kernel)
    kernel.save(output)
    return kernel
