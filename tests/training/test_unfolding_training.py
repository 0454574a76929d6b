"""The training of the unfolding network: what it starts from, and the estimated kernels that it is told."""

import re
from pathlib import Path

import numpy as np
import pytest
import tiny_training as tiny
import torch
from blindsr_michaeli_irani import MichaeliIrani
from blindsr_training import precomputed
from blindsr_training.__main__ import TRAININGS, main
from blindsr_training.kernel_families import FRAME_PX, middle_px, noisy_gaussian
from blindsr_training.photographs import HELD_OUT, split
from blindsr_training.unfolding.estimates import EstimatedKernel, read_estimates
from blindsr_training.unfolding.examples import random_example
from blindsr_unfolding import weights_file
from blindsr_unfolding.files import load
from click.testing import CliRunner

from blindsr.api import SYMMETRIES, BlindSRError, Kernel, downscale
from blindsr.imaging.writer import write_png


@pytest.mark.slow
def test_a_network_of_another_fold_and_with_less_stages_starts_with_the_layers_that_fit(photographs: Path) -> None:
    file = weights_file(2, "small")
    settings = tiny.settings("unfolding", photographs, width=64, fold=1, start=file)
    network = TRAININGS["unfolding"](settings, *split(photographs), {}).network
    given, found = load(file).state_dict(), network.state_dict()
    fitting = {name for name, value in found.items() if name in given and value.shape == given[name].shape}
    assert {name for name in given if ".blocks." in name and name in found} <= fitting
    assert all(not value.any() for name, value in found.items() if ".coarse.up." in name)  # so it changes nothing yet
    assert fitting.isdisjoint({"priors.0.head.weight", "priors.1.tail.weight", "priors.1.tail.bias", "log_alpha"})
    assert all(torch.equal(found[name], given[name]) for name in fitting)


@pytest.mark.slow
def test_the_loss_is_the_mean_of_the_patches_rms_errors(photographs: Path) -> None:
    training = TRAININGS["unfolding"](tiny.settings("unfolding", photographs), *split(photographs), {})
    batch = training.batch(np.random.default_rng(0))
    error = torch.from_numpy(np.random.default_rng(1).normal(0, 0.1, batch.hr.shape)).float()
    found = training.loss(lambda *told: batch.hr + error, batch)
    rms = [np.sqrt(np.mean(patch.numpy() ** 2)) for patch in error]
    assert found.item() == pytest.approx(np.mean(rms), rel=1e-4)


def test_a_network_of_another_width_is_refused_with_its_file_and_a_remedy(photographs: Path) -> None:
    file = weights_file(2)
    settings = tiny.settings("unfolding", photographs, width=16, start=file)
    with pytest.raises(BlindSRError) as refused:
        TRAININGS["unfolding"](settings, *split(photographs), {})
    remedy = "set `width` to 64, or leave `start` out"
    assert str(refused.value) == f"{file}: its priors have 64 channels, those to train 16; {remedy}"


