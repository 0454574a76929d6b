"""Runs: results, resuming, failures, worker processes, SIGKILL."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import faulty
import h5py
import numpy as np
import pytest
import torch
from PIL import Image

from blindsr.components.registry import Registry
from blindsr.errors import BlindSRError
from blindsr.execution import runner
from blindsr.execution.resources import Resources, resolve_device
from blindsr.execution.scheduler import Report
from blindsr.imaging.reader import read_image
from blindsr.imaging.writer import write_png
from blindsr.pipeline.loader import load
from blindsr.pipeline.plan import make_plan
from blindsr.pipeline.steps import Step
from blindsr.storage.images import folder_names
from blindsr.storage.output_folder import OutputFolder
from blindsr.storage.result import open_result
from blindsr.storage.step_store import StepStore
from pipelines import QUICK, Quiet, read, run, write

SCRIPT = """\
from pathlib import Path
from pipelines import run
from blindsr.components.registry import Registry
from blindsr.pipeline.plan import make_plan
from blindsr.pipeline.loader import load

registry = Registry.discover()
if "Mine" in globals():
    registry.entries["kernel", "mine"] = RegisteredComponent("kernel", Mine, "mine", "1")
pipeline = load(Path("quick.yaml"), registry)
report = run(make_plan(pipeline, pipeline.dataset()), Path("out"), workers=2, registry=registry)
print(len(report.computed), "steps computed,", len(report.failures), "failed")
print(*{failure.message for failure in report.failures.values()}, end="")
"""
MINE = """\
from blindsr.components.interfaces import KernelEstimator
from blindsr.components.registry import RegisteredComponent

class Mine(KernelEstimator):
    name = "mine"
    def estimate(self, lr, scale, run):
        raise NotImplementedError

