"""The training of SRMD: its kernels and images, its command."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from blindsr_srmd.checkpoints import load_own
from blindsr_srmd.stretching import framed
from blindsr_training.__main__ import main
from blindsr_training.optimizer import log_l1, rate_factor
from blindsr_training.photographs import split
from blindsr_training.srmd import training
from blindsr_training.srmd.kernels import FRAME, as_tensor, degraded, sample_kernels
from blindsr_training.srmd.training import SRMDSettings, SRMDTraining, fitted_basis
from click.testing import CliRunner
from safetensors.torch import load_file

from blindsr.imaging.downscaling import downscale
from blindsr.imaging.kernel import Kernel
from blindsr.imaging.reader import to_float


def _covariance(array: np.ndarray) -> np.ndarray:
    grid = np.indices(array.shape).reshape(2, -1)
    return np.cov(grid, aweights=np.clip(array, 0, None).ravel(), ddof=0)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_training_kernels_are_aligned_and_cover_the_range_of_div2krk(scale: int) -> None:
    kernels = sample_kernels(3000, scale, np.random.default_rng(0))
    assert kernels.shape == (3000, FRAME[scale], FRAME[scale])
    np.testing.assert_allclose(kernels.sum((1, 2)), 1, atol=1e-9)
    for kernel in kernels[:50]:
        assert max(map(abs, Kernel(kernel, scale).misalignment_px)) < 5e-3
    variances = np.array([np.linalg.eigvalsh(_covariance(kernel)) for kernel in kernels[:500] if kernel.min() >= 0])
    growth = (scale**2 - 1) / 3
    assert np.quantile(variances, 0.02) < 0.7 * growth  # section 4 of the paper: 0.6 to 5 at x2
    assert np.quantile(variances, 0.98) > 4.5 * growth
    plain = framed(Kernel.bicubic(scale).array, FRAME[scale])
    assert 0.02 < np.mean([np.array_equal(kernel, plain) for kernel in kernels]) < 0.06


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_training_images_are_degraded_as_the_core_does(scale: int, photo: np.ndarray) -> None:
    kernel = sample_kernels(1, scale, np.random.default_rng(5))
    reach, side = FRAME[scale] // 2, 24 * scale
    hr = to_float(photo[40 : 40 + side + 2 * reach, 40 : 40 + side + 2 * reach])
    lr = degraded(torch.from_numpy(hr).permute(2, 0, 1)[None], as_tensor(kernel), scale)[0].permute(1, 2, 0).numpy()
    expected = downscale(np.ascontiguousarray(hr[reach:, reach:]), Kernel(kernel[0], scale))
    inner = slice(reach // scale + 1, 24 - reach // scale - 1)
    assert lr.shape == (24, 24, 3)
    assert lr[inner, inner].size > 300
    np.testing.assert_allclose(lr[inner, inner], expected[inner, inner], atol=0.51 / 255)


def test_the_basis_gives_back_its_own_components() -> None:
    kernels = sample_kernels(500, 2, np.random.default_rng(0))
    basis = fitted_basis(kernels, 15)
    coefficients = np.array([basis.coefficients(kernel) for kernel in kernels])
    assert coefficients[:, 0].std() == pytest.approx(1, abs=1e-6)
    assert (np.diff(coefficients.std(axis=0)) <= 1e-9).all()
    scale = (basis.basis.reshape(15, -1) ** 2).sum(1)
    rebuilt = basis.mean + np.tensordot(coefficients / scale, basis.basis, axes=1)
    assert np.linalg.norm(rebuilt - kernels) < 0.25 * np.linalg.norm(kernels)  # the remainder is the kernels' noise


def test_a_basis_is_extended_by_what_it_lacks() -> None:
    kernels = sample_kernels(500, 2, np.random.default_rng(0))
    begun = fitted_basis(kernels, 4)
    extended = fitted_basis(kernels, 12, begun)
    np.testing.assert_array_equal(extended.basis[:4], begun.basis)
    flat = (kernels - extended.mean).reshape(500, -1)
    left = [
        np.linalg.norm(flat - flat @ np.linalg.pinv(part) @ part)
        for part in (basis.basis.reshape(len(basis.basis), -1) for basis in (extended, fitted_basis(kernels, 12)))
    ]
    assert left[0] == pytest.approx(left[1], rel=1e-6)  # principal components again


def test_more_coefficients_begin_without_effect(photographs: Path, tmp_path: Path) -> None:
    begun = SRMDTraining(SRMDSettings(hr=photographs, scale=2, coefficients=5), *split(photographs), {})
    begun.save(tmp_path, begun.network, {})
    settings = SRMDSettings(hr=photographs, scale=2, coefficients=9, start=tmp_path / "x2.safetensors")
    more = SRMDTraining(settings, *split(photographs), {})
    lr, coefficients = torch.rand(2, 3, 12, 12), torch.randn(2, 9)
    torch.testing.assert_close(more.network(lr, coefficients), begun.network(lr, coefficients[:, :5]), atol=2e-3, rtol=0)


def test_the_loss_counts_a_narrow_kernels_small_error_like_a_wide_ones(photographs: Path) -> None:
    training_ = SRMDTraining(SRMDSettings(hr=photographs, scale=2, precision="float32"), *split(photographs), {})
    hr = torch.zeros(2, 3, 8, 8)
    batch = training.Batch(torch.zeros(2, 3, 4, 4), hr, torch.zeros(2, 40))
    sr = torch.stack([torch.full((3, 8, 8), 0.09), torch.full((3, 8, 8), 0.04)])
    expected = (np.log(0.09 + 0.01) + np.log(0.04 + 0.01)) / 2
    assert training_.loss(lambda *_: sr, batch).item() == pytest.approx(expected, rel=1e-5)


def test_a_training_that_goes_on_keeps_its_basis(photographs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = SRMDSettings(hr=photographs, scale=2, batch=1, patch=8)
    first = SRMDTraining(settings, *split(photographs), {})
    monkeypatch.setattr(training, "fitted_basis", lambda *_: pytest.fail("another library might give other signs"))
    again = SRMDTraining(settings, *split(photographs), first.constants)
    np.testing.assert_array_equal(again.basis.basis, first.basis.basis)


def test_the_command_trains_logs_and_writes_a_network_that_loads(photographs: Path, tmp_path: Path) -> None:
    arguments = f"srmd --hr {photographs} --out {tmp_path}/t --scale 2 --steps 2 --batch 1 --patch 8 --every 1 --threads 1"
    done = CliRunner().invoke(main, arguments.split(), catch_exceptions=False)
    assert done.exit_code == 0, done.output
    lines = [json.loads(line) for line in (tmp_path / "t/log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2]
    assert lines[-1]["bicubic_db"] > lines[-1]["psnr_db"] > 20  # after two steps it is still near its start, bicubic interpolation
    model = load_own(tmp_path / "t/x2.safetensors")
    assert model.network.scale == 2
    # A network of another scale starts from it: all layers between the first and the last are the same.
    settings = SRMDSettings(hr=photographs, scale=4, batch=1, patch=8, start=tmp_path / "t/x2.safetensors")
    four = SRMDTraining(settings, *split(photographs), {}).network
    saved = load_file(tmp_path / "t/x2.safetensors")
    torch.testing.assert_close(four.convolutions[5].weight, saved["model.10.weight"].float())
    assert four.convolutions[-1].weight.shape[0] == 48


def test_the_rate_rises_then_falls_to_zero() -> None:
    factors = [rate_factor(step, 1000, 200) for step in (0, 199, 600, 999)]
    assert factors == pytest.approx([1 / 200, 0.801, 0.4, 0.001])


def test_the_loss_is_the_logarithm_of_each_patchs_error() -> None:
    hr = torch.full((2, 3, 4, 4), 0.5)
    sr = hr + torch.tensor([0.09, -0.24])[:, None, None, None]
    assert log_l1(sr, hr).item() == pytest.approx((np.log(0.1) + np.log(0.25)) / 2)
