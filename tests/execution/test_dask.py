"""Runs on a real Dask cluster on this machine, with the scheduler and the workers in separate processes."""

import os
import signal
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import faulty
import gathering
import numpy as np
import pytest
from dask_cluster import Cluster

from blindsr.components.signals import Interrupts
from blindsr.errors import BlindSRError
from blindsr.execution.executors.dask import DaskExecutor
from blindsr.execution.scheduler import Report
from blindsr.imaging.writer import write_png
from blindsr.pipeline.loader import load
from blindsr.pipeline.plan import make_plan
from blindsr.storage.result import open_result
from blindsr.storage.step_store import StepStore
from pipelines import QUICK, Quiet, read, run, write

pytest.importorskip("distributed", reason="needs blindsr[dask]")
pytestmark = [pytest.mark.slow, pytest.mark.skipif(os.name != "posix", reason="POSIX signals")]

GAN = QUICK + "  KernelGAN: {type: 3, kernel: {kernelgan: {iterations: 150}}, sr: bicubic}\n"


@pytest.fixture
def folder(tmp_path: Path, photo: np.ndarray) -> Path:
    for number in range(4):
        write_png(tmp_path / f"hr/{number}.png", photo[20 : 20 + 192, 60 * number : 60 * number + 200])
    return tmp_path


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    with Cluster(tmp_path) as cluster:
        yield cluster


def _run(folder: Path, out: str, listener: Quiet | None = None, **options: object) -> Report:
    pipeline = read(folder, GAN)
    plan = make_plan(pipeline, pipeline.dataset())
    return run(plan, folder / out, listener=listener, **options)  # type: ignore[arg-type]


def _numbers(report: Report) -> dict[str, np.ndarray]:
    with open_result(report.result) as result:
        return {name: result.columns[name] for name in ("item", "method", "psnr", "ssim", "kernel_l2")}


