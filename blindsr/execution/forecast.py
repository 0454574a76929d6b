"""How long steps take on this machine, and so how long a plan will."""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass
from pathlib import Path

from blindsr.errors import BlindSRError
from blindsr.execution.placement import Placement
from blindsr.imaging.files import write_whole
from blindsr.pipeline.plan import Plan
from blindsr.pipeline.steps import Step

FILE = "timings.json"
NEWS = 0.2
"""Weight of a new time against those before: the last ten steps or so count."""


class Timings:
    """Seconds of a step, by its component and scale, kept between runs in a file (JSON). One that cannot be read is empty."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / FILE
        self._seconds = _read(self._file)

    def add(self, step: Step, seconds: float) -> None:
        """Take a step's time into account."""
        name = _name(step)
        self._seconds[name] = seconds if name not in self._seconds else (1 - NEWS) * self._seconds[name] + NEWS * seconds

    def of(self, step: Step) -> float | None:
        """Seconds that a step like this takes; None if none was ever timed here."""
        return self._seconds.get(_name(step))

    def save(self) -> None:
        """Keep them, if that is possible: they are a convenience, no result."""
        with contextlib.suppress(BlindSRError):
            write_whole(self._file, lambda part: part.write_text(json.dumps(self._seconds, indent=1)))


@dataclass
class Forecast:
    """The steps of one component: how many there are, how many are done, and seconds for each of the others (None: unknown)."""

    kind: str
    label: str
    total: int = 0
    done: int = 0
    seconds: float | None = None

    @property
    def to_do(self) -> int:
        """How many are left."""
        return self.total - self.done


def forecast(steps: Iterable[Step], done: Set[str], timings: Timings) -> list[Forecast]:
    """What is to be done, a line for each component, in the order of first appearance; `done` holds the keys of finished steps."""
    found: dict[tuple[str, str], Forecast] = {}
    for step in steps:
        line = found.setdefault((step.kind, step.label), Forecast(step.kind, step.label, seconds=timings.of(step)))
        line.total += 1
        line.done += step.key in done
    return list(found.values())


def to_text(plan: Plan, lines: Sequence[Forecast], placement: Placement) -> str:
    """What a run would do, and how long it would take, for people to read."""
    pipeline = plan.pipeline
    counts = (("images", plan.items), ("methods", pipeline.methods), ("seeds", pipeline.seeds), ("rows", plan.rows))
    numbers = ", ".join(f"{len(things)} {name if len(things) != 1 else name[:-1]}" for name, things in counts)
    text = [f"{pipeline.name} on {plan.dataset.name} x{pipeline.scale}: {numbers}"]
    text.append(f"{'step':<28}{'all':>8}{'done':>8}{'to do':>8}{'seconds each':>14}")
    for line in lines:
        each = "" if not line.to_do else "not timed yet" if line.seconds is None else f"{line.seconds:.1f}"
        title = line.label if line.label == line.kind else f"{line.kind} {line.label}"
        text.append(f"{title:<28}{line.total:>8}{line.done:>8}{line.to_do:>8}{each:>14}".rstrip())
    return "\n".join([*text, _verdict([line for line in lines if line.to_do], placement)])


def _verdict(left: Sequence[Forecast], placement: Placement) -> str:
    if not left:
        return "nothing to compute"
    unknown = [line.label for line in left if line.seconds is None]
    if len(unknown) == len(left):
        return "no such steps were timed here yet; run a few first: --limit 1"
    seconds = sum(line.to_do * line.seconds for line in left if line.seconds is not None)
    but = f", and what is not timed yet: {', '.join(dict.fromkeys(unknown))}" if unknown else ""
    if placement.dask:
        return f"about {_duration(seconds)} for one worker like those timed here, less for each more{but}"
    workers = max(1, placement.resolved().workers_for(sum(line.to_do for line in left)))
    return f"about {_duration(seconds / workers)} with {workers} worker{'s' if workers > 1 else ''}{but}"


def _duration(seconds: float) -> str:
    for size, unit in ((86400, "days"), (3600, "hours"), (60, "minutes")):
        if seconds >= 1.5 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} seconds"


def _name(step: Step) -> str:
    return f"{step.kind} {step.label} x{step.scale}"


def _read(file: Path) -> dict[str, float]:
    try:
        found = json.loads(file.read_bytes()) if file.is_file() else {}
        return {str(name): float(seconds) for name, seconds in found.items() if 0 <= float(seconds) < math.inf}
    except (OSError, ValueError, OverflowError, RecursionError, AttributeError, TypeError):
        return {}
