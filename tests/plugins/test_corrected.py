"""corrected: least-squares corrections of a kernel's taps, and the network that chooses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from blindsr_kernelnet import KernelNetEstimator
from blindsr_selection import Corrected, Refined, weights_file
from blindsr_selection.correction import POWERS, told
from blindsr_selection.files import load
from blindsr_selection.least_squares import CHANNELS, SIDES_PX, Channel, _Equations, corrections, framed, unframed
from blindsr_selection.network import CorrectionNet
from blindsr_unfolding.upscaler import UnfoldingUpscaler
from scipy import signal

from blindsr.api import BlindSRError, Kernel, downscale, kernel_errors, psnr_y, read_image, to_float
from blindsr.api.testing import run_context, samples


def _noisy_gaussian(scale: int, seed: int = 0) -> Kernel:
    """As in DIV2KRK, at any scale."""
    factor = (scale**2 - 1) / 3
    array = Kernel.gaussian(factor * np.array([[3.0, 0.7], [0.7, 1.5]]), scale, size=SIDES_PX[scale] // 2 * 2 - 7).array
    array = array * np.random.default_rng(seed).uniform(0.75, 1.25, array.shape)
    return Kernel(array / array.sum(), scale).align()


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_a_frame_has_the_centre_of_mass_in_its_middle_and_is_the_kernel(scale: int) -> None:
    kernel = _noisy_gaussian(scale)
    frame = framed(kernel)
    assert frame.shape == (SIDES_PX[scale],) * 2
    middle = (np.indices(frame.shape).reshape(2, -1) * frame.ravel()).sum(1) / frame.sum()
    assert middle == pytest.approx([(SIDES_PX[scale] - 1) / 2] * 2, abs=1e-4)
    assert kernel_errors(unframed(frame, scale), kernel)["kernel_l2"] < 1e-3
    # Turned, it is the kernel of a turned image: `downscale` is another program.
    hr = np.random.default_rng(1).random((40 * scale, 44 * scale, 3))
    turned = unframed(np.ascontiguousarray(np.rot90(frame)), scale)
    inner = slice(SIDES_PX[scale] // scale, -SIDES_PX[scale] // scale)
    expected = np.rot90(downscale(hr, unframed(frame, scale)))[inner, inner]
    assert downscale(np.ascontiguousarray(np.rot90(hr)), turned)[inner, inner] == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_with_the_true_image_the_correction_is_the_error_of_the_kernel(scale: int) -> None:
    """White noise as the HR image: least squares without damping find the truth."""
    side = SIDES_PX[scale]
    hr = np.random.default_rng(0).random((scale * 120, scale * 110, 3))
    true = _noisy_gaussian(scale)
    lr = downscale(hr, true)
    wrong = framed(Kernel.gaussian(np.eye(2) * 2.0 * (scale**2 - 1) / 3, scale))
    equations = _Equations(lr, hr, wrong, scale)
    for laplacian in (0.0, 1.0):
        found = equations.solved(Channel(laplacian, 0, 1e-6)).numpy()
        assert found.shape == (side, side)
        assert np.linalg.norm(wrong + found - framed(true)) < 0.05 * np.linalg.norm(framed(true))


def test_the_solution_is_that_of_dense_least_squares() -> None:
    """The design matrix written out, by scipy's correlation with one tap at a time; ridge regression as numpy solves it."""
    scale, damping = 2, 1e-2
    side = SIDES_PX[scale]
    random = np.random.default_rng(0)
    sr = signal.fftconvolve(random.random((160, 160, 3)), np.ones((3, 3, 1)) / 9, mode="same")
    lr = random.random((80, 80, 3))
    frame = framed(_noisy_gaussian(scale))
    equations = _Equations(lr, sr, frame, scale)
    lr, sr = (image - image.mean((0, 1)) for image in (lr, sr))
    place = np.arange(80)
    weight = np.sin(np.clip((np.minimum(place, 79 - place) - side // 2 // scale - 2) / 8, 0, 1) * np.pi / 2) ** 2
    weight = weight[:, None] * weight[None]
    start = (scale - side) // 2
    columns = [
        np.roll(sr, (-start - row, -start - column), (0, 1))[::scale, ::scale] for row in range(side) for column in range(side)
    ]
    design = np.stack([(column * np.sqrt(weight)[..., None]).ravel() for column in columns], 1)
    rest = lr - sum(tap * column for tap, column in zip(frame.ravel(), columns, strict=True))
    right = design.T @ (rest * np.sqrt(weight)[..., None]).ravel()
    matrix = design.T @ design
    expected = np.linalg.solve(matrix + damping * np.trace(matrix) / side**2 * np.eye(side**2), right)
    found = equations.solved(Channel(0, 0, damping)).numpy().ravel()
    # The program weighs the two factors of a product, not the product, which is the same where the weight changes slowly.
    assert np.linalg.norm(found - expected) < 0.15 * np.linalg.norm(expected)
    assert np.corrcoef(found, expected)[0, 1] > 0.99


def test_a_kernel_that_explains_the_image_needs_no_correction() -> None:
    _, hr, true = samples(count=1, side_px=96)[0]
    exact = downscale(hr, true)
    found = corrections(exact, hr, framed(true), 2)
    assert len(found.taps) == len(CHANNELS)
    assert found.residual < 1e-3
    assert float(found.taps.abs().max()) < 0.05 * true.array.max()


def test_without_texture_there_is_nothing_to_correct() -> None:
    black = np.zeros((80, 80, 3), np.float32)
    found = corrections(black, black.repeat(2, 0).repeat(2, 1), framed(_noisy_gaussian(2)), 2)
    assert not found.taps.any()
    assert np.isfinite(Corrected(start="bicubic").estimate(black, 2, run_context()).array).all()  # type: ignore[arg-type]


def test_each_method_super_resolves_with_its_kernel_and_is_told_its_error(monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = _noisy_gaussian(2)
    lr = samples(count=1, side_px=160)[0].lr
    tried: list[Kernel] = []
    bicubic = Corrected(sr="bicubic", noisy_sr="bicubic")  # type: ignore[arg-type]
    fit = type(bicubic.sr).fit

    def fitted(self: Any, lr: Any, kernel: Kernel, run: Any) -> Any:
        tried.append(kernel)
        return fit(self, lr, kernel, run)

    monkeypatch.setattr(type(bicubic.sr), "fit", fitted)
    found = told(kernel, (bicubic.sr, bicubic.noisy_sr), lr, run_context())
    for sr, error in ((Corrected().sr, 0.35), (Corrected().noisy_sr, 0.1)):
        upscaler = sr.fit(lr, kernel, run_context())
        assert isinstance(upscaler, UnfoldingUpscaler)
        assert (upscaler.kernel_error, upscaler.alpha) == (error, None)  # whatever the kernel expects of itself
    wider = np.divide(*(np.linalg.det(each.covariance) for each in tried))
    assert wider == pytest.approx(POWERS[0] ** -2, rel=0.1)  # of a Gaussian, to the power p: the covariance over p
    assert kernel_errors(tried[1], kernel)["kernel_l2"] < 1e-3
    assert found.corrections.shape == (1, 2 * len(CHANNELS), 22, 22)
    # The SR image is the same, and so is the kernel whose taps are corrected: they differ in nothing else.
    assert torch.equal(*found.corrections.chunk(2, 1))
    assert found.residuals[0, 0] == found.residuals[0, 1]


def test_a_new_network_changes_nothing() -> None:
    frame = torch.from_numpy(framed(_noisy_gaussian(2))).float()[None]
    found = torch.randn(1, 2 * len(CHANNELS), 22, 22)
    answer = CorrectionNet()(frame, found, torch.tensor([[0.002, 0.01]]), torch.tensor([0.12]))
    assert answer.frames.detach().numpy() == pytest.approx(frame.numpy(), abs=1e-5)
    assert answer.log_error.exp().item() == pytest.approx(0.12)


@pytest.mark.slow
def test_kernels_with_noise_get_better() -> None:
    """Of photographs and kernels that the network was not trained on; so does what is made with them."""
    from blindsr_unfolding import Unfolding

    before, after, gains = [], [], []
    for number, sample in enumerate(samples(count=4, side_px=160)):
        true = _noisy_gaussian(2, number)
        hr = sample.hr
        lr = to_float((downscale(hr, true).clip(0, 1) * 255).round().astype(np.uint8))
        kernels = [estimator.estimate(lr, 2, run_context()) for estimator in (KernelNetEstimator(), Corrected())]
        errors = [kernel_errors(kernel, true)["kernel_l2"] for kernel in kernels]
        before.append(errors[0])
        after.append(errors[1])
        made = [Unfolding().fit(lr, kernel, run_context())(lr).clip(0, 1) for kernel in kernels]
        gains.append(psnr_y(made[1], hr, shave=8) - psnr_y(made[0], hr, shave=8))
    assert np.mean(after) < np.mean(before)
    assert np.mean(gains) > 0


def test_an_image_that_is_too_small_keeps_its_kernel() -> None:
    lr = samples(count=1, side_px=48)[0].lr
    run = run_context()
    kernel = Corrected().estimate(lr, 2, run)
    assert np.array_equal(kernel.array, Refined().estimate(lr, 2, run_context()).align().array)
    assert any("left as it is" in text for text in run.warnings)


def test_it_needs_its_own_weights_and_those_of_its_parts(tmp_path: Path) -> None:
    assert {path.parent.parent.name for path in Corrected().shipped_weights(2)} == {
        "blindsr_selection", "blindsr_kernelnet", "blindsr_unfolding",
    }  # fmt: skip
    assert weights_file(2).is_file()
    broken = tmp_path / "x2.safetensors"
    broken.write_bytes(weights_file(2).read_bytes()[:1000])
    with pytest.raises(BlindSRError, match=r"x2\.safetensors"):
        load(broken)


@pytest.mark.slow
def test_the_reference_sets(shared: Path) -> None:
    """Mean error and PSNR on urban5rk, which the network was not trained on."""
    rows: list[Any] = []
    for number in range(1, 6):
        folder = shared / "data/urban5rk"
        lr = to_float(read_image(folder / f"lr_x2/im_{number}.png").pixels)
        true = Kernel.load(folder / f"gt_k_x2/kernel_{number}.mat", scale=2)
        kernels = [estimator.estimate(lr, 2, run_context()) for estimator in (KernelNetEstimator(), Corrected())]
        rows.append([kernel_errors(kernel, true)["kernel_l2"] for kernel in kernels])
    before, after = np.mean(rows, 0)
    assert after < before
