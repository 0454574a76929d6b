"""Lines laid out as in a paper: a sheet for each set of images, a row for each method, its scales side by side."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from blindsr.errors import BlindSRError
from blindsr.imaging.metrics import Metric
from blindsr.pipeline.published import METRICS as PUBLISHED_METRICS
from blindsr.pipeline.published import PublishedRow, PublishedTable
from blindsr.report.captions import mixed, notes, title
from blindsr.report.columns import DEFAULT, displayed
from blindsr.report.lines import Line
from blindsr.report.merge import Entry, entries
from blindsr.report.ranking import Mark, marks

DASH = "–"
Field = tuple[Metric, ...]
"""Columns that share a cell: PSNR / SSIM where one follows the other, else one alone."""


@dataclass(frozen=True)
class Part:
    """A number as it is displayed."""

    text: str
    mark: Mark = Mark.NONE


@dataclass(frozen=True)
class Cell:
    """One or two numbers, and a remark behind them."""

    parts: tuple[Part, ...] = (Part(DASH),)
    remark: str = ""


@dataclass(frozen=True)
class Row:
    """The texts and the cells of a row; `group` is equal for rows that belong together."""

    group: tuple[str, int]
    texts: tuple[str, ...]
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class Sheet:
    """A table ready to be written: a text column for each of `text_heads`; then, for each scale, a column for each of `heads`."""

    title: str
    text_heads: tuple[str, ...]
    scales: tuple[int, ...]
    heads: tuple[str, ...]
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()


def sheets(lines: Sequence[Line], columns: Sequence[Metric] = DEFAULT, against: Sequence[PublishedTable] = ()) -> list[Sheet]:
    """Lay lines out, a sheet for each set of images, in the order of first appearance.

    Best and second best are marked among complete measured rows of the same items, those that know the true kernel left out. With
    `against`, each PSNR and SSIM has the published number and the difference (measured - published) beside it, and published rows
    that nobody measured here follow those of their type.

    Raises
    ------
    BlindSRError
        If `against` has nothing to stand beside.
    """
    if against and any(line.item for line in lines):
        raise BlindSRError("--against: published numbers are means over a set; leave out --per-item")
    if against and not {column.name for column in columns} & set(PUBLISHED_METRICS):
        raise BlindSRError("--against: only PSNR and SSIM were published; add psnr or ssim to --columns")
    found: dict[str, list[Line]] = {}
    for line in lines:
        found.setdefault(line.origin.data, []).append(line)
    return [_Layout(data, of_data, tuple(columns), tuple(against)).sheet() for data, of_data in found.items()]


@dataclass
class _Layout:
    data: str
    lines: Sequence[Line]
    columns: tuple[Metric, ...]
    against: tuple[PublishedTable, ...]
    fields: list[Field] = field(init=False)
    scales: tuple[int, ...] = field(init=False)
    published: dict[str, PublishedRow] = field(init=False)
    entries: list[Entry] = field(init=False)
    texts: dict[str, Callable[[Entry], str]] = field(init=False)
    mixed: set[tuple[int, str]] = field(init=False)

    def __post_init__(self) -> None:
        self.fields = _fields(self.columns)
        self.scales = tuple(sorted({line.scale for line in self.lines}))
        self.published = {row.key: row for table in self.against for row in table.rows}
        self.entries = entries(self.lines, self.published.values())
        self.texts = _texts(self.entries)
        self.mixed = mixed(self.lines)

    def sheet(self) -> Sheet:
        ranks = {(scale, column.name): self._marks(scale, column) for scale in self.scales for column in self.columns}
        rows = []
        for n, entry in enumerate(self.entries):
            found = {place: ranked[n] for place, ranked in ranks.items()}
            cells = tuple(cell for scale in self.scales for cell in self._cells(entry, scale, found))
            rows.append(Row((entry.item, entry.type), tuple(text(entry) for text in self.texts.values()), cells))
        heads = tuple(head for each in self.fields for head in self._heads(each))
        remarks = notes(self.data, self.lines, self.columns, self.against)
        return Sheet(title(self.data, self.lines), tuple(self.texts), self.scales, heads, tuple(rows), tuple(remarks))

    def _heads(self, columns: Field) -> list[str]:
        heads = [" / ".join(column.title for column in columns)]
        return [*heads, "published", "difference"] if self._compared(columns) else heads

    def _compared(self, columns: Field) -> bool:
        return bool(self.against) and columns[0].name in PUBLISHED_METRICS

    def _cells(self, entry: Entry, scale: int, ranks: dict[tuple[int, str], Mark]) -> list[Cell]:
        line, cells = entry.at.get(scale), []
        for columns in self.fields:
            remark = f"({line.done} of {line.total})" if line and not line.complete and columns is self.fields[0] else ""
            cells.append(_cell(tuple(Part(_number(line, column), ranks[scale, column.name]) for column in columns), remark))
            if self._compared(columns):
                row = self.published.get(entry.published)
                cells += _comparison(columns, line, row.scores.get(scale, {}) if row else {})
        return cells

    def _marks(self, scale: int, column: Metric) -> list[Mark]:
        """The marks of a column of numbers, among the rows of each item."""
        found = [Mark.NONE] * len(self.entries)
        if column.higher_is_better is None:
            return found
        rows_of: dict[str, list[int]] = {}
        for n, entry in enumerate(self.entries):
            rows_of.setdefault(entry.item, []).append(n)
        for item, rows in rows_of.items():
            if (scale, item) in self.mixed:
                continue
            values = [_competing(self.entries[n].at.get(scale), column) for n in rows]
            for n, mark in zip(rows, marks(values, higher_is_better=column.higher_is_better), strict=True):
                found[n] = mark
        return found


def _texts(found: Sequence[Entry]) -> dict[str, Callable[[Entry], str]]:
    """The text columns: heading, and how to fill it; item and type only where there are some."""
    texts: dict[str, Callable[[Entry], str]] = {}
    if any(entry.item for entry in found):
        texts["item"] = lambda entry: entry.item
    if any(entry.type for entry in found):
        texts["type"] = lambda entry: str(entry.type or DASH)
    return texts | {"method": lambda entry: entry.title}


def _fields(columns: Sequence[Metric]) -> list[Field]:
    fields: list[Field] = []
    for column in columns:
        if fields and fields[-1] == DEFAULT[:1] and column == DEFAULT[1]:
            fields[-1] = DEFAULT
        else:
            fields.append((column,))
    return fields


def _competing(line: Line | None, column: Metric) -> float:
    """The number with which a line competes, as displayed; NaN if it does not."""
    return displayed(line.means[column.name].mean, column) if line and line.complete and not line.knows_kernel else np.nan


def _cell(parts: tuple[Part, ...], remark: str = "") -> Cell:
    return Cell(remark=remark) if all(part.text == DASH for part in parts) else Cell(parts, remark)


def _comparison(columns: Field, line: Line | None, scores: Mapping[str, float]) -> tuple[Cell, Cell]:
    """The published numbers, and what the measured ones have more."""
    theirs = [scores.get(column.name, np.nan) for column in columns]
    more = [line.means[column.name].mean - number if line else np.nan for column, number in zip(columns, theirs, strict=True)]
    published = tuple(Part(_text(f"{number:{column.format}}")) for column, number in zip(columns, theirs, strict=True))
    return _cell(published), _cell(tuple(Part(_difference(number, column)) for column, number in zip(columns, more, strict=True)))


def _number(line: Line | None, column: Metric) -> str:
    """A mean with its spread, as people write them; a dash where there is none."""
    if not line or np.isnan(line.means[column.name].mean):
        return DASH
    mean = line.means[column.name]
    return _text(f"{mean.mean:{column.format}}" + ("" if np.isnan(mean.spread) else f" ± {mean.spread:{column.format}}"))


def _difference(number: float, column: Metric) -> str:
    return _text(f"{displayed(number, column) + 0.0:+{column.format}}")  # + 0.0: no minus before a zero


def _text(number: str) -> str:
    return DASH if number.lstrip("+") == "nan" else number.replace("-", "−")
