"""An executor on the workers of a Dask cluster, on as many machines as it has."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import logging
import pickle
import queue
import time
from collections.abc import Callable, Mapping
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from blindsr import __version__
from blindsr.components.registry import Registry
from blindsr.components.signals import Interrupts
from blindsr.errors import BlindSRError, described
from blindsr.execution.executors import Lost, Update
from blindsr.execution.perform import attempt
from blindsr.execution.tasks import Task
from blindsr.pipeline.outcome import Failure, Outcome, StepInputs
from blindsr.pipeline.plan import Plan

CONNECT_SECONDS = 15
LOOK_EVERY_SECONDS = 0.5
Requirements = Mapping[str, tuple[str, str]]
"""Modules that a worker must be able to import, and the distribution and version that each must be of."""
Ended = Outcome | Failure | Lost


class _Running(NamedTuple):
    key: str
    worker: str
    remote: Any
    since: float


class DaskExecutor:
    """One task at a time for each worker of a Dask cluster, which keep the threads that they have; torch uses `threads` of them.

    A worker that is lost takes only its own task with it; one that joins is used from then on, if it has what `needs` lists.
    A worker that exceeds `timeout` seconds is restarted by its nanny. `note` is called with what is to be said of workers that
    cannot be used. The address is the scheduler's, or that of a file that it wrote (its option ``--scheduler-file``); a
    `BlindSRError` if no scheduler is there, it has no workers, or one of them lacks something.
    """

    device = None

    def __init__(
        self, address: str, needs: Requirements, interrupts: Interrupts, note: Callable[[str], None], threads: int = 1,
        timeout: float | None = None,
    ) -> None:  # fmt: skip
        self._interrupts = interrupts
        self._client = _connected(address)
        self._needs = needs
        self._threads = threads
        self._timeout = timeout
        self._note = note
        self._fit: dict[str, bool] = {}  # worker addresses, and whether they have what is needed
        self._running: dict[str, _Running] = {}
        self._ended: dict[str, Ended] = {}  # since the last poll, as found here
        self._returned: queue.SimpleQueue[tuple[_Running, Ended]] = queue.SimpleQueue()  # by threads of the client
        self._looked = 0.0
        try:
            self._client.wait_for_workers(1, timeout=CONNECT_SECONDS)
            lacking = self._look()
        except TimeoutError:
            lacking = [f"{address}: the Dask cluster has no workers; start some: dask worker {address} --nthreads 1"]
        if lacking:
            self._client.close()
            raise BlindSRError(*lacking)

    @property
    def workers(self) -> int:
        return sum(self._fit.values())

    def submit(self, tasks: Mapping[str, Task]) -> None:
        ((key, task),) = tasks.items()
        try:
            packed = pickle.dumps(dataclasses.replace(task, inputs=StepInputs()))
        except Exception as error:  # a component that cannot be pickled: no worker would take it
            self._ended[key] = Failure(f"the step cannot be sent to a worker ({described(error)})")
            return
        busy = {running.worker for running in self._running.values()}
        for worker in [address for address, fit in self._fit.items() if fit and address not in busy]:
            try:
                with self._interrupts.at_once():
                    remote = self._sent(packed, task.inputs, worker)
                break
            except Exception:  # it was lost just now: the client and the scheduler raise whatever comes of that
                del self._fit[worker]
        else:
            self._ended[key] = Lost("no worker")
            return
        running = self._running[key] = _Running(key, worker, remote, time.monotonic())
        remote.add_done_callback(lambda done: self._returned.put((running, _outcome(done, worker))))

    def poll(self, seconds: float) -> Update:
        self._stop_late()
        for text in self._look():
            self._note(text)
        with contextlib.suppress(queue.Empty):
            self._take(*self._returned.get(timeout=0 if self._ended else seconds))
            while True:
                self._take(*self._returned.get_nowait())
        update, self._ended = Update(ended=self._ended), {}
        return update

    def close(self, *, now: bool = False) -> None:
        if now:
            for running in self._running.values():
                running.remote.cancel(force=True)
        self._client.close()

    def _take(self, running: _Running, ended: Ended) -> None:
        if self._running.get(running.key) is not running:  # it was given up meanwhile
            return
        del self._running[running.key]
        if isinstance(ended, Lost):
            self._fit.pop(running.worker, None)  # until it is seen again
        self._ended[running.key] = ended

    def _sent(self, packed: bytes, inputs: StepInputs, worker: str) -> Any:
        # Arrays go beside the graph, not in it, and to this worker alone: what another one holds would be lost with it.
        # The task goes packed, since the scheduler unpacks the graph and need not have the plugins.
        images = {name: self._client.scatter(image, workers=[worker], hash=False) for name, image in inputs.images().items()}
        given = {**images, "kernel": inputs.kernel, "true": inputs.true}
        options = {"workers": [worker], "allow_other_workers": False, "pure": False}
        return self._client.submit(_attempt, packed, given, self._threads, **options)

    def _stop_late(self) -> None:
        """Give up tasks that take too long, and have their workers restarted."""
        for running in list(self._running.values()):
            if not self._timeout or time.monotonic() - running.since <= self._timeout:
                continue
            self._fit[running.worker] = False  # until it has been restarted
            self._give_up(running, Lost("timeout"))
            try:
                with self._interrupts.at_once():
                    self._client.restart_workers([running.worker], raise_for_error=False)
                self._fit.pop(running.worker, None)
            except ValueError:
                self._note(
                    f"Dask worker {running.worker}: has no nanny to restart it, so it is not used any more; "
                    "start workers without --no-nanny where steps can hang"
                )

    def _give_up(self, running: _Running, lost: Lost) -> None:
        self._ended[running.key] = lost
        del self._running[running.key]
        running.remote.cancel(force=True)

    def _look(self) -> list[str]:
        """Take note of workers that came and went, every so often; what new ones lack."""
        if time.monotonic() - self._looked < LOOK_EVERY_SECONDS:
            return []
        try:
            with self._interrupts.at_once():
                there = set(self._client.scheduler_info(n_workers=-1)["workers"])
                new = sorted(there - set(self._fit))
                answers = self._client.run(_lacking, dict(self._needs), workers=new, on_error="return") if new else {}
        except (KeyError, OSError, TimeoutError, RuntimeError):  # the client raises whatever comes of a scheduler that is gone
            raise BlindSRError("the Dask scheduler is gone; start it again, then run the same command to go on") from None
        self._looked = time.monotonic()
        self._fit = {address: fit for address, fit in self._fit.items() if address in there}
        for running in list(self._running.values()):
            if running.worker not in there:
                self._give_up(running, Lost("worker died", f"Dask worker {running.worker}: it was lost"))
        found = {address: missing for address, missing in answers.items() if not isinstance(missing, Exception)}  # else gone again
        self._fit |= {address: not missing for address, missing in found.items()}
        return [f"Dask worker {at}: {'; '.join(lacks)}; install the same there as here" for at, lacks in found.items() if lacks]


def requirements(plan: Plan, registry: Registry) -> Requirements:
    """What a plan's steps import."""
    found = {"blindsr": ("blindsr", __version__)} | {name: (name, version(name)) for name in ("numpy", "torch")}
    used = {type(step.component) for step in plan.steps.values() if step.component}
    entries = [entry for entry in registry.entries.values() if entry.component in used]
    return found | {entry.component.__module__: (entry.distribution, entry.version) for entry in entries}