@pytest.fixture
def estimates(tmp_path: Path, photographs: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of six estimates."""
    for name, value in (("PART", 6), ("HELD_OUT_PARTS", 1)):
        monkeypatch.setattr(precomputed, name, value)
    command = ["estimates", "--hr", str(photographs), "--out", str(tmp_path), "--count", "6"]
    done = CliRunner().invoke(main, [*command, "--estimator", "kernelnet", "--estimator", "michaeli_irani"])
    assert done.exit_code == 0, done.output
    return tmp_path


@pytest.mark.slow
def test_it_is_told_the_kernels_of_estimators_in_the_place_of_the_true_ones(photographs: Path, estimates: Path) -> None:
    pairs = read_estimates(estimates, 2, held_out=False)
    assert len(pairs) == 6
    axis = np.arange(FRAME_PX[2])
    for true, told, error in pairs:
        for kernel in (true, told):
            assert kernel.shape == (FRAME_PX[2], FRAME_PX[2])
            assert kernel.sum() == pytest.approx(1)
            assert [kernel.sum(1) @ axis, kernel.sum(0) @ axis] == pytest.approx([middle_px(FRAME_PX[2], 2)] * 2, abs=0.1)
        assert 0.2 < np.linalg.norm(told - true) / np.linalg.norm(true) / error < 5
    assert {pair.error == pytest.approx(MichaeliIrani.typical_error) for pair in pairs} == {True, False}  # of both estimators
    settings = tiny.settings("unfolding", photographs, estimates=estimates)
    training = TRAININGS["unfolding"](settings, *split(photographs), {})
    assert all(np.array_equal(one.told, other.told) for one, other in zip(training.estimates, pairs, strict=True))
    rng = np.random.default_rng(0)
    drawn = [random_example(rng, 2, pairs) for _ in range(200)]
    assert {example.error for example in drawn} >= {pair.error for pair in pairs}


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_an_estimate_is_turned_about_its_centre_of_mass(scale: int) -> None:
    kernels = [noisy_gaussian(np.random.default_rng(seed), scale, np.array([[1.5, 0.7], [0.7, 0.6]])) for seed in range(2)]
    estimate = EstimatedKernel(kernels[0], kernels[1], 0.2)
    relation = np.linalg.norm(estimate.true - estimate.told)
    hr = np.random.default_rng(0).random((24 * scale, 24 * scale, 1)).astype(np.float32)
    for symmetry in SYMMETRIES:
        true, told, error = estimate.turned(symmetry, scale)
        assert (true.shape, error) == (kernels[0].shape, 0.2)
        assert np.linalg.norm(true - told) == pytest.approx(relation, rel=1e-3)
        turned = downscale(np.ascontiguousarray(symmetry.apply(hr)), Kernel(true, scale))
        expected = symmetry.apply(downscale(hr, Kernel(kernels[0], scale)))
        inside = slice(12, -12)
        assert turned[inside, inside] == pytest.approx(expected[inside, inside], abs=1e-3)


@pytest.mark.slow
def test_estimates_of_others_are_refused(photographs: Path, estimates: Path, tmp_path: Path) -> None:
    with pytest.raises(BlindSRError, match="its estimates are for x2; set `scale` to 2, or name others"):
        read_estimates(estimates, 4, held_out=False)
    command = ["estimates", "--hr", str(photographs), "--out", str(estimates), "--count", "6", "--estimator"]
    other = CliRunner().invoke(main, [*command, "kernelnet"])
    assert other.exit_code == 1
    assert "was made with other settings or networks (estimators); choose another folder" in other.output
    unknown = CliRunner().invoke(main, [*command, "kernlnet"])
    assert unknown.output == "Error: unknown kernel estimator 'kernlnet'; did you mean 'kernelnet'?\n"
    pipelines_only = CliRunner().invoke(main, [*command, "ground_truth"])
    assert pipelines_only.output == "Error: 'ground_truth' is for pipelines; choose another estimator from `blindsr plugins`\n"
    parameters = CliRunner().invoke(main, [*command, "{kernelgan: {preset: rubust}}"])
    assert parameters.output == "Error: kernelgan.preset: should be 'faithful' or 'robust', not 'rubust'\n"
    examples = CliRunner().invoke(main, ["examples", "--hr", str(photographs), "--out", str(estimates), "--count", "6"])
    assert "held_out_000.safetensors: holds estimates, not examples; choose another folder" in examples.output
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(BlindSRError, match="holds no estimates; make them: python -m blindsr_training estimates --hr PHOTOS"):
        TRAININGS["unfolding"](tiny.settings("unfolding", photographs, estimates=empty), *split(photographs), {})


def test_photographs_that_an_estimator_always_refuses_get_a_line(tmp_path: Path) -> None:
    for number in range(2 * HELD_OUT):
        write_png(tmp_path / f"{number:02}.png", np.full((60, 60, 3), 5 * number, np.uint8))
    done = CliRunner().invoke(
        main, ["estimates", "--hr", str(tmp_path), "--out", str(tmp_path / "out"), "--estimator", "kernelnet"]
    )
    assert done.exit_code == 1
    assert re.search(
        "Error: of 100 photographs, degraded, none gets a kernel \\(kernelnet: the image has 30 x 30 pixels; .*\\); name others",
        done.output,
    )
