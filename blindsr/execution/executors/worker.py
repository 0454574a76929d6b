"""A worker process: computes the lists of tasks that come through its pipe, and sends back progress and outcomes.

Nothing heavy is imported before the environment is set that numpy and torch read as they load.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import sys
import threading
import time
import traceback
from multiprocessing import connection, parent_process
from pathlib import Path
from typing import Any

THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
PROGRESS_SECONDS = 0.2
"""Time between two messages about the progress of tasks."""
READY, UNREADABLE, BEGUN, PROGRESS, ENDED = "ready", "unreadable", "begun", "progress", "ended"
"""The kinds of message that a worker sends: (kind, content), pickled. Progress is (number of the task, done, total); the ends come
in the order of the tasks, each in a message of its own."""


def serve(pipe: connection.Connection, threads: int, gpu: str) -> None:
    """Compute tasks until the pipe is closed at its other end; `gpu` is the one to use, as ``CUDA_VISIBLE_DEVICES`` names it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent handles it
    os.environ.update(dict.fromkeys(THREADS, str(threads)))
    if gpu:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpu
    threading.Thread(target=_end_with_parent, daemon=True).start()
    # What plugins print on standard output, from Python or C, goes to standard error, which a parent without a console lacks.
    sys.stderr = sys.stderr or Path(os.devnull).open("w")  # noqa: SIM115 - as long as the process
    sys.stdout = sys.stderr
    with contextlib.suppress(OSError):
        os.dup2(2, 1)
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=pipe.close)  # or what a plugin forks would keep the pipe open
    with contextlib.suppress(EOFError, OSError):  # the parent closed the pipe
        _serve(pipe)


def _serve(pipe: connection.Connection) -> None:
    from blindsr.errors import described
    from blindsr.execution.perform import attempt_all  # here, since the time of the first task must not include it
    from blindsr.pipeline.outcome import Failure

    lock = threading.Lock()  # a plugin may report progress from threads of its own
    due: dict[int, float] = {}

    def send(kind: str, content: Any = None) -> None:
        data = pickle.dumps((kind, content), pickle.HIGHEST_PROTOCOL)
        with lock:
            pipe.send_bytes(data)

    def progress(number: int, done: int, total: int) -> None:
        now = time.monotonic()
        if now >= due.get(number, 0) or done == total:
            due[number] = now + PROGRESS_SECONDS
            send(PROGRESS, (number, done, total))

    send(READY)
    while True:
        data = pipe.recv_bytes()
        due.clear()
        try:
            tasks = pickle.loads(data)  # noqa: S301 - from the parent, through a pipe that nobody else has
        except Exception as error:
            send(UNREADABLE, Failure(f"the step cannot be sent to a worker ({described(error)})", traceback.format_exc()))
            continue
        send(BEGUN)
        try:
            ended = attempt_all(tasks, progress)
        except KeyboardInterrupt as error:  # raised by a plugin: the worker itself ignores the signal
            ended = [Failure(described(error), traceback.format_exc())] * len(tasks)
        for each in ended:
            try:
                send(ENDED, each)
            except OSError:
                raise
            except Exception as error:  # a plugin's kernel of a class of its own, say
                reason = f"the outcome cannot be sent back from its worker ({described(error)})"
                send(ENDED, Failure(reason, traceback.format_exc()))


def _end_with_parent() -> None:
    parent = parent_process()
    if parent:
        connection.wait([parent.sentinel])
        os._exit(1)
