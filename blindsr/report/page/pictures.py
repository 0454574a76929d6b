"""The pictures of a page: images as WebP, in the page or in a folder beside it; kernels and error maps in colours."""

from __future__ import annotations

import base64
import hashlib
import io
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blindsr.errors import BlindSRError
from blindsr.imaging.files import explained, write_whole
from blindsr.imaging.kernel import in_one_frame
from blindsr.imaging.metrics import luma
from blindsr.imaging.reader import peak_of
from blindsr.report.page.markup import Html, element

LOSSLESS = 100
MAX_PIXELS: Mapping[int, float] = {LOSSLESS: 4e6, 95: 40e6, 90: 70e6, 80: 120e6}
"""Up to how many pixels in a page each WebP quality is taken: pages of sharp photographs stay below 30 MB with them."""
MAX_SIDE = 4096
"""Larger images are shown reduced: browsers fail on WebP images of more than 16383 pixels a side, and phones far below."""
MAX_MAP_PX = 320
"""Width of an error map: each of its pixels is the RMS error of a block."""
PICTURE = re.compile(r"[0-9a-f]{16}\.webp")

INFERNO = np.array(
    [(0, 0, 4), (40, 11, 84), (101, 21, 110), (159, 42, 99), (212, 72, 66), (245, 125, 21), (250, 193, 39), (252, 255, 164)]
)
"""Colours of 0, 1/7, ..., 1: matplotlib's `inferno`, whose lightness rises evenly."""
Map = NDArray[np.float64]


class Pictures:
    """Where the pictures of a page go: into the page, or, where `folder` is given, into that folder as they come.

    Equal pictures are kept once. In the page, their quality follows from `pixels`, the number of these to expect together.
    """

    def __init__(self, pixels: float, folder: Path | None) -> None:
        fitting = (quality for quality, limit in MAX_PIXELS.items() if pixels <= limit)
        self.quality = 95 if folder else next(fitting, min(MAX_PIXELS))
        self.folder = folder
        self._found: dict[str, bytes] = {}

    def add(self, image: NDArray[Any], icc_profile: bytes | None = None) -> str:
        """The name of an image (H, W, 3), uint8 or uint16, in the page; a colour profile goes with it."""
        from PIL import Image

        pixels = image if image.dtype == np.uint8 else (image / (peak_of(image.dtype) / 255) + 0.5).astype(np.uint8)
        picture, data = Image.fromarray(np.ascontiguousarray(pixels)), io.BytesIO()
        picture.thumbnail((MAX_SIDE, MAX_SIDE))
        profile = {"icc_profile": icc_profile} if icc_profile else {}
        picture.save(data, "WEBP", quality=self.quality, method=4, lossless=self.quality == LOSSLESS, **profile)
        name = hashlib.sha256(data.getbuffer()).hexdigest()[:16]
        if name not in self._found:
            self._found[name] = b"" if self.folder else data.getvalue()
            if self.folder:
                write_whole(self.folder / f"{name}.webp", lambda part: part.write_bytes(data.getbuffer()), sync_folder=False)
        return name

    def data_blocks(self) -> list[Html]:
        """The pictures that are in the page, in base64."""
        found = () if self.folder else self._found.items()
        return [element("script", Html(base64.b64encode(data).decode()), type="text/plain", id=f"p-{name}") for name, data in found]

    def remove_others(self) -> None:
        """Remove from the folder the pictures of an earlier page."""
        for path in self.folder.iterdir() if self.folder else ():
            if PICTURE.fullmatch(path.name) and path.stem not in self._found:
                with explained(path):
                    path.unlink()


def error_map(sr: NDArray[Any], hr: NDArray[Any]) -> Map | None:
    """The RMS error of Y in blocks, in levels of 255, at most `MAX_MAP_PX` wide; None where the sizes differ."""
    if sr.shape != hr.shape:
        return None
    try:
        squares = np.square(luma(sr) - luma(hr))
    except BlindSRError:
        return None
    step = -(-squares.shape[1] // MAX_MAP_PX)
    edges = [np.arange(0, size, step) for size in squares.shape]
    counts = [np.diff([*edge, size]) for edge, size in zip(edges, squares.shape, strict=True)]
    sums = np.add.reduceat(np.add.reduceat(squares, edges[0], axis=0), edges[1], axis=1)
    means: Map = np.sqrt(sums / np.outer(*counts))
    return means


def in_colours(values: Map, top: float) -> NDArray[np.uint8]:
    """Values as colours: black is 0, light yellow is `top` and above."""
    place = np.clip(values / (top or 1), 0, 1) * (len(INFERNO) - 1)
    channels = [np.interp(place, np.arange(len(INFERNO)), channel) for channel in INFERNO.T]
    return np.stack(channels, axis=-1).round().astype(np.uint8)


def framed(kernels: Sequence[Map]) -> list[Map]:
    """Kernels in frames of one size with one centre, without the borders that are empty in all of them."""
    padded = in_one_frame(kernels)
    rows, columns = padded[0].shape
    together = np.max([np.abs(kernel) / np.abs(kernel).max() for kernel in padded], axis=0) > 0.005
    empty = min(int(np.argmax(line)) for line in (together.any(0), together.any(0)[::-1], together.any(1), together.any(1)[::-1]))
    return [kernel[empty : rows - empty, empty : columns - empty] for kernel in padded]


def tiny_png(pixels: NDArray[np.uint8]) -> str:
    """A small picture (H, W, 3) as a ``data:`` address."""
    from PIL import Image

    data = io.BytesIO()
    Image.fromarray(pixels).save(data, "PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(data.getbuffer()).decode()}"
