"""The columns of a table: metrics by name."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from blindsr.errors import BlindSRError, suggestion
from blindsr.imaging.metrics import METRICS, Metric
from blindsr.report.summary import MethodSummary

DEFAULT = (METRICS["psnr"], METRICS["ssim"])
SEVERAL = {"seconds": ("seconds_estimate", "seconds_upscale"), "all": tuple(METRICS)}
"""Names that stand for several columns."""


def displayed(number: float, column: Metric) -> float:
    """`number` as a table displays it, so that what looks equal is equal."""
    return float(f"{number:{column.format}}")


def columns_named(names: str) -> tuple[Metric, ...]:
    """The columns of a comma-separated list such as ``psnr,ssim,kernel_l2,seconds``: each once, in that order."""
    found: dict[str, Metric] = {}
    for name in (part.strip() for part in names.split(",")):
        if name not in METRICS and name not in SEVERAL:
            there = (*METRICS, *SEVERAL)
            raise BlindSRError(f"`columns`: no column '{name}'{suggestion(name, there) or '; there are ' + ', '.join(there)}")
        found |= {each: METRICS[each] for each in SEVERAL.get(name, (name,))}
    return tuple(found.values())


def filled(columns: Sequence[Metric], summaries: Sequence[MethodSummary]) -> tuple[Metric, ...]:
    """The columns in which some summary has a number; all, if there is none."""
    found = [column for column in columns if any(not np.isnan(summary.means[column.name].mean) for summary in summaries)]
    return tuple(found or columns)
