"""Where steps run: worker processes, or this process itself."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any, Protocol

from blindsr.errors import BlindSRError, described
from blindsr.execution.perform import Task
from blindsr.execution.signals import Interrupts
from blindsr.imaging.files import explained
from blindsr.pipeline.outcome import Failure, Outcome

REPORT_EVERY_SECONDS = 0.2
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
MOST_STILLBORN = 20
"""Workers in a row that end before they take their task."""


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

    Each is a pool of its own, so that one that is killed while it receives or returns a task blocks no other.

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
        self.workers = workers
        self._timeout = timeout
        self._folder = folder
        with explained(folder):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
        self._environment = {name: os.environ.get(name) for name in THREADS}
        os.environ.update(dict.fromkeys(THREADS, str(threads)))  # workers inherit it before they load numpy
        self._slots = [_Slot((os.getpid(), folder, gpus)) for _ in range(workers)]
        self._stillborn = 0

    def submit(self, key: str, task: Task) -> Future[Outcome | Failure]:
        slot = next(slot for slot in self._slots if slot.free)
        return slot.submit([task, self._file(key)], self._timeout)

    def result(self, future: Future[Outcome | Failure]) -> Outcome | Failure:
        from concurrent.futures.process import BrokenProcessPool

        from pebble import ProcessExpired

        try:
            outcome = future.result()
        except TimeoutError as error:
            raise StepTimeoutError from error
        except ProcessExpired as error:
            raise WorkerDiedError(f"exit code {error.exitcode}") from error
        except BrokenProcessPool as error:
            self._stillborn += 1
            if self._stillborn > MOST_STILLBORN:
                raise BlindSRError("worker processes end before they begin; --workers 0 runs without them, and shows why") from None
            raise WorkerDiedError("it took no task, or could not hand it over") from error
        except Exception as error:  # a plugin's kernel of its own kind, say, that does not travel
            reason = f"the step cannot be sent to a worker, or its outcome back ({described(error)})"
            outcome = Failure(reason, traceback.format_exc())
        self._stillborn = 0
        return outcome

    def progress(self, key: str) -> tuple[int, int] | None:
        try:
            done, total = map(int, self._file(key).read_text().split())
        except (OSError, ValueError):
            return None
        return done, total

    def close(self, *, now: bool = False) -> None:
        for slot in self._slots:
            slot.end(now=now)
        for slot in self._slots:
            slot.join()
        for name, value in self._environment.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        shutil.rmtree(self._folder, ignore_errors=True)

    def _file(self, key: str) -> Path:
        return self._folder / key


class _Slot:
    """One worker, and whoever takes its place; it does one task at a time."""

    def __init__(self, start: tuple[int, Path, int]) -> None:
        self._arguments = start
        self._pool = self._fresh()
        self._future: Future[Outcome | Failure] | None = None

    @property
    def free(self) -> bool:
        return self._future is None or self._future.done()

    def submit(self, arguments: list[Any], timeout: float | None) -> Future[Outcome | Failure]:
        with _without_interrupts():  # which the worker inherits: they are the parent's to handle
            if not self._pool.active:  # its worker died in a way that it does not get over
                self.end(now=True)
                self.join()
                self._pool = self._fresh()
            self._future = self._pool.schedule(_attempt, args=arguments, timeout=timeout)
        return self._future

    def end(self, *, now: bool) -> None:
        if now or not self.free:
            self._pool.stop()
        else:
            self._pool.close()

    def join(self) -> None:
        self._pool.join()

    def _fresh(self) -> Any:
        import multiprocessing

        import pebble

        context = multiprocessing.get_context("spawn")
        return pebble.ProcessPool(max_workers=1, context=context, initializer=_start_worker, initargs=self._arguments)


@contextlib.contextmanager
def _without_interrupts() -> Iterator[None]:
    """Ctrl-C waits, and what is started meanwhile does not hear of it at all."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    from multiprocessing import resource_tracker

    resource_tracker.ensure_running()  # or the first worker starts it, which lets SIGINT through again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class InProcess:
    """This very process, one task at a time: for debuggers, and for steps too short to be sent away."""

    workers = 1

    def __init__(self, threads: int, report: Callable[[str, int, int], None], interrupts: Interrupts) -> None:
        import torch

        torch.set_num_threads(threads)
        self._report = report
        self._interrupts = interrupts

    def submit(self, key: str, task: Task) -> Future[Outcome | Failure]:
        future: Future[Outcome | Failure] = Future()
        with self._interrupts.at_once():
            outcome = attempt(task, lambda done, total: self._report(key, done, total))
        future.set_result(outcome)
        return future

    def result(self, future: Future[Outcome | Failure]) -> Outcome | Failure:
        return future.result()

    def progress(self, key: str) -> tuple[int, int] | None:
        return None

    def close(self, *, now: bool = False) -> None:
        pass


def attempt(task: Task, report: Callable[[int, int], None] = lambda done, total: None) -> Outcome | Failure:
    """Do a task, and turn what it raises into a `Failure`."""
    from blindsr.execution.perform import perform

    try:
        return perform(task, report)
    except BlindSRError as error:
        return Failure(str(error))
    except MemoryError:
        return Failure("out of memory; try fewer workers (--workers 1), or crop the image")
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        return Failure(described(error), traceback.format_exc())


def _attempt(task: Task, file: Path) -> Outcome | Failure:
    """On a worker, which hears of Ctrl-C from its parent alone; progress goes into a small file."""
    try:
        return attempt(task, _reporter(file))
    except KeyboardInterrupt as error:  # raised by a plugin
        return Failure(described(error), traceback.format_exc())


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


def _start_worker(parent: int, folder: Path, gpus: int) -> None:
    """Prepare a fresh worker."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    own, leave = os.getpid(), os._exit  # the pool waits for ever for a worker that ends with 0; what that one forks may do so
    os._exit = lambda status: leave(status or int(os.getpid() == own))
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
