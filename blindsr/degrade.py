"""A folder of HR images to a set in DIV2KRK's layout."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from blindsr import __version__
from blindsr.errors import BlindSRError
from blindsr.execute import Listener
from blindsr.files import explained, write_whole
from blindsr.image import crop_to_multiple, read_image, write_png
from blindsr.pipeline import parse
from blindsr.plan import ImageFile, Step, make_plan
from blindsr.registry import Registry
from blindsr.steps import Task, perform
from blindsr.store import Failure

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
    plans = {scale: _steps(hr_folder, method, registry, scale, seed, settings) for scale in scales}
    steps = plans[scales[0]]
    component = steps[0].component
    assert component is not None
    sources = [step.inputs["hr"] for step in steps]
    about = {
        "degradation": {component.name: component.model_dump(mode="json")},
        "version": component.version,
        "scales": scales,
        "seed": seed,
        "images": {str(n): {"name": s.path.name, "sha256": s.sha256} for n, s in enumerate(sources, 1) if isinstance(s, ImageFile)},
    }
    _claim(out, about)
    listener.begun(len(sources) * len(scales))
    made = Made()
    for number in range(1, len(sources) + 1):
        same = [plans[scale][number - 1] for scale in scales]
        try:
            _one(same, number, out, math.lcm(*scales), listener)
            made.images.append(f"im_{number}")
        except BlindSRError as error:
            source = same[0].inputs["hr"]
            assert isinstance(source, ImageFile)
            made.failures[source.path] = str(error)
            listener.ended(same[0], Failure(str(error)))
    return made


def _steps(hr_folder: Path, method: str, registry: Registry, scale: int, seed: int, settings: Sequence[str]) -> list[Step]:
    """The steps in which a pipeline would degrade these images; theirs are the seeds, too."""
    values: dict[str, Any] = {"name": "degrade", "scale": scale, "data": {"hr": str(hr_folder)}, "data_seed": seed}
    values |= {"degradation": {method: {}}, "methods": {"none": {"sr": "bicubic"}}}
    pipeline = parse(values, registry, settings=[f"degradation.{method}.{setting}" for setting in settings])
    plan = make_plan(pipeline, pipeline.dataset())
    return [plan.steps[item.lr.key] for item in plan.items]


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


def _one(steps: Sequence[Step], number: int, out: Path, multiple: int, listener: Listener) -> None:
    source = steps[0].inputs["hr"]
    assert isinstance(source, ImageFile)
    hr = crop_to_multiple(read_image(source.path).pixels, multiple)
    if not hr.size:
        raise BlindSRError(f"{source.path}: is smaller than {multiple} pixels a side")
    for step in steps:
        listener.started(step)
        outcome = perform(Task(step.kind, step.component, step.scale, {"hr": hr}, step.key, step.kernel_seed))
        assert outcome.kernel is not None
        write_png(out / f"lr_x{step.scale}" / f"im_{number}.png", outcome.arrays["lr"])
        folder = out / f"gt_k_x{step.scale}"
        with explained(folder):
            folder.mkdir(exist_ok=True)
        outcome.kernel.save(folder / f"kernel_{number}.mat")
        listener.ended(step, outcome)
    write_png(out / "gt" / f"img_{number}_gt.png", hr)
