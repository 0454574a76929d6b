"""The formats of tables. A format is a module here with a function ``to_text(comparison)``, and an entry in `FORMATS`."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from blindsr.report.layout import Comparison

FORMATS = {"terminal": "terminal", "markdown": "markdown", "csv": "comma_separated", "latex": "latex"}
"""The module of each format, by the format's name on the command line."""


def to_text(comparison: Comparison, form: str) -> str:
    """A comparison as a table in one of `FORMATS`."""
    return str(import_module(f"{__name__}.{FORMATS[form]}").to_text(comparison))
