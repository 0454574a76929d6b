"""How long steps took on this machine: a file in the output folder."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Annotated

from pydantic import Field

from blindsr.errors import BlindSRError
from blindsr.imaging.files import write_whole
from blindsr.pipeline.hashes import read_side_file
from blindsr.pipeline.steps import Step

WEIGHT = 0.2
"""Weight of a new time against those before: about the last ten steps count."""


class Timings:
    """Seconds of a step by its component and scale, kept between runs in a file (JSON); one that cannot be read is empty."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._seconds = read_side_file(file, dict[str, Annotated[float, Field(ge=0, allow_inf_nan=False)]]) or {}

    def add(self, step: Step, seconds: float) -> None:
        name = _name(step)
        known = self._seconds.get(name, seconds)
        self._seconds[name] = (1 - WEIGHT) * known + WEIGHT * seconds

    def of(self, step: Step) -> float | None:
        """Seconds that a step like this takes; None if none was ever timed here."""
        return self._seconds.get(_name(step))

    def save(self) -> None:
        with contextlib.suppress(BlindSRError):  # they are a convenience, no result
            write_whole(self._file, lambda part: part.write_text(json.dumps(self._seconds, indent=1)))


def _name(step: Step) -> str:
    return f"{step.kind} {step.label} x{step.scale}"
