"""kernelnet: its answers on images whose kernels are known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from blindsr_kernelnet import WEIGHTS, KernelNetEstimator
from blindsr_kernelnet.calibration import Calibration, flat_noise
from blindsr_kernelnet.estimation import CROP_PX, MAX_CROPS, crops
from blindsr_kernelnet.files import load
from blindsr_kernelnet.network import FRAME_PX, KernelNet
from blindsr_training.files import network_about
from blindsr_training.kernelnet.calibrate import save_calibrated
from numpy.typing import NDArray
from safetensors.torch import save_file

from blindsr.api import BlindSRError, Kernel, downscale, kernel_errors, read_image, to_depth, to_float
from blindsr.api.testing import run_context, samples


@pytest.mark.parametrize("name", ["set14rk", "urban5rk"])
def test_the_errors_on_the_reference_sets(shared: Path, name: str) -> None:
    folder = shared / "data" / name
    errors = []
    for path in sorted((folder / "lr_x2").iterdir()):
        number = path.stem.removeprefix("im_")
        kernel = KernelNetEstimator().estimate(to_float(read_image(path).pixels), 2, run_context())
        errors.append(kernel_errors(kernel, Kernel.load(folder / f"gt_k_x2/kernel_{number}.mat", scale=2))["kernel_l2"])
    assert np.mean(errors) < 0.13
    assert max(errors) < 0.25


def test_the_errors_at_x4(shared: Path) -> None:
    folder = shared / "data/urban5rk"
    for number in range(1, 6):
        kernel = KernelNetEstimator().estimate(to_float(read_image(folder / f"lr_x4/im_{number}.png").pixels), 4, run_context())
        assert kernel_errors(kernel, Kernel.load(folder / f"gt_k_x4/kernel_{number}.mat", scale=4))["kernel_l2"] < 0.2


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_narrow_and_wide_kernels_are_told_apart(scale: int) -> None:
    hr = samples(scale=2, count=1, side_px=220)[0].hr
    widths = []
    for variance in (0.5, 2.0, 5.0):
        kernel = Kernel.gaussian(variance * (scale**2 - 1) / 3, scale)
        lr = to_float(to_depth(downscale(hr, kernel), np.uint8))
        found = KernelNetEstimator().estimate(lr, scale, run_context())
        assert found.aligned
        assert kernel_errors(found, kernel)["kernel_l2"] < 0.35
        widths.append(np.mean(found.widths_px))
    assert widths == sorted(widths)


def test_the_same_image_gives_the_same_kernel() -> None:
    lr = samples(scale=2, count=1, side_px=96)[0].lr
    first, second = (KernelNetEstimator().estimate(lr, 2, run_context(seed=seed)).array for seed in (0, 1))
    np.testing.assert_array_equal(first, second)


def test_large_images_are_seen_by_their_most_textured_crops() -> None:
    rng = np.random.default_rng(0)
    gray = np.full((1500, 2000), 0.5, np.float32)
    gray[512:1024, 512:1536] += rng.normal(0, 0.1, (512, 1024)).astype(np.float32)
    found = crops(gray)
    assert found.shape == (MAX_CROPS, CROP_PX, CROP_PX)
    assert (found.std((1, 2)) > 0.01).sum() >= 6


@pytest.mark.parametrize(
    ("shape", "value", "message"),
    [((31, 64, 3), 0.5, "at least 32 a side"), ((64, 64, 3), 0.5, "flat"), ((64, 64, 3), 1.0, "flat")],
)
def test_images_that_say_nothing_get_one_line(shape: tuple[int, ...], value: float, message: str) -> None:
    with pytest.raises(BlindSRError, match=message):
        KernelNetEstimator().estimate(np.full(shape, value, np.float32), 2, run_context())


@pytest.mark.parametrize(
    "gray",
    [
        np.random.default_rng(0).random((64, 96)),
        (np.indices((64, 96)).sum(0) % 2) * 0.8 + 0.1,
        (np.indices((64, 96))[1] % 8 < 4) * 0.8 + 0.1,
    ],
    ids=["noise", "checkerboard", "stripes"],
)
def test_images_unlike_photographs_get_a_warning(gray: NDArray[np.float64]) -> None:
    context = run_context()
    kernel = KernelNetEstimator().estimate(gray.astype(np.float32)[..., None].repeat(3, 2), 2, context)
    assert np.isfinite(kernel.array).all()
    assert ["unlike those that it was trained on" in text for text in context.warnings] == [True]


def test_noise_far_beyond_the_training_s_gets_a_warning_and_a_plain_photograph_none(photo: NDArray[np.uint8]) -> None:
    lr = downscale(to_float(photo), Kernel.gaussian(1.0, 2))
    noise = np.random.default_rng(0).normal(0, 1 / 255, lr.shape)
    for levels, warned in ((0, False), (3, False), (25, True)):
        context = run_context()
        KernelNetEstimator().estimate(np.clip(lr + levels * noise, 0, 1).astype(np.float32), 2, context)
        assert bool(context.warnings) is warned


@pytest.mark.parametrize("levels", [2.0, 10.0])
def test_the_noise_of_a_smooth_image_is_measured(levels: float) -> None:
    ramp = np.linspace(0.3, 0.7, 128) + np.zeros((128, 1))
    noisy = ramp + np.random.default_rng(1).normal(0, levels / 255, ramp.shape)
    assert float(flat_noise(torch.from_numpy(noisy.astype(np.float32))[None, None])[0]) == pytest.approx(levels, rel=0.15)


@pytest.mark.parametrize("name", ["set14rk", "urban5rk"])
def test_the_expected_errors_are_right_on_the_mean(shared: Path, name: str) -> None:
    folder = shared / "data" / name
    expected, errors = [], []
    for path in sorted((folder / "lr_x2").iterdir()):
        context = run_context()
        kernel = KernelNetEstimator().estimate(to_float(read_image(path).pixels), 2, context)
        true = Kernel.load(folder / f"gt_k_x2/kernel_{path.stem.removeprefix('im_')}.mat", scale=2)
        expected.append(kernel.expected_error)
        errors.append(kernel_errors(kernel, true)["kernel_l2"])
        assert context.warnings == []
    assert np.mean(expected) == pytest.approx(np.mean(errors), rel=0.5)


def test_kernels_sum_to_one_in_the_frame_of_each_scale() -> None:
    network = KernelNet(width=32, channels=8, patterns=4)
    for scale, side in FRAME_PX.items():
        kernels = network(torch.rand(2, 1, 64, 64), scale).kernels
        assert kernels.shape == (2, side, side)
        torch.testing.assert_close(kernels.sum((1, 2)), torch.ones(2))


def test_the_network_is_read_as_it_was_written(tmp_path: Path) -> None:
    save_calibrated(tmp_path / "n.safetensors", *load(WEIGHTS), {"steps": 3})
    copy, shipped = load(tmp_path / "n.safetensors"), load(WEIGHTS)
    for name, value in shipped.network.state_dict().items():
        torch.testing.assert_close(copy.network.state_dict()[name], value)
    for found, value in zip(copy.calibration, shipped.calibration, strict=True):
        torch.testing.assert_close(found, value)
    assert network_about(tmp_path / "n.safetensors") == {"steps": 3}


def test_a_network_without_a_calibration_is_taken_at_its_word(tmp_path: Path) -> None:
    state = {name: value.half() for name, value in KernelNet().state_dict().items()}
    save_file(state, tmp_path / "n.safetensors")
    calibration = load(tmp_path / "n.safetensors").calibration
    assert calibration.expected_error(np.log(0.2), 3) == pytest.approx(0.2)
    assert calibration.strangeness(torch.ones(512), torch.rand(1, 64, 64)) < 1
    save_calibrated(tmp_path / "again.safetensors", KernelNet(), Calibration.none(), {})
    assert load(tmp_path / "again.safetensors").calibration.expected_error(np.log(0.2), 2) == pytest.approx(0.2)
    save_file(state | {"calibration.center": torch.zeros(3)}, tmp_path / "odd.safetensors")
    with pytest.raises(BlindSRError, match="a calibration of another form; calibrate it again"):
        load(tmp_path / "odd.safetensors")


def test_other_files_get_one_line(tmp_path: Path) -> None:
    (tmp_path / "broken.safetensors").write_bytes(WEIGHTS.read_bytes()[:1000])
    for name in ("absent", "broken"):
        with pytest.raises(BlindSRError, match=f"{name}.safetensors: "):
            load(tmp_path / f"{name}.safetensors")
