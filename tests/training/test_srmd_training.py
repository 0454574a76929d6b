"""The training of SRMD: its kernels and images, its state on disk, its command."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from blindsr_srmd.checkpoints import load_own
from blindsr_srmd.stretching import framed
from blindsr_training import srmd
from blindsr_training.kernels import FRAME, as_tensor, degraded, sample_kernels
from blindsr_training.optimizer import rate_factor
from blindsr_training.photographs import HELD_OUT, Photographs, split
from blindsr_training.srmd import Settings, Training, fitted_basis, main, side_px
from click.testing import CliRunner
from safetensors.torch import load_file

from blindsr.errors import BlindSRError
from blindsr.imaging.downscaling import downscale
from blindsr.imaging.kernel import Kernel
from blindsr.imaging.reader import to_float
from blindsr.imaging.writer import write_png


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


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


@pytest.fixture
def photographs(tmp_path: Path, photo: np.ndarray) -> Path:
    for number in range(2 * HELD_OUT):
        write_png(tmp_path / f"hr/{number:02}.png", photo[5 * number : 5 * number + 150, 10 * number : 10 * number + 160])
    return tmp_path / "hr"


def test_a_stopped_training_goes_on_as_if_it_had_not_been(
    photographs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings("these", 2, 4, 2, 8, 0, 1e-3, "")
    images = Photographs(split(photographs)[0], side_px(settings))
    straight = Training(settings, tmp_path / "one", "cpu")
    losses = list(straight.run(images))
    stopped = Training(settings, tmp_path / "two", "cpu")
    steps = stopped.run(images)
    first = [next(steps), next(steps)]
    stopped.save()
    monkeypatch.setattr(srmd, "fitted_basis", lambda kernels, count: pytest.fail("another library might give other signs"))
    resumed = Training(settings, tmp_path / "two", "cpu")
    assert first + list(resumed.run(images)) == losses
    for name, value in straight.model.network.state_dict().items():
        torch.testing.assert_close(resumed.model.network.state_dict()[name], value, rtol=0, atol=0)
    with pytest.raises(BlindSRError, match=r"is a training with other settings \(images, seed\)"):
        Training(Settings("others", 2, 4, 2, 8, 1, 1e-3, ""), tmp_path / "two", "cpu")
    (tmp_path / "two/training.pt").write_bytes(b"cut")
    with pytest.raises(BlindSRError, match=r"training\.pt: is no training that could go on"):
        Training(settings, tmp_path / "two", "cpu")


def test_the_command_trains_logs_and_writes_a_network_that_loads(photographs: Path, tmp_path: Path) -> None:
    arguments = [
        "--hr",
        photographs,
        "--out",
        tmp_path / "t",
        "--steps",
        2,
        "--batch",
        1,
        "--patch",
        8,
        "--every",
        1,
        "--threads",
        1,
    ]
    done = CliRunner().invoke(main, [*map(str, arguments), "--scale", "2"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    lines = [json.loads(line) for line in (tmp_path / "t/log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2]
    assert lines[-1]["bicubic_db"] > lines[-1]["psnr_db"] > 20  # after two steps it is still near its start, bicubic interpolation
    model = load_own(tmp_path / "t/x2.safetensors")
    assert model.network.scale == 2
    # A network of another scale starts from it: all layers between the first and the last are the same.
    settings = Settings("these", 4, 1, 1, 8, 0, 1e-3, "that")
    four = Training(settings, tmp_path / "four", "cpu", tmp_path / "t/x2.safetensors").model.network
    saved = load_file(tmp_path / "t/x2.safetensors")
    torch.testing.assert_close(four.convolutions[5].weight, saved["model.10.weight"].float())
    assert four.convolutions[-1].weight.shape[0] == 48


def test_photographs_that_cannot_serve_get_a_line(tmp_path: Path, photographs: Path, photo: np.ndarray) -> None:
    write_png(tmp_path / "few/a.png", photo)

    def message(folder: str, *options: str) -> str:
        arguments = ["--hr", str(tmp_path / folder), "--out", str(tmp_path / "t"), "--scale", "4", *options]
        done = CliRunner().invoke(main, arguments)
        assert done.exit_code == 1
        assert not (tmp_path / "t").exists()
        return done.output

    assert "few: holds 1 images; training needs at least 20" in message("few")
    assert "no image holds a patch with its surroundings, 170 x 170 pixels; make `patch` smaller" in message("hr")
    for path in photographs.iterdir():
        write_png(path, photo[:60, :60])
    assert "is too small to be scored at x4" in message("hr")


def test_the_rate_rises_then_falls_to_zero() -> None:
    factors = [rate_factor(step, 1000) for step in (0, 199, 600, 999)]
    assert factors == pytest.approx([1 / 200, 0.801, 0.4, 0.001])