"""
SLOW = QUICK + "  KernelGAN: {type: 3, kernel: {kernelgan: {iterations: 40}}, sr: {zssr: {iterations: 10}}}\n"


@pytest.fixture
def folder(tmp_path: Path, photo: np.ndarray) -> Path:
    (tmp_path / "hr").mkdir()
    for number, name in enumerate(("a", "b")):
        write_png(tmp_path / "hr" / f"{name}.png", photo[20 : 20 + 192, 100 * number : 100 * number + 200])
    return tmp_path


def _run(folder: Path, text: str = QUICK, *, workers: int = 0, listener: Quiet | None = None, **options: object) -> Report:
    pipeline = read(folder, text, **options)
    plan = make_plan(pipeline, pipeline.dataset())
    return run(plan, folder / "out", workers=workers, listener=listener)


def _numbers(path: Path) -> dict[str, np.ndarray]:
    with open_result(path) as result:
        return {name: column for name, column in result.columns.items() if not name.startswith("seconds")}


def test_a_file_of_a_component_that_changes_fails_its_steps(folder: Path) -> None:
    checkpoint = folder / "net.bin"
    checkpoint.write_bytes(b"one")
    pipeline = load(write(folder, QUICK + "  Net: {sr: {reads_a_file: {file: net.bin}}}\n"), faulty.registry())
    plan = make_plan(pipeline, pipeline.dataset())

    class Meddler(Quiet):
        """Puts another file there before the second image is begun."""

        count = 0

        def started(self, step: Step) -> None:
            self.count += step.label == "reads_a_file"
            if self.count == 2:
                checkpoint.write_bytes(b"two, and longer")

    report = run(plan, folder / "out", listener=Meddler(), registry=faulty.registry())
    assert {failure.message for failure in report.failures.values()} == {f"{checkpoint}: changed since the run began; run again"}
    assert len(report.failures) == 2  # the second image's SR and score


def test_names_of_any_length_will_do(folder: Path, photo: np.ndarray) -> None:
    for name in (f"{'b' * 251}.png", f"{'b' * 251}.jpg", os.fsdecode(b"\xff" * 60) + ".png"):
        (folder / "hr" / name).write_bytes((folder / "hr/a.png").read_bytes())
    report = _run(folder, QUICK.replace("Ground truth:", f"{'m' * 260}:"))
    assert report.failures == {}
    assert len(list(report.images.rglob("*.png"))) == 10


def test_images_that_are_there_are_left_alone(folder: Path) -> None:
    images = _run(folder).images
    written = {path: path.stat().st_mtime_ns for path in images.rglob("*.png")}
    victim, stale = sorted(written)[:2]
    victim.unlink()
    stale.write_bytes(sorted(written)[2].read_bytes())  # belongs to another step, as after a change of settings
    _run(folder)
    now = {path: path.stat().st_mtime_ns for path in images.rglob("*.png")}
    assert {path for path in now if now[path] != written[path]} == {victim, stale}
    assert np.array_equal(read_image(stale).pixels, StepStore(folder / "out/steps").load(_step_of(stale)).arrays["sr"])


def _step_of(path: Path) -> str:
    with Image.open(path) as image:
        return str(image.text["blindsr-step"])  # type: ignore[attr-defined]


def test_a_row_that_fails_now_keeps_no_image_of_before(folder: Path) -> None:
    left = folder / "left"
    bad = f"  Bad: {{sr: {{faulty_sr: {{fault: FAULT, left: {left}}}}}}}\n"
    for fault in ("raise", "nan"):  # the first fault is over after one step, the second is not
        pipeline = load(write(folder, QUICK + bad.replace("FAULT", fault)), faulty.registry())
        report = run(make_plan(pipeline, pipeline.dataset()), folder / "out", registry=faulty.registry())
        shown = {path.name for path in (report.images / "Bad").glob("*.png")}
        assert shown == ({"a.png", "b.png"} if fault == "raise" else {"b.png"})
        left.mkdir(exist_ok=True)
        (left / "once").touch()


def test_a_second_interruption_leaves_the_result_for_the_next_run(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Impatient(Quiet):
        def ended(self, step: object, outcome: object) -> None:
            raise KeyboardInterrupt

        def writing(self, done: int, total: int) -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        _run(folder, listener=Impatient())
    assert len(list((folder / "out/steps").glob("*.h5"))) in (1, 2)  # of the two that need no other
    assert not list((folder / "out").rglob("*.part"))
    assert _run(folder).failures == {}


def test_a_run_leaves_images_and_a_result(folder: Path) -> None:
    report = _run(folder)
    assert report.failures == {}
    with open_result(report.folder) as result:
        assert result.items == ["a", "b"]
        assert result.methods == ["Bicubic interpolation", "Ground truth"]
        assert np.isfinite(result.columns["psnr"]).all()
        sr = result.sr("a", "Ground truth", 0)
        assert np.array_equal(read_image(report.folder / "images/Ground_truth/a.png").pixels, sr)
        assert result.kernel("a").shape == (11, 11)
        assert np.array_equal(result.kernel("a").array, result.kernel("a", "Ground truth").array)
        assert json.loads(result.file["provenance"].attrs["resolved_config"])["degradation"]["random_kernel"]["size"] == 11
        assert result.file["provenance"].attrs["pipeline_yaml"].decode() == QUICK
        for array in _datasets(result.file):
            assert array.fletcher32


def _datasets(file: h5py.File) -> list[h5py.Dataset]:
    found: list[h5py.Dataset] = []
    file.visititems(lambda name, node: found.append(node) if isinstance(node, h5py.Dataset) else None)
    assert found
    return found


def test_a_second_run_computes_nothing_and_gives_the_same(folder: Path) -> None:
    first = _run(folder)
    numbers = _numbers(first.result)
    second = _run(folder)
    assert (second.computed, len(second.cached)) == ({}, len(first.computed))
    assert all(
        np.array_equal(column, numbers[name], equal_nan=column.dtype.kind == "f")
        for name, column in _numbers(second.result).items()
    )


def test_a_second_run_writes_nothing_whatever_the_device(folder: Path) -> None:
    first = _run(folder)
    files = [first.result, *first.images.rglob("*.png"), *(folder / "out/steps").glob("*.h5")]
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in files}
    resources = Resources("auto", workers=0, threads=2)
    second = runner.run_plan(first.plan, Registry.discover(), resources, folder=OutputFolder(folder / "out"), listener=Quiet())
    assert {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in files} == before
    with open_result(second.result) as result:
        assert result.file["provenance"].attrs["device"] == b"cpu"


def test_the_caller_s_threads_are_as_before(folder: Path) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        _run(folder)
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


def test_the_device_of_a_run_is_the_one_that_auto_meant(folder: Path) -> None:
    pipeline = read(folder)
    plan = make_plan(pipeline, pipeline.dataset())
    resources = Resources("auto", workers=0)
    report = runner.run_plan(plan, Registry.discover(), resources, folder=OutputFolder(folder / "out"), listener=Quiet())
    with open_result(report.result) as result:
        assert result.file["provenance"].attrs["device"].decode() == resolve_device("auto")


def _script(folder: Path) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "script.py"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False, env=environment)


@pytest.mark.slow
def test_a_script_needs_no_guard(folder: Path) -> None:
    """Worker processes do not import the main module, which would start another run."""
    write(folder)
    (folder / "script.py").write_text(SCRIPT)
    done = _script(folder)
    assert (done.returncode, done.stdout) == (0, "12 steps computed, 0 failed\n"), done.stderr


@pytest.mark.slow
def test_a_component_of_a_script_fails_with_the_remedy(folder: Path) -> None:
    write(folder, QUICK + "  Mine: {kernel: mine, sr: bicubic}\n")
    (folder / "script.py").write_text(MINE + SCRIPT)
    done = _script(folder)
    assert done.stdout.startswith("12 steps computed, 6 failed\n"), done.stderr
    assert "'mine' is defined in the script that was started, which workers do not import; define it in a module" in done.stdout


def test_one_more_method_computes_its_own_steps_only(folder: Path) -> None:
    _run(folder)
    more = _run(folder, QUICK + "  Given: {kernel: ground_truth, sr: {zssr: {iterations: 3}}}\n")
    assert sorted(more.plan.steps[key].kind for key in more.computed) == ["score", "score", "upscale", "upscale"]


def test_a_broken_image_fails_alone(folder: Path) -> None:
    (folder / "hr" / "b.png").write_bytes((folder / "hr" / "b.png").read_bytes()[:2000])
    report = _run(folder)
    assert {failure.message for failure in report.failures.values()} == {
        f"{folder / 'hr' / 'b.png'}: damaged or cut short (image file is truncated)"
    }
    with open_result(report.result) as result:
        assert list(result.columns["error"] == "") == [True, True, False, False]
        assert np.isnan(result.columns["psnr"]).tolist() == [False, False, True, True]


def test_failures_are_tried_again(folder: Path) -> None:
    whole = (folder / "hr" / "b.png").read_bytes()
    text = QUICK.replace("ground_truth", "kernelgan").replace("data: {hr: hr}", "data: {lr: hr/b.png}")
    write_png(folder / "hr" / "b.png", np.zeros((8, 8, 3), np.uint8))
    report = _run(folder, text)
    assert len(report.failures) == 2
    assert all("8 x 8" in failure.message for failure in report.failures.values())
    again = _run(folder, text)
    assert len(again.failures) == 2
    assert again.computed == {}
    (folder / "hr" / "b.png").write_bytes(whole)
    mended = _run(folder, text.replace("kernelgan", "{kernelgan: {iterations: 3}}"))
    assert mended.failures == {}


def test_a_damaged_step_is_set_aside_and_computed_again(folder: Path) -> None:
    first = _run(folder)
    before = _numbers(first.result)
    steps = StepStore(folder / "out" / "steps")
    degrade = next(step for step in first.plan.steps.values() if step.kind == "degrade")
    data = bytearray(steps.path(degrade.key).read_bytes())
    data[len(data) // 2] ^= 0xFF
    steps.path(degrade.key).write_bytes(bytes(data))
    for row in first.plan.rows:
        steps.path(row.upscale).unlink(missing_ok=True)
    listener = Quiet()
    second = _run(folder, listener=listener)
    assert degrade.key in second.computed
    assert any("set aside" in note for note in listener.notes)
    assert (folder / "out" / "steps" / f"{degrade.key}.h5.corrupt").is_file()
    assert np.array_equal(_numbers(second.result)["psnr"], before["psnr"])


def test_a_damaged_step_is_found_at_the_end_too(folder: Path) -> None:
    first = _run(folder)
    before = _numbers(first.result)
    score = first.plan.rows[0].score
    path = StepStore(folder / "out" / "steps").path(score)
    path.write_bytes(path.read_bytes()[:700])
    second = _run(folder)
    assert list(second.computed) == [score]
    assert np.array_equal(_numbers(second.result)["psnr"], before["psnr"])


def test_an_image_that_changes_during_the_run_fails(folder: Path, photo: np.ndarray) -> None:
    pipeline = read(folder, QUICK)
    plan = make_plan(pipeline, pipeline.dataset())
    write_png(folder / "hr" / "a.png", photo[:100, :100])
    report = run(plan, folder / "out")
    assert {f.message for f in report.failures.values()} == {f"{folder / 'hr' / 'a.png'}: changed since the run began; run again"}


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("run.log('a/b', 0, 1)", "a curve's name is letters"),
        ("run.log('', 0, 1)", "a curve's name is letters"),
        ("run.progress('x', 1)", "invalid literal"),
        ("raise RuntimeError(chr(0xDCE9))", "RuntimeError"),
        ("import sys; sys.exit(3)", "SystemExit: 3"),
    ],
)
def test_a_misbehaving_plugin_fails_its_own_step_only(
    folder: Path, body: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from blindsr_kernelgan import KernelGAN

    scope: dict[str, Callable[..., object]] = {}
    exec(f"def estimate(self, lr, scale, run):\n    {body}", scope)
    monkeypatch.setattr(KernelGAN, "estimate", scope["estimate"])
    report = _run(folder, QUICK + "  Bad: {kernel: kernelgan, sr: bicubic}\n")
    assert len({*report.failures}) == 6
    assert all(message in failure.message for failure in report.failures.values())
    with open_result(report.result) as result:
        assert np.isfinite(result.columns["psnr"]).sum() == 4


def test_seeds_make_rows_and_folders(folder: Path) -> None:
    report = _run(folder, SLOW, overrides={"seeds": [0, 3]}, settings=[f"data={{hr: '{folder / 'hr'}'}}"])
    with open_result(report.result) as result:
        gan = result.columns["method"] == "KernelGAN"
        assert sorted(result.columns["seed"][gan]) == [0, 0, 3, 3]
        assert len(set(result.columns["psnr"][gan])) == 4
        assert result.curves("a", "KernelGAN", 3)
    assert (report.folder / "images/KernelGAN/seed-3/b.png").is_file()


def test_notes_about_images_are_told(folder: Path, photo: np.ndarray) -> None:
    from PIL import Image

    Image.fromarray(photo[:64, :64]).convert("L").save(folder / "hr" / "gray.png")
    listener = Quiet()
    report = _run(folder, listener=listener)
    assert listener.notes == ["gray: grayscale: repeated in the three channels"]
    with open_result(report.result) as result:
        assert b"grayscale" in result.file["items/gray"].attrs["notes"]


def test_16_bit_photographs_stay_16_bit(folder: Path, photo: np.ndarray) -> None:
    write_png(folder / "deep.png", photo[:50, :60].astype(np.uint16) * 257)
    text = QUICK.replace("{hr: hr}", "{lr: deep.png}")
    report = _run(folder, text)
    assert read_image(report.folder / "images/Bicubic_interpolation/deep.png").pixels.dtype == np.uint16


def test_only_one_run_at_a_time(folder: Path) -> None:
    with (
        OutputFolder(folder / "out").locked(),
        pytest.raises(BlindSRError, match=rf"another run is using this folder .process {os.getpid()} on .+, since \d{{4}}-"),
    ):
        _run(folder)
    assert _run(folder).failures == {}


def test_method_folders_are_safe_and_distinct() -> None:
    names = folder_names(["A/B", "A B", "../..", "Kernel + ZSSR", "日本"])
    assert names == {"A/B": "A_B", "A B": "A_B-2", "../..": "method", "Kernel + ZSSR": "Kernel_+_ZSSR", "日本": "日本"}


@pytest.fixture
def spawned() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts runs as processes, which are killed at the end of the test."""
    processes: list[subprocess.Popen[str]] = []

    def start(folder: Path, *options: str) -> subprocess.Popen[str]:
        processes.append(_start(folder, *options))
        return processes[-1]

    yield start
    for process in processes:
        process.kill()
        process.wait()


