"""Workers of a Dask cluster, on as many machines as it has: the same verbs as a pool on this one."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import logging
import pickle
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import numpy as np

from blindsr.errors import BlindSRError, described
from blindsr.execution.device import resolve_device
from blindsr.execution.perform import Task
from blindsr.execution.processes import NoWorkerError, StepTimeoutError, WorkerDiedError, attempt
from blindsr.execution.signals import Interrupts
from blindsr.pipeline.outcome import Failure, Outcome

CONNECT_SECONDS = 15
LOOK_EVERY_SECONDS = 0.5
Needs = Mapping[str, tuple[str, str]]
"""Modules that a worker must be able to import, and the distribution and version that each must be of."""


class DaskPool:
    """One task at a time for each worker of a Dask cluster, whose threads it leaves alone.

    A worker that is lost takes only its own task with it; one that joins is used from then on, if it has what the plan needs.

    Parameters
    ----------
    address
        Of the scheduler, such as ``tcp://host:8786``; or of a file that it wrote (``--scheduler-file``).
    needs
        What each worker must have.
    interrupts
        They come at once where this waits for the cluster, which may be as long as it likes.
    threads
        Of torch, for each task.
    timeout
        Seconds that a task may take; None: any. The worker that exceeds it is restarted by its nanny.
    note
        Hears of workers that cannot be used.

    Raises
    ------
    BlindSRError
        If there is no scheduler at the address, it has no workers, or one of them lacks something.
    """

    def __init__(
        self,
        address: str,
        needs: Needs,
        interrupts: Interrupts,
        *,
        threads: int,
        timeout: float | None,
        note: Callable[[str], None],
    ) -> None:
        self._interrupts = interrupts
        self._client = _connected(address)
        self._needs = needs
        self._threads = threads
        self._timeout = timeout
        self._note = note
        self._fit: dict[str, bool] = {}  # worker addresses, and whether they have what is needed
        self._running: dict[str, _Running] = {}
        self._looked = 0.0
        try:
            self._client.wait_for_workers(1, timeout=CONNECT_SECONDS)
        except TimeoutError:
            self._client.close()
            raise BlindSRError(
                f"{address}: the Dask cluster has no workers; start some: dask worker {address} --nthreads 1"
            ) from None
        lacking = self._look()
        if lacking:
            self._client.close()
            raise BlindSRError(*lacking)

    @property
    def workers(self) -> int:
        """How many tasks can run at a time at present."""
        for text in self._look():
            self._note(text)
        return sum(self._fit.values())

    def submit(self, key: str, task: Task) -> Future[Outcome | Failure]:
        try:
            packed = pickle.dumps(dataclasses.replace(task, inputs={}))
        except Exception as error:  # what a plugin made does not travel: no worker would take it
            return _ended(Failure(f"the step cannot be sent to a worker ({described(error)})"))
        busy = {running.worker for running in list(self._running.values())}
        future: Future[Outcome | Failure] = Future()
        while worker := next((address for address, fit in self._fit.items() if fit and address not in busy), None):
            try:
                with self._interrupts.at_once():
                    remote = self._sent(packed, task.inputs, worker)
                break
            except Exception:  # it was lost just now: the client and the scheduler raise whatever comes of that
                self._fit.pop(worker, None)
        else:
            future.set_exception(NoWorkerError())
            return future
        self._running[key] = _Running(worker, remote, future, time.monotonic())
        remote.add_done_callback(lambda done: self._pass_on(done, future, worker))
        future.add_done_callback(lambda _: self._running.pop(key, None))
        return future

    def _sent(self, packed: bytes, inputs: Mapping[str, Any], worker: str) -> Any:
        # Arrays go beside the graph, not in it, and to this worker alone: what another one holds would be lost with it.
        # The task goes packed, since the scheduler unpacks the graph and need not have the plugins.
        arrays = {role: value for role, value in inputs.items() if isinstance(value, np.ndarray)}
        beside = {role: self._client.scatter(value, workers=[worker], hash=False) for role, value in arrays.items()}
        options = {"workers": [worker], "allow_other_workers": False, "pure": False}
        return self._client.submit(_attempt, packed, {**inputs, **beside}, self._threads, **options)

    def result(self, future: Future[Outcome | Failure]) -> Outcome | Failure:
        return future.result()

    def progress(self, key: str) -> tuple[int, int] | None:
        """None: workers report nothing on the way. But it is asked for often, so lost workers and late tasks are found here."""
        running = self._running.get(key)
        if running and self._timeout and time.monotonic() - running.since > self._timeout:
            self._fit[running.worker] = False  # until it has been restarted
            _fail(running, StepTimeoutError())
            try:
                with self._interrupts.at_once():
                    self._client.restart_workers([running.worker], raise_for_error=False)
                self._fit.pop(running.worker, None)
            except ValueError:
                self._note(
                    f"Dask worker {running.worker}: has no nanny to restart it, so it is not used any more; "
                    "start workers without --no-nanny where steps can hang"
                )
        for text in self._look():
            self._note(text)
        return None

    def close(self, *, now: bool = False) -> None:
        if now:
            for running in list(self._running.values()):
                running.remote.cancel(force=True)
        self._client.close()

    def _pass_on(self, remote: Any, future: Future[Outcome | Failure], worker: str) -> None:
        if future.done():
            return
        if remote.status == "finished":
            try:
                future.set_result(remote.result())
            except Exception as error:
                reason = described(error).splitlines()[0]
                future.set_result(Failure(f"the outcome cannot be sent back from its worker ({reason})"))
        else:
            self._fit.pop(worker, None)  # until it is seen again
            reason = str(remote.exception()).splitlines()[0] if remote.status == "error" else "it was lost"
            future.set_exception(WorkerDiedError(f"Dask worker {worker}: {reason}"))

    def _look(self) -> list[str]:
        """Take note of workers that came and went; what new ones lack."""
        if time.monotonic() - self._looked < LOOK_EVERY_SECONDS:
            return []
        with self._asking():
            there = set(self._client.scheduler_info(n_workers=-1)["workers"])
        for address in set(self._fit) - there:
            del self._fit[address]
        for running in [running for running in list(self._running.values()) if running.worker not in there]:
            _fail(running, WorkerDiedError(f"Dask worker {running.worker}: it was lost"))
        new = sorted(there - set(self._fit))
        with self._asking():
            found = self._client.run(_lacking, dict(self._needs), workers=new, on_error="return") if new else {}
        lacking = []
        for address, missing in found.items():
            if isinstance(missing, Exception):  # gone again
                continue
            self._fit[address] = not missing
            if missing:
                lacking.append(f"Dask worker {address}: {'; '.join(missing)}; install the same there as here")
        self._looked = time.monotonic()
        return lacking

    @contextlib.contextmanager
    def _asking(self) -> Iterator[None]:
        try:
            with self._interrupts.at_once():
                yield
        except (KeyError, OSError, TimeoutError, RuntimeError):  # the client raises whatever comes of a scheduler that is gone
            raise BlindSRError("the Dask scheduler is gone; start it again, then run the same command to go on") from None


def _ended(outcome: Outcome | Failure) -> Future[Outcome | Failure]:
    future: Future[Outcome | Failure] = Future()
    future.set_result(outcome)
    return future


@dataclasses.dataclass(frozen=True)
class _Running:
    worker: str
    remote: Any
    future: Future[Outcome | Failure]
    since: float


def _connected(address: str) -> Any:
    try:
        from distributed import Client, Security
    except ImportError:
        raise BlindSRError("--dask needs the package distributed: install blindsr[dask]") from None
    logging.getLogger("distributed.client").setLevel(logging.CRITICAL)  # that a scheduler is gone is said here
    make: Any = Client
    security: Any = Security
    place = address if "://" in address else _noted_in(Path(address))
    try:
        if place.startswith(("tls://", "wss://")) and not security().get_connection_args("client").get("ssl_context"):
            raise BlindSRError(f"--dask {address}: needs certificates, and Dask's configuration names none (docs/clusters.md: TLS)")
        return make(place, timeout=CONNECT_SECONDS, set_as_default=False)
    except (OSError, ValueError, TimeoutError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise BlindSRError(f"--dask {address}: no Dask scheduler answers there ({reason})") from None


def _noted_in(file: Path) -> str:
    """The address that a scheduler wrote into its file."""
    try:
        return str(json.loads(file.read_bytes())["address"])
    except OSError as error:
        raise BlindSRError(
            f"--dask {file}: {error.strerror}; write tcp://HOST:8786, or the file that the scheduler wrote"
        ) from None
    except (ValueError, KeyError, TypeError, RecursionError):
        raise BlindSRError(f"--dask {file}: not the file of a Dask scheduler (--scheduler-file)") from None


def _attempt(packed: bytes, inputs: Mapping[str, Any], threads: int) -> Outcome | Failure:
    """On the worker: the task, its device resolved there."""
    import torch

    task: Task = pickle.loads(packed)  # noqa: S301 - sent by the run itself, as all that Dask sends
    torch.set_num_threads(threads)
    arrays = {role: np.array(value) if isinstance(value, np.ndarray) else value for role, value in inputs.items()}
    try:
        device = resolve_device(task.device)
    except BlindSRError as error:
        return Failure(str(error))
    return attempt(dataclasses.replace(task, inputs=arrays, device=device))


def _lacking(needs: Needs) -> list[str]:
    """On the worker: what of the needs is not there."""
    from importlib import import_module
    from importlib.metadata import PackageNotFoundError, version

    missing = []
    for module, (distribution, wanted) in needs.items():
        try:
            import_module(module)
            found = version(distribution)
        except (ImportError, PackageNotFoundError):
            missing.append(f"lacks {module} {wanted}")
        else:
            if found != wanted:
                missing.append(f"has {module} {found}, not {wanted}")
    return missing


def _fail(running: _Running, error: Exception) -> None:
    if not running.future.done():
        running.future.set_exception(error)
    running.remote.cancel(force=True)
