"""What a run would do, and how long it would take."""

from collections.abc import Sequence, Set
from typing import NamedTuple

from blindsr.execution.resources import Resources
from blindsr.pipeline.plan import Plan
from blindsr.pipeline.steps import Step
from blindsr.storage.timings import Timings


class _Left(NamedTuple):
    """The steps of one component that are to be done, and the seconds of each (None: unknown)."""

    label: str
    steps: int
    seconds: float | None


def forecast(plan: Plan, done: Set[str], timings: Timings, resources: Resources) -> str:
    """For people to read: what there is to do, a line for each component, and the time; `done` holds the keys of finished steps."""
    pipeline = plan.pipeline
    counts = (("images", plan.items), ("methods", pipeline.methods), ("seeds", pipeline.seeds), ("rows", plan.rows))
    numbers = ", ".join(f"{len(things)} {name if len(things) != 1 else name[:-1]}" for name, things in counts)
    text = [f"{pipeline.name} on {plan.dataset.name} x{pipeline.scale}: {numbers}"]
    text.append(f"{'step':<28}{'all':>8}{'done':>8}{'to do':>8}{'seconds each':>14}")
    components: dict[tuple[str, str], list[Step]] = {}
    for step in plan.steps.values():
        components.setdefault((step.kind, step.label), []).append(step)
    left = []
    for (kind, label), steps in components.items():
        title, total = label if label == kind else f"{kind} {label}", len(steps)
        seconds, to_do = timings.of(steps[0]), sum(step.key not in done for step in steps)
        each = "" if not to_do else "not timed yet" if seconds is None else f"{seconds:.1f}"
        text.append(f"{title:<28}{total:>8}{total - to_do:>8}{to_do:>8}{each:>14}".rstrip())
        left += [_Left(label, to_do, seconds)] if to_do else []
    return "\n".join([*text, _verdict(left, resources)])


def _verdict(left: Sequence[_Left], resources: Resources) -> str:
    if not left:
        return "nothing to compute"
    unknown = [each.label for each in left if each.seconds is None]
    if len(unknown) == len(left):
        return "no such steps were timed here yet; run a few first: `limit` 1"
    seconds = sum(each.steps * each.seconds for each in left if each.seconds is not None)
    but = f", and what is not timed yet: {', '.join(dict.fromkeys(unknown))}" if unknown else ""
    if resources.dask:
        return f"about {_duration(seconds)} for one worker like those timed here, less for each more{but}"
    workers = max(1, resources.resolved().workers_for(sum(each.steps for each in left)))
    return f"about {_duration(seconds / workers)} with {workers} worker{'s' if workers > 1 else ''}{but}"


def _duration(seconds: float) -> str:
    for size, unit in ((86400, "days"), (3600, "hours"), (60, "minutes")):
        if seconds >= 1.5 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} seconds"
