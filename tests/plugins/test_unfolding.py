"""The unfolding network: its data step against dense least squares, its weights on images with known kernels."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from blindsr_training.files import save_network
from blindsr_unfolding import Unfolding, weights_file
from blindsr_unfolding.files import FORMAT, load
from blindsr_unfolding.network import UnfoldingNet
from blindsr_unfolding.upscaler import UnfoldingUpscaler
from numpy.typing import NDArray
from pydantic import ValidationError
from scipy import ndimage

from blindsr.api import (
    BlindSRError,
    DataStep,
    Kernel,
    bicubic,
    downscale,
    psnr_y,
    read_image,
    to_depth,
    to_float,
    transfer_function,
    with_border,
)
from blindsr.api.testing import run_context, samples


def _operator(kernel: NDArray[np.float64], side: int, scale: int) -> NDArray[np.float64]:
    """The matrix of blur (scipy's correlation, periodic) and decimation of a side x side image."""
    columns = []
    for index in range(side**2):
        unit = np.zeros(side**2)
        unit[index] = 1
        blurred = ndimage.correlate(unit.reshape(side, side), kernel, mode="wrap")
        columns.append(blurred[::scale, ::scale].ravel())
    return np.stack(columns, axis=1)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_the_data_step_is_the_least_squares_solution(scale: int) -> None:
    rng = np.random.default_rng(scale)
    side = 12
    kernel = rng.random((5, 7))
    kernel /= kernel.sum()
    matrix = _operator(kernel, side, scale)
    x, lr, alpha = rng.random(side**2), rng.random((side // scale) ** 2), 0.01
    expected = np.linalg.solve(matrix.T @ matrix + alpha * np.eye(side**2), matrix.T @ lr + alpha * x)
    transfer = transfer_function(torch.from_numpy(kernel)[None], (side, side))
    step = DataStep(torch.from_numpy(lr).view(1, 1, side // scale, -1), transfer, scale)
    found = step(torch.from_numpy(x).view(1, 1, side, side), torch.tensor([alpha], dtype=torch.float64))
    np.testing.assert_allclose(found.numpy().ravel(), expected, atol=1e-9)


def test_a_kernel_larger_than_the_image_is_wrapped() -> None:
    rng = np.random.default_rng(0)
    kernel, image = rng.random((15, 15)), rng.random((8, 8))
    transfer = transfer_function(torch.from_numpy(kernel)[None], (8, 8))
    found = torch.fft.irfft2(torch.fft.rfft2(torch.from_numpy(image)) * transfer[0, 0], s=(8, 8))
    np.testing.assert_allclose(found.numpy(), ndimage.correlate(image, kernel, mode="wrap"), atol=1e-9)


@pytest.mark.parametrize("periodic", [True, False])
@pytest.mark.parametrize("side", [5, 101])
def test_a_border_is_added_and_cut_off_again(side: int, periodic: bool) -> None:
    lr = np.random.default_rng(0).random((20, 13, 3)).astype(np.float32)
    kernel = Kernel(np.full((side, 3), 1 / (3 * side)), 3)
    seen: list[torch.Tensor] = []

    def restore(image: torch.Tensor, transfer: torch.Tensor) -> torch.Tensor:
        seen.extend((image, transfer))
        return image.repeat_interleave(3, 2).repeat_interleave(3, 3)

    hr = with_border(restore, lr, kernel, device="cpu", periodic=periodic)
    np.testing.assert_array_equal(hr, lr.repeat(3, 0).repeat(3, 1))
    _, _, height, width = seen[0].shape
    border = (height - 20) // 2
    assert height - 20 == width - 13 == 2 * border
    assert 3 * border >= side
    mirrored = np.pad(lr, ((border, border), (border, border), (0, 0)), mode="symmetric")
    assert np.array_equal(seen[0][0].permute(1, 2, 0).numpy(), mirrored) is not periodic
    expected = np.fft.rfft2(kernel.array, (3 * height, 3 * width))  # but for the place of its origin
    np.testing.assert_allclose(seen[1][0, 0].abs().numpy(), np.abs(expected), atol=1e-5)


@pytest.mark.parametrize(("scale", "least_db"), [(2, 2.0), (4, 1.0)])
def test_it_is_far_better_than_bicubic_interpolation_with_the_true_kernel(scale: int, least_db: float) -> None:
    for lr, hr, kernel in samples(scale=scale, count=2, side_px=192 // scale):
        sr = Unfolding().fit(lr, kernel, run_context())(lr)
        plain = bicubic(lr, scale=scale)
        gain = psnr_y(np.clip(sr, 0, 1), hr, shave=scale) - psnr_y(np.clip(plain, 0, 1), hr, shave=scale)
        assert gain > least_db


def test_a_kernel_of_no_gaussian_is_undone_too() -> None:
    lr_hr = samples(scale=2, count=1, side_px=96)[0]
    streak = np.zeros((15, 15))
    streak[7, 3:13] = 1
    kernel = Kernel(ndimage.gaussian_filter(streak, 0.6) / ndimage.gaussian_filter(streak, 0.6).sum(), 2).align()
    lr = to_float(to_depth(downscale(lr_hr.hr, kernel), np.uint8))
    sr = Unfolding().fit(lr, kernel, run_context())(lr)
    gain = psnr_y(np.clip(sr, 0, 1), lr_hr.hr, shave=2) - psnr_y(np.clip(bicubic(lr, scale=2), 0, 1), lr_hr.hr, shave=2)
    assert gain > 2


def test_a_long_kernel_does_no_harm_where_the_image_is_cut() -> None:
    hr = samples(scale=2, count=1, side_px=64)[0].hr
    streak = np.zeros((21, 21))
    streak[10, 3:18] = 1
    kernel = Kernel(ndimage.gaussian_filter(streak, 0.6) / ndimage.gaussian_filter(streak, 0.6).sum(), 2).align()
    lr = to_float(to_depth(downscale(hr, kernel)[8:-8, 8:-8], np.uint8))
    sr = Unfolding().fit(lr, kernel, run_context())(lr)
    inner = hr[16:-16, 16:-16]
    gain = psnr_y(np.clip(sr, 0, 1), inner, shave=2) - psnr_y(np.clip(bicubic(lr, scale=2), 0, 1), inner, shave=2)
    assert gain > 5


def test_a_doubtful_kernel_is_trusted_less() -> None:
    lr, hr, kernel = samples(scale=2, count=1, side_px=96)[0]
    wide = Kernel.gaussian(1.6 * np.diag(np.square(kernel.widths_px)), 2)
    scores = [
        psnr_y(np.clip(Unfolding(kernel_error=error).fit(lr, wide, run_context())(lr), 0, 1), hr, shave=2) for error in (0, 0.3)
    ]
    assert scores[1] > scores[0] + 0.3


@pytest.mark.parametrize(
    ("parameter", "own", "told"),
    [(None, None, 0), (None, 0.0, 0), (None, 0.2, 0.2), (None, 1.5, 1), (0.1, 0.2, 0.1), (0.0, 0.2, 0)],
)
def test_it_takes_the_kernel_s_own_expected_error_unless_it_is_told_one(
    parameter: float | None, own: float | None, told: float
) -> None:
    lr, _, kernel = samples(scale=2, count=1, side_px=32)[0]
    upscaler = Unfolding(kernel_error=parameter).fit(lr, replace(kernel, expected_error=own), run_context())
    assert isinstance(upscaler, UnfoldingUpscaler)
    assert upscaler.kernel_error == told


def test_the_last_data_step_makes_the_result_agree_with_the_image() -> None:
    lr, hr, kernel = samples(scale=2, count=1, side_px=96)[0]

    def result(data_step: bool, error: float = 0.0, noise: float = 0.0) -> tuple[float, float]:
        """PSNR and what is unexplained of the LR image."""
        method = Unfolding(data_step=data_step, noise=noise)
        sr = np.clip(method.fit(lr, replace(kernel, expected_error=error), run_context())(lr), 0, 1)
        return psnr_y(sr, hr, shave=2), float(np.abs(downscale(sr, kernel) - lr).mean())

    (plain_db, plain_rest), (db, rest) = result(False), result(True)
    assert db > plain_db
    assert rest < 0.5 * plain_rest
    # The less, the more the kernel or the image is doubted.
    for doubt in ({"error": 0.5}, {"noise": 20.0}):
        assert result(True, **doubt) == pytest.approx(result(False, **doubt), rel=0.1)


def test_noise_that_is_told_is_not_amplified() -> None:
    lr, hr, kernel = samples(scale=2, count=1, side_px=96)[0]
    noisy = np.clip(lr + np.random.default_rng(0).normal(0, 5 / 255, lr.shape), 0, 1).astype(np.float32)
    scores = [
        psnr_y(np.clip(Unfolding(noise=noise).fit(noisy, kernel, run_context())(noisy), 0, 1), hr, shave=2)
        for noise in (0, 5, "estimated")
    ]
    assert scores[1] > scores[0] + 1
    assert scores[2] == pytest.approx(scores[1], abs=0.2)


def test_a_noise_that_is_no_level_gets_one_message() -> None:
    for wrong in (-1, 51, "guessed", "5"):
        with pytest.raises(ValidationError) as refused:
            Unfolding(noise=wrong)  # type: ignore[arg-type]
        (error,) = refused.value.errors()
        assert error["msg"] == f"Value error, must be a number from 0 to 50, or 'estimated', not {wrong!r}"


@pytest.mark.parametrize("name", ["set14rk", "urban5rk"])
def test_the_reference_sets(shared: Path, name: str) -> None:
    folder = shared / "data" / name
    gains = []
    for number in (2, 4):
        lr = to_float(read_image(folder / f"lr_x2/im_{number}.png").pixels)
        hr = read_image(folder / f"gt/img_{number}_gt.png").pixels[: 2 * lr.shape[0], : 2 * lr.shape[1]]
        kernel = Kernel.load(folder / f"gt_k_x2/kernel_{number}.mat", scale=2)
        sr = Unfolding().fit(lr, kernel, run_context())(lr)
        plain = to_depth(bicubic(lr, scale=2), np.uint8)
        gains.append(psnr_y(to_depth(sr, np.uint8), hr, shave=2) - psnr_y(plain, hr, shave=2))
    assert min(gains) > 2.5


def test_tiles_differ_from_the_whole_by_little() -> None:
    lr, _, kernel = samples(scale=2, count=1, side_px=128)[0]
    upscaler = Unfolding().fit(lr, kernel, run_context())
    assert isinstance(upscaler, UnfoldingUpscaler)
    assert upscaler.halo
    whole = upscaler(lr)
    tile = upscaler(lr[:, : 64 + upscaler.halo])[:, :128]
    assert np.abs(tile - whole[:, :128]).max() < 2e-3


def test_a_network_is_read_as_it_was_written(tmp_path: Path) -> None:
    network = UnfoldingNet(3, width=8, blocks=1, stages=2)
    save_network(tmp_path / "n.safetensors", network, {"steps": 1}, header={"format": FORMAT})
    found = load(tmp_path / "n.safetensors")
    for name, value in network.state_dict().items():
        torch.testing.assert_close(found.state_dict()[name], value.half().float())


def test_other_files_get_one_line(tmp_path: Path) -> None:
    (tmp_path / "broken.safetensors").write_bytes(weights_file(2).read_bytes()[:1000])
    from blindsr_srmd import own_weights

    for path in (tmp_path / "absent.safetensors", tmp_path / "broken.safetensors", own_weights(2)):
        with pytest.raises(BlindSRError, match="safetensors: "):
            load(path)


def test_bfloat16_differs_from_float32_by_little(photo: np.ndarray) -> None:
    lr, kernel = to_float(photo[:48, :48]), Kernel.bicubic(2)
    exact, fast = (Unfolding(precision=precision).fit(lr, kernel, run_context())(lr) for precision in ("float32", "bfloat16"))
    difference = np.abs(exact - fast)
    assert 0 < difference.mean() < 1e-3
    with pytest.raises(ValueError, match="leave precision out"):
        Unfolding.model_validate({"checkpoint": __file__, "precision": "bfloat16"})
