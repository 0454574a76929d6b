"""Steps and workers that fail: each failure affects only its own row."""

import os
import subprocess
import sys
from dataclasses import replace
from multiprocessing import active_children
from pathlib import Path

import faulty
import numpy as np
import pytest
from click.testing import CliRunner
from telling import Telling

from blindsr.cli import cli
from blindsr.errors import BlindSRError
from blindsr.execution import runner
from blindsr.execution.executors.processes import ProcessExecutor
from blindsr.execution.perform import perform
from blindsr.execution.resources import Resources, visible_gpus
from blindsr.execution.scheduler import Report
from blindsr.execution.tasks import Task
from blindsr.imaging.metrics import METRICS
from blindsr.imaging.writer import write_png
from blindsr.pipeline.outcome import StepInputs
from blindsr.pipeline.plan import make_plan
from blindsr.report.progress import console
from blindsr.storage.output_folder import OutputFolder
from blindsr.storage.result import open_result
from pipelines import QUICK, Quiet, read, run, write

pytestmark = pytest.mark.skipif(os.name != "posix", reason="POSIX signals")


@pytest.fixture
def folder(tmp_path: Path, photo: np.ndarray) -> Path:
    write_png(tmp_path / "hr/a.png", photo[20:116, 100:196])
    return tmp_path


def _run(
    folder: Path, fault: str, times: int, *, sr: bool = False, workers: int = 1, timeout: float | None = None
) -> tuple[Report, Quiet]:
    pipeline, listener = faulty.pipeline(folder, fault, times, sr=sr), Quiet()
    plan = make_plan(pipeline, pipeline.dataset())
    report = run(plan, folder / "out", workers=workers, timeout=timeout, listener=listener, registry=faulty.registry())
    return report, listener


def _scored(report: Report) -> list[str]:
    with open_result(report.result) as result:
        return sorted(map(str, result.columns["method"][np.isfinite(result.columns["psnr"])]))


@pytest.mark.slow
def test_a_worker_that_dies_costs_nothing(folder: Path) -> None:
    report, listener = _run(folder, "die", 1)
    assert report.failures == {}
    assert listener.notes == ["a: the worker process of faulty ended abruptly (exit code -9); it is tried once more"]
    assert _scored(report) == ["Bad", "Bicubic interpolation", "Ground truth"]
    assert not (folder / "out/.progress").exists()


@pytest.mark.slow
def test_a_worker_that_dies_before_it_begins_costs_nothing(folder: Path) -> None:
    report, listener = _run(folder, "arrival", 1, workers=2)
    assert report.failures == {}
    assert listener.notes == ["a: the worker process of faulty ended abruptly (exit code -9); it is tried once more"]


@pytest.mark.slow
def test_workers_that_never_begin_end_the_run_with_a_line(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("blindsr.execution.executors.processes.MAX_STILLBORN", 1)
    with pytest.raises(BlindSRError, match="worker processes end before they begin; `workers` 0 runs without them"):
        _run(folder, "arrival", 9)


@pytest.mark.slow
def test_a_worker_that_dies_twice_costs_its_own_row(folder: Path) -> None:
    report, _ = _run(folder, "die", 5)
    assert {failure.message for failure in report.failures.values()} == {
        "the worker process ended abruptly, twice (exit code -9); it may have run out of memory: try `workers` 1"
    }
    assert _scored(report) == ["Bicubic interpolation", "Ground truth"]
    assert len(list((folder / "left").iterdir())) == 3  # it was tried exactly twice


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["leave", "leave in C"])
def test_a_worker_that_leaves_without_a_word_costs_its_own_row(folder: Path, fault: str) -> None:
    report, _ = _run(folder, fault, 5)
    (failure,) = {failure.message for failure in report.failures.values()}
    assert failure.startswith("the worker process ended abruptly, twice (exit code 0)")


@pytest.mark.slow
def test_a_plugin_may_fork(folder: Path) -> None:
    report, _ = _run(folder, "fork", 1)
    assert report.failures == {}


