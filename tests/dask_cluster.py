"""A real Dask cluster on this machine: the scheduler and the workers are separate processes."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path


class Cluster:
    """A scheduler and its workers. They are killed when the context ends.

    Attributes
    ----------
    address
        For ``--dask``: the file that the scheduler wrote.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._processes: list[subprocess.Popen[bytes]] = []
        file = folder / "scheduler.json"
        self.address = str(file)
        self._start("scheduler", "--host", "127.0.0.1", "--port", "0", "--scheduler-file", self.address)
        end = time.monotonic() + 60
        while not file.exists():
            assert time.monotonic() < end, "the Dask scheduler does not start"
            time.sleep(0.1)

    def __enter__(self) -> Cluster:
        return self

    def __exit__(self, *exc: object) -> None:
        for process in self._processes:
            process.kill()
            process.wait()

    def worker(self, **environment: str) -> subprocess.Popen[bytes]:
        """Start a worker with one thread."""
        options = ("--scheduler-file", self.address, "--host", "127.0.0.1", "--nthreads", "1", "--no-nanny")
        return self._start("worker", *options, **environment)

    def wait_for_workers(self, count: int) -> None:
        """Wait until so many workers have joined."""
        from distributed import Client

        with Client(scheduler_file=self.address, set_as_default=False) as client:
            client.wait_for_workers(count, timeout=60)

    def _start(self, kind: str, *options: str, **environment: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "distributed.cli.dask_" + kind, *options, "--no-dashboard"]
        with (self._folder / f"{kind}-{len(self._processes)}.log").open("wb") as log:
            self._processes.append(subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, **environment}))
        return self._processes[-1]
