"""Result files to a comparison table: for the terminal, in Markdown, in CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from blindsr.errors import printable
from blindsr.result import Result

Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class Column:
    """A column of numbers: its name in the summary, its heading, its format."""

    name: str
    heading: str
    form: str


COLUMNS = (
    Column("psnr", "PSNR (dB)", ".2f"),
    Column("ssim", "SSIM", ".4f"),
    Column("kernel_l2", "kernel error", ".3f"),
    Column("seconds_estimate", "kernel (s)", ".1f"),
    Column("seconds_upscale", "SR (s)", ".1f"),
)


@dataclass(frozen=True)
class Cell:
    """The mean over items and seeds, and with several seeds the standard deviation of the seeds' means."""

    mean: float
    spread: float = np.nan

    def text(self, form: str) -> str:
        """Mean and spread as people write them; a dash where there is no number."""
        if np.isnan(self.mean):
            return "–"
        return f"{self.mean:{form}}" + ("" if np.isnan(self.spread) else f" ± {self.spread:{form}}")


@dataclass(frozen=True)
class Line:
    """One method on one set of data at one scale (and, in a table by items, on one item)."""

    data: str
    scale: int
    type: int
    method: str
    item: str
    done: int
    total: int
    cells: dict[str, Cell]

    @property
    def title(self) -> str:
        """The method; and how many of its results there are, if not all."""
        return self.method if self.done == self.total else f"{self.method} ({self.done} of {self.total})"


def lines(results: Sequence[Result], *, per_item: bool = False) -> list[Line]:
    """Summarise results: a line for each file and method, in the files' order."""
    found = []
    for result in results:
        columns = result.columns
        groups = (
            [(method, item) for item in result.items for method in result.methods]
            if per_item
            else [(m, "") for m in result.methods]
        )
        for method, item in groups:
            chosen = columns["method"] == method
            if item:
                chosen = chosen & (columns["item"] == item)
            if chosen.any():
                found.append(_line(result, method, item, chosen))
    return found


def headings(found: Sequence[Line]) -> list[tuple[str, Callable[[Line], str]]]:
    """The table's columns, as a heading and how to fill it: those in which something stands."""
    columns: list[tuple[str, Callable[[Line], str]]] = []
    if len({(line.data, line.scale) for line in found}) > 1:
        columns += [("data", lambda line: line.data), ("scale", lambda line: f"x{line.scale}")]
    if any(line.item for line in found):
        columns.append(("item", lambda line: line.item))
    if any(line.type for line in found):
        columns.append(("type", lambda line: str(line.type or "–")))
    columns.append(("method", lambda line: line.title))
    for column in COLUMNS:
        if any(not np.isnan(line.cells[column.name].mean) for line in found):
            columns.append((column.heading, lambda line, c=column: line.cells[c.name].text(c.form)))  # type: ignore[misc]
    return columns


def to_markdown(found: Sequence[Line]) -> str:
    """A Markdown table."""
    columns = headings(found)
    rows = [[name for name, _ in columns], ["---"] * len(columns)]
    rows += [[printable(fill(line)).replace("|", "\\|") for _, fill in columns] for line in found]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def to_csv(found: Sequence[Line]) -> str:
    """CSV with full precision: a column for each mean and each spread, empty where there is no number."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    names = [name for column in COLUMNS for name in (column.name, f"{column.name}_std")]
    writer.writerow(["data", "scale", "item", "type", "method", "done", "total", *names])
    for line in found:
        numbers = [n for column in COLUMNS for n in (line.cells[column.name].mean, line.cells[column.name].spread)]
        texts = ["" if np.isnan(number) else repr(float(number)) for number in numbers]
        writer.writerow([line.data, line.scale, line.item, line.type or "", line.method, line.done, line.total, *texts])
    return out.getvalue().rstrip("\n")


def to_terminal(found: Sequence[Line]) -> str:
    """A table in plain text, the numbers aligned."""
    columns = headings(found)
    texts = [[name for name, _ in columns]] + [[printable(fill(line)) for _, fill in columns] for line in found]
    widths = [max(len(row[n]) for row in texts) for n in range(len(columns))]
    left = {"data", "item", "method"}
    aligned = [
        "  ".join(
            text.ljust(width) if columns[n][0] in left else text.rjust(width)
            for n, (text, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in texts
    ]
    return "\n".join([aligned[0].rstrip(), "─" * len(aligned[0]), *(row.rstrip() for row in aligned[1:])])


def _line(result: Result, method: str, item: str, chosen: NDArray[np.bool_]) -> Line:
    columns = result.columns
    seeds = columns["seed"][chosen]
    cells = {column.name: _cell(columns[column.name][chosen], seeds) for column in COLUMNS}
    done = int(np.isfinite(columns["seconds_upscale"][chosen]).sum())
    scale = int(columns["scale"][chosen][0])
    data = result.data
    return Line(data, scale, int(columns["type"][chosen][0]), method, item, done, int(chosen.sum()), cells)


def _cell(values: Numbers, seeds: NDArray[np.int64]) -> Cell:
    if np.isnan(values).all():
        return Cell(np.nan)
    means = np.array([np.nanmean(values[seeds == seed]) for seed in np.unique(seeds) if not np.isnan(values[seeds == seed]).all()])
    with np.errstate(invalid="ignore"):  # the PSNR of equal images is infinite
        spread = float(means.std(ddof=1)) if len(means) > 1 else np.nan
    return Cell(float(means.mean()), spread or np.nan)  # without chance there is no spread
