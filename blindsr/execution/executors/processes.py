"""An executor with worker processes on this machine."""

from __future__ import annotations

import contextlib
import math
import multiprocessing
import os
import pickle
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from multiprocessing import connection
from types import ModuleType
from typing import Any

from blindsr.errors import BlindSRError, described
from blindsr.execution.executors import StepTimeoutError, Update, WorkerDiedError
from blindsr.execution.executors.worker import BEGUN, ENDED, PROGRESS, serve
from blindsr.execution.resources import count_gpus
from blindsr.execution.tasks import Task
from blindsr.pipeline.outcome import Failure

MAX_STILLBORN = 20
"""Workers in a row that may end before they begin their task."""
EXIT_SECONDS = 5
"""Time for idle workers to end by themselves."""
ENDING_SECONDS = 1
"""Time for the process of a worker to end whose pipe is closed."""


class ProcessExecutor:
    """Worker processes: one that dies takes only its own task with it, and another takes its place.

    Parameters
    ----------
    workers
        How many; each is started when it is first needed.
    threads
        Of numpy and torch in each.
    timeout
        Seconds that a task may take; None: any.
    gpus
        Names of GPUs, as in ``CUDA_VISIBLE_DEVICES``, which the workers share out among them.
    """

    def __init__(self, workers: int, *, threads: int, timeout: float | None = None, gpus: Sequence[str] = ()) -> None:
        self.workers = workers
        self._timeout = timeout
        self._workers = [_Worker(threads, gpus[number % len(gpus)] if gpus else "") for number in range(workers)]
        self._refused: dict[str, Failure] = {}
        self._stillborn = 0

    def submit(self, key: str, task: Task) -> None:
        if type(task.component).__module__ == "__main__":
            name = getattr(task.component, "name", "")
            self._refused[key] = Failure(
                f"'{name}' is defined in the script that was started, which workers do not import; "
                "define it in a module of its own, or use `workers` 0"
            )
            return
        try:
            data = pickle.dumps(task, pickle.HIGHEST_PROTOCOL)
        except Exception as error:  # a component of a class that is local to a function, say
            self._refused[key] = Failure(f"the step cannot be sent to a worker ({described(error)})")
        else:
            max((worker for worker in self._workers if not worker.key), key=lambda worker: worker.alive).give(key, data)

    def poll(self, seconds: float) -> Update:
        update = Update(ended={**self._refused})
        self._refused.clear()
        busy = {worker.pipe: worker for worker in self._workers if worker.key}
        if update.ended or not busy:
            return update
        if self._timeout:
            first = min(worker.since for worker in busy.values())
            seconds = min(seconds, first + self._timeout - time.monotonic())
        for pipe in connection.wait(list(busy), max(0.0, seconds)):
            self._receive(busy[pipe], update)  # type: ignore[index]
        for worker in busy.values():
            if worker.key and not worker.alive:  # something that it started keeps its pipe open
                self._receive(worker, update)
                self._died(worker, update)
            elif worker.key and self._timeout and time.monotonic() - worker.since > self._timeout:
                update.ended[worker.key] = StepTimeoutError()
                worker.kill()
        return update

    def close(self, *, now: bool = False) -> None:
        for worker in self._workers:
            worker.end(now=now)
        end = time.monotonic() + EXIT_SECONDS
        for worker in self._workers:
            worker.join(end - time.monotonic())
            worker.kill()

    def _receive(self, worker: _Worker, update: Update) -> None:
        """Take all messages of a worker that are there."""
        try:
            while worker.key and worker.pipe.poll():
                kind, content = worker.receive()
                if kind == BEGUN:
                    self._stillborn = 0
                elif kind == PROGRESS:
                    update.progress[worker.key] = content
                elif kind == ENDED:
                    update.ended[worker.key] = content
                    worker.key = ""
        except (EOFError, OSError):
            self._died(worker, update)
        except Exception as error:  # what a plugin made cannot be unpickled here
            update.ended[worker.key] = Failure(f"the outcome cannot be sent back from its worker ({described(error)})")
            worker.key = ""

    def _died(self, worker: _Worker, update: Update) -> None:
        if not worker.key:
            return
        if not worker.begun:
            self._stillborn += 1
            if self._stillborn > MAX_STILLBORN:
                raise BlindSRError("worker processes end before they begin; `workers` 0 runs without them, and shows why")
        key = worker.key
        worker.join(ENDING_SECONDS)  # it has an exit code of its own as soon as it has ended
        update.ended[key] = WorkerDiedError(f"exit code {worker.kill()}")


class _Worker:
    """A place for a worker process, and the process that has it at present."""

    def __init__(self, threads: int, gpu: str) -> None:
        self._threads = threads
        self._gpu = gpu
        self._process: multiprocessing.process.BaseProcess | None = None
        self.pipe: connection.Connection
        self.key = ""  # of its task; empty: it is idle
        self.begun = False
        self.since = math.inf  # when the task was sent, and then when it began
        self._unsent = b""

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.is_alive()

    def give(self, key: str, data: bytes) -> None:
        """Take on a pickled task."""
        if self.alive:
            self.since = time.monotonic()
            with contextlib.suppress(OSError):  # it died just now, which the next poll finds
                self.pipe.send_bytes(data)
        else:
            self.kill()
            self._unsent, self.since = data, math.inf  # sent when it is ready: until it reads, a large task would block
            self._start()
        self.key, self.begun = key, False

    def receive(self) -> tuple[str, Any]:
        """The next message."""
        kind, content = pickle.loads(self.pipe.recv_bytes())  # noqa: S301 - from a process that was started here
        if kind == BEGUN:
            self.begun, self.since = True, time.monotonic()
        if self._unsent:  # it is ready
            data, self._unsent, self.since = self._unsent, b"", time.monotonic()
            self.pipe.send_bytes(data)
        return kind, content

    def kill(self) -> int | None:
        """End the process at once, and leave the place idle; its exit code."""
        self.key = ""
        if self._process is None:
            return None
        self._process.kill()
        self._process.join()
        self.pipe.close()
        code = self._process.exitcode
        self._process = None
        return code

    def end(self, *, now: bool) -> None:
        """Have the process end, at once if it is at work."""
        if now or self.key:
            if self._process:
                self._process.kill()
        elif self._process:
            self.pipe.close()

    def join(self, seconds: float) -> None:
        """Wait for the end of the process, at most so long."""
        if self._process:
            self._process.join(max(0.0, seconds))

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, other = context.Pipe()
        # Not a daemon of multiprocessing's: those cannot start processes of their own, as data loaders do.
        self._process = context.Process(target=serve, args=(other, self._threads, self._gpu), name="blindsr-worker")
        with _without_interrupts(), _without_main_module():
            self._process.start()
        other.close()


def visible_gpus() -> list[str]:
    """The GPUs of this machine, as ``CUDA_VISIBLE_DEVICES`` names them."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    return visible.split(",") if visible else [str(number) for number in range(count_gpus())]


@contextlib.contextmanager
def _without_main_module() -> Iterator[None]:
    """Processes that are started meanwhile do not import the main module, which would run a script without a guard again."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


@contextlib.contextmanager
def _without_interrupts() -> Iterator[None]:
    """Ctrl-C waits; processes that are started meanwhile do not receive it at all."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    from multiprocessing import resource_tracker

    resource_tracker.ensure_running()  # or the first worker starts it, which unblocks SIGINT
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
