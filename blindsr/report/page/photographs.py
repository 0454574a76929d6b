"""A page of photographs without truth: each beside bicubic interpolation, with its kernel, its blur in words, and remarks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blindsr.imaging.files import write_whole
from blindsr.imaging.kernel import Kernel
from blindsr.report.page.document import framed, part, toolbar
from blindsr.report.page.markup import Html, element
from blindsr.report.page.output import check_page, pictures_folder
from blindsr.report.page.pictures import LOSSLESS, Pictures, error_map, in_colours, tiny_png
from blindsr.report.page.pictures import framed as framed_kernels
from blindsr.report.page.section import View, compared, strip

MAX_SHOWN_PX = 2_000_000
"""SR pixels of each photograph that are shown; of a larger one, a part."""
MAX_INSIDE = 20
"""With more photographs the pictures are in a folder beside the page."""


@dataclass(frozen=True)
class ShownPhotograph:
    """A photograph in a page.

    Attributes
    ----------
    name
        Of its file.
    about
        Sizes, and which part is shown.
    before, after
        Bicubic interpolation and the result (h, w, 3), uint8 or uint16; None where there is no result to show.
    icc_profile
        The colour profile of both.
    kernel
        The kernel that the result was made with; None for bicubic interpolation.
    facts
        Names and texts: the blur in words, the noise, and so on.
    remarks
        What the user should know: notes of the guard, or why it failed.
    """

    name: str
    about: str
    before: NDArray[Any] | None = None
    after: NDArray[Any] | None = None
    icc_profile: bytes | None = None
    kernel: Kernel | None = None
    facts: Sequence[tuple[str, str]] = ()
    remarks: Sequence[str] = ()


class PhotographsPage:
    """A page that takes photographs as they come, so that their pictures need not be kept.

    Parameters
    ----------
    output
        The page, ``.html``.
    count
        How many photographs will come, at most.
    force
        Whether it may replace a file.
    argument
        What names `output` in messages.

    Raises
    ------
    BlindSRError
        If the page cannot be written there.
    """

    def __init__(self, output: Path, count: int, *, force: bool = False, argument: str = "output") -> None:
        check_page(output, force=force, argument=argument)
        folder = pictures_folder(output, force=force, argument=argument) if count > MAX_INSIDE else None
        self.output = output
        self._pictures = Pictures(2 * MAX_SHOWN_PX * count, folder)
        self._sections: list[Html] = []

    def add(self, photo: ShownPhotograph) -> None:
        """Append a photograph."""
        parts = [_viewer(photo, len(self._sections) + 1, self._pictures), _kernel(photo.kernel), _texts(photo)]
        head = element("h3", element("bdi", photo.name), element("small", photo.about))
        self._sections.append(element("article", head, parts, class_="scene", data_item=photo.name))

    def write(self) -> None:
        """Write the page of the photographs that have come, atomically."""
        count, folder = len(self._sections), self._pictures.folder
        body = [
            element("a", "Skip to the photographs", href="#images", class_="skip"),
            element(
                "header",
                element("p", "blindsr upscale", class_="brand"),
                element("h1", "Upscaled photographs"),
                element("p", f"{count} photograph{'s' * (count != 1)}", class_="facts"),
            ),
            toolbar({"#images": "Photographs"}, methods=False),
            element("main", part("images", "Photographs", [_help(self._pictures), self._sections])),
            element("noscript", element("p", "The texts need no script; the pictures do.")),
        ]
        text = framed("Upscaled photographs", body, self._pictures, folder.name if folder else "")
        write_whole(self.output, lambda file: file.write_text(text, "utf-8", errors="replace"))
        self._pictures.remove_others()


def _help(pictures: Pictures) -> Html:
    text = (
        "Drag across a photograph to move the divider; click a place to enlarge it. There is no truth to compare with, so no "
        f"numbers of quality. Of results over {MAX_SHOWN_PX // 10**6} megapixels, the part with the most texture is shown."
    )
    exact = f" Pictures are WebP of quality {pictures.quality}; the results are exact."
    return element("p", text, "" if pictures.quality == LOSSLESS else exact, class_="note")


def _viewer(photo: ShownPhotograph, number: int, pictures: Pictures) -> Html | None:
    if photo.before is None or photo.after is None:
        return None
    views = [
        View(title, "", pictures.add(image, photo.icc_profile))
        for title, image in (("Bicubic interpolation", photo.before), ("Result", photo.after))
    ]
    height, width = photo.after.shape[:2]
    return compared(photo.name, views, (height, width), _differing(photo.before, photo.after), number)


def _differing(before: NDArray[Any], after: NDArray[Any]) -> tuple[float, float]:
    """Where two images differ most, as parts of the height and the width: the place that is enlarged at first."""
    from scipy.ndimage import uniform_filter

    differences = error_map(after, before)
    if differences is None or not differences.any():
        return 0.5, 0.5
    blurred = uniform_filter(differences, 9, mode="constant")
    row, column = np.unravel_index(int(blurred.argmax()), blurred.shape)
    return (float(row) + 0.5) / blurred.shape[0], (float(column) + 0.5) / blurred.shape[1]


def _kernel(kernel: Kernel | None) -> Html | None:
    if kernel is None:
        return None
    [array] = framed_kernels([kernel.array])
    rows, columns = array.shape
    picture = tiny_png(in_colours(array, float(array.max())))
    widths = " × ".join(f"{width:.2f}" for width in kernel.widths_px)
    image = element("img", alt="Kernel that the result was made with", src=picture, width=columns, height=rows)
    figure = element("figure", image, element("figcaption", element("small", f"{widths} px wide")))
    note = f"What the result was made with: {columns} × {rows} pixels of the result; black is 0, light yellow {array.max():.3f}."
    return strip("Kernel", note, [figure], "kernels")


def _texts(photo: ShownPhotograph) -> list[Html]:
    facts = [(element("dt", name), element("dd", text)) for name, text in photo.facts]
    found = [element("dl", facts)] if facts else []
    return [*found, element("ul", [element("li", text) for text in photo.remarks], class_="remarks")] if photo.remarks else found
