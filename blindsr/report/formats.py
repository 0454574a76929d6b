"""Sheets written for the terminal, in Markdown and in LaTeX; texts from files are escaped for each."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import click

from blindsr.errors import printable
from blindsr.report.layout import Cell, Part, Sheet
from blindsr.report.ranking import Mark

LATEX = {
    "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}", "[": "{[}", "*": "{*}",  # the last two would be arguments of the \\ before them
    "–": "--", "−": "$-$", "±": r"$\pm$", **{c: f"\\{c}" for c in "&%$#_{}"},
}  # fmt: skip


def to_terminal(sheets: Sequence[Sheet], *, styled: bool = False) -> str:
    """Plain text, the columns aligned; `styled` makes the best bold and the second best underlined by terminal codes."""

    def style(part: Part) -> str:
        if not styled or part.mark is Mark.NONE:
            return part.text
        return click.style(part.text, bold=True) if part.mark is Mark.BEST else click.style(part.text, underline=True)

    return "\n\n".join(_terminal(sheet, style) for sheet in sheets)


def to_markdown(sheets: Sequence[Sheet]) -> str:
    """Markdown tables: the best bold, the second best underlined."""

    def style(part: Part) -> str:
        return {Mark.NONE: "{}", Mark.BEST: "**{}**", Mark.SECOND: "<u>{}</u>"}[part.mark].format(part.text)

    blocks = []
    for sheet in sheets:
        rows = [
            [*sheet.text_heads, *_scaled_heads(sheet)],
            ["---"] * (len(sheet.text_heads) + len(sheet.scales) * len(sheet.heads)),
        ]
        rows += [[*map(_markdown, row.texts), *(_joined(cell, style) for cell in row.cells)] for row in sheet.rows]
        table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
        blocks += [f"**{_markdown(sheet.title)}**", table, *map(_markdown, sheet.notes)]
    return "\n\n".join(blocks)


def to_latex(sheets: Sequence[Sheet]) -> str:
    """A booktabs ``tabular`` for each sheet, to be put into a ``table``; titles and notes are comments."""
    return "\n\n".join(("% needs \\usepackage{booktabs}", *map(_latex_table, sheets)))


def _terminal(sheet: Sheet, style: Callable[[Part], str]) -> str:
    from rich.cells import cell_len

    texts, plain = len(sheet.text_heads), (lambda part: part.text)
    heads = [*sheet.text_heads, *_scaled_heads(sheet)]
    shown = [[*map(printable, row.texts), *(_joined(cell, plain) for cell in row.cells)] for row in sheet.rows]
    styled = [[*map(printable, row.texts), *(_joined(cell, style) for cell in row.cells)] for row in sheet.rows]
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


def _latex_table(sheet: Sheet) -> str:
    def style(part: Part) -> str:
        return {Mark.NONE: "%s", Mark.BEST: r"\textbf{%s}", Mark.SECOND: r"\underline{%s}"}[part.mark] % _latex(part.text)

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
        lines.append(" & ".join([*map(_latex, row.texts), *(_joined(cell, style) for cell in row.cells)]) + r" \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", *(f"% {printable(note)}" for note in sheet.notes)])


def _scaled_heads(sheet: Sheet) -> list[str]:
    """The cells' headings, with the scale before them if there are several."""
    several = len(sheet.scales) > 1
    return [f"x{scale} {head}" if several else head for scale in sheet.scales for head in sheet.heads]


def _joined(cell: Cell, style: Callable[[Part], str]) -> str:
    return " / ".join(map(style, cell.parts)) + (f" {cell.remark}" if cell.remark else "")


def _markdown(text: str) -> str:
    text = re.sub(r"&(?=#?\w+;)", "&amp;", printable(text)).replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_\[\]|~])", r"\\\1", text)


def _latex(text: str) -> str:
    return "".join(LATEX.get(c, c) for c in printable(text))
