"""What a run would do, and how long it would take."""

from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass

from blindsr.execution.resources import Resources
from blindsr.pipeline.plan import Plan
from blindsr.pipeline.steps import Step
from blindsr.storage.timings import Timings


@dataclass
class Forecast:
    """The steps of one component: how many there are and are done, and the seconds of each (None: unknown)."""

    kind: str
    label: str
    total: int = 0
    done: int = 0
    seconds: float | None = None

    @property
    def to_do(self) -> int:
        return self.total - self.done


def forecast(steps: Iterable[Step], done: Set[str], timings: Timings) -> list[Forecast]:
    """What is to be done, a line for each component, in order of appearance; `done` holds the keys of finished steps."""
    found: dict[tuple[str, str], Forecast] = {}
    for step in steps:
        line = found.setdefault((step.kind, step.label), Forecast(step.kind, step.label, seconds=timings.of(step)))
        line.total += 1
        line.done += step.key in done
    return list(found.values())


def forecast_text(plan: Plan, lines: Sequence[Forecast], resources: Resources) -> str:
    """A forecast for people to read."""
    pipeline = plan.pipeline
    counts = (("images", plan.items), ("methods", pipeline.methods), ("seeds", pipeline.seeds), ("rows", plan.rows))
    numbers = ", ".join(f"{len(things)} {name if len(things) != 1 else name[:-1]}" for name, things in counts)
    text = [f"{pipeline.name} on {plan.dataset.name} x{pipeline.scale}: {numbers}"]
    text.append(f"{'step':<28}{'all':>8}{'done':>8}{'to do':>8}{'seconds each':>14}")
    for line in lines:
        each = "" if not line.to_do else "not timed yet" if line.seconds is None else f"{line.seconds:.1f}"
        title = line.label if line.label == line.kind else f"{line.kind} {line.label}"
        text.append(f"{title:<28}{line.total:>8}{line.done:>8}{line.to_do:>8}{each:>14}".rstrip())
    return "\n".join([*text, _verdict([line for line in lines if line.to_do], resources)])


def _verdict(left: Sequence[Forecast], resources: Resources) -> str:
    if not left:
        return "nothing to compute"
    unknown = [line.label for line in left if line.seconds is None]
    if len(unknown) == len(left):
        return "no such steps were timed here yet; run a few first: `limit` 1"
    seconds = sum(line.to_do * line.seconds for line in left if line.seconds is not None)
    but = f", and what is not timed yet: {', '.join(dict.fromkeys(unknown))}" if unknown else ""
    if resources.dask:
        return f"about {_duration(seconds)} for one worker like those timed here, less for each more{but}"
    workers = max(1, resources.resolved().workers_for(sum(line.to_do for line in left)))
    return f"about {_duration(seconds / workers)} with {workers} worker{'s' if workers > 1 else ''}{but}"


def _duration(seconds: float) -> str:
    for size, unit in ((86400, "days"), (3600, "hours"), (60, "minutes")):
        if seconds >= 1.5 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} seconds"
