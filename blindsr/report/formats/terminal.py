"""Plain text with aligned columns, for the terminal."""

from __future__ import annotations

from collections.abc import Sequence

import click

from blindsr.errors import printable
from blindsr.report.layout import Comparison, Mark, Number, Sheet


def to_text(comparison: Comparison) -> str:
    """Aligned columns; terminal codes make the best number bold and the second best underlined."""
    return "\n\n".join(map(_sheet, comparison.sheets()))


def _sheet(sheet: Sheet) -> str:
    from rich.cells import cell_len

    texts = len(sheet.text_heads)
    heads = [*sheet.text_heads, *sheet.scaled_heads]
    shown = [[*map(printable, row.texts), *(cell.to_text() for cell in row.cells)] for row in sheet.rows]
    styled = [[*map(printable, row.texts), *(cell.to_text(_styled) for cell in row.cells)] for row in sheet.rows]
    widths = [max(map(cell_len, column)) for column in zip(heads, *shown, strict=True)]

    def aligned(row: Sequence[str], plain_row: Sequence[str]) -> str:
        padded = []
        for n, (text, plain_text, width) in enumerate(zip(row, plain_row, widths, strict=True)):
            space = " " * (width - cell_len(plain_text))
            padded.append(text + space if n < texts and heads[n] != "type" else space + text)
        return "  ".join(padded).rstrip()

    rule = "─" * (sum(widths) + 2 * (len(widths) - 1))
    table = [aligned(heads, heads), rule, *(aligned(row, plain_row) for row, plain_row in zip(styled, shown, strict=True))]
    return "\n".join([printable(sheet.title), *table, *map(printable, sheet.notes)])


def _styled(number: Number) -> str:
    styles = {Mark.NONE: {}, Mark.BEST: {"bold": True}, Mark.SECOND: {"underline": True}}
    return click.style(number.text, **styles[number.mark], reset=number.mark is not Mark.NONE)