@pytest.mark.slow
def test_a_plugin_may_write_to_standard_error_where_there_is_none(folder: Path) -> None:
    script = f"from test_faults import _run, Path; import sys; sys.exit(len(_run(Path({str(folder)!r}), 'speak', 1)[0].failures))"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", script]
    assert subprocess.run(command, preexec_fn=lambda: os.close(2), check=False, env=environment).returncode == 0


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["hang", "deaf"])
def test_a_step_that_hangs_is_given_up(folder: Path, fault: str) -> None:
    report, _ = _run(folder, fault, 1, timeout=3)
    assert {failure.message for failure in report.failures.values()} == {
        "faulty took longer than `timeout` 3 seconds and was stopped"
    }
    assert _scored(report) == ["Bicubic interpolation", "Ground truth"]


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("array", "faulty gave ndarray, not a Kernel"),
        ("scale", "faulty gave a kernel for scale 3, not 2"),
        ("nan", "the kernel's array holds 9 values that are NaN or infinite; replace them"),
        ("modify", "ValueError: assignment destination is read-only"),
        ("raise", "RuntimeError: \x1b[31mred\nlines"),
        ("base", "GeneratorExit: "),
        ("speechless", "SpeechlessError, whose message cannot be shown"),
    ],
)
def test_an_estimate_that_is_none_fails_its_row(folder: Path, fault: str, message: str) -> None:
    report, _ = _run(folder, fault, 1, workers=0)
    assert {failure.message for failure in report.failures.values()} == {message}
    assert _scored(report) == ["Bicubic interpolation", "Ground truth"]
    report, _ = _run(folder, fault, 0, workers=0)  # without the fault, it is tried again
    assert (len(report.computed), report.failures) == (3, {})


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("exit", "SystemExit: enough"),
        ("interrupt", "KeyboardInterrupt: "),
        ("wrapped", "the outcome cannot be sent back from its worker (TypeError: not for sending)"),
    ],
)
def test_what_ends_a_worker_or_cannot_leave_it_fails_its_row(folder: Path, fault: str, message: str) -> None:
    report, _ = _run(folder, fault, 1)
    assert not report.interrupted
    (failure,) = {failure.message for failure in report.failures.values()}
    assert failure.startswith(message)
    assert _scored(report) == ["Bicubic interpolation", "Ground truth"]


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("raise", "RuntimeError: it would not"),
        ("upscaler", "the upscaler NoneType has a halo of 'missing'"),
        ("halo", "the upscaler FaultyUpscaler has a halo of -3"),
        ("no_halo", "the upscaler FaultyUpscaler has a halo of 'wide'"),
        ("nan", "the upscaler gave values that are NaN or infinite"),
        ("inf", "the upscaler gave values that are NaN or infinite"),
        ("shape", "the upscaler made an image of shape"),
        ("channels", "the upscaler made an image of shape"),
        ("text", "the upscaler made an image of shape"),
        ("none", "the upscaler made an image of shape"),
        ("complex", "the upscaler gave values of type complex"),
        ("integer", "the upscaler gave values of type uint8; they must be floats in [0, 1]"),
        ("modify", "ValueError: assignment destination is read-only"),
    ],
)
def test_an_sr_image_that_is_none_fails_its_row(folder: Path, fault: str, message: str) -> None:
    report, _ = _run(folder, fault, 1, sr=True, workers=0)
    (failure,) = {failure.message for failure in report.failures.values()}
    assert failure.startswith(message)
    assert _scored(report) == ["Bicubic interpolation", "Ground truth"]
    report, _ = _run(folder, fault, 0, sr=True, workers=0)
    assert (len(report.computed), report.failures) == (2, {})


