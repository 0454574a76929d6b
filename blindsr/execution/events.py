"""Who hears what happens in a run."""

from __future__ import annotations

from typing import Protocol

from blindsr.pipeline.outcome import Failure, Outcome
from blindsr.pipeline.steps import Step


class Listener(Protocol):
    """Hears what happens to steps, for people to see."""

    def begun(self, steps: int) -> None:
        """So many steps are to be done."""
        ...

    def started(self, step: Step) -> None:
        """A step begins."""
        ...

    def progress(self, step: Step, done: int, total: int) -> None:
        """A step says how far it is."""
        ...

    def ended(self, step: Step, outcome: Outcome | Failure) -> None:
        """A step has ended, well or not."""
        ...

    def writing(self, done: int, total: int) -> None:
        """The result is being written: so many of its items and rows."""
        ...

    def note(self, text: str) -> None:
        """Something about the input that the user should know."""
        ...
