"""The formats of tables: a function for each, which gets a comparison, in `FORMATS`."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Mapping, Sequence
from math import isnan, nan
from typing import TYPE_CHECKING

import click

from blindsr.errors import printable
from blindsr.pipeline.published import PUBLISHED_METRICS, PublishedRow, PublishedTable

if TYPE_CHECKING:
    from blindsr.report.layout import Comparison, Sheet

FORMULA = ("=", "+", "-", "@")
"""What makes a spreadsheet take a text for a formula."""
LATEX_NUMBERS = str.maketrans({"–": "--", "−": "$-$", "±": r"$\pm$"})
LATEX = LATEX_NUMBERS | str.maketrans({
    "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}", "[": "{[}", "*": "{*}",  # the last two would be arguments of the \\ before them
    **{c: f"\\{c}" for c in "&%$#_{}"},
})  # fmt: skip


def to_terminal(comparison: Comparison) -> str:
    """Aligned columns; terminal codes make the best number bold and the second best underlined."""
    best, second = click.style("%s", bold=True), click.style("%s", underline=True)
    return "\n\n".join(map(_terminal_sheet, comparison.sheets(best, second)))


def _terminal_sheet(sheet: Sheet) -> str:
    from rich.cells import cell_len

    def width(text: str) -> int:
        return cell_len(click.unstyle(text))

    def aligned(row: Sequence[str]) -> str:
        padded = []
        for head, text, cells in zip(heads, row, widths, strict=True):
            space = " " * (cells - width(text))
            padded.append(text + space if head in sheet.text_heads and head != "type" else space + text)
        return "  ".join(padded).rstrip()

    heads = [*sheet.text_heads, *sheet.scaled_heads]
    rows = [[*map(printable, row.texts), *row.cells] for row in sheet.rows]
    widths = [max(map(width, column)) for column in zip(heads, *rows, strict=True)]
    rule = "─" * (sum(widths) + 2 * (len(widths) - 1))
    return "\n".join([printable(sheet.title), aligned(heads), rule, *map(aligned, rows), *map(printable, sheet.notes)])


def to_markdown(comparison: Comparison) -> str:
    """A table for each sheet; the best number is bold, the second best underlined."""
    blocks = []
    for sheet in comparison.sheets("**%s**", "<u>%s</u>"):
        heads = [*sheet.text_heads, *sheet.scaled_heads]
        rows = [heads, ["---"] * len(heads)]
        rows += [[*map(_markdown, row.texts), *row.cells] for row in sheet.rows]
        table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
        blocks += [f"**{_markdown(sheet.title)}**", table, *map(_markdown, sheet.notes)]
    return "\n\n".join(blocks)


def _markdown(text: str) -> str:
    text = re.sub(r"&(?=#?\w+;)", "&amp;", printable(text)).replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_\[\]|~])", r"\\\1", text)


def to_latex(comparison: Comparison) -> str:
    """A ``tabular`` of the package booktabs for each sheet, to be put into a ``table``; titles and notes are comments."""
    return "\n\n".join(("% needs \\usepackage{booktabs}", *map(_latex_sheet, comparison.sheets(r"\textbf{%s}", r"\underline{%s}"))))


def _latex_sheet(sheet: Sheet) -> str:
    texts, heads = len(sheet.text_heads), len(sheet.heads)
    columns = "".join("c" if head == "type" else "l" for head in sheet.text_heads) + "c" * heads * len(sheet.scales)
    spans = [rf"\multicolumn{{{heads}}}{{c}}{{$\times${scale}}}" for scale in sheet.scales]
    starts = [texts + 1 + heads * n for n in range(len(sheet.scales))]
    rules = "".join(rf"\cmidrule(lr){{{start}-{start + heads - 1}}}" for start in starts)
    lines = [f"% {printable(sheet.title)}", rf"\begin{{tabular}}{{{columns}}}", r"\toprule"]
    lines += [" & ".join([*[""] * texts, *spans]) + r" \\", rules]
    lines += [" & ".join(map(_latex, (*sheet.text_heads, *(sheet.heads * len(sheet.scales))))) + r" \\", r"\midrule"]
    for n, row in enumerate(sheet.rows):
        if n and row.group != sheet.rows[n - 1].group:
            lines.append(r"\midrule")
        lines.append(" & ".join([*map(_latex, row.texts), *(cell.translate(LATEX_NUMBERS) for cell in row.cells)]) + r" \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", *(f"% {printable(note)}" for note in sheet.notes)])


def _latex(text: str) -> str:
    return printable(text).translate(LATEX)


def to_csv(comparison: Comparison) -> str:
    """CSV in full precision: a row for each file, scale and method (and item), a column for each mean and spread.

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
                rows.append(about | _published((table, row), scale, dict.fromkeys(compared, nan)))
    out = io.StringIO()
    writer = csv.DictWriter(out, rows[0], restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: _csv(value) for name, value in row.items()} for row in rows)
    return out.getvalue().rstrip("\n")


def _published(of: tuple[PublishedTable, PublishedRow] | None, scale: int, measured: Mapping[str, float]) -> dict[str, object]:
    """The row's key and its table, then each number with the difference of the measured one from it."""
    row: dict[str, object] = {"published": of[1].key if of else "", "source": of[0].name if of else ""}
    for name, mean in measured.items():
        number = of[1].scores.get(scale, {}).get(name, nan) if of else nan
        row |= {f"published_{name}": number, f"difference_{name}": mean - number}
    return row


def _csv(value: object) -> str:
    if isinstance(value, float):
        return "" if isnan(value) else repr(float(value))
    text = printable(str(value))
    return f"'{text}" if text.startswith(FORMULA) else text


FORMATS: Mapping[str, Callable[[Comparison], str]] = {
    "terminal": to_terminal, "markdown": to_markdown, "csv": to_csv, "latex": to_latex,
}  # fmt: skip
"""The functions by the names that the command line has for them."""