def _start(folder: Path, *options: str) -> subprocess.Popen[str]:
    command = [
        sys.executable,
        "-m",
        "blindsr",
        "run",
        str(folder / "quick.yaml"),
        "--out",
        str(folder / "out"),
        "--device",
        "cpu",
        *options,
    ]
    # Processes that a shell starts in the background ignore SIGINT, and their children inherit that.
    heard = {"preexec_fn": lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)} if os.name == "posix" else {}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **heard)  # type: ignore[call-overload]


def _until(condition: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.02)


@pytest.mark.slow
def test_workers_give_the_same_bits_as_one_process(folder: Path) -> None:
    alone = _run(folder, SLOW)
    numbers = _numbers(alone.result)
    (folder / "out").rename(folder / "alone")
    pooled = _run(folder, SLOW, workers=2)
    assert pooled.failures == {}
    assert sorted(pooled.computed) == sorted(alone.computed)
    for name, column in _numbers(pooled.result).items():
        assert np.array_equal(column, numbers[name], equal_nan=column.dtype.kind == "f"), name


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="POSIX signals")
def test_killed_in_the_middle_it_goes_on_where_it_stopped(folder: Path, spawned) -> None:
    write(folder, SLOW.replace("iterations: 10}", "iterations: 60}"))
    victim = spawned(folder, "--workers", "2")
    steps = folder / "out" / "steps"
    _until(lambda: len(list(steps.glob("*.h5"))) >= 5)
    victim.send_signal(signal.SIGKILL)
    victim.wait()
    finished = {path.name: path.stat().st_mtime_ns for path in steps.glob("*.h5")}
    assert not (folder / "out" / "quick-hr-x2" / "result.h5").exists()
    again = spawned(folder, "--workers", "2")
    stdout, stderr = again.communicate(timeout=120)
    assert again.returncode == 0
    assert f"{len(finished)} done before, 0 failed" in stderr
    assert all((steps / name).stat().st_mtime_ns == at for name, at in finished.items())
    assert "KernelGAN" in stdout


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="POSIX signals")
@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "a batch system's SIGTERM"])
def test_a_run_that_is_told_to_end_keeps_what_is_finished(sent: signal.Signals, folder: Path, spawned) -> None:
    write(folder, SLOW.replace("iterations: 40}", "iterations: 100000}"))
    victim = spawned(folder, "--workers", "1")
    _until(lambda: len(list((folder / "out" / "steps").glob("*.h5"))) >= 2)
    victim.send_signal(sent)
    _, stderr = victim.communicate(timeout=30)
    assert victim.returncode == 130
    assert "run the same command to go on" in stderr
    assert (folder / "out" / "quick-hr-x2" / "result.h5").is_file()
    assert not (folder / "out" / ".progress").exists()
