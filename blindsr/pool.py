"""Where steps run: worker processes, or this process itself."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import threading
import time
import traceback
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Protocol

from blindsr.errors import BlindSRError
from blindsr.files import explained
from blindsr.steps import Outcome, Task
from blindsr.store import Failure

REPORT_EVERY_SECONDS = 0.2


class StepTimeoutError(Exception):
    """A task ran for longer than it may."""


class WorkerDiedError(Exception):
    """The worker of a task ended before the task did: killed, out of memory, or crashed."""


class NoWorkerError(Exception):
    """There was no worker left to take the task, which was not begun."""


class Pool(Protocol):
    """Runs tasks; the same few verbs for every place."""

    @property
    def workers(self) -> int:
        """How many tasks can run at a time."""
        ...

    def submit(self, key: str, task: Task) -> Future[Outcome | Failure]:
        """Start a task. Its own failure comes back as its result."""
        ...

    def result(self, future: Future[Outcome | Failure]) -> Outcome | Failure:
        """What a finished task gave.

        Raises
        ------
        StepTimeoutError, WorkerDiedError, NoWorkerError
            If it gave nothing.
        """
        ...

    def progress(self, key: str) -> tuple[int, int] | None:
        """How far a running task says it is: (done, total)."""
        ...

    def close(self, *, now: bool = False) -> None:
        """Let go of the workers; `now` kills what they are doing."""
        ...


class ProcessPool:
    """Worker processes on this machine: one that dies takes only its own task with it, and another takes its place.

    Parameters
    ----------
    folder
        For the workers' progress files; made anew here (a killed run may have left it) and removed at the end.
    timeout
        Seconds that a task may take; None: any.
    gpus
        How many GPUs there are for the workers: each takes one that no other has.
    """

    def __init__(self, workers: int, threads: int, folder: Path, *, timeout: float | None = None, gpus: int = 0) -> None:
        import multiprocessing

        import pebble

        self.workers = workers
        self._timeout = timeout
        self._folder = folder
        with explained(folder):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
        self._pool = pebble.ProcessPool(
            max_workers=workers,
            context=multiprocessing.get_context("spawn"),
            initializer=_start_worker,
            initargs=(threads, os.getpid(), folder, gpus),
        )

    def submit(self, key: str, task: Task) -> Future[Outcome | Failure]:
        future: Future[Outcome | Failure] = self._pool.schedule(_attempt, args=[task, self._file(key)], timeout=self._timeout)
        return future

    def result(self, future: Future[Outcome | Failure]) -> Outcome | Failure:
        from pebble import ProcessExpired

        try:
            return future.result()
        except TimeoutError as error:
            raise StepTimeoutError from error
        except ProcessExpired as error:
            raise WorkerDiedError(f"exit code {error.exitcode}") from error
        except Exception as error:  # a plugin's kernel of its own kind, say, that does not travel
            reason = f"{type(error).__name__}: {error}"
            return Failure(f"the step cannot be sent to a worker, or its outcome back ({reason})", traceback.format_exc())

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
        shutil.rmtree(self._folder, ignore_errors=True)

    def _file(self, key: str) -> Path:
        return self._folder / key


class InProcess:
    """This very process, one task at a time: for debuggers, and for steps too short to be sent away."""

    workers = 1

    def __init__(self, threads: int, report: Callable[[str, int, int], None]) -> None:
        import torch

        torch.set_num_threads(threads)
        self._report = report

    def submit(self, key: str, task: Task) -> Future[Outcome | Failure]:
        future: Future[Outcome | Failure] = Future()
        future.set_result(attempt(task, lambda done, total: self._report(key, done, total)))
        return future

    def result(self, future: Future[Outcome | Failure]) -> Outcome | Failure:
        return future.result()

    def progress(self, key: str) -> tuple[int, int] | None:
        return None

    def close(self, *, now: bool = False) -> None:
        pass


def attempt(task: Task, report: Callable[[int, int], None] = lambda done, total: None) -> Outcome | Failure:
    """Do a task, and turn what it raises into a `Failure`."""
    from blindsr.steps import perform

    try:
        return perform(task, report)
    except BlindSRError as error:
        return Failure(str(error))
    except MemoryError:
        return Failure("out of memory; try fewer workers (--workers 1), or crop the image")
    except (Exception, SystemExit) as error:
        return Failure(f"{type(error).__name__}: {error}", traceback.format_exc())


def _attempt(task: Task, file: Path) -> Outcome | Failure:
    """On a worker, which hears of Ctrl-C from its parent alone; progress goes into a small file."""
    try:
        return attempt(task, _reporter(file))
    except KeyboardInterrupt as error:  # raised by a plugin
        return Failure(f"{type(error).__name__}: {error}", traceback.format_exc())


def _reporter(file: Path) -> Callable[[int, int], None]:
    due = 0.0

    def report(done: int, total: int) -> None:
        nonlocal due
        now = time.monotonic()
        if now >= due or done == total:
            due = now + REPORT_EVERY_SECONDS
            with contextlib.suppress(OSError):  # a full disk must not end the step: only the bar stands still
                file.write_text(f"{done} {total}")

    return report


def _start_worker(threads: int, parent: int, folder: Path, gpus: int) -> None:
    """Prepare a fresh worker, before numpy and torch read these variables."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[variable] = str(threads)
    lock = None
    if gpus:
        os.environ["CUDA_VISIBLE_DEVICES"], lock = own_gpu(folder, gpus, os.environ.get("CUDA_VISIBLE_DEVICES"))
    threading.Thread(target=_die_with, args=(parent, lock), daemon=True).start()


def own_gpu(folder: Path, gpus: int, visible: str | None) -> tuple[str, object]:
    """The GPU of this worker, for ``CUDA_VISIBLE_DEVICES``: one of those visible so far that no other worker holds; and the hold.

    That is a lock on a file, which the system lets go when the worker ends, however it ends, or when nobody refers to it.
    """
    import filelock

    names = visible.split(",") if visible else [str(number) for number in range(gpus)]
    for name in names:
        lock = filelock.FileLock(folder / f"gpu-{name}.lock")
        with contextlib.suppress(filelock.Timeout):
            lock.acquire(timeout=0)
            return name, lock
    return names[os.getpid() % len(names)], None  # more workers than GPUs: they share


def _die_with(parent: int, lock: object) -> None:
    """End with the parent; until then the lock is referred to, and so held."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)
