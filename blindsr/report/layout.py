"""The layout of tables, as in a paper: a sheet for each set of images, a row for each method, its scales side by side."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from blindsr.errors import BlindSRError, shortened
from blindsr.imaging.metrics import Metric
from blindsr.pipeline.published import PUBLISHED_METRICS, PublishedTable
from blindsr.report.merge import MergedRow, merged_rows
from blindsr.report.summary import DEFAULT, Mean, MethodSummary, displayed

DASH = "–"
PLAIN = "%s"
Field = tuple[Metric, ...]
"""Columns that share a cell: PSNR / SSIM where one follows the other, else one alone."""


@dataclass(frozen=True)
class SheetRow:
    """The texts and the numbers of a row; `group` is equal for rows that belong together."""

    group: tuple[str, int]
    texts: tuple[str, ...]
    cells: tuple[str, ...]


@dataclass(frozen=True)
class Sheet:
    """A table ready to be written: a text column for each of `text_heads`; then, for each scale, a column for each of `heads`."""

    title: str
    text_heads: tuple[str, ...]
    scales: tuple[int, ...]
    heads: tuple[str, ...]
    rows: tuple[SheetRow, ...]
    notes: tuple[str, ...] = ()

    @property
    def scaled_heads(self) -> list[str]:
        """The headings of the numbers, with the scale before them if there are several scales."""
        several = len(self.scales) > 1
        return [f"x{scale} {head}" if several else head for scale in self.scales for head in self.heads]


@dataclass(frozen=True)
class Comparison:
    """What a table compares: summaries of results in these columns, and published tables beside them.

    Best and second best are marked among complete rows over the same images; rows that know the true kernel are left out. With
    `against`, each PSNR and SSIM has the published number and the difference (measured - published) beside it, and published rows
    that were not measured follow those of their type. Without `paired`, PSNR and SSIM have a cell each.
    """

    summaries: Sequence[MethodSummary]
    columns: Sequence[Metric] = DEFAULT
    against: Sequence[PublishedTable] = ()
    paired: bool = True

    def __post_init__(self) -> None:
        if self.against and any(summary.item for summary in self.summaries):
            raise BlindSRError("`against`: published numbers are means over a set; leave out `per_item`")
        if self.against and not {column.name for column in self.columns} & set(PUBLISHED_METRICS):
            raise BlindSRError("`against`: only PSNR and SSIM were published; add psnr or ssim to `columns`")

    def sheets(self, best: str = PLAIN, second: str = PLAIN) -> list[Sheet]:
        """A sheet for each set of images, in the order of first appearance, with this markup for best and second best numbers."""
        found: dict[str, list[MethodSummary]] = {}
        for summary in self.summaries:
            found.setdefault(summary.origin.data, []).append(summary)
        return [_Layout(data, of_data, self, (best, second)).sheet() for data, of_data in found.items()]

    def notes(self) -> list[str]:
        return list(dict.fromkeys(note for sheet in self.sheets() for note in sheet.notes))


class _Layout:
    def __init__(self, data: str, summaries: Sequence[MethodSummary], comparison: Comparison, markup: tuple[str, str]) -> None:
        self.data, self.summaries, self.columns, self.against = data, summaries, comparison.columns, comparison.against
        self.markup = markup
        self.fields = _fields(self.columns) if comparison.paired else [(column,) for column in self.columns]
        self.scales = tuple(sorted({summary.scale for summary in summaries}))
        self.published = {row.key: row for table in self.against for row in table.rows}
        self.merged = merged_rows(summaries, self.published.values())
        self.texts = _texts(self.merged)
        self.unranked = _places_with_different_images(summaries)

    def sheet(self) -> Sheet:
        ranks = {(scale, column.name): self._marks(scale, column) for scale in self.scales for column in self.columns}
        rows = []
        for n, row in enumerate(self.merged):
            found = {place: ranked[n] for place, ranked in ranks.items()}
            cells = tuple(cell for scale in self.scales for cell in self._cells(row, scale, found))
            rows.append(SheetRow((row.item, row.type), tuple(text(row) for text in self.texts.values()), cells))
        heads = tuple(head for each in self.fields for head in self._heads(each))
        remarks = _notes(self.data, self.summaries, self.columns, self.against)
        return Sheet(_title(self.data, self.summaries), tuple(self.texts), self.scales, heads, tuple(rows), tuple(remarks))

    def _heads(self, columns: Field) -> list[str]:
        heads = [" / ".join(column.title for column in columns)]
        return [*heads, "published", "difference"] if self._compared(columns) else heads

    def _compared(self, columns: Field) -> bool:
        return bool(self.against) and columns[0].name in PUBLISHED_METRICS

    def _cells(self, row: MergedRow, scale: int, ranks: dict[tuple[int, str], str]) -> list[str]:
        summary, cells = row.at.get(scale), []
        published = self.published.get(row.published)
        for columns in self.fields:
            cells.append(self._cell([(_number(summary, column), ranks[scale, column.name]) for column in columns]))
            if self._compared(columns):
                cells += self._differences(columns, summary, published.scores.get(scale, {}) if published else {})
        if summary and not summary.complete:
            cells[0] += f" ({summary.done} of {summary.total})"
        return cells

    def _cell(self, numbers: Sequence[tuple[str, str]]) -> str:
        shown = numbers if any(text != DASH for text, _ in numbers) else [(DASH, PLAIN)]
        return " / ".join(mark % text for text, mark in shown)

    def _differences(self, columns: Field, summary: MethodSummary | None, scores: Mapping[str, float]) -> tuple[str, str]:
        """The published numbers, and the differences of the measured numbers from them."""
        published, differences = [], []
        for column in columns:
            number = scores.get(column.name, np.nan)
            difference = displayed(summary.means[column.name].mean - number if summary else np.nan, column)
            published.append((_text(f"{number:{column.format}}"), PLAIN))
            differences.append((_text(f"{difference + 0.0:+{column.format}}"), PLAIN))  # + 0.0: no minus before a zero
        return self._cell(published), self._cell(differences)

    def _marks(self, scale: int, column: Metric) -> list[str]:
        """The markup of a column of numbers, ranked among the rows of each item; a single competitor is not marked."""
        values = [self._competing(row, scale, column) for row in self.merged]
        competitors: dict[str, list[float]] = {}
        for row, value in zip(self.merged, values, strict=True):
            competitors.setdefault(row.item, []).extend([] if np.isnan(value) else [value])
        marks: dict[tuple[str, float], str] = {}
        for item, found in competitors.items():
            if len(found) > 1:
                best = sorted(set(found), reverse=bool(column.higher_is_better))
                marks |= {(item, value): mark for value, mark in zip(best, self.markup, strict=False)}
        return [marks.get((row.item, value), PLAIN) for row, value in zip(self.merged, values, strict=True)]

    def _competing(self, row: MergedRow, scale: int, column: Metric) -> float:
        """The number by which a row is ranked, as displayed so that equal ones share a mark; NaN if it is not ranked."""
        summary = row.at.get(scale)
        if not summary or not summary.complete or summary.knows_kernel or column.higher_is_better is None:
            return np.nan
        return np.nan if (scale, row.item) in self.unranked else displayed(summary.means[column.name].mean, column)


def _texts(found: Sequence[MergedRow]) -> dict[str, Callable[[MergedRow], str]]:
    """The text columns by heading, and how to fill them; item and type only where there are some."""
    texts: dict[str, Callable[[MergedRow], str]] = {}
    if any(row.item for row in found):
        texts["item"] = lambda row: row.item
    if any(row.type for row in found):
        texts["type"] = lambda row: str(row.type or DASH)
    return texts | {"method": lambda row: row.title}


def _fields(columns: Sequence[Metric]) -> list[Field]:
    fields: list[Field] = []
    for column in columns:
        if fields and fields[-1] == DEFAULT[:1] and column == DEFAULT[1]:
            fields[-1] = DEFAULT
        else:
            fields.append((column,))
    return fields


def _number(summary: MethodSummary | None, column: Metric) -> str:
    """A mean with its spread; a dash where there is none."""
    mean = summary.means[column.name] if summary else Mean(np.nan)
    return _text(f"{mean.mean:{column.format}}" + ("" if np.isnan(mean.spread) else f" ± {mean.spread:{column.format}}"))


def _text(number: str) -> str:
    return DASH if number.lstrip("+") == "nan" else number.replace("-", "−")


def _title(data: str, summaries: Sequence[MethodSummary]) -> str:
    """The title of a table: the data, and where they are the same for all rows the scale and the numbers of images and seeds."""
    scales = {summary.scale for summary in summaries}
    items = {summary.origin.items for summary in summaries}
    seeds = {summary.origin.seeds for summary in summaries}
    text = f"{data} x{scales.pop()}" if len(scales) == 1 else data
    if len(items) == 1:
        count = len(items.pop())
        text += f", {count} image{'s' if count > 1 else ''}"
    if len(seeds) == 1 and (count := len(seeds.pop())) > 1:
        text += f", {count} seeds"
    return text


def _places_with_different_images(summaries: Sequence[MethodSummary]) -> set[tuple[int, str]]:
    """The scales and items (empty: the means over all) at which the rows of a table are over different images."""
    images: dict[tuple[int, str], set[frozenset[tuple[str, str]]]] = {}
    for summary in summaries:
        images.setdefault((summary.scale, summary.item), set()).add(summary.images)
    return {place for place, found in images.items() if len(found) > 1}


def _differences(summaries: Sequence[MethodSummary]) -> Iterator[str]:
    """A note for each file with items that are other images than the items of the same names in another file."""
    first: dict[tuple[int, str], tuple[str, Path]] = {}
    for scale, origin in {(summary.scale, summary.origin.path): (summary.scale, summary.origin) for summary in summaries}.values():
        others = []
        for item, identity in origin.images.items():
            known, path = first.setdefault((scale, item), (identity, origin.path))
            if known != identity:
                others.append((item, path))
        if others:
            names = shortened([item for item, _ in others])
            yield f"x{scale}: another image, or made in another way, in {origin.path} than in {others[0][1]}: {names}"


def _notes(
    data: str, summaries: Sequence[MethodSummary], columns: Sequence[Metric], against: Sequence[PublishedTable]
) -> Iterator[str]:
    """The notes below a table: rows over different images, why numbers are missing, the source of published numbers."""
    files = {(summary.scale, summary.origin.path): len(summary.origin.items) for summary in summaries}
    different = _places_with_different_images(summaries)
    if different or len({summary.origin.items for summary in summaries if not summary.item}) > 1:
        unranked = "; best and second best are not marked among different images" if different else ""
        counts = "; ".join(f"x{scale} {count} ({path})" for (scale, path), count in files.items())
        yield f"not all over the same images: {counts}{unranked}"
        yield from _differences(summaries)
    means = [summary.means[column.name].mean for summary in summaries for column in DEFAULT]
    if set(DEFAULT) & set(columns) and np.isnan(means).all():
        why = "there are no HR images" if any(summary.done for summary in summaries) else "no row is finished"
        yield f"no PSNR and SSIM: {why}"
    for table in against:
        yield f"published ({table.name}): {table.citation}"
        count = min(files.values())
        if not table.is_of(data):
            yield f"caution: measured on {data}, published for {table.data}: other images, so the differences mean little"
        elif count < table.images:
            yield f"caution: measured on {count} of the {table.images} images of {table.data}"
