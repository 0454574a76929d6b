"""CSV for other programs, in full precision."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping

import numpy as np

from blindsr.errors import printable
from blindsr.pipeline.published import PUBLISHED_METRICS, PublishedRow, PublishedTable
from blindsr.report.layout import Comparison

FORMULA = ("=", "+", "-", "@")
"""What makes a spreadsheet take a text for a formula."""


def to_text(comparison: Comparison) -> str:
    """CSV: a row for each file, scale and method (and item), a column for each mean and spread; empty where there is no number.

    With published tables, a column for each published number and difference (measured - published). Published rows that were not
    measured follow; their data are the published table's, and they have no file. A text that a spreadsheet would take for a formula
    gets an apostrophe before it.
    """
    columns, against = comparison.columns, comparison.against
    compared = [column.name for column in columns if against and column.name in PUBLISHED_METRICS]
    published = {row.key: (table, row) for table in against for row in table.rows}
    rows: list[dict[str, object]] = []
    for summary in comparison.summaries:
        origin, means = summary.origin, summary.means
        rows.append({"data": origin.data, "pipeline": origin.pipeline, "scale": summary.scale, "item": summary.item})
        rows[-1] |= {"type": summary.type or "", "method": summary.method, "done": summary.done, "total": summary.total}
        for column in columns:
            rows[-1] |= {column.name: means[column.name].mean, f"{column.name}_std": means[column.name].spread}
        if against:
            measured = {name: means[name].mean for name in compared}
            rows[-1] |= _published(published.get(summary.published), summary.scale, measured)
        rows[-1]["file"] = origin.path
    known = {summary.published for summary in comparison.summaries}
    for scale in sorted({summary.scale for summary in comparison.summaries}):
        for table, row in published.values():
            if row.key not in known and scale in row.scores:
                about = {"data": table.data, "scale": scale, "type": row.type or "", "method": row.method}
                rows.append(about | _published((table, row), scale, dict.fromkeys(compared, np.nan)))
    out = io.StringIO()
    writer = csv.DictWriter(out, rows[0], restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: _text(value) for name, value in row.items()} for row in rows)
    return out.getvalue().rstrip("\n")


def _published(of: tuple[PublishedTable, PublishedRow] | None, scale: int, measured: Mapping[str, float]) -> dict[str, object]:
    """The row's key and its table, then each number with the difference of the measured one from it."""
    row: dict[str, object] = {"published": of[1].key if of else "", "source": of[0].name if of else ""}
    for name, mean in measured.items():
        number = of[1].scores.get(scale, {}).get(name, np.nan) if of else np.nan
        row |= {f"published_{name}": number, f"difference_{name}": mean - number}
    return row


def _text(value: object) -> str:
    if isinstance(value, float):
        return "" if np.isnan(value) else repr(float(value))
    text = printable(str(value))
    return f"'{text}" if text.startswith(FORMULA) else text
