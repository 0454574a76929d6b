"""The columns that a table may have, and how people choose them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from blindsr.errors import BlindSRError, suggestion
from blindsr.report.lines import Line
from blindsr.storage.result import METRICS


@dataclass(frozen=True)
class Column:
    """A column of numbers: its name in the result's summary, its heading, its format."""

    name: str
    heading: str
    form: str

    @property
    def higher_is_better(self) -> bool | None:
        """Whether more is better; None for what is not ranked (seconds)."""
        return METRICS.get(self.name)

    def shown(self, number: float) -> float:
        """`number` as it is displayed, so that what looks equal is equal."""
        return float(f"{number:{self.form}}")


COLUMNS = (
    Column("psnr", "PSNR (dB)", ".2f"),
    Column("ssim", "SSIM", ".4f"),
    Column("kernel_l2", "kernel error", ".3f"),
    Column("kernel_correlation", "kernel correlation", ".3f"),
    Column("seconds_estimate", "kernel (s)", ".1f"),
    Column("seconds_upscale", "SR (s)", ".1f"),
)
DEFAULT = COLUMNS[:2]
SEVERAL = {"seconds": ("seconds_estimate", "seconds_upscale"), "all": tuple(column.name for column in COLUMNS)}
"""Names that stand for several columns."""


def columns_named(names: str) -> tuple[Column, ...]:
    """The columns that a list with commas asks for, such as ``psnr,ssim,kernel_l2,seconds``; each once, in that order.

    Raises
    ------
    BlindSRError
        If a name is none of a column; it says which there are.
    """
    known = {column.name: column for column in COLUMNS}
    found: dict[str, Column] = {}
    for name in (part.strip() for part in names.split(",")):
        if name not in known and name not in SEVERAL:
            there = (*known, *SEVERAL)
            raise BlindSRError(f"--columns: no column '{name}'{suggestion(name, there) or '; there are ' + ', '.join(there)}")
        found |= {each: known[each] for each in SEVERAL.get(name, (name,))}
    return tuple(found.values())


def filled(columns: Sequence[Column], lines: Sequence[Line]) -> tuple[Column, ...]:
    """Those of the columns in which some line has a number; all, if there is none."""
    found = [column for column in columns if any(not np.isnan(line.means[column.name].mean) for line in lines)]
    return tuple(found or columns)
