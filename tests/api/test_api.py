"""The public names: the door of plugins, the functions for scripts and notebooks, the helpers for tests."""

from __future__ import annotations

import ast
import subprocess
import sys
import typing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

import blindsr
from blindsr import BlindSRError, api
from blindsr.api import testing
from blindsr.imaging.writer import write_png

PIPELINE = """\
name: few
scale: 2
data: {sample: astronaut}
degradation: random_kernel
methods:
  Bicubic interpolation: {sr: bicubic}
  KernelGAN + bicubic: {kernel: {kernelgan: {iterations: 8, edge_shave: 0}}, sr: bicubic}
"""


@pytest.mark.parametrize("module", [blindsr, api])
def test_every_public_name_is_there_for_type_checkers_and_for_dir(module: typing.Any) -> None:
    tree = ast.parse(Path(module.__file__).read_text())
    typed = {alias.asname or alias.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names}
    public = set(module.__all__) - {"__version__"}
    assert public <= typed
    assert set(module.__all__) <= set(dir(module))
    for name in public:
        assert getattr(module, name) is not None
    with pytest.raises(AttributeError, match="'no_such_name'"):
        module.no_such_name  # noqa: B018


@pytest.mark.parametrize(
    "statement", ["import blindsr", "from blindsr.api import KernelEstimator, NonBlindSR, Degradation, hookimpl, InputFile"]
)
def test_declaring_a_plugin_loads_nothing_heavy(statement: str) -> None:
    code = f"{statement}\nimport sys\nprint(sorted({{'numpy', 'torch', 'scipy', 'h5py'}} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_annotations_of_the_interfaces_resolve_at_run_time() -> None:
    hints = typing.get_type_hints(api.KernelEstimator.estimate)
    assert hints["return"] is api.Kernel
    assert typing.get_type_hints(api.Degradation.sample_kernel)["rng"] is np.random.Generator
    assert typing.get_type_hints(api.NonBlindSR.fit)["kernel"] is api.Kernel
    assert typing.get_type_hints(api.RunContext.progress)["done"] is int


def test_a_kernel_of_a_file_is_the_one_that_a_pipeline_estimates(tmp_path: Path, small_photo: Path) -> None:
    (tmp_path / "few.yaml").write_text(PIPELINE)
    with blindsr.run(tmp_path / "few.yaml", data={"lr": [small_photo]}, out=tmp_path / "out", workers=0) as result:
        expected = result.kernel("small", "KernelGAN + bicubic", 0)
    found = blindsr.estimate_kernel(small_photo, method="kernelgan", iterations=8, edge_shave=0, threads=1)
    assert expected is not None
    np.testing.assert_array_equal(found.array, expected.array)
    other = blindsr.estimate_kernel(small_photo, method="kernelgan", iterations=8, edge_shave=0, seed=1)
    assert np.abs(other.array - found.array).max() > 0


def test_arrays_of_any_kind_go_in_and_come_out(photo: NDArray[np.uint8]) -> None:
    small = photo[:40, :50]
    kernel = blindsr.Kernel.bicubic(2)
    of_bytes = blindsr.super_resolve(small, kernel, method="bicubic")
    of_floats = blindsr.super_resolve(small / 255, kernel.array, method="bicubic")
    of_gray = blindsr.super_resolve(small[..., 0], kernel, method="bicubic")
    assert of_bytes.shape == of_floats.shape == of_gray.shape == (80, 100, 3)
    assert of_bytes.dtype == np.uint8
    assert of_floats.dtype == np.float32
    assert np.abs(of_floats - of_bytes / 255).max() < 0.51 / 255 + 2 / 65535
    assert blindsr.super_resolve(small.astype(np.uint16) * 257, kernel, method="bicubic").dtype == np.uint16


def test_degrading_by_a_given_kernel_is_correlation_and_decimation(photo: NDArray[np.uint8]) -> None:
    kernel = blindsr.Kernel.gaussian([[2.0, 0.5], [0.5, 1.0]], scale=2)
    lr, used = blindsr.degrade(photo, kernel, scale=2)
    assert used is kernel
    hr = photo[:300, :450].astype(np.float64)
    expected = np.stack([ndimage.correlate(hr[..., c], kernel.array, mode="reflect")[::2, ::2] for c in range(3)], axis=-1)
    assert np.abs(lr - expected).max() < 0.51


