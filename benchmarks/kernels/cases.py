"""The images of the benchmark: degraded photographs and text, with their kernels; the same ones for the same seed."""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from curves import NAMES, kernel
from numpy.typing import NDArray
from PIL import Image

from blindsr.api import BlindSRError, Kernel, downscale, read_image, to_depth, to_float

Pixels = NDArray[np.uint8]
IMAGES = 12
"""Of each condition."""
DIV2KRK = "Gaussian, DIV2KRK's"
NONGAUSSIAN = ("motion", "disk", "measured-like")
DAMAGE: dict[str, tuple[float, int | None]] = {
    "none": (0, None),
    "noise of 2 levels": (2, None),
    "noise of 5 levels": (5, None),
    "JPEG 90": (0, 90),
    "JPEG 75": (0, 75),
}
"""Standard deviation of the noise in levels of 255, and the quality of the JPEG file."""
LR_SIDES_PX = (64, 96, 128, 160)
TEXT_SHAPE = (320, 480)


class Case(NamedTuple):
    """An LR image (float32), its HR image (uint8), and the kernel and the noise between them."""

    condition: str
    image: str
    lr: NDArray[np.float32]
    hr: Pixels
    kernel: Kernel
    noise: float = 0.0
    """Its standard deviation in levels of 255."""


@dataclass(frozen=True)
class Source:
    """Where photographs come from, and what is common to all cases."""

    folder: Path
    scale: int
    seed: int
    limit: int | None = None

    @cached_property
    def photographs(self) -> dict[str, Pixels]:
        """By name, as they are in the folder."""
        paths = sorted(self.folder.glob("*.png")) if self.folder.is_dir() else []
        if len(paths) < IMAGES:
            raise BlindSRError(
                f"{self.folder}: holds {len(paths)} PNG images, the benchmark needs {IMAGES}; point --shared elsewhere"
            )
        return {path.stem: read_image(path).pixels for path in paths}

    def some(self, offset: int = 0) -> dict[str, Pixels]:
        """As many photographs as a condition has, evenly spread."""
        names = list(self.photographs)
        places = [(n * len(names) // IMAGES + offset) % len(names) for n in range(IMAGES)]
        return {names[place]: self.photographs[names[place]] for place in places[: self.limit]}

    def case(self, condition: str, image: str, hr: Pixels, family: str, *, noise: float = 0, quality: int | None = None) -> Case:
        """A degraded image. Its random numbers depend on the seed, the image and the family, and on nothing else."""
        rng = np.random.default_rng([self.seed, zlib.crc32(f"{image} {family}".encode())])
        found = kernel(family, self.scale, rng)
        hr = hr[: hr.shape[0] // self.scale * self.scale, : hr.shape[1] // self.scale * self.scale]
        lr = downscale(to_float(hr), found)
        lr = lr + rng.normal(0, 1, lr.shape) * noise / 255
        return Case(condition, image, to_float(_compressed(to_depth(lr.astype(np.float32), np.uint8), quality)), hr, found, noise)


def _compressed(image: Pixels, quality: int | None) -> Pixels:
    if quality is None:
        return image
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=quality)
    return np.array(Image.open(file))


def _families(source: Source) -> Iterator[Case]:
    for family in NAMES:
        for name, hr in source.some().items():
            yield source.case(family, name, hr, family)


def _robustness(source: Source) -> Iterator[Case]:
    for condition, (noise, quality) in DAMAGE.items():
        for name, hr in source.some(1).items():
            yield source.case(condition, name, hr, DIV2KRK, noise=noise, quality=quality)


def _sizes(source: Source) -> Iterator[Case]:
    """The middles of photographs, each with the same kernel in all sizes."""
    for side in LR_SIDES_PX:
        for name, hr in source.some(2).items():
            needed = source.scale * side
            top, left = ((size - needed) // 2 for size in hr.shape[:2])
            if min(top, left) >= 0:
                yield source.case(f"{side} x {side} px", name, hr[top : top + needed, left : left + needed], DIV2KRK)


def _content(source: Source) -> Iterator[Case]:
    """The photographs with the least and the most of gradients, and text."""
    ranked = sorted(source.photographs, key=lambda name: _mean_gradient(source.photographs[name]))
    pages = {f"page {n}": _page(np.random.default_rng([source.seed, n])) for n in range(IMAGES)}
    groups = {"soft": ranked[:IMAGES], "textured": ranked[::-1][:IMAGES], "text": list(pages)}
    for condition, names in groups.items():
        for name in names[: source.limit]:
            yield source.case(condition, name, (source.photographs | pages)[name], DIV2KRK)


def _nongaussian(source: Source) -> Iterator[Case]:
    """Twelve images, each with one kernel; the families take turns."""
    for number, (name, hr) in enumerate(source.some(3).items()):
        family = NONGAUSSIAN[number % len(NONGAUSSIAN)]
        yield source.case(family, name, hr, family)


PARTS: dict[str, Callable[[Source], Iterator[Case]]] = {
    "families": _families,
    "robustness": _robustness,
    "sizes": _sizes,
    "content": _content,
    "nongaussian": _nongaussian,
}


def _mean_gradient(image: Pixels) -> float:
    gray = image.mean(2)
    return float(np.abs(np.diff(gray, axis=0)).mean() + np.abs(np.diff(gray, axis=1)).mean())


def _page(rng: np.random.Generator) -> Pixels:
    """Lines of random letters, dark on light, of several sizes and fonts."""
    paper, ink = rng.integers(200, 256, 3), rng.integers(0, 90, 3)
    page = np.full((*TEXT_SHAPE, 3), paper, np.uint8)
    baseline = 0
    fonts = (cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_DUPLEX, cv2.FONT_HERSHEY_COMPLEX, cv2.FONT_HERSHEY_TRIPLEX)
    letters = np.array(list("abcdefghijklmnopqrstuvwxyz      ABCDEFGHIJ.,"))
    while baseline < TEXT_SHAPE[0]:
        size = rng.uniform(0.4, 1.1)
        baseline += round(32 * size)
        text = "".join(rng.choice(letters, 80))
        cv2.putText(page, text, (10, baseline), int(rng.choice(fonts)), size, ink.tolist(), 1 + int(size > 0.8), cv2.LINE_AA)
    return page
