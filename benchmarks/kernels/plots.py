"""The rows as plots: the error of the kernels, and the PSNR that they lead to, by condition."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scoring import INTERPOLATION, TRUE, Row

MARKERS = "os^Dv"
SPREAD = 0.5
"""Width that the estimators of a condition take, in conditions."""


def write_plots(rows: Sequence[Row], folder: Path, about: str) -> list[Path]:
    """Write a plot of each part, ``kernels_PART.svg``: left the errors, right the PSNR between its bounds."""
    files = []
    for part in dict.fromkeys(row.part for row in rows):
        files.append(folder / f"kernels_{part}.svg")
        with mpl.rc_context({"font.size": 8, "svg.hashsalt": "blindsr", "svg.fonttype": "none"}):
            figure = _figure([row for row in rows if row.part == part], f"{part}: {about}".replace("$", r"\$"))
            figure.savefig(files[-1], metadata={"Date": None})
    return files


def _figure(rows: Sequence[Row], title: str) -> Figure:
    conditions = list(dict.fromkeys(row.condition for row in rows))
    estimators = [name for name in dict.fromkeys(row.kernel for row in rows) if name not in (INTERPOLATION, TRUE)]
    figure = Figure((2.4 + 1.1 * len(conditions), 3.2), layout="constrained")
    errors, psnr = figure.subplots(1, 2)
    figure.suptitle(title)
    for number, name in enumerate(estimators):
        shift = SPREAD * ((number + 0.5) / len(estimators) - 0.5)
        style = {"color": f"C{number}", "marker": MARKERS[number // 10 % len(MARKERS)], "label": name.replace("$", r"\$")}
        of = [[row for row in rows if (row.kernel, row.condition) == (name, condition)] for condition in conditions]
        means, worst = ([_of(found, "error", summary) for found in of] for summary in (np.mean, np.max))
        places = np.arange(len(conditions)) + shift
        errors.vlines(places, means, worst, color=style["color"], linewidth=1)
        errors.plot(places, means, linestyle="", markersize=5, **style)
        for place, mean, found in zip(places, means, of, strict=True):
            done = sum(np.isfinite(row.error) for row in found)
            if 0 < done < len(found):  # it refused the others, which the bounds include
                errors.annotate(f"{done} of {len(found)}", (place, mean), (4, -3), textcoords="offset points", fontsize=6)
        psnr.plot(places, [_of(found, "psnr", np.mean) for found in of], linestyle="", markersize=5, **style)
    for name, line in ((TRUE, "-"), (INTERPOLATION, ":")):
        bounds = [_of([row for row in rows if (row.kernel, row.condition) == (name, c)], "psnr", np.mean) for c in conditions]
        places = np.arange(len(conditions))
        psnr.hlines(bounds, places - 0.4, places + 0.4, color="0.4", linestyle=line, linewidth=1.2, label=name)
    _finish(errors, conditions, "relative L2 error: mean, and up to the worst")
    _finish(psnr, conditions, "PSNR on Y (dB), mean")
    errors.set_ylim(bottom=0)
    figure.legend(*psnr.get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False)
    return figure


def _finish(axes: Axes, conditions: Sequence[str], title: str) -> None:
    axes.set_title(title, fontsize=8)
    axes.set_xticks(range(len(conditions)), conditions, rotation=30, ha="right")
    axes.set_xlim(-0.6, len(conditions) - 0.4)
    axes.grid(axis="y", linewidth=0.3)


def _of(rows: Sequence[Row], number: str, summary: np.ufunc) -> float:
    """A summary over the images for which there is a number; NaN, which is not drawn, if there is none."""
    values = [getattr(row, number) for row in rows if np.isfinite(getattr(row, number))]
    return float(summary(values)) if values else np.nan
