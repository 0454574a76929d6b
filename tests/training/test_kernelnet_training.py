"""The training of kernelnet: its calibration, its command."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from blindsr_kernelnet.files import load
from blindsr_training.__main__ import main
from blindsr_training.files import network_about
from blindsr_training.kernelnet import calibrate
from blindsr_training.kernelnet.calibrate import familiar, fitted_line
from click.testing import CliRunner


def test_the_line_is_found_from_which_errors_were_made() -> None:
    rng = np.random.default_rng(0)
    expected = torch.from_numpy(rng.normal(-2, 0.4, 20_000))
    errors = torch.exp(0.3 + 1.2 * expected + 0.25 * torch.from_numpy(rng.standard_normal(20_000)))
    offset, slope = fitted_line(expected, errors).tolist()
    assert slope == pytest.approx(1.2, abs=0.02)
    assert offset == pytest.approx(0.3 + 0.25**2 / 2, abs=0.05)  # the mean of a log-normal is exp(sigma^2 / 2) above its median
    assert float(torch.exp(offset + slope * expected).mean()) == pytest.approx(float(errors.mean()), rel=1e-3)


def test_a_line_never_falls() -> None:
    expected = torch.linspace(-3, -1, 50)
    assert fitted_line(expected, torch.exp(-expected))[1] > 0


def test_a_network_that_expects_the_same_of_all_is_told_the_mean() -> None:
    expected, errors = torch.full((4,), -1.5), torch.tensor([0.1, 0.2, 0.3, 0.4])
    offset, slope = fitted_line(expected + 1e-8 * torch.arange(4), errors).tolist()
    assert np.exp(offset + slope * -1.5) == pytest.approx(0.25, rel=1e-4)


def test_the_distance_is_mahalanobis_and_a_known_share_is_strange() -> None:
    rng = np.random.default_rng(0)
    mixing = torch.from_numpy(rng.normal(size=(6, 6)) + 3 * np.eye(6))
    known, others = (torch.from_numpy(rng.standard_normal((count, 6))) @ mixing + 5 for count in (20_000, 20_000))
    center, whitening = familiar(known, others)
    distances = ((others.float() - center) @ whitening).norm(dim=1)
    assert float((distances > 1).float().mean()) == pytest.approx(calibrate.EXCEEDED_BY, abs=1e-3)
    covariance = np.cov(known.numpy().T) + calibrate.LEAST_VARIANCE * np.trace(np.cov(known.numpy().T)) / 6 * np.eye(6)
    deviations = (others - known.mean(0)).numpy()[:100]
    reference = np.sqrt(np.einsum("ni,ij,nj->n", deviations, np.linalg.inv(covariance), deviations))
    ratio = distances[:100].numpy() / reference
    np.testing.assert_allclose(ratio, ratio[0], rtol=1e-3)


@pytest.mark.slow
def test_the_command_trains_calibrates_and_writes_a_network_that_loads(
    tmp_path: Path, large_photographs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("blindsr_training.kernelnet.training.HELD_OUT_CROPS", 2)
    monkeypatch.setattr(calibrate, "CROPS", calibrate.BATCH)
    arguments = ["--hr", large_photographs, "--out", tmp_path / "t", "--steps", 2, "--batch", 2, "--every", 1, "--threads", 1]
    done = CliRunner().invoke(main, ["kernelnet", *map(str, arguments)], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    lines = [json.loads(line) for line in (tmp_path / "t/log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2]
    path = tmp_path / "t/kernelnet.safetensors"
    made = load(path)
    assert made.calibration.noise_limit < 255
    untouched = {name: value.clone() for name, value in made.network.state_dict().items()}
    done = CliRunner().invoke(calibrate.main, ["--hr", str(large_photographs), str(path)], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    load.cache_clear()
    again = load(path)
    assert network_about(path)["steps"] == 2
    for name, value in again.network.state_dict().items():
        torch.testing.assert_close(value, untouched[name])
    for first, second in zip(made.calibration, again.calibration, strict=True):
        torch.testing.assert_close(first, second, rtol=0.02, atol=0.02)  # of the network before and after its rounding to half