def _outcome(remote: Any, worker: str) -> Ended:
    """What came of a Dask future that is done."""
    if remote.status == "finished":
        try:
            outcome: Outcome | Failure = remote.result()
        except Exception as error:
            return Failure(f"the outcome cannot be sent back from its worker ({described(error).splitlines()[0]})")
        return outcome
    reason = str(remote.exception()).splitlines()[0] if remote.status == "error" else "it was lost"
    return Lost("worker died", f"Dask worker {worker}: {reason}")


def _connected(address: str) -> Any:
    try:
        distributed: Any = import_module("distributed")
    except ImportError:
        raise BlindSRError("a Dask cluster needs the package distributed: install blindsr[dask]") from None
    logging.getLogger("distributed.client").setLevel(logging.CRITICAL)  # that a scheduler is gone is said here
    place = address if "://" in address else _address_in(Path(address))
    try:
        secure = place.startswith(("tls://", "wss://"))
        if secure and not distributed.Security().get_connection_args("client").get("ssl_context"):
            raise BlindSRError(f"`dask` {address}: needs certificates, and Dask's configuration names none (docs/clusters.md: TLS)")
        return distributed.Client(place, timeout=CONNECT_SECONDS, set_as_default=False)
    except (OSError, ValueError, TimeoutError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise BlindSRError(f"`dask` {address}: no Dask scheduler answers there ({reason})") from None


def _address_in(file: Path) -> str:
    """The address that a scheduler wrote into its file."""
    try:
        return str(json.loads(file.read_bytes())["address"])
    except OSError as error:
        raise BlindSRError(f"`dask` {file}: {error.strerror}; write tcp://HOST:8786, or the file of a scheduler") from None
    except (ValueError, KeyError, TypeError, RecursionError):
        raise BlindSRError(f"`dask` {file}: not the file of a Dask scheduler (--scheduler-file)") from None


def _attempt(packed: bytes, inputs: Mapping[str, Any], threads: int) -> Outcome | Failure:
    """On the worker: compute the task."""
    import torch

    task: Task = pickle.loads(packed)  # noqa: S301 - sent by the run itself, as all that Dask sends
    torch.set_num_threads(threads)
    given: dict[str, Any] = {name: np.array(value) if isinstance(value, np.ndarray) else value for name, value in inputs.items()}
    return attempt(dataclasses.replace(task, inputs=StepInputs(**given)))


def _lacking(needs: Requirements) -> list[str]:
    """On the worker: what it needs and does not have."""
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