def test_a_random_degradation_hangs_on_the_image_and_the_seed(photo: NDArray[np.uint8]) -> None:
    first, again, other = (blindsr.degrade(photo, seed=seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first.lr, again.lr)
    assert np.abs(first.kernel.array - other.kernel.array).max() > 1e-3


def test_a_run_is_quiet_and_gives_its_result(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "few.yaml").write_text(PIPELINE)
    settings = {"methods.KernelGAN + bicubic.kernel": "bicubic"}
    for _ in range(2):
        with blindsr.run(tmp_path / "few.yaml", settings=settings, out=tmp_path / "out", name="mine", workers=1) as result:
            assert result.path == tmp_path / "out/mine/result.h5"
            assert result.metrics("astronaut", "Bicubic interpolation")["psnr"] > 20
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda photo: blindsr.estimate_kernel(photo, method="kernelgn"), "did you mean 'kernelgan'"),
        (lambda photo: blindsr.estimate_kernel(photo, method="kernelgan", iteration=3), "kernelgan.iteration: unknown parameter"),
        (lambda photo: blindsr.estimate_kernel(photo, method="ground_truth"), "ground_truth"),
        (lambda photo: blindsr.estimate_kernel("absent.png"), "absent.png: no such file"),
        (lambda photo: blindsr.estimate_kernel(photo * np.nan), "NaN"),
        (lambda photo: blindsr.super_resolve(photo * 2.0, blindsr.Kernel.bicubic(2)), "scale them to"),
        (lambda photo: blindsr.super_resolve(photo, blindsr.Kernel.bicubic(2), scale=3), "`kernel` is for x2"),
        (lambda photo: blindsr.super_resolve(photo, np.ones((3, 3)), method="bicubic"), "sums to 9"),
        (lambda photo: blindsr.degrade(photo, method="random_kernel", scale=3), "can do x2 and x4, not x3"),
        (lambda photo: blindsr.run("kernelgan_zsr"), "did you mean 'kernelgan_zssr'"),
        (lambda photo: blindsr.run("kernelgan_zssr", items="dog*", out="nowhere"), "`items` dog"),
        (lambda photo: blindsr.run("kernelgan_zssr", data={"hr": "absent"}), "absent: no such folder"),
    ],
)
def test_wrong_arguments_get_one_line(
    photo: NDArray[np.uint8], call: typing.Callable[[NDArray[np.uint8]], object], message: str, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    with pytest.raises(blindsr.BlindSRError) as caught:
        call(photo)
    assert message in str(caught.value)
    assert len(caught.value.lines) == 1
    assert "--" not in str(caught.value)


def test_samples_have_the_kernel_that_made_them() -> None:
    for lr, hr, kernel in testing.samples(scale=3, count=2, side_px=40):
        assert kernel.aligned
        made = np.stack([ndimage.correlate(hr[..., c], kernel.array, mode="reflect")[::3, ::3] for c in range(3)], axis=-1)
        assert np.abs(np.clip(made, 0, 1) - lr).max() <= 0.51 / 255


def test_the_run_context_keeps_what_a_component_says() -> None:
    context = testing.run_context(seed=3)
    context.progress(1, 4)
    context.log("loss", 1, 0.5)
    context.warn("soft image")
    assert (context.reports, context.points, context.warnings) == ([(1, 4)], {"loss": [(1, 0.5)]}, ["soft image"])
    assert context.rng.random() == testing.run_context(seed=3).rng.random() != testing.run_context(seed=4).rng.random()


def test_an_image_file_can_be_super_resolved(tmp_path: Path, photo: NDArray[np.uint8]) -> None:
    write_png(tmp_path / "lr.png", photo[:20, :20])
    blindsr.Kernel.bicubic(2).save(tmp_path / "k.mat")
    sr = blindsr.super_resolve(str(tmp_path / "lr.png"), tmp_path / "k.mat", scale=4, method="bicubic")
    assert sr.shape == (80, 80, 3)


@pytest.mark.parametrize("scale", [2.0, None, "2"])
def test_a_scale_that_is_no_whole_number_gets_a_line(scale: Any) -> None:
    image = np.zeros((40, 40, 3), np.uint8)
    kernel = np.ones((3, 3)) / 9
    for call in (
        lambda: blindsr.estimate_kernel(image, scale=scale),
        lambda: blindsr.super_resolve(image, kernel, scale=scale),
        lambda: blindsr.degrade(image, scale=scale),
        lambda: blindsr.degrade(image, kernel, scale=scale),
    ):
        with pytest.raises(BlindSRError) as refused:
            call()
        assert str(refused.value) == f"`scale` must be a whole number, not {scale!r}"


@pytest.mark.parametrize("shape", [(0, 40, 3), (40,), (2, 2, 2, 3)])
def test_an_array_that_is_no_image_gets_a_line(shape: tuple[int, ...]) -> None:
    with pytest.raises(BlindSRError, match=r"an image is \(H, W\) or \(H, W, channels\), and not empty; this has the shape"):
        blindsr.estimate_kernel(np.zeros(shape, np.uint8))
