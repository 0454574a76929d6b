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
from blindsr.imaging.reader import crop_to_multiple
from blindsr.imaging.writer import write_png
from blindsr.pipeline import datasets
from blindsr.pipeline.hashes import Hashes
from blindsr.pipeline.outcome import Failure, Outcome, StepInputs
from blindsr.pipeline.plan import single_step
from blindsr.pipeline.steps import ImageFile, Step

MANIFEST = "degradation.json"


@dataclass
class DegradedSet:
    """A set that was made: the names of its images, and the HR files that could not be used, with the reason."""

    images: list[str] = field(default_factory=list)
    failures: dict[Path, str] = field(default_factory=dict)


def degrade_folder(
    hr_folder: Path, out: Path, method: str = "random_kernel", *, registry: Registry, scales: Sequence[int] = (2, 4), seed: int = 0,
    settings: Mapping[str, Any] | None = None, listener: Listener,
) -> DegradedSet:  # fmt: skip
    """Degrade every image of a folder, and write the set: the same images, settings and seed give the same bytes.

    ``gt/img_N_gt.png`` (cropped to a multiple of all scales), ``lr_xS/im_N.png``, ``gt_k_xS/kernel_N.mat``, N counting the files in
    the order of their names, and ``degradation.json`` with the settings and the names behind the numbers. An image's kernel depends
    on its bytes and the seed, not on its name or number, and is the same for all scales.

    Parameters
    ----------
    method, settings
        A degradation's name, and its parameters.
    scales
        Some of 2, 3 and 4, as far as the degradation can do them.

    Raises
    ------
    BlindSRError
        For an unknown method or parameter, a folder without images, an output folder that holds something else.
    """
    scales = sorted(set(scales))
    component = registry.build("degradation", method, settings)
    for scale in scales:
        registry.check_scale("degradation", method, scale)
    hashes = Hashes()
    sources = [ImageFile.of(hashes.file(item.hr)) for item in datasets.hr_folder(hr_folder).items if item.hr]
    about = {
        "degradation": {component.name: component.model_dump(mode="json")},
        "version": component.version,
        "scales": scales,
        "seed": seed,
        "images": {str(n): {"name": source.path.name, "sha256": source.sha256} for n, source in enumerate(sources, 1)},
    }
    _claim(out, about)
    listener.begun(len(sources) * len(scales))
    made = DegradedSet()
    for number, source in enumerate(sources, 1):
        steps = [single_step("degrade", component, scale, {"hr": source}, seed=seed, hashes=hashes) for scale in scales]
        done = _degraded(source, steps, math.lcm(*scales), listener)
        if isinstance(done, Failure):
            made.failures[source.path] = done.message
            listener.ended(steps[0], done)
        else:
            _write(out, number, *done)
            made.images.append(f"im_{number}")
    return made


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
            made[step.scale] = perform(Task.of(step, StepInputs(hr=hr)))
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
