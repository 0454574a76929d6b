"""What a page shows of an upscaled photograph: a part of it, before and after, and what was found."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from blindsr.api.photographs.guard import most_textured
from blindsr.api.photographs.reading import Photograph
from blindsr.imaging.files import explained
from blindsr.imaging.reader import to_depth, to_float
from blindsr.imaging.resize import bicubic
from blindsr.report.page.photographs import MAX_SHOWN_PX, PhotographsPage, ShownPhotograph

if TYPE_CHECKING:
    from blindsr.api.photographs.places import Place
    from blindsr.api.photographs.upscaling import Upscaled

PAGE = "report.html"
MARGIN_PX = 4
"""What bicubic interpolation needs around a part."""


def page_of(found: Sequence[Place], report: str | Path, *, force: bool) -> PhotographsPage:
    """The page to make: `report`, or where that is empty, `PAGE` beside the results, whose folder is made if need be.

    Raises
    ------
    BlindSRError
        If it cannot be written there.
    """
    results = found[0].output.parent
    page = Path(report) if report else results / PAGE
    if page.parent == results:
        with explained(results):
            results.mkdir(parents=True, exist_ok=True)
    return PhotographsPage(page, len(found), force=force, argument="report")


@dataclass(frozen=True)
class Preview:
    """A part of a photograph, upscaled.

    Attributes
    ----------
    place
        The part in the result, as slices of rows and columns.
    size
        Height and width of the result.
    before, after
        The part by bicubic interpolation, and of the result (h, w, 3), uint8 or uint16. `after` is filled by `watched`.
    icc_profile
        The colour profile of both.
    """

    place: tuple[slice, slice]
    size: tuple[int, int]
    before: NDArray[Any]
    after: NDArray[Any]
    icc_profile: bytes | None

    @classmethod
    def of(cls, photo: Photograph, scale: int) -> Preview:
        """The most textured part of `MAX_SHOWN_PX` pixels of the result; all of a small one."""
        pixels = photo.pixels
        height, width = pixels.shape[:2]
        rows, columns = most_textured(pixels, MAX_SHOWN_PX // scale**2)
        seen = [slice(max(0, part.start - MARGIN_PX), part.stop + MARGIN_PX) for part in (rows, columns)]
        enlarged = bicubic(to_float(pixels[tuple(seen)]), scale=scale)
        inner = [
            slice(scale * (part.start - margin.start), scale * (part.stop - margin.start))
            for part, margin in zip((rows, columns), seen, strict=True)
        ]
        before = to_depth(enlarged[tuple(inner)], pixels.dtype)
        place = tuple(slice(scale * part.start, scale * part.stop) for part in (rows, columns))
        size = (scale * height, scale * width)
        return cls((place[0], place[1]), size, before, np.zeros_like(before), photo.icc_profile)

    def watched(self, bands: Iterable[NDArray[Any]]) -> Iterator[NDArray[Any]]:
        """The bands of the result as they come, copied to `after` where they cross the part; of gray ones, the first channel."""
        rows, columns = self.place
        top = 0
        for band in bands:
            start, stop = max(rows.start, top), min(rows.stop, top + len(band))
            if start < stop:
                colours = band[start - top : stop - top, columns, : 3 if band.shape[2] >= 3 else 1]
                self.after[start - rows.start : stop - rows.start] = colours
            top += len(band)
            yield band


def shown(result: Upscaled) -> ShownPhotograph:
    """A photograph as a page shows it, with pictures if it has a `Preview`."""
    preview = result.preview
    if preview is None:
        return ShownPhotograph(result.photo.name, result.status, remarks=[*result.notes, *filter(None, [result.error])])
    (height, width), (rows, columns) = preview.size, preview.place
    about = f"{width} × {height} pixels"
    if preview.after.shape[:2] != preview.size:
        about += f", shown: columns {columns.start} to {columns.stop - 1}, rows {rows.start} to {rows.stop - 1}"
    error = "" if result.expected_error is None else f"{result.expected_error:.2f} (relative)"
    facts = {
        "blur": str(result.blur) if result.blur else "not estimated",
        "undone": f"{result.strength:.0%}" if result.blur and result.kernel else "nothing",
        "expected error of the kernel": error,
        "noise and compression": f"{result.noise:.1f} levels of 255",
        "time": f"{result.seconds:.1f} s",
        "photograph": str(result.photo),
        "result": str(result.output),
    }
    return ShownPhotograph(
        result.photo.name, about, preview.before, preview.after, preview.icc_profile, result.kernel,
        [(name, text) for name, text in facts.items() if text], result.notes,
    )  # fmt: skip
