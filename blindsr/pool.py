"""Where steps run: worker processes, or this process itself."""

from __future__ import annotations

import os
import signal
import tempfile
import threading
import time
import traceback
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Protocol

from blindsr.errors import BlindSRError
from blindsr.steps import Outcome, Task
from blindsr.store import Failure

REPORT_EVERY_SECONDS = 0.2


class Pool(Protocol):
    """Runs tasks; the same few verbs for every place."""

    workers: int

    def submit(self, key: str, task: Task) -> Future[Outcome | Failure]:
        """Start a task. A failure of the task comes back as its result, one of the worker as an exception."""
        ...

    def progress(self, key: str) -> tuple[int, int] | None:
        """How far a running task says it is: (done, total)."""
        ...

    def close(self, *, now: bool = False) -> None:
        """Let go of the workers; `now` kills what they are doing."""
        ...


class ProcessPool:
    """Worker processes on this machine: one that dies takes only its own task with it."""

    def __init__(self, workers: int, threads: int) -> None:
        import multiprocessing

        import pebble

        self.workers = workers
        self._progress = tempfile.TemporaryDirectory(prefix="blindsr-progress-")
        self._pool = pebble.ProcessPool(
            max_workers=workers,
            context=multiprocessing.get_context("spawn"),
            initializer=_start_worker,
            initargs=(threads, os.getpid()),
        )

    def submit(self, key: str, task: Task) -> Future[Outcome | Failure]:
        future: Future[Outcome | Failure] = self._pool.schedule(attempt, args=[task, self._file(key)])
        return future

    def progress(self, key: str) -> tuple[int, int] | None:
        try:
            done, total = map(int, self._file(key).read_text().split())
        except (OSError, ValueError):
            return None
        return done, total

    def close(self, *, now: bool = False) -> None:
        if now:
            self._pool.stop()  # type: ignore[no-untyped-call]
        else:
            self._pool.close()  # type: ignore[no-untyped-call]
        self._pool.join()
        self._progress.cleanup()

    def _file(self, key: str) -> Path:
        return Path(self._progress.name) / key


class InProcess:
    """This very process, one task at a time: for debuggers, and for steps too short to be sent away."""

    workers = 1

    def __init__(self, threads: int, report: Callable[[str, int, int], None]) -> None:
        import torch

        torch.set_num_threads(threads)
        self._report = report

    def submit(self, key: str, task: Task) -> Future[Outcome | Failure]:
        future: Future[Outcome | Failure] = Future()
        future.set_result(attempt(task, None, lambda done, total: self._report(key, done, total)))
        return future

    def progress(self, key: str) -> tuple[int, int] | None:
        return None

    def close(self, *, now: bool = False) -> None:
        pass


def attempt(task: Task, file: Path | None, report: Callable[[int, int], None] | None = None) -> Outcome | Failure:
    """Do a task, and turn what it raises into a `Failure`; progress goes to `report`, or into a small file."""
    from blindsr.steps import perform

    try:
        return perform(task, report or _reporter(file))
    except BlindSRError as error:
        return Failure(str(error))
    except MemoryError:
        return Failure("out of memory; try fewer workers (--workers 1), or crop the image")
    except (Exception, SystemExit) as error:
        return Failure(f"{type(error).__name__}: {error}", traceback.format_exc())


def _reporter(file: Path | None) -> Callable[[int, int], None]:
    due = 0.0

    def report(done: int, total: int) -> None:
        nonlocal due
        now = time.monotonic()
        if file and (now >= due or done == total):
            due = now + REPORT_EVERY_SECONDS
            file.write_text(f"{done} {total}")

    return report


def _start_worker(threads: int, parent: int) -> None:
    """Prepare a fresh worker, before numpy and torch read these variables."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[variable] = str(threads)
    threading.Thread(target=_die_with, args=(parent,), daemon=True).start()


def _die_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)
