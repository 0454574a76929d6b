"""Result files to comparison tables: summarised (lines), laid out (sheets), written for the terminal, Markdown, LaTeX, CSV."""

from blindsr.table.columns import COLUMNS, DEFAULT, Column, columns_named, filled
from blindsr.table.formats import to_latex, to_markdown, to_terminal
from blindsr.table.layout import Sheet, sheets
from blindsr.table.lines import Line, Mean, lines
from blindsr.table.tidy import to_csv

__all__ = [
    "COLUMNS",
    "DEFAULT",
    "Column",
    "Line",
    "Mean",
    "Sheet",
    "columns_named",
    "filled",
    "lines",
    "sheets",
    "to_csv",
    "to_latex",
    "to_markdown",
    "to_terminal",
]
