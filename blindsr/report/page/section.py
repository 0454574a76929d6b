"""The section of one image: before and after, enlarged places, kernels, errors, curves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blindsr.imaging.reader import peak_of
from blindsr.imaging.resize import bicubic
from blindsr.report.page import charts
from blindsr.report.page.data import Scene, Shown, brightest, shown_curves, shown_kernels
from blindsr.report.page.markup import Html, element
from blindsr.report.page.pictures import Map, Pictures, error_map, framed, in_colours, tiny_png

BRIGHT_PERCENTILE = 99.5
"""Of an image's errors; larger ones have the brightest colour, too."""
ZOOMS = (2, 4, 8, 16)
FIRST_ZOOM = 4


@dataclass(frozen=True)
class View:
    """One picture of an image: what it is, its numbers, and its name in the page (`Pictures.add`)."""

    title: str
    numbers: str
    picture: str
    method: str = ""  # empty for what every method is compared with
    rank: float = -1  # at first, the one with the largest is on the right side


def section(scene: Scene, number: int, pictures: Pictures, colours: Mapping[str, int]) -> Html:
    """The section of a scene; its images go to `pictures`. `colours` has a number for each method's title."""
    lr, hr = scene.result.image(scene.item, "lr"), scene.result.image(scene.item, "hr")
    views, maps, size = [], dict[str, Map](), (0, 0)
    plain = bicubic(lr, scale=scene.scale) if lr is not None else None
    taken = []
    for shown in scene.shown:
        if (sr := shown.result.sr(*shown.row)) is not None:
            size = sr.shape[:2]
            taken.append(plain is not None and _equal(sr, plain))
            rank = 0.0 if shown.summary.knows_kernel else np.nan_to_num(shown.number("psnr"))
            views.append(View(shown.title, " / ".join(shown.scores), pictures.add(sr), shown.title, rank))
            if hr is not None and (errors := error_map(sr, hr)) is not None:
                maps[shown.title] = errors
    if plain is not None and not any(taken):
        views.insert(0, View("Bicubic interpolation of the LR image", "", pictures.add(plain)))
        size = size if any(size) else plain.shape[:2]
    if hr is not None:
        views.append(View("Truth", "", pictures.add(hr)))
    name = f"{scene.item} ×{scene.scale}"
    parts = [
        compared(name, views, size, _place(maps), number) if views else None,
        _kernels(scene),
        _errors(maps, pictures),
        _curves(scene, colours),
        _remarks(scene),
    ]
    sizes = f"{lr.shape[1]} × {lr.shape[0]} → {size[1]} × {size[0]} pixels" if lr is not None and views else ""
    about = element("small", " · ".join(filter(None, (f"{scene.data} ×{scene.scale}", sizes))))
    head = element("h3", element("bdi", scene.item), about)
    return element("article", head, parts, class_="scene", data_item=scene.item)


def _equal(a: NDArray[Any], b: NDArray[Any]) -> bool:
    """Whether two images are the same to one level of 255, which is the rounding of another order of computation."""
    if a.shape != b.shape or a.dtype != b.dtype:
        return False
    return int(np.abs(a.astype(np.int32) - b).max()) <= peak_of(a.dtype) // 255


def _place(maps: Mapping[str, Map]) -> tuple[float, float]:
    """Where methods differ most, as parts of the height and the width: the place that is enlarged at first."""
    if len(maps) < 2:
        return 0.5, 0.5
    from scipy.ndimage import uniform_filter

    spread: NDArray[np.float64] = uniform_filter(np.ptp(np.stack(list(maps.values())), axis=0), 15, mode="constant")
    row, column = np.unravel_index(int(spread.argmax()), spread.shape)
    return (float(row) + 0.5) / spread.shape[0], (float(column) + 0.5) / spread.shape[1]


