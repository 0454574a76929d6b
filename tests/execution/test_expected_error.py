"""The error that an estimator expects of its kernel: from the estimator through workers and files to the SR method and the table."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import h5py
import numpy as np
import pytest
from click.testing import CliRunner
from telling import Telling

import blindsr
from blindsr import __version__
from blindsr.api.testing import run_context
from blindsr.cli import cli
from blindsr.components.interfaces import KernelEstimator, NonBlindSR
from blindsr.components.registry import RegisteredComponent, Registry
from blindsr.execution.perform import perform
from blindsr.execution.tasks import Task
from blindsr.imaging.kernel import Kernel
from blindsr.imaging.writer import write_png
from blindsr.pipeline.loader import load
from blindsr.pipeline.outcome import StepInputs
from blindsr.pipeline.plan import make_plan, single_step
from blindsr.storage.result import open_result
from pipelines import QUICK, run, write

TELLING = QUICK + "  Told: {type: 3, kernel: telling, sr: bicubic}\n"


@pytest.mark.parametrize("workers", [0, 1])
def test_it_reaches_the_result_and_the_table(tmp_path: Path, photo: np.ndarray, workers: int) -> None:
    write_png(tmp_path / "hr/a.png", photo[20:60, 40:90])
    registry = Registry(
        {**Registry.discover().entries, ("kernel", "telling"): RegisteredComponent("kernel", Telling, "blindsr", __version__)}
    )
    pipeline = load(write(tmp_path, TELLING), registry)
    path = run(make_plan(pipeline, pipeline.dataset()), tmp_path / "out", workers=workers, registry=registry).result
    with open_result(path) as result:
        assert result.kernel("a", "Told").expected_error == 0.125
        assert result.kernel("a", "Ground truth").expected_error is None
        assert result.metrics("a", "Told")["expected_error"] == 0.125
        assert "expected_error" not in result.metrics("a", "Ground truth")
    told, true = (
        next(line for line in _table(path, "--columns", "psnr,expected_error").splitlines() if name in line)
        for name in ("Told", "Ground truth")
    )
    assert told.endswith("| 0.125 |")
    assert "0." not in true.split("|")[-2]
    assert "expected" not in _table(path)
    with h5py.File(path, "r+") as file:  # as files before format 0.1.2
        del file["summary/expected_error"]
        for node in file["items/a/methods"].values():
            node["0/kernel/estimated"].attrs.pop("expected_error", None)
    with open_result(path) as result:
        assert np.isnan(result.columns["expected_error"]).all()
        assert result.kernel("a", "Told").expected_error is None


def _table(path: Path, *options: str) -> str:
    return CliRunner().invoke(cli, ["table", str(path), "--format", "markdown", *options], catch_exceptions=False).stdout


class _Silent(KernelEstimator):
    name: ClassVar[str] = "silent"
    typical_error: ClassVar[float | None] = 0.3

    def estimate(self, lr, scale, run):
        return Kernel.bicubic(2).composed()


def test_kernels_without_one_get_their_method_s_typical_error(photo: np.ndarray) -> None:
    task = Task("estimate", _Silent(), 4, StepInputs(lr=photo), "ab" * 32, "ab" * 32)
    kernel = perform(task).kernel
    assert kernel.expected_error == 0.3
    assert np.array_equal(kernel.half.array, Kernel.bicubic(2).array)
    assert perform(Task("estimate", Telling(), 2, StepInputs(lr=photo), "ab" * 32, "ab" * 32)).kernel.expected_error == 0.125


def test_it_is_no_part_of_a_step_s_key(photo: np.ndarray) -> None:
    kernel = Kernel.gaussian(2.0, 2)
    told = Kernel(kernel.array, 2, expected_error=0.2)
    method: NonBlindSR = Registry.discover().build("sr", "bicubic")
    keys = {single_step("upscale", method, 2, {"lr": photo, "kernel": each}).key for each in (kernel, told)}
    assert len(keys) == 1


def test_estimate_prints_it(tmp_path: Path, photo: np.ndarray) -> None:
    write_png(tmp_path / "a.png", photo[20:100, 40:140])
    outputs = [
        CliRunner().invoke(cli, ["estimate", str(tmp_path / "a.png"), "--method", method], catch_exceptions=False).stdout
        for method in ("kernelnet", "bicubic")
    ]
    expected = blindsr.estimate_kernel(tmp_path / "a.png", method="kernelnet").expected_error
    assert f"expected error {expected:.2f}" in outputs[0]
    assert "expected" not in outputs[1]


class _Choosy(KernelEstimator):
    name: ClassVar[str] = "choosy"

    def estimate(self, lr, scale, run):
        if not lr.any():
            raise ZeroDivisionError("black")
        return Kernel.gaussian(run.rng.uniform(1, 2), scale)


def test_many_images_are_estimated_as_each_is_alone(photo: np.ndarray) -> None:
    images = [photo[:20, :30] / 255, np.zeros((8, 8, 3)), photo[:9, :9] / 255]
    found = _Choosy().estimate_many(images, 2, [run_context(seed=seed) for seed in (5, 6, 7)])
    assert [type(each) for each in found] == [Kernel, ZeroDivisionError, Kernel]
    for number, seed in ((0, 5), (2, 7)):
        np.testing.assert_array_equal(found[number].array, _Choosy().estimate(images[number], 2, run_context(seed=seed)).array)
    with pytest.raises(ValueError, match="shorter"):
        _Choosy().estimate_many(images, 2, [run_context()])
