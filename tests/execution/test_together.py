"""Images that a run gives to `estimate_many` together: each has its own key, result and failure, as if it were alone."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import replace
from pathlib import Path

import gathering
import numpy as np
import pytest
from blindsr_kernelgan import KernelGAN
from gathering import Gathering

from blindsr.execution import scheduler
from blindsr.execution.scheduler import Report
from blindsr.imaging.metrics import kernel_errors
from blindsr.imaging.writer import write_png
from blindsr.pipeline.loader import load
from blindsr.pipeline.outcome import Outcome
from blindsr.pipeline.plan import make_plan
from blindsr.pipeline.steps import Step
from blindsr.storage.step_store import StepStore
from pipelines import Quiet, run, write

PIPELINE = """\
name: together
scale: 2
data: {lr: lr}
methods:
  Mine: {kernel: KERNEL, sr: bicubic}
"""
posix = pytest.mark.skipif(os.name != "posix", reason="POSIX signals")


def _images(folder: Path, photo: np.ndarray, black: str = "") -> Path:
    """Seven LR images, a to g; the first pixel of one is black."""
    for number, name in enumerate("abcdefg"):
        image = photo[20 : 70 + number, 30 * number : 30 * number + 60].copy()
        image[0, 0] = 0 if name == black else 200
        write_png(folder / f"lr/{name}.png", image)
    return folder


def _run(folder: Path, kernel: str = "gathering", *, out: str = "out", listener: Quiet | None = None, **options: object) -> Report:
    registry = gathering.registry()
    pipeline = load(write(folder, PIPELINE.replace("KERNEL", kernel)), registry)
    return run(make_plan(pipeline, pipeline.dataset()), folder / out, listener=listener, registry=registry, **options)  # type: ignore[arg-type]


def _estimates(report: Report) -> dict[str, Outcome]:
    """What each image's estimate gave, by the item's name."""
    store = StepStore(report.folder.parent / "steps")
    return {s.item: store.load(key) for key, s in report.plan.steps.items() if s.kind == "estimate" and key not in report.failures}


def _together(report: Report) -> list[str]:
    return [outcome.warnings[0] for outcome in _estimates(report).values()]


def _failures(report: Report) -> dict[str, str]:
    return {failure.where: failure.message for failure in report.failures.values()}


def test_images_together_are_kept_as_each_is_alone(tmp_path: Path, photo: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, listener = _images(tmp_path, photo), Quiet()
    report = _run(folder, listener=listener)
    assert _together(report) == ["4 together"] * 4 + ["3 together"] * 3
    assert listener.reports >= 7
    monkeypatch.setattr(Gathering, "batch_size", lambda self, device: 1)
    singles = _run(folder, out="singles")
    assert _together(singles) == ["one alone"] * 7
    assert len(report.computed) == 7 * 2
    assert set(report.computed) == set(singles.computed)
    for (name, one), other in zip(_estimates(report).items(), _estimates(singles).values(), strict=True):
        assert np.array_equal(one.kernel.array, other.kernel.array)
        assert one.curves["place"].tolist() == [[0, "abcdefg".index(name) % 4]]
        assert one.device == "cpu"
    first = [outcome.seconds for outcome in _estimates(report).values()][:4]
    assert len(set(first)) == 1
    assert _run(folder).computed == {}  # whatever the batch size, all is found again


@pytest.mark.slow
def test_workers_share_the_images(tmp_path: Path, photo: np.ndarray) -> None:
    report = _run(_images(tmp_path, photo), workers=2)
    assert Counter(_together(report)) == {"4 together": 4, "3 together": 3}


def test_large_images_are_not_all_in_memory_together(tmp_path: Path, photo: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scheduler, "MAX_TOGETHER_PX", 2 * 50 * 60)
    assert _together(_run(_images(tmp_path, photo))) == ["2 together"] * 6 + ["one alone"]


def test_steps_of_other_settings_are_not_together(tmp_path: Path, photo: np.ndarray) -> None:
    folder = _images(tmp_path, photo)
    text = PIPELINE.replace("KERNEL", "gathering") + "  Other: {kernel: {gathering: {fault: none}}, sr: bicubic}\nseeds: [0, 1]\n"
    registry = gathering.registry()
    pipeline = load(write(folder, text), registry)
    report = run(
        make_plan(pipeline, replace(pipeline.dataset(), items=pipeline.dataset().items[:3])), folder / "out", registry=registry
    )
    store = StepStore(folder / "out/steps")
    found = Counter(
        (step.component.fault, store.load(key).warnings[0]) for key, step in report.plan.steps.items() if step.kind == "estimate"
    )
    assert found == {("", "4 together"): 4, ("", "2 together"): 2, ("none", "4 together"): 4, ("none", "2 together"): 2}


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("", "the first pixel is black"),
        ("defect", "ZeroDivisionError: by black"),
        ("array", "gathering gave ndarray, not a Kernel"),
        ("raise", "the first pixel is black"),  # as `estimate` says of the image alone
        ("few", "the first pixel is black"),
    ],
)
def test_an_image_fails_alone(tmp_path: Path, photo: np.ndarray, fault: str, message: str) -> None:
    report = _run(_images(tmp_path, photo, black="c"), f"{{gathering: {{fault: '{fault}'}}}}")
    assert _failures(report) == {"c: gathering (method Mine; seed 0)": message}
    assert all(bool(f.traceback) == (fault == "defect") for f in report.failures.values())
    assert sorted(_estimates(report)) == list("abdefg")
    halved = ["2 together"] * 2 + ["one alone"]
    assert _together(report) == (halved if fault in ("raise", "few") else ["4 together"] * 3) + ["3 together"] * 3


@posix
@pytest.mark.slow
@pytest.mark.parametrize(
    ("fault", "how"),
    [("die", "exit code -9"), ("hang", "it took longer than `timeout` 3 seconds")],
)
def test_what_is_lost_together_is_tried_alone(tmp_path: Path, photo: np.ndarray, fault: str, how: str) -> None:
    listener, timeout = Quiet(), 3 if fault == "hang" else None
    report = _run(
        _images(tmp_path, photo, black="c"), f"{{gathering: {{fault: {fault}}}}}", workers=1, timeout=timeout, listener=listener
    )
    assert listener.notes == [f"4 steps of gathering were lost together ({how}); each is tried alone"]
    assert _failures(report) == {"c: gathering (method Mine; seed 0)": "the first pixel is black"}
    assert Counter(_together(report)) == {"one alone": 3, "3 together": 3}


@pytest.mark.slow
def test_a_kernel_that_cannot_leave_its_worker_fails_alone(tmp_path: Path, photo: np.ndarray) -> None:
    report = _run(_images(tmp_path, photo, black="c"), "{gathering: {fault: wrapped}}", workers=1)
    (message,) = _failures(report).values()
    assert message == "the outcome cannot be sent back from its worker (TypeError: not for sending)"
    assert sorted(_estimates(report)) == list("abdefg")


def test_an_interrupted_run_goes_on_with_what_is_left(tmp_path: Path, photo: np.ndarray) -> None:
    class Impatient(Quiet):
        def started(self, step: Step) -> None:
            if step.item == "f":
                raise KeyboardInterrupt

    first = _run(_images(tmp_path, photo), listener=Impatient())
    assert first.interrupted
    again = _run(tmp_path)
    assert sorted(again.plan.steps[key].item for key in again.computed if again.plan.steps[key].kind == "estimate") == list("efg")
    assert _together(again) == ["4 together"] * 4 + ["3 together"] * 3


def test_a_batch_size_that_fails_is_told(tmp_path: Path, photo: np.ndarray) -> None:
    listener = Quiet()
    report = _run(_images(tmp_path, photo), "{gathering: {fault: size}}", listener=listener)
    assert _together(report) == ["one alone"] * 7
    assert listener.notes == [
        "the `batch_size` of gathering failed (ZeroDivisionError: of sizes); its steps are computed one by one"
    ]


def test_kernelgan_takes_many_images_on_a_gpu_only() -> None:
    robust = KernelGAN(preset="robust")
    assert [robust.batch_size(device) for device in ("cpu", "cuda")] == [1, 100]
    assert KernelGAN().batch_size("cuda") == 1


@pytest.mark.parametrize("workers", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_kernelgan_gives_together_what_it_gives_alone(
    tmp_path: Path, photo: np.ndarray, monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    for number, name in enumerate("abc"):
        write_png(tmp_path / f"lr/{name}.png", photo[20 : 120 + number, 90 * number : 90 * number + 100])
    write_png(tmp_path / "lr/flat.png", np.full((90, 90, 3), 100, np.uint8))
    robust = "{kernelgan: {preset: robust, iterations: 500}}"
    singles = _run(tmp_path, robust, out="singles", workers=workers)
    calls: list[str] = []
    monkeypatch.setattr(KernelGAN, "batch_size", lambda self, device: calls.append(device) or 3)
    report = _run(tmp_path, robust, workers=workers)
    assert set(calls) == {"cpu"}
    assert _failures(report) == _failures(singles)
    assert [message for message in _failures(report).values() if "is flat" in message]
    assert list(_estimates(report)) == list("abc")
    for name, outcome in _estimates(report).items():
        alone = _estimates(singles)[name]
        assert kernel_errors(outcome.kernel, alone.kernel)["kernel_l2"] < 0.01
        assert outcome.kernel.expected_error == alone.kernel.expected_error
        assert outcome.curves["generator_loss"].shape == alone.curves["generator_loss"].shape
