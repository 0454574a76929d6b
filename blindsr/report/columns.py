"""The columns that a table may have, and how people choose them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from blindsr.components.registry import suggestion
from blindsr.errors import BlindSRError
from blindsr.imaging.metrics import METRICS, Metric
from blindsr.report.lines import Line

COLUMNS = tuple(METRICS.values())
DEFAULT = (METRICS["psnr"], METRICS["ssim"])
SEVERAL = {"seconds": ("seconds_estimate", "seconds_upscale"), "all": tuple(column.name for column in COLUMNS)}
"""Names that stand for several columns."""


def displayed(number: float, column: Metric) -> float:
    """`number` as a table displays it, so that what looks equal is equal."""
    return float(f"{number:{column.format}}")


def columns_named(names: str) -> tuple[Metric, ...]:
    """The columns that a list with commas asks for, such as ``psnr,ssim,kernel_l2,seconds``; each once, in that order.

    Raises
    ------
    BlindSRError
        If a name is none of a column; it says which there are.
    """
    known = {column.name: column for column in COLUMNS}
    found: dict[str, Metric] = {}
    for name in (part.strip() for part in names.split(",")):
        if name not in known and name not in SEVERAL:
            there = (*known, *SEVERAL)
            raise BlindSRError(f"columns: no column '{name}'{suggestion(name, there) or '; there are ' + ', '.join(there)}")
        found |= {each: known[each] for each in SEVERAL.get(name, (name,))}
    return tuple(found.values())


def filled(columns: Sequence[Metric], lines: Sequence[Line]) -> tuple[Metric, ...]:
    """Those of the columns in which some line has a number; all, if there is none."""
    found = [column for column in columns if any(not np.isnan(line.means[column.name].mean) for line in lines)]
    return tuple(found or columns)
