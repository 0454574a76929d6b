"""A Dask cluster of which one worker is killed, and another joins."""

from __future__ import annotations

import signal
import subprocess
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import bench
from dask_cluster import Cluster

from blindsr.execution.executors.dask import DaskExecutor
from blindsr.pipeline.outcome import Failure, Outcome
from blindsr.pipeline.plan import make_plan
from blindsr.pipeline.steps import Step
from pipelines import QUICK, Quiet, read, run

IMAGES = 8
PIPELINE = QUICK + "  KernelGAN: {type: 3, kernel: {kernelgan: {iterations: 300}}, sr: {zssr: {iterations: 100}}}\n"


class Saboteur(Quiet):
    """Kills a worker while the first kernels are being estimated, and starts another; counts how often each step ends well."""

    def __init__(self, cluster: Cluster, victim: subprocess.Popen[bytes]) -> None:
        super().__init__()
        self._cluster = cluster
        self._victim = victim
        self._joined = False
        self.begun_steps: Counter[str] = Counter()
        self.done: Counter[str] = Counter()

    def started(self, step: Step) -> None:
        self.begun_steps[step.key] += 1
        if step.label == "kernelgan" and not self._joined:
            self._joined = True
            self._cluster.worker()
            threading.Timer(1.5, lambda: self._victim.send_signal(signal.SIGKILL)).start()

    def ended(self, step: Step, outcome: Outcome | Failure) -> None:
        self.done[step.key] += isinstance(outcome, Outcome)


def figures(folder: Path) -> Iterator[str]:
    bench.photographs(folder, IMAGES, 192)
    pipeline = read(folder, PIPELINE)
    plan = make_plan(pipeline, pipeline.dataset())
    alone = run(plan, folder / "alone")
    sent: Counter[str] = Counter()
    send = DaskExecutor._sent

    def watched(self: DaskExecutor, packed: bytes, inputs: object, worker: str) -> object:
        sent[worker] += 1
        return send(self, packed, inputs, worker)

    DaskExecutor._sent = watched  # type: ignore[method-assign]
    with Cluster(folder) as cluster:
        victim, _ = cluster.worker(), cluster.worker()
        listener = Saboteur(cluster, victim)
        report = run(plan, folder / "cluster", listener=listener, dask=cluster.address)
        killed = victim.wait(30) == -signal.SIGKILL
    once = sum(listener.done[key] == 1 for key in plan.steps)
    again = sum(count > 1 for count in listener.begun_steps.values())
    same = bench.equal(bench.numbers(report.folder), bench.numbers(alone.folder))
    yield (
        f"{len(plan.steps)} steps on two workers, one killed ({'yes' if killed else 'no'}), one joining late "
        f"({' + '.join(map(str, sent.values()))} steps sent to them): "
        f"{once} steps are once in the result, {again} was begun twice, {len(report.failures)} failed; "
        f"numbers equal to a run in one process: {same}"
    )
