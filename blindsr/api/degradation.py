"""A folder of HR images to a set of LR/HR pairs: in DIV2KRK's layout, or in those that BasicSR and KAIR read."""

import json
import math
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from blindsr import __version__
from blindsr.api.functions import Pixels
from blindsr.components.registry import Registry
from blindsr.errors import BlindSRError, alternatives
from blindsr.execution.events import Listener
from blindsr.execution.perform import perform
from blindsr.execution.tasks import Task
from blindsr.imaging.files import explained, write_whole
from blindsr.imaging.reader import crop_to_multiple, read_image
from blindsr.imaging.writer import write_png
from blindsr.pipeline import datasets
from blindsr.pipeline.hashes import Hashes
from blindsr.pipeline.outcome import Failure, Outcome, StepInputs
from blindsr.pipeline.plan import single_step
from blindsr.pipeline.steps import ImageFile, Step

MANIFEST = "degradation.json"


class SetLayout(NamedTuple):
    """Where the files of a set lie: names with ``{n}``, the image's number, and ``{scale}``."""

    hr: str
    lr: str
    kernel: str


SET_LAYOUTS: Mapping[str, SetLayout] = {
    "div2krk": SetLayout("gt/img_{n}_gt.png", "lr_x{scale}/im_{n}.png", "gt_k_x{scale}/kernel_{n}.mat"),
    # PairedImageDataset pairs files of one name in dataroot_gt and dataroot_lq.
    "basicsr": SetLayout("hr/{n:05}.png", "lr_x{scale}/{n:05}.png", "kernels_x{scale}/{n:05}.mat"),
    # DatasetSR pairs the sorted paths below dataroot_H and dataroot_L: names of one length keep one order.
    "kair": SetLayout("trainH/{n:05}.png", "trainL/X{scale}/{n:05}x{scale}.png", "kernels/X{scale}/{n:05}x{scale}.mat"),
}
META_INFO = "meta_info.txt"


def degrade_folder(
    hr_folder: Path, out: Path, method: str, settings: Mapping[str, Any], *, registry: Registry, scales: Sequence[int], seed: int,
    listener: Listener, layout: str = "div2krk",
) -> tuple[int, int]:  # fmt: skip
    """Degrade every image of a folder, and write the set; how many images were made, and how many failed.

    HR images (cropped to a multiple of all scales), LR images and kernels lie where `SET_LAYOUTS` says, numbered in the order of
    their names; ``degradation.json`` has the settings and the names behind the numbers. An image's kernel depends
    on its bytes and the seed, not on its name or number, and is the same for all scales: the same images, settings and seed give
    the same bytes.
    """
    if layout not in SET_LAYOUTS:
        raise BlindSRError(f"`layout` {layout}: unknown{alternatives(layout, SET_LAYOUTS)}")
    components = {scale: registry.build("degradation", method, settings, scale=scale) for scale in scales}
    component = components[scales[0]]
    hashes = Hashes()
    sources = [ImageFile.of(hashes.file(item.hr)) for item in datasets.hr_folder(hr_folder).items if item.hr]
    about = {
        "degradation": {component.name: component.model_dump(mode="json")},
        "version": component.version,
        "scales": scales,
        "seed": seed,
        "images": {str(n): {"name": source.path.name, "sha256": source.sha256} for n, source in enumerate(sources, 1)},
        "blindsr": __version__,
    }
    if layout != "div2krk":
        about["layout"] = layout
    _claim(out, json.dumps(about, indent=1, ensure_ascii=False) + "\n")
    listener.begun(len(sources) * len(scales))
    failed = 0
    for number, source in enumerate(sources, 1):
        steps = [
            single_step("degrade", components[scale], scale, {"hr": source}, seed=seed, hashes=hashes, item=source.path.name)
            for scale in scales
        ]
        try:
            made = _degraded(source, steps, math.lcm(*scales), listener)
        except BlindSRError as error:
            failure = Failure(str(error))
        except Exception as error:  # a defect of the degradation: the other images may do well
            failure = Failure(f"{source.path}: {type(error).__name__}: {error}", traceback.format_exc())
        else:
            _write(out, SET_LAYOUTS[layout], number, *made)
            continue
        failed += 1
        listener.ended(steps[0], failure)
    if layout == "basicsr":
        _write_meta_info(out)
    return len(sources) - failed, failed


def _claim(out: Path, text: str) -> None:
    """Make the folder with this manifest, or go on in it if it is of the same settings and images."""
    manifest = out / MANIFEST
    with explained(out):
        if manifest.is_file():
            if manifest.read_text(encoding="utf-8", errors="replace") != text:
                raise BlindSRError(f"{out}: holds a set of other images or settings ({MANIFEST}); choose another folder")
        elif out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise BlindSRError(f"{out}: is there already and not empty; choose a new folder")
    write_whole(manifest, lambda part: part.write_text(text, encoding="utf-8"))


def _degraded(source: ImageFile, steps: Sequence[Step], multiple: int, listener: Listener) -> tuple[Pixels, dict[int, Outcome]]:
    """The HR image as it is kept, and what each scale's step makes of it."""
    hr = crop_to_multiple(source.read().pixels, multiple)
    if not hr.size:
        raise BlindSRError(f"{source.path}: is smaller than {multiple} pixels a side")
    made = {}
    for step in steps:
        listener.started(step)
        made[step.scale] = perform(Task.of(step, StepInputs(hr=hr)))
        listener.ended(step, made[step.scale])
    return hr, made


def _write(out: Path, layout: SetLayout, number: int, hr: Pixels, made: Mapping[int, Outcome]) -> None:
    """The files of an image; the LR images last, since a set has the images that it has LR images of."""
    write_png(out / layout.hr.format(n=number), hr)
    for scale, outcome in made.items():
        assert outcome.kernel is not None
        outcome.kernel.save(out / layout.kernel.format(n=number, scale=scale))
    for scale, outcome in made.items():
        write_png(out / layout.lr.format(n=number, scale=scale), outcome.arrays["lr"])


def _write_meta_info(out: Path) -> None:
    """BasicSR's list of the HR images: a line ``NAME (HEIGHT,WIDTH,CHANNELS)`` for each."""
    files = sorted((out / SET_LAYOUTS["basicsr"].hr).parent.glob("*.png"))
    lines = [f"{file.name} ({','.join(map(str, read_image(file).pixels.shape))})\n" for file in files]
    write_whole(out / META_INFO, lambda part: part.write_text("".join(lines)))
