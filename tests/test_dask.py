"""Runs on a real Dask cluster on this machine: a scheduler and workers, processes of their own."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from blindsr.errors import BlindSRError
from blindsr.image import write_png
from blindsr.plan import make_plan
from blindsr.result import open_result
from blindsr.schedule import Report
from pipelines import QUICK, Quiet, read, run

pytest.importorskip("distributed", reason="needs blindsr[dask]")
pytestmark = [pytest.mark.slow, pytest.mark.skipif(os.name != "posix", reason="POSIX signals")]

GAN = QUICK + "  KernelGAN: {type: 3, kernel: {kernelgan: {iterations: 150}}, sr: bicubic}\n"
Start = Callable[..., subprocess.Popen[bytes]]


@pytest.fixture
def folder(tmp_path: Path, photo: np.ndarray) -> Path:
    for number in range(4):
        write_png(tmp_path / f"hr/{number}.png", photo[20 : 20 + 192, 60 * number : 60 * number + 200])
    return tmp_path


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts the scheduler and workers; none outlives its test."""
    processes: list[subprocess.Popen[bytes]] = []

    def run(kind: str, *options: str, **environment: str) -> subprocess.Popen[bytes]:
        log = (tmp_path / f"{kind}-{len(processes)}.log").open("wb")
        command = [sys.executable, "-m", "distributed.cli.dask_" + kind, *options]
        processes.append(subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, **environment}))
        return processes[-1]

    yield run
    for process in processes:
        process.kill()
        process.wait()


def _scheduler(folder: Path, start: Start) -> str:
    file = folder / "scheduler.json"
    start("scheduler", "--host", "127.0.0.1", "--port", "0", "--scheduler-file", str(file), "--no-dashboard")
    end = time.monotonic() + 60
    while not file.exists():
        assert time.monotonic() < end
        time.sleep(0.1)
    return str(file)


def _worker(address: str, start: Start, **environment: str) -> subprocess.Popen[bytes]:
    options = ("--scheduler-file", address, "--host", "127.0.0.1", "--nthreads", "1", "--no-nanny", "--no-dashboard")
    return start("worker", *options, **environment)


def _run(folder: Path, out: str, listener: Quiet | None = None, **options: object) -> Report:
    pipeline = read(folder, GAN)
    plan = make_plan(pipeline, pipeline.dataset())
    return run(plan, folder / out, listener=listener, **options)  # type: ignore[arg-type]


def _numbers(report: Report) -> dict[str, np.ndarray]:
    with open_result(report.result) as result:
        return {name: result.columns[name] for name in ("item", "method", "psnr", "ssim", "kernel_l2")}


def test_one_worker_killed_and_one_joining_change_nothing(folder: Path, start: Start) -> None:
    address = _scheduler(folder, start)
    victim, _ = _worker(address, start), _worker(address, start)
    late: list[subprocess.Popen[bytes]] = []

    class Saboteur(Quiet):
        """Kills a worker when the first kernels are under way, and starts another."""

        def started(self, step: object) -> None:
            if getattr(step, "label", "") == "kernelgan" and not late:
                late.append(_worker(address, start))
                threading.Timer(1.5, lambda: victim.send_signal(signal.SIGKILL)).start()

    listener = Saboteur()
    report = _run(folder, "cluster", listener, dask=address)
    assert victim.wait(30) == -signal.SIGKILL
    assert [failure.message for failure in report.failures.values()] == []
    assert len(report.computed) == len(report.plan.steps)
    alone = _numbers(_run(folder, "alone", workers=0))
    for name, column in _numbers(report).items():
        assert np.array_equal(column, alone[name], equal_nan=column.dtype.kind == "f"), name


def test_a_worker_without_a_plugin_is_named_before_anything_starts(folder: Path, start: Start) -> None:
    (folder / "broken").mkdir()
    (folder / "broken/blindsr_kernelgan.py").write_text("raise ImportError('not here')")
    address = _scheduler(folder, start)
    _worker(address, start, PYTHONPATH=str(folder / "broken"))
    with pytest.raises(BlindSRError, match=r"Dask worker tcp://.*: lacks blindsr_kernelgan \d.*install the same there as here"):
        _run(folder, "cluster", dask=address)
    assert not list((folder / "cluster").rglob("*.h5"))


def test_no_workers_and_no_scheduler_get_a_line(folder: Path, start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("blindsr.cluster.CONNECT_SECONDS", 2)
    with pytest.raises(BlindSRError, match=r"--dask tcp://127\.0\.0\.1:1: no Dask scheduler answers there"):
        _run(folder, "cluster", dask="tcp://127.0.0.1:1")
    address = _scheduler(folder, start)
    with pytest.raises(BlindSRError, match="the Dask cluster has no workers; start some"):
        _run(folder, "cluster", dask=address)
