"""Markdown tables."""

from __future__ import annotations

import re

from blindsr.errors import printable
from blindsr.report.layout import Comparison, Mark, Number


def to_text(comparison: Comparison) -> str:
    """A table for each sheet; the best number is bold, the second best underlined."""
    blocks = []
    for sheet in comparison.sheets():
        heads = [*sheet.text_heads, *sheet.scaled_heads]
        rows = [heads, ["---"] * len(heads)]
        rows += [[*map(_escaped, row.texts), *(cell.to_text(_styled) for cell in row.cells)] for row in sheet.rows]
        table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
        blocks += [f"**{_escaped(sheet.title)}**", table, *map(_escaped, sheet.notes)]
    return "\n\n".join(blocks)


def _styled(number: Number) -> str:
    return {Mark.NONE: "{}", Mark.BEST: "**{}**", Mark.SECOND: "<u>{}</u>"}[number.mark].format(number.text)


def _escaped(text: str) -> str:
    text = re.sub(r"&(?=#?\w+;)", "&amp;", printable(text)).replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_\[\]|~])", r"\\\1", text)
