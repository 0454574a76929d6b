"""What a step gives: its outcome, or why it has none."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blindsr.imaging.kernel import Kernel


@dataclass
class Outcome:
    """What a step gives: arrays by name, single values, curves of (step, value) rows, remarks; its time, and on what it ran."""

    arrays: dict[str, NDArray[Any]] = field(default_factory=dict)
    kernel: Kernel | None = None
    values: dict[str, float] = field(default_factory=dict)
    curves: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    seconds: float = 0.0
    device: str = ""


@dataclass(frozen=True)
class Failure:
    """Why a step has no outcome; `traceback` only where a defect, not the input, is the cause."""

    message: str
    traceback: str = ""
