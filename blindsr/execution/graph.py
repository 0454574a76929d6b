"""The state of the steps of a run: which wait, which are ready, which run. No input or output."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Mapping, Set


class StepGraph:
    """Steps by key, each of which can run once all that it needs is done.

    `needs` lists each step after those that it needs. `is_done` tells of a step whether it was done before; what is given to `add`
    is done again. The steps in `failed` have failed before and are not tried again.
    """

    def __init__(self, needs: Mapping[str, Set[str]], is_done: Callable[[str], bool], failed: Iterable[str] = ()) -> None:
        self._needs = needs
        self._is_done = is_done
        self._dependants: dict[str, list[str]] = {key: [] for key in needs}
        for key, needed in needs.items():
            for other in needed:
                self._dependants[other].append(key)
        heights = dict.fromkeys(needs, 0)  # how many steps still depend on each, one after another
        for key in reversed(heights):
            for need in needs[key]:
                heights[need] = max(heights[need], heights[key] + 1)
        self._order = {key: (-height, number) for number, (key, height) in enumerate(heights.items())}
        self._waits_for: dict[str, set[str]] = {}  # of every step that is to be done and has not ended
        self._ready: list[tuple[int, int, str]] = []  # a heap: what most depends on comes first, then the plan's order
        self._running: set[str] = set()
        self._retried: set[str] = set()
        self.failed = set(failed)

    @property
    def left(self) -> int:
        """How many steps have not ended."""
        return len(self._waits_for)

    @property
    def ready(self) -> int:
        """How many steps can be taken."""
        return len(self._ready)

    @property
    def running(self) -> int:
        """How many steps were taken and have not ended."""
        return len(self._running)

    def add(self, key: str) -> list[str]:
        """Have a step done, and before it all that it needs and is not done; what fails since a step that it needs has failed."""
        if key in self._waits_for or key in self.failed:
            return []
        waits = self._waits_for[key] = {need for need in self._needs[key] if need in self.failed or not self._is_done(need)}
        found = [other for need in sorted(waits, key=self._order.__getitem__) for other in self.add(need)]
        if key in self._waits_for and waits & self.failed:
            found += self.fail(key)
        elif not waits:
            self._push(key)
        return found

    @property
    def next(self) -> str:
        """The step that is taken next, of those that are ready."""
        return self._ready[0][-1]

    def ready_like(self, alike: Callable[[str], bool]) -> list[str]:
        """The steps that can be taken for whose keys `alike` is true, in the order in which they would be taken."""
        return [key for *_, key in sorted(self._ready) if alike(key)]

    def take(self, key: str | None = None) -> str:
        """A step that is ready, by default the next one; it runs from now on, until `finish`, `fail`, `release` or `wait_for`."""
        if key in (None, self.next):
            key = heapq.heappop(self._ready)[-1]
        else:
            self._ready.remove((*self._order[key], key))
            heapq.heapify(self._ready)
        self._running.add(key)
        return key

    def finish(self, key: str) -> None:
        """A step is done: what waited for it alone is ready."""
        self._end(key)
        for other in self._dependants[key]:
            waits = self._waits_for.get(other, set())
            if key in waits:
                waits.remove(key)
                if not waits:
                    self._push(other)

    def fail(self, key: str) -> list[str]:
        """A step has failed, and with it all that needs it and is to be done: their keys, its own first."""
        self._end(key)
        self.failed.add(key)
        found = [key]
        for other in self._dependants[key]:
            if other in self._waits_for:
                found += self.fail(other)
        return found

    def release(self, key: str) -> None:
        """A step that was taken did not begin, and is ready again."""
        self._running.discard(key)
        self._push(key)

    def retry(self, key: str) -> bool:
        """Have a running step done once more; False if that was granted before."""
        if key in self._retried:
            return False
        self._retried.add(key)
        self.release(key)
        return True

    def wait_for(self, key: str, need: str) -> list[str]:
        """A step that was taken has to wait, since one that it needs is to be done again; what fails by that, as of `add`."""
        self._running.discard(key)
        self._waits_for[key].add(need)
        return self.add(need)

    def _end(self, key: str) -> None:
        self._waits_for.pop(key, None)
        self._running.discard(key)

    def _push(self, key: str) -> None:
        heapq.heappush(self._ready, (*self._order[key], key))