def _told(executor: ProcessExecutor, photo: np.ndarray, count: int) -> list[list[str]]:
    """What that many workers tell of themselves, at work at the same time."""
    for number in range(count):
        executor.submit({str(number): Task("estimate", Telling(), 2, StepInputs(lr=photo), "ab", "cd")})
    ended: dict[str, object] = {}
    while len(ended) < count:
        ended |= executor.poll(10).ended
    return [ended[str(number)].warnings for number in range(count)]  # type: ignore[attr-defined]


@pytest.mark.slow
def test_every_worker_has_a_gpu_of_its_own(photo: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,GPU-abc")
    executor = ProcessExecutor(2, threads=3, gpus=visible_gpus())
    try:
        first, second = _told(executor, photo, 2)
        assert [told[0] for told in (first, second)] == ["gpu 5", "gpu GPU-abc"]
        victim = next(child for child in active_children() if child.pid == int(second[-1]))
        victim.kill()
        victim.join()
        again = _told(executor, photo, 2)  # another took its place, and its GPU
        assert [told[0] for told in again] == ["gpu 5", "gpu GPU-abc"]
        assert (again[0][-1], again[1][-1] != second[-1]) == (first[-1], True)
    finally:
        executor.close()


@pytest.mark.slow
def test_a_worker_loads_no_more_than_it_needs_and_prints_nothing(photo: np.ndarray, capfd: pytest.CaptureFixture[str]) -> None:
    executor = ProcessExecutor(1, threads=3)
    try:
        told = _told(executor, photo, 1)[0]
    finally:
        executor.close()
    assert told[1:4] == ["threads 3", "h5py False", "main None"]
    written = capfd.readouterr()
    assert written.out == ""
    assert ("from Python" in written.err, "from C" in written.err) == (True, True)


def test_a_plugin_prints_nothing_in_this_process_either(photo: np.ndarray, capsys: pytest.CaptureFixture[str]) -> None:
    perform(Task("estimate", Telling(), 2, StepInputs(lr=photo), "ab", "cd"))
    written = capsys.readouterr()
    assert (written.out, written.err) == ("", "from Python\n")


@pytest.mark.parametrize("debug", [False, True])
def test_a_failure_names_its_step_and_shows_its_traceback_once(
    folder: Path, debug: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    pipeline = faulty.pipeline(folder, "raise", 1)
    plan = make_plan(pipeline, pipeline.dataset())
    with console(debug=debug) as listener:
        resources = Resources("cpu", workers=0)
        report = runner.run_plan(plan, faulty.registry(), resources, folder=OutputFolder(folder / "out"), listener=listener)
    assert len(report.failures) == 3
    written = capsys.readouterr().err
    hint = "" if debug else "; blindsr --debug shows the traceback"
    assert f"failed: a: faulty (method Bad): RuntimeError: ?[31mred lines{hint}\n" in written
    assert (written.count("failed:"), written.count("Traceback")) == (1, int(debug))


def test_a_failure_names_the_options_of_the_command(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*images: np.ndarray, shave: int) -> float:
        raise MemoryError

    write(folder)
    monkeypatch.chdir(folder)
    monkeypatch.setattr("blindsr.execution.perform.METRICS", {"psnr": replace(METRICS["psnr"], of_images=full)})
    done = CliRunner().invoke(cli, ["run", "quick.yaml", "--workers", "0", "--device", "cpu"], catch_exceptions=False)
    assert "failed: a: score (method Ground truth): out of memory; try --workers 1, or crop the image\n" in done.stderr


def test_a_failure_names_the_seed_of_a_stochastic_component(folder: Path) -> None:
    text = QUICK.replace("ground_truth", "kernelgan").replace("{hr: hr}", "{lr: tiny.png}") + "seeds: [0, 7]\n"
    write_png(folder / "tiny.png", np.zeros((8, 8, 3), np.uint8))
    pipeline = read(folder, text)
    report = run(make_plan(pipeline, pipeline.dataset()), folder / "out")
    assert {failure.where for failure in report.failures.values()} == {
        f"tiny: kernelgan (method Ground truth; seed {seed})" for seed in (0, 7)
    }
