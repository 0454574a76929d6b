"""LaTeX tables of the package booktabs."""

from __future__ import annotations

from blindsr.errors import printable
from blindsr.report.layout import Comparison, Mark, Number, Sheet

ESCAPES = {
    "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}", "[": "{[}", "*": "{*}",  # the last two would be arguments of the \\ before them
    "–": "--", "−": "$-$", "±": r"$\pm$", **{c: f"\\{c}" for c in "&%$#_{}"},
}  # fmt: skip


def to_text(comparison: Comparison) -> str:
    """A ``tabular`` for each sheet, to be put into a ``table``; titles and notes are comments."""
    return "\n\n".join(("% needs \\usepackage{booktabs}", *map(_sheet, comparison.sheets())))


def _sheet(sheet: Sheet) -> str:
    texts, heads = len(sheet.text_heads), len(sheet.heads)
    columns = "".join("c" if head == "type" else "l" for head in sheet.text_heads) + "c" * heads * len(sheet.scales)
    spans = [rf"\multicolumn{{{heads}}}{{c}}{{$\times${scale}}}" for scale in sheet.scales]
    starts = [texts + 1 + heads * n for n in range(len(sheet.scales))]
    rules = "".join(rf"\cmidrule(lr){{{start}-{start + heads - 1}}}" for start in starts)
    lines = [f"% {printable(sheet.title)}", rf"\begin{{tabular}}{{{columns}}}", r"\toprule"]
    lines += [" & ".join([*[""] * texts, *spans]) + r" \\", rules]
    lines += [" & ".join(map(_escaped, (*sheet.text_heads, *(sheet.heads * len(sheet.scales))))) + r" \\", r"\midrule"]
    for n, row in enumerate(sheet.rows):
        if n and row.group != sheet.rows[n - 1].group:
            lines.append(r"\midrule")
        lines.append(" & ".join([*map(_escaped, row.texts), *(cell.to_text(_styled) for cell in row.cells)]) + r" \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", *(f"% {printable(note)}" for note in sheet.notes)])


def _styled(number: Number) -> str:
    return {Mark.NONE: "%s", Mark.BEST: r"\textbf{%s}", Mark.SECOND: r"\underline{%s}"}[number.mark] % _escaped(number.text)


def _escaped(text: str) -> str:
    return "".join(ESCAPES.get(c, c) for c in printable(text))
