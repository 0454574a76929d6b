"""Plots of results for papers, by matplotlib: kernels, training curves, speed against quality."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatch
from importlib.util import find_spec
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING

from blindsr.errors import BlindSRError, printable, shortened
from blindsr.imaging.files import check_output, write_whole
from blindsr.report.page.data import Scene, brightest, scenes, shown_curves, shown_kernels, speeds
from blindsr.report.page.pictures import framed
from blindsr.report.summary import MethodSummary, summarise
from blindsr.storage.result import Result, open_result

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PLOT_SUFFIXES = (".png", ".pdf", ".svg")
DPI = 200
FONT_SIZE = 8
KERNEL_INCHES, CHART_INCHES = 1.25, (3.2, 2.4)
TITLE_CHARACTERS = 16
MAX_ROWS = 50
"""Images in one plot."""


def write_plot(path: Path, what: str, output: Path, *, items: str = "*", force: bool = False) -> None:
    """Write a plot of a result as ``.png``, ``.pdf`` or ``.svg``. Of several seeds it shows the first one's.

    Parameters
    ----------
    path
        A result file, or its folder.
    what
        ``kernels``: the true and the estimated kernels of each image on one colour scale; ``curves``: what methods logged;
        ``scatter``: mean PSNR against mean seconds for an image.
    output
        The file to write.
    items
        A pattern of names: of which images kernels and curves are shown.
    force
        Whether it may replace a file.

    Raises
    ------
    BlindSRError
        If matplotlib is missing, the result has no such things, or the file cannot be written there.
    """
    check_output(output, "plot", PLOT_SUFFIXES, force=force)
    if find_spec("matplotlib") is None:
        raise BlindSRError("plots need the package matplotlib; install it with: pip install blindsr[plot]")
    import matplotlib as mpl

    form = output.suffix.lower()[1:]
    dates: Mapping[str, dict[str, None]] = {"pdf": {"CreationDate": None}, "svg": {"Date": None}}  # equal results, equal files
    with open_result(path) as result, mpl.rc_context({"font.size": FONT_SIZE - 1, "svg.hashsalt": "blindsr"}):
        figure = PLOTS[what](_chosen(result, items), summarise([path]))
        if figure is None:
            raise BlindSRError(f"{path}: has no {MISSING[what]} to plot")
        write_whole(output, lambda part: figure.savefig(part, format=form, dpi=DPI, metadata=dates.get(form)))


def _chosen(result: Result, items: str) -> list[Scene]:
    drawn = scenes(summarise([result.path], per_item=True), [result])
    found = [scene for scene in drawn if scene.item == items or fnmatch(scene.item, items)]
    if not found:
        raise BlindSRError(f"{result.path}: no image matches `items` '{items}'; it has {shortened(result.items)}")
    return found


def _kernels(chosen: Sequence[Scene], _: Sequence[MethodSummary]) -> Figure | None:
    """A row for each image; below each kernel its error and the PSNR that was reached with it."""
    rows = {scene.item: kernels for scene in _limited(chosen) if (kernels := shown_kernels(scene))}
    if not rows:
        return None
    titles = list(dict.fromkeys(kernel.title for kernels in rows.values() for kernel in kernels))
    figure = _figure(len(titles) * KERNEL_INCHES, len(rows) * KERNEL_INCHES * 1.32)
    grid = figure.subplots(len(rows), len(titles), squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    for axes, title in zip(grid[0], titles, strict=True):
        axes.set_title(_text(fill(title, TITLE_CHARACTERS)), fontsize=FONT_SIZE)
    for row, (item, kernels) in zip(grid, rows.items(), strict=True):
        for kernel, array in zip(kernels, framed([kernel.array for kernel in kernels]), strict=True):
            axes = row[titles.index(kernel.title)]
            axes.imshow(array, cmap="inferno", vmin=0, vmax=brightest(kernels), interpolation="nearest")
            axes.text(0.5, -0.05, _text(kernel.text.replace(", ", "\n")), transform=axes.transAxes, ha="center", va="top")
        row[0].text(-0.12, 0.5, _text(item), transform=row[0].transAxes, ha="right", va="center", rotation=90)
    return figure


def _curves(chosen: Sequence[Scene], _: Sequence[MethodSummary]) -> Figure | None:
    """A row for each image, a column for each curve, a line for each method."""
    rows = {scene.item: curves for scene in _limited(chosen) if (curves := shown_curves(scene))}
    if not rows:
        return None
    names = list(dict.fromkeys(name for curves in rows.values() for name in curves))
    titles = list(dict.fromkeys(title for curves in rows.values() for of in curves.values() for title, _ in of))
    figure = _figure(len(names) * CHART_INCHES[0], len(rows) * CHART_INCHES[1])
    for row, (item, curves) in zip(figure.subplots(len(rows), len(names), squeeze=False), rows.items(), strict=True):
        for name, axes in zip(names, row, strict=True):
            for title, points in curves.get(name, ()):
                axes.plot(*points.T, label=_text(title), color=f"C{titles.index(title)}", linewidth=1)
            axes.set_title(_text(name if len(rows) == 1 else f"{item}: {name}"), fontsize=FONT_SIZE)
            axes.set_xlabel("step")
            if axes.lines:
                axes.legend(frameon=False)
    return figure


def _scatter(_: Sequence[Scene], means: Sequence[MethodSummary]) -> Figure | None:
    places = speeds(means)
    if not places:
        return None
    figure = _figure(1.9 * CHART_INCHES[0], 1.4 * CHART_INCHES[1] * len(places))
    for axes, (place, methods) in zip(figure.subplots(len(places), squeeze=False)[:, 0], places.items(), strict=True):
        for number, (title, seconds, psnr) in enumerate(methods):
            axes.scatter(seconds, psnr, s=20, color=f"C{number}", marker="os^Dv"[number // 10 % 5], label=_text(title))
        axes.set(xscale="log", xlabel="seconds for an image", ylabel="PSNR (dB)")
        axes.set_title(_text(place), fontsize=FONT_SIZE)
        axes.grid(linewidth=0.3)
        axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
    return figure


def _limited(chosen: Sequence[Scene]) -> Sequence[Scene]:
    if len(chosen) > MAX_ROWS:
        raise BlindSRError(f"{len(chosen)} images are too many for one plot; choose at most {MAX_ROWS} by `items`")
    return chosen


def _figure(width: float, height: float) -> Figure:
    from matplotlib.figure import Figure

    return Figure((width, height), layout="constrained")


def _text(text: str) -> str:
    """A text as it is: matplotlib would take what is between dollar signs for mathematics."""
    return "\n".join(map(printable, text.split("\n"))).replace("$", r"\$")


PLOTS: Mapping[str, Callable[[Sequence[Scene], Sequence[MethodSummary]], Figure | None]] = {
    "kernels": _kernels, "curves": _curves, "scatter": _scatter,
}  # fmt: skip
MISSING = {"kernels": "kernels", "curves": "curves", "scatter": "PSNR and seconds"}
