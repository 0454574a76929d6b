"""What a run reports while it goes on."""

from __future__ import annotations

from blindsr.pipeline.outcome import Failure, Outcome
from blindsr.pipeline.steps import Step


class Listener:
    """Is called as things happen to steps, always in the thread that runs the plan. This one does nothing."""

    def begun(self, steps: int) -> None:
        """That many steps are to be done."""

    def started(self, step: Step) -> None:
        """A step begins."""

    def progress(self, step: Step, done: int, total: int) -> None:
        """A step reports how far it is."""

    def ended(self, step: Step, outcome: Outcome | Failure) -> None:
        """A step has ended, well and its outcome is on the disk, or with a failure, which may be that of a step it needs."""

    def writing(self, done: int, total: int) -> None:
        """The result is being written: so many of its items and rows."""

    def note(self, text: str) -> None:
        """Something about the input or the run that the user should know."""