def _watched(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """The number of tasks sent to each worker."""
    sent: Counter[str] = Counter()
    send = DaskExecutor._sent

    def watched(self: DaskExecutor, packed: bytes, inputs: object, worker: str) -> object:
        sent[worker] += 1
        return send(self, packed, inputs, worker)  # type: ignore[arg-type]

    monkeypatch.setattr(DaskExecutor, "_sent", watched)
    return sent


def test_one_worker_killed_and_one_joining_change_nothing(folder: Path, cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    sent = _watched(monkeypatch)
    victim, _ = cluster.worker(), cluster.worker()
    cluster.wait_for_workers(2)
    late: list[subprocess.Popen[bytes]] = []

    class Saboteur(Quiet):
        """Starts a worker while the first kernels are computed, and kills another once the new one has a task."""

        def started(self, step: object) -> None:
            if getattr(step, "label", "") == "kernelgan" and not late:
                late.append(cluster.worker())
                cluster.wait_for_workers(3)
            elif len(sent) == 3:
                victim.send_signal(signal.SIGKILL)

    listener = Saboteur()
    report = _run(folder, "cluster", listener, dask=cluster.address)
    assert victim.wait(30) == -signal.SIGKILL
    assert [failure.message for failure in report.failures.values()] == []
    assert len(report.computed) == len(report.plan.steps)
    assert len(sent) == 3  # the worker that joined got tasks, too
    alone = _numbers(_run(folder, "alone", workers=0))
    for name, column in _numbers(report).items():
        assert np.array_equal(column, alone[name], equal_nan=column.dtype.kind == "f"), name


def test_the_error_that_is_expected_of_a_kernel_comes_back_with_it(folder: Path, cluster: Cluster) -> None:
    cluster.worker()
    pipeline = read(folder, QUICK + "  Net: {type: 3, kernel: kernelnet, sr: bicubic}\n")
    report = run(make_plan(pipeline, pipeline.dataset()), folder / "cluster", dask=cluster.address)
    with open_result(report.result) as result:
        for item in result.items:
            kernel = result.kernel(item, "Net")
            assert 0 < kernel.expected_error == result.metrics(item, "Net")["expected_error"]


def test_images_are_estimated_one_by_one(folder: Path, cluster: Cluster) -> None:
    cluster.worker(PYTHONPATH=str(Path(__file__).parents[1]))
    registry = gathering.registry()  # whose estimator takes four at once on a CPU
    text = "name: together\nscale: 2\ndata: {lr: hr}\nmethods:\n  Mine: {kernel: gathering, sr: bicubic}\n"
    pipeline = load(write(folder, text), registry)
    report = run(make_plan(pipeline, pipeline.dataset()), folder / "cluster", registry=registry, dask=cluster.address)
    store = StepStore(folder / "cluster/steps")
    told = [store.load(key).warnings for key, step in report.plan.steps.items() if step.kind == "estimate"]
    assert told == [["one alone"]] * 4


def test_a_worker_without_a_plugin_is_named_before_anything_starts(folder: Path, cluster: Cluster) -> None:
    (folder / "broken").mkdir()
    (folder / "broken/blindsr_kernelgan.py").write_text("raise ImportError('not here')")
    cluster.worker(PYTHONPATH=str(folder / "broken"))
    with pytest.raises(BlindSRError, match=r"Dask worker tcp://.*: lacks blindsr_kernelgan \d.*install the same there as here"):
        _run(folder, "cluster", dask=cluster.address)
    assert not list((folder / "cluster").rglob("*.h5"))


def test_only_a_poll_asks_the_scheduler(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    cluster.worker()
    executor = DaskExecutor(cluster.address, {}, Interrupts(), pytest.fail)
    try:
        asked: list[int] = []
        monkeypatch.setattr(executor._client, "scheduler_info", lambda n_workers: {"workers": asked.append(n_workers) or []})
        monkeypatch.setattr("blindsr.execution.executors.dask.LOOK_EVERY_SECONDS", 0)
        assert (executor.workers, asked) == (1, [])
        assert executor.poll(0).ended == {}
        assert (executor.workers, asked) == (0, [-1])
    finally:
        executor.close()


def test_what_does_not_travel_fails_its_row(folder: Path, cluster: Cluster) -> None:
    cluster.worker(PYTHONPATH=str(Path(__file__).parents[1]))
    pipeline, listener = faulty.pipeline(folder, "wrapped", 9), Quiet()
    plan = make_plan(pipeline, pipeline.dataset())
    report = run(plan, folder / "cluster", listener=listener, registry=faulty.registry(), dask=cluster.address)
    assert {failure.message for failure in report.failures.values()} == {
        "the outcome cannot be sent back from its worker (TypeError: Could not serialize object of type Outcome)"
    }
    assert len(report.computed) == len(plan.steps) - 4 * 3  # for each of four images, the estimate and the two steps that need it


def test_no_workers_and_no_scheduler_get_a_line(folder: Path, cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("blindsr.execution.executors.dask.CONNECT_SECONDS", 2)
    with pytest.raises(BlindSRError, match=r"`dask` tcp://127\.0\.0\.1:1: no Dask scheduler answers there"):
        _run(folder, "cluster", dask="tcp://127.0.0.1:1")
    with pytest.raises(BlindSRError, match="needs certificates, and Dask's configuration names none"):
        _run(folder, "cluster", dask="tls://127.0.0.1:1")
    with pytest.raises(BlindSRError, match=r"`dask` gone\.json: No such file or directory"):
        _run(folder, "cluster", dask="gone.json")
    (folder / "other.json").write_text("[1]")
    with pytest.raises(BlindSRError, match="not the file of a Dask scheduler"):
        _run(folder, "cluster", dask=str(folder / "other.json"))
    with pytest.raises(BlindSRError, match="the Dask cluster has no workers; start some"):
        _run(folder, "cluster", dask=cluster.address)
