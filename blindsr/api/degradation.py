"""A folder of HR images to a set in DIV2KRK's layout."""

from __future__ import annotations

import json
import math
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from blindsr import __version__
from blindsr.components.registry import Registry
from blindsr.errors import BlindSRError
from blindsr.execution.events import Listener
from blindsr.execution.perform import perform
from blindsr.execution.tasks import Task
from blindsr.imaging.files import explained, write_whole
from blindsr.imaging.reader import crop_to_multiple, write_png
from blindsr.pipeline.loader import parse
from blindsr.pipeline.outcome import Failure, Outcome, StepInputs
from blindsr.pipeline.plan import Plan, make_plan
from blindsr.pipeline.steps import ImageFile, Step

MANIFEST = "degradation.json"


@dataclass
class Made:
    """What was made: the names of the images that are in the set, and the HR files that could not be used, with the reason."""

    images: list[str] = field(default_factory=list)
    failures: dict[Path, str] = field(default_factory=dict)


def degrade(
    hr_folder: Path,
    out: Path,
    method: str = "random_kernel",
    *,
    registry: Registry | None = None,
    scales: Sequence[int] = (2, 4),
    seed: int = 0,
    settings: Sequence[str] = (),
    listener: Listener,
) -> Made:
    """Degrade every image of a folder, and write the set: the same images, settings and seed give the same bytes.

    ``gt/img_N_gt.png`` (cropped to a multiple of all scales), ``lr_xS/im_N.png``, ``gt_k_xS/kernel_N.mat``, N counting the
    files in the order of their names, and ``degradation.json`` with the settings and the names behind the numbers. An
    image's kernel hangs on its bytes and the seed, not on its name or number, and is one for all scales.

    Parameters
    ----------
    method, settings
        A degradation's name, and ``parameter=value`` strings for it.
    scales
        Some of 2, 3 and 4, as far as the degradation can do them.

    Raises
    ------
    BlindSRError
        For an unknown method or parameter, a folder without images, an output folder that holds something else.
    """
    registry = registry or Registry.discover()
    scales = sorted(set(scales))
    plans = {scale: _plan(hr_folder, method, registry, scale, seed, settings) for scale in scales}
    component = plans[scales[0]].pipeline.degradation
    assert component is not None
    sources = [item.hr for item in plans[scales[0]].items if item.hr]
    about = {
        "degradation": {component.name: component.model_dump(mode="json")},
        "version": component.version,
        "scales": scales,
        "seed": seed,
        "images": {str(n): {"name": source.path.name, "sha256": source.sha256} for n, source in enumerate(sources, 1)},
    }
    _claim(out, about)
    listener.begun(len(sources) * len(scales))
    made = Made()
    for number, source in enumerate(sources, 1):
        steps = [plan.steps[plan.items[number - 1].lr.key] for plan in plans.values()]
        done = _degraded(source, steps, math.lcm(*scales), listener)
        if isinstance(done, Failure):
            made.failures[source.path] = done.message
            listener.ended(steps[0], done)
        else:
            _write(out, number, *done)
            made.images.append(f"im_{number}")
    return made


def _plan(hr_folder: Path, method: str, registry: Registry, scale: int, seed: int, settings: Sequence[str]) -> Plan:
    """The plan of a pipeline that degrades these images: its are the seeds, too."""
    values: dict[str, Any] = {"name": "degrade", "scale": scale, "data": {"hr": str(hr_folder)}, "data_seed": seed}
    values |= {"degradation": {method: {}}, "methods": {"none": {"sr": "bicubic"}}}
    pipeline = parse(values, registry, settings=[f"degradation.{method}.{setting}" for setting in settings])
    return make_plan(pipeline, pipeline.dataset())


def _claim(out: Path, about: dict[str, Any]) -> None:
    """Make the folder, or go on in it if it is of the same settings and images."""
    manifest = out / MANIFEST
    text = json.dumps(about | {"blindsr": __version__}, indent=1, ensure_ascii=False) + "\n"
    with explained(out):
        if manifest.is_file():
            if manifest.read_text(encoding="utf-8", errors="replace") != text:
                raise BlindSRError(f"{out}: holds a set of other images or settings ({MANIFEST}); choose another folder")
        elif out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise BlindSRError(f"{out}: is there already and not empty; choose a new folder")
        out.mkdir(parents=True, exist_ok=True)
    write_whole(manifest, lambda part: part.write_text(text, encoding="utf-8"))


def _degraded(
    source: ImageFile, steps: Sequence[Step], multiple: int, listener: Listener
) -> tuple[NDArray[Any], dict[int, Outcome]] | Failure:
    """The HR image as it is kept, and what each scale's step makes of it; a failure if one of them fails."""
    made = {}
    try:
        hr = crop_to_multiple(source.read().pixels, multiple)
        if not hr.size:
            return Failure(f"{source.path}: is smaller than {multiple} pixels a side")
        for step in steps:
            listener.started(step)
            made[step.scale] = perform(Task(step.kind, step.component, step.scale, StepInputs(hr=hr), step.key, step.kernel_seed))
            listener.ended(step, made[step.scale])
    except BlindSRError as error:
        return Failure(str(error))
    except Exception as error:  # a defect of the degradation: the other images may do well
        return Failure(f"{source.path}: {type(error).__name__}: {error}", traceback.format_exc())
    return hr, made


def _write(out: Path, number: int, hr: NDArray[Any], made: Mapping[int, Outcome]) -> None:
    """The files of an image; the LR images last, since a set has the images that it has LR images of."""
    write_png(out / "gt" / f"img_{number}_gt.png", hr)
    for scale, outcome in made.items():
        assert outcome.kernel is not None
        folder = out / f"gt_k_x{scale}"
        with explained(folder):
            folder.mkdir(exist_ok=True)
        outcome.kernel.save(folder / f"kernel_{number}.mat")
    for scale, outcome in made.items():
        write_png(out / f"lr_x{scale}" / f"im_{number}.png", outcome.arrays["lr"])
