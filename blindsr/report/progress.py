"""What a person sees while steps run: progress where there is a terminal, remarks on standard error."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console as Terminal
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from blindsr.errors import printable
from blindsr.execution.events import Listener
from blindsr.pipeline.outcome import Failure, Outcome
from blindsr.pipeline.steps import Step

VERBS = {"degrade": "degrade", "register": "check kernel", "estimate": "kernel", "upscale": "SR", "external": "SR image"}
WHOLE, RESULT = "all steps", "write the result"


class Console(Listener):
    """A listener that draws a bar for each running step, and one for the whole; and prints remarks, each once."""

    def __init__(self, progress: Progress, *, debug: bool, translate: Callable[[str], str]) -> None:
        self._progress = progress
        self._translate = translate
        self._tasks: dict[str, TaskID] = {}
        self._debug = debug
        self._said: set[str] = set()

    def begun(self, steps: int) -> None:
        if steps > 1:
            self._tasks[WHOLE] = self._progress.add_task(WHOLE, total=steps)

    def started(self, step: Step) -> None:
        if step.kind != "score":
            title = _of(step, step.label, " · ") + (f" ({VERBS[step.kind]})" if step.component else "")
            self._tasks[step.key] = self._progress.add_task(escape(printable(title)), total=None)

    def progress(self, step: Step, done: int, total: int) -> None:
        if step.key in self._tasks:
            self._progress.update(self._tasks[step.key], completed=done, total=total)

    def ended(self, step: Step, outcome: Outcome | Failure) -> None:
        if step.key in self._tasks:
            self._progress.remove_task(self._tasks.pop(step.key))
        if WHOLE in self._tasks:
            self._progress.advance(self._tasks[WHOLE])
        if isinstance(outcome, Failure):
            hint = "; blindsr --debug shows the traceback" if outcome.traceback and not self._debug else ""
            new = self._say(f"failed: {outcome.where or step.item}: {outcome.message}{hint}")
            if new and outcome.traceback and self._debug:
                for line in outcome.traceback.splitlines():
                    self._print(printable(line))
        else:
            for text in outcome.warnings:
                self._say(f"warning: {_of(step, text)}")

    def writing(self, done: int, total: int) -> None:
        if RESULT not in self._tasks:
            self._tasks[RESULT] = self._progress.add_task(RESULT)
        self._progress.update(self._tasks[RESULT], completed=done, total=total)

    def note(self, text: str) -> None:
        self._say(f"note: {text}")

    def _say(self, text: str) -> bool:
        """Print a line, if it was not printed before; whether it was new."""
        line = printable(" ".join(self._translate(text).splitlines()))
        if line in self._said:
            return False
        self._said.add(line)
        self._print(line)
        return True

    def _print(self, text: str) -> None:
        self._progress.console.print(text, markup=False, highlight=False, emoji=False, soft_wrap=True)


@contextmanager
def console(*, debug: bool = False, translate: Callable[[str], str] = str) -> Iterator[Console]:
    """A console; `translate` has the last word on what it says. Where standard error is no terminal it says only remarks."""
    shown = sys.stderr is not None and sys.stderr.isatty()
    title, counts, eta = TextColumn("{task.description}"), MofNCompleteColumn(), TextColumn("ETA")
    columns = (title, BarColumn(), counts, TimeElapsedColumn(), eta, TimeRemainingColumn())
    with Progress(*columns, console=Terminal(stderr=True), transient=True, disable=not shown) as progress:
        yield Console(progress, debug=debug, translate=translate)


def _of(step: Step, text: str, separator: str = ": ") -> str:
    """The text, after the image's name, if it has one: an array that a function was given has none."""
    return f"{step.item}{separator}{text}" if step.item else text