def compared(name: str, views: Sequence[View], size: tuple[int, int], place: tuple[float, float], number: int) -> Html:
    """Two of an image's pictures beside a divider, and one place enlarged in all of them.

    Parameters
    ----------
    name
        Of the image.
    size
        Height and width of the pictures.
    place
        What is enlarged at first, as parts of the height and the width.
    number
        Of the image in the page.
    """
    height, width = size
    last = len(views) - 1
    first = {"left": 0, "right": max(range(min(1, last), last + 1), key=lambda n: (views[n].rank, n))}

    def choice(side: str) -> Html:
        options = [element("option", view.title, value=n, selected=n == first[side]) for n, view in enumerate(views)]
        select = element("select", options, class_=side, aria_label=f"{side} picture of {name}")
        return element("label", element("span", side), select)

    zooms = [element("option", f"{zoom}×", value=zoom, selected=zoom == FIRST_ZOOM) for zoom in ZOOMS]
    controls = element(
        "div",
        choice("left"),
        choice("right"),
        element("label", element("span", "zoom"), element("select", zooms, class_="zoom", aria_label=f"zoom of {name}")),
        element("button", "Same in all images", type="button", class_="everywhere"),
        class_="controls",
    )
    divider = f"Divider between the left and the right picture of {name}"
    stage = element(
        "div",
        element("img", alt="", class_="right", draggable="false"),
        element("img", alt="", class_="left", draggable="false"),
        element("input", type="range", min=0, max=100, value=50, aria_label=divider),
        element("span", class_="handle", aria_hidden="true"),
        element("span", class_="tag left", aria_hidden="true"),
        element("span", class_="tag right", aria_hidden="true"),
        element("button", type="button", class_="loupe", aria_label="Enlarged place", aria_describedby=f"loupe-{number}"),
        class_="stage",
    )
    tiles = [
        element(
            "button",
            element("span", element("img", alt="", data_picture=view.picture), class_="lens"),
            element("span", element("bdi", view.title), class_="title"),
            element("span", view.numbers, class_="numbers"),
            type="button", class_="tile", data_method=view.method, aria_pressed="false",
        )
        for view in views
    ]  # fmt: skip
    hint = element("p", "Arrow keys move the enlarged place, + and − change the zoom.", class_="hint", id=f"loupe-{number}")
    label = f"The same place of {name}, enlarged; choose the right picture"
    enlarged = element("div", tiles, class_="tiles", role="group", aria_label=label)
    row, column = place
    return element(
        "div", controls, element("div", element("div", stage, hint), enlarged, class_="compare"),
        class_="viewer", data_width=width, data_height=height, data_x=f"{column:.4f}", data_y=f"{row:.4f}",
    )  # fmt: skip


def _kernels(scene: Scene) -> Html | None:
    """The kernels that the methods used beside the true one, all on one colour scale."""
    found = shown_kernels(scene)
    if not found:
        return None
    arrays, top = framed([kernel.array for kernel in found]), brightest(found)
    rows, columns = arrays[0].shape
    figures = [
        element(
            "figure",
            element("img", alt=f"Kernel: {kernel.title}", src=tiny_png(in_colours(array, top)), width=columns, height=rows),
            element("figcaption", element("bdi", kernel.title), element("small", kernel.text)),
            data_method=kernel.method,
        )
        for kernel, array in zip(found, arrays, strict=True)
    ]  # fmt: skip
    note = f"{columns} × {rows} HR pixels, one colour scale: black 0, light yellow {top:.3f} and more."
    return strip("Kernels", note, figures, "kernels")


def _errors(maps: Mapping[str, Map], pictures: Pictures) -> Html | None:
    """Where each method is wrong, all on one colour scale."""
    if not maps:
        return None
    top = float(np.percentile(np.concatenate([errors.ravel() for errors in maps.values()]), BRIGHT_PERCENTILE))
    figures = []
    for title, errors in maps.items():
        rms = float(np.sqrt(np.square(errors).mean()))
        image = element("img", alt=f"Error map: {title}", data_picture=pictures.add(in_colours(errors, top)), class_="map")
        texts = (element("bdi", title), element("small", f"RMS {rms:.1f}"))
        figures.append(element("figure", image, element("figcaption", texts), data_method=title))
    note = f"RMS of SR − truth on Y in levels of 255, one colour scale: black 0, light yellow {top:.0f} and more."
    return strip("Errors", note, figures, "maps")


def strip(title: str, note: str, figures: Sequence[Html], kind: str) -> Html:
    """Figures side by side, under a heading and a note."""
    return element("div", element("h4", title), element("p", note, class_="note"), element("div", figures, class_=f"strip {kind}"))


def _curves(scene: Scene, colours: Mapping[str, int]) -> Html | None:
    drawn, used = [], dict[str, int]()
    for name, of in shown_curves(scene).items():
        series = [charts.Series(title, colours[title], points) for title, points in of]
        if chart := charts.curves(name, series):
            drawn.append(chart)
            used |= {each.name: each.colour for each in series}
    if not drawn:
        return None
    legend = [
        element("li", element("i", class_=charts.colour(colour)), element("bdi", name), data_method=name)
        for name, colour in used.items()
    ]
    figures = element("div", [element("figure", chart) for chart in drawn], class_="plots")
    return element("details", element("summary", "Training curves"), element("ul", legend, class_="legend"), figures)


def _remarks(scene: Scene) -> Html | None:
    remarks = list(_remarks_of(scene.shown))
    return element("ul", [element("li", text) for text in remarks], class_="remarks") if remarks else None


def _remarks_of(shown: Sequence[Shown]) -> Iterator[str]:
    for each in shown:
        if each.error:
            yield f"{each.title} failed: {each.error}"
        for warning in each.result.warnings(*each.row):
            yield f"{each.title}: {warning}"
