"""Ctrl-C and SIGTERM: noted whenever they come, acted on where nothing is lost or left hanging by it."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any


class Interrupts:
    """A context that takes over SIGINT and SIGTERM where they would raise `KeyboardInterrupt`, in the main thread.

    An exception out of a signal handler comes up anywhere: in a weak reference's callback, where Python swallows it; while a pool
    holds a lock; within HDF5, which cannot bear it. So they are only noted, and the run asks.
    """

    def __init__(self) -> None:
        self._came = False
        self._at_once = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Interrupts:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                if signal.getsignal(number) is signal.default_int_handler:
                    self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, kind: type[BaseException] | None, *exc: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        if kind is None:
            self.let_through()

    def let_through(self) -> None:
        """Raise `KeyboardInterrupt` if a signal has come that was not taken."""
        if self._came:
            raise KeyboardInterrupt

    @contextlib.contextmanager
    def at_once(self) -> Iterator[None]:
        """Within this, which may take long, raise as the signal comes."""
        before = self._at_once
        try:
            self._at_once = True
            self.let_through()
            yield
        finally:
            self._at_once = before

    def take(self) -> bool:
        """Whether a signal has come; the caller acts on it, and it is raised no more."""
        came, self._came = self._came, False
        return came

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._came = True
        if self._at_once:
            raise KeyboardInterrupt
