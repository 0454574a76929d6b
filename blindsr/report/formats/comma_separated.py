"""CSV for other programs, in full precision."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence

import numpy as np

from blindsr.errors import printable
from blindsr.imaging.metrics import Metric
from blindsr.pipeline.published import PUBLISHED_METRICS, PublishedRow, PublishedTable
from blindsr.report.layout import Comparison
from blindsr.report.summary import MethodSummary

FORMULA = ("=", "+", "-", "@")
"""What makes a spreadsheet take a text for a formula."""


def to_text(comparison: Comparison) -> str:
    """CSV: a row for each file, scale and method (and item), a column for each mean and spread; empty where there is no number.

    With published tables, a column for each published number and difference (measured - published). Published rows that were not
    measured follow; their data are the published table's, and they have no file. A text that a spreadsheet would take for a formula
    gets an apostrophe before it.
    """
    columns, against = comparison.columns, comparison.against
    compared = tuple(column.name for column in columns if against and column.name in PUBLISHED_METRICS)
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(_heads(columns, compared, bool(against)))
    published = {row.key: (table, row) for table in against for row in table.rows}
    for summary in comparison.summaries:
        writer.writerow(map(_text, _measured(summary, columns, compared, published)))
    measured = {summary.published for summary in comparison.summaries}
    for scale in sorted({summary.scale for summary in comparison.summaries}):
        for table, row in published.values():
            if row.key not in measured and scale in row.scores:
                empty = [""] * (2 + 2 * len(columns))
                about = [table.data, "", scale, "", row.type or "", row.method, *empty]
                writer.writerow(map(_text, [*about, *_published((table, row), scale, dict.fromkeys(compared, np.nan)), ""]))
    return out.getvalue().rstrip("\n")


def _heads(columns: Sequence[Metric], compared: Sequence[str], against: bool) -> Iterator[str]:
    yield from ("data", "pipeline", "scale", "item", "type", "method", "done", "total")
    for column in columns:
        yield from (column.name, f"{column.name}_std")
    if against:
        yield from ("published", "source")
    for name in compared:
        yield from (f"published_{name}", f"difference_{name}")
    yield "file"


def _measured(
    summary: MethodSummary,
    columns: Sequence[Metric],
    compared: Sequence[str],
    published: dict[str, tuple[PublishedTable, PublishedRow]],
) -> Iterator[object]:
    origin, means = summary.origin, summary.means
    yield from (origin.data, origin.pipeline, summary.scale, summary.item, summary.type or "", summary.method)
    yield from (summary.done, summary.total)
    for column in columns:
        yield from (means[column.name].mean, means[column.name].spread)
    if published:
        yield from _published(published.get(summary.published), summary.scale, {name: means[name].mean for name in compared})
    yield origin.path


def _published(of: tuple[PublishedTable, PublishedRow] | None, scale: int, measured: dict[str, float]) -> Iterator[object]:
    """The row's key and its table, then each number with the difference of the measured one from it."""
    yield from (of[1].key, of[0].name) if of else ("", "")
    scores = of[1].scores.get(scale, {}) if of else {}
    for name, mean in measured.items():
        number = scores.get(name, np.nan)
        yield from (number, mean - number)


def _text(value: object) -> str:
    if isinstance(value, float):
        return "" if np.isnan(value) else repr(float(value))
    text = printable(str(value))
    return f"'{text}" if text.startswith(FORMULA) else text
