"""Result files to comparison tables: summarised (lines), laid out (sheets), written for the terminal, Markdown, LaTeX, CSV."""

from blindsr.report.columns import COLUMNS, DEFAULT, columns_named, filled
from blindsr.report.csv_format import to_csv
from blindsr.report.formats import to_latex, to_markdown, to_terminal
from blindsr.report.layout import Sheet, sheets
from blindsr.report.lines import Line, Mean, lines

__all__ = [
    "COLUMNS",
    "DEFAULT",
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
