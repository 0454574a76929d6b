"""An executor with worker processes on this machine."""

from __future__ import annotations

import contextlib
import math
import multiprocessing
import pickle
import signal
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from multiprocessing import connection
from types import ModuleType
from typing import Any

from blindsr.errors import BlindSRError, described
from blindsr.execution.executors import Lost, Update
from blindsr.execution.executors.worker import BEGUN, ENDED, PROGRESS, UNREADABLE, serve
from blindsr.execution.tasks import Task
from blindsr.pipeline.outcome import Failure

MAX_STILLBORN = 20
"""Workers in a row that may end before they begin their task."""
EXIT_SECONDS = 5
"""Time for idle workers to end by themselves."""
ENDING_SECONDS = 1
"""Time for the process of a worker to end whose pipe is closed."""


class ProcessExecutor:
    """Worker processes: one that dies takes only its own tasks with it, and another takes its place.

    Each is started when it is first needed, with so many `threads` of numpy and torch. What it is given may take `timeout` seconds.
    The workers share out among them the `gpus`, named as in ``CUDA_VISIBLE_DEVICES``.
    """

    def __init__(
        self, workers: int, *, threads: int, timeout: float | None = None, device: str = "cpu", gpus: Sequence[str] = ()
    ) -> None:
        self.workers = workers
        self.device = device
        self._timeout = timeout or math.inf
        self._workers = [_Worker(threads, gpus[number % len(gpus)] if gpus else "") for number in range(workers)]
        self._update = Update()
        self._stillborn = 0

    def submit(self, tasks: Mapping[str, Task]) -> None:
        component = next(iter(tasks.values())).component
        if type(component).__module__ == "__main__":
            name = getattr(component, "name", "")
            failure = Failure(
                f"'{name}' is defined in the script that was started, which workers do not import; "
                "define it in a module of its own, or use `workers` 0"
            )
            self._update.ended |= dict.fromkeys(tasks, failure)
            return
        try:
            data = pickle.dumps(list(tasks.values()), pickle.HIGHEST_PROTOCOL)
        except Exception as error:  # a component of a class that is local to a function, say
            self._update.ended |= dict.fromkeys(tasks, Failure(f"the step cannot be sent to a worker ({described(error)})"))
        else:
            max((worker for worker in self._workers if not worker.keys), key=lambda worker: worker.alive).give(tasks, data)

    def poll(self, seconds: float) -> Update:
        busy = {worker.pipe: worker for worker in self._workers if worker.keys}
        if busy and not self._update.ended:
            late = min(worker.since for worker in busy.values()) + self._timeout
            for pipe in connection.wait(list(busy), max(0.0, min(seconds, late - time.monotonic()))):
                self._receive(busy[pipe])  # type: ignore[index]
            for worker in busy.values():
                if worker.keys and not worker.alive:  # something that it started keeps its pipe open
                    self._receive(worker)
                    self._died(worker)
                elif worker.keys and time.monotonic() - worker.since > self._timeout:
                    self._update.ended |= dict.fromkeys(worker.keys, Lost("timeout"))
                    worker.kill()
        update, self._update = self._update, Update()
        return update

    def close(self, *, now: bool = False) -> None:
        for worker in self._workers:
            if worker.process and now:
                worker.process.kill()
            elif worker.process:
                worker.pipe.close()
        end = time.monotonic() + EXIT_SECONDS
        for worker in self._workers:
            worker.kill(after=end - time.monotonic())

    def _receive(self, worker: _Worker) -> None:
        """Take all messages of a worker that are there."""
        try:
            while worker.keys and worker.pipe.poll():
                kind, content = worker.receive()
                if kind == BEGUN:
                    self._stillborn = 0
                elif kind == PROGRESS and content[0] < len(worker.keys):  # else a thread that a task left behind
                    self._update.progress[worker.keys[content[0]]] = content[1:]
                elif kind == ENDED:
                    self._update.ended[worker.keys.pop(0)] = content
                elif kind == UNREADABLE:
                    self._update.ended |= dict.fromkeys(worker.keys, content)
                    worker.keys = []
        except (EOFError, OSError):
            self._died(worker)
        except Exception as error:  # what a plugin made cannot be unpickled here
            key = worker.keys.pop(0)
            self._update.ended[key] = Failure(f"the outcome cannot be sent back from its worker ({described(error)})")

    def _died(self, worker: _Worker) -> None:
        if not worker.keys:
            return
        if not worker.begun:
            self._stillborn += 1
            if self._stillborn > MAX_STILLBORN:
                raise BlindSRError("worker processes end before they begin; `workers` 0 runs without them, and shows why")
        keys, code = worker.keys, worker.kill(after=ENDING_SECONDS)  # one of its own as soon as it has ended
        self._update.ended |= dict.fromkeys(keys, Lost("worker died", f"exit code {code}"))


class _Worker:
    """A place for a worker process, and the process that has it at present."""

    def __init__(self, threads: int, gpu: str) -> None:
        self._arguments = threads, gpu
        self.process: multiprocessing.process.BaseProcess | None = None
        self.pipe: connection.Connection
        self.keys: list[str] = []  # of its tasks that have not ended, in order; none: it is idle
        self.begun = False
        self.since = math.inf  # when the tasks were sent, and then when they began
        self._unsent = b""

    @property
    def alive(self) -> bool:
        return self.process is not None and self.process.is_alive()

    def give(self, keys: Iterable[str], data: bytes) -> None:
        if self.alive:
            self._send(data)
        else:
            self.kill()
            self._unsent, self.since = data, math.inf  # sent when it is ready: until it reads, a large task would block
            context = multiprocessing.get_context("spawn")
            self.pipe, other = context.Pipe()
            # Not a daemon of multiprocessing's: those cannot start processes of their own, as data loaders do.
            self.process = context.Process(target=serve, args=(other, *self._arguments), name="blindsr-worker")
            with _isolated():
                self.process.start()
            other.close()
        self.keys, self.begun = list(keys), False

    def receive(self) -> tuple[str, Any]:
        kind, content = pickle.loads(self.pipe.recv_bytes())  # noqa: S301 - from a process that was started here
        if kind == BEGUN:
            self.begun, self.since = True, time.monotonic()
        if self._unsent:  # it is ready
            data, self._unsent = self._unsent, b""
            self._send(data)
        return kind, content

    def kill(self, *, after: float = 0) -> int | None:
        """End the process, which has so many seconds to end by itself, and leave the place idle; its exit code."""
        self.keys = []
        if self.process is None:
            return None
        self.process.join(max(0.0, after))
        self.process.kill()
        self.process.join()
        self.pipe.close()
        code, self.process = self.process.exitcode, None
        return code

    def _send(self, data: bytes) -> None:
        self.since = time.monotonic()
        with contextlib.suppress(OSError):  # it died just now, which the next poll finds
            self.pipe.send_bytes(data)


@contextlib.contextmanager
def _isolated() -> Iterator[None]:
    """Ctrl-C waits, and processes that are started meanwhile do not receive it at all.

    Nor do they import the main module, which would run a script without a guard again.
    """
    main = sys.modules["__main__"]
    blocks = hasattr(signal, "pthread_sigmask")
    if blocks:
        from multiprocessing import resource_tracker

        resource_tracker.ensure_running()  # or the first worker starts it, which unblocks SIGINT
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main
        if blocks:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
