"""What a run reports while it goes on."""

from __future__ import annotations

from typing import Protocol

from blindsr.pipeline.outcome import Failure, Outcome
from blindsr.pipeline.steps import Step


class Listener(Protocol):
    """Is called as things happen to steps, always in the thread that runs the plan."""

    def begun(self, steps: int) -> None:
        """That many steps are to be done."""
        ...

    def started(self, step: Step) -> None:
        """A step begins."""
        ...

    def progress(self, step: Step, done: int, total: int) -> None:
        """A step reports how far it is."""
        ...

    def ended(self, step: Step, outcome: Outcome | Failure) -> None:
        """A step has ended, well and its outcome is on the disk, or with a failure, which may be that of a step it needs."""
        ...

    def writing(self, done: int, total: int) -> None:
        """The result is being written: so many of its items and rows."""
        ...

    def note(self, text: str) -> None:
        """Something about the input or the run that the user should know."""
        ...


class Silent:
    """A listener that does nothing."""

    def begun(self, steps: int) -> None:
        """Nothing."""

    def started(self, step: Step) -> None:
        """Nothing."""

    def progress(self, step: Step, done: int, total: int) -> None:
        """Nothing."""

    def ended(self, step: Step, outcome: Outcome | Failure) -> None:
        """Nothing."""

    def writing(self, done: int, total: int) -> None:
        """Nothing."""

    def note(self, text: str) -> None:
        """Nothing."""
