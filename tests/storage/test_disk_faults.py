"""A full disk, a missing permission or a failing device, at each call that touches the disk: no finished step is lost."""

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from blindsr.errors import BlindSRError
from blindsr.execution.scheduler import Report
from blindsr.imaging.writer import write_png
from blindsr.pipeline.plan import Plan, make_plan
from blindsr.storage.maintenance import check_files
from blindsr.storage.result import open_result
from pipelines import read, run

ERRORS = (errno.ENOSPC, errno.EACCES, errno.EIO)


class Disk:
    """Counts the calls that write, and lets one of them fail."""

    def __init__(self, fails_at: int | None = None, error: int = 0) -> None:
        self.calls = 0
        self.fails_at = fails_at
        self.error = error

    def around(self, function: Callable[..., object]) -> Callable[..., object]:
        def called(*arguments: object, **options: object) -> object:
            self.calls += 1
            if self.calls - 1 == self.fails_at:
                raise OSError(self.error, os.strerror(self.error))
            return function(*arguments, **options)

        return called


@contextmanager
def _disk(disk: Disk) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", disk.around(os.fsync))
        patch.setattr(Path, "replace", disk.around(Path.replace))
        patch.setattr(Path, "write_bytes", disk.around(Path.write_bytes))
        patch.setattr(Path, "write_text", disk.around(Path.write_text))
        patch.setattr(Path, "mkdir", disk.around(Path.mkdir))
        patch.setattr(os, "write", disk.around(os.write))
        patch.setattr(os, "ftruncate", disk.around(os.ftruncate))
        yield


def _plan(folder: Path) -> Plan:
    pipeline = read(folder)
    return make_plan(pipeline, pipeline.dataset())


def _run(folder: Path, plan: Plan | None = None) -> Report:
    return run(plan or _plan(folder), folder / "out")


def _finished(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in (folder / "out/steps").glob("*.h5")}


def _numbers(report: Report) -> np.ndarray:
    with open_result(report.result) as result:
        return result.columns["psnr"]


@pytest.mark.slow
@pytest.mark.parametrize("part", range(len(ERRORS)), ids=["ENOSPC", "EACCES", "EIO"])
def test_a_disk_that_fails_once_costs_nothing_that_is_finished(tmp_path: Path, photo: np.ndarray, part: int) -> None:
    """Each call fails with one of the errors. In benchmarks/faults each call fails with all of them."""
    error = ERRORS[part]
    counted = Disk()
    write_png(tmp_path / "whole/hr/a.png", photo[20:60, 40:90])
    plan = _plan(tmp_path / "whole")
    with _disk(counted):
        report = _run(tmp_path / "whole", plan)
    expected = _numbers(report)
    assert counted.calls > 100
    calls = range(part, counted.calls, len(ERRORS))
    refused = 0
    for call in calls:
        folder = tmp_path / str(call)
        write_png(folder / "hr/a.png", photo[20:60, 40:90])
        plan, message = _plan(folder), ""
        with _disk(Disk(call, error)):
            try:
                _run(folder, plan)
            except BlindSRError as refusal:
                message = str(refusal)
        if message:
            refused += 1
            assert len(message.splitlines()) == 1
            assert os.strerror(error).lower() in message.lower()
        finished = _finished(folder)
        if finished:
            assert [problem for _, problem in check_files(folder / "out") if problem] == []
        report = _run(folder)
        assert report.failures == {}
        assert {name: at for name, at in _finished(folder).items() if name in finished} == finished
        assert np.array_equal(_numbers(report), expected)
    assert refused > 0.5 * len(calls)  # the others write what a run can do without: time stamps, hashes
