"""The training of the unfolding network: what it starts from, and the estimated kernels that it is told."""

from pathlib import Path

import blindsr_selection
import numpy as np
import pytest
import tiny_training as tiny
import torch
from blindsr_training.__main__ import TRAININGS
from blindsr_training.corrected import examples
from blindsr_training.kernel_families import FRAME_PX, middle_px
from blindsr_training.photographs import split
from blindsr_training.unfolding.estimated_kernels import of_corrected
from blindsr_unfolding import weights_file
from blindsr_unfolding.files import load

from blindsr.errors import BlindSRError


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


@pytest.mark.slow
def test_it_is_told_the_kernels_of_corrected_in_the_place_of_the_true_ones(
    tmp_path: Path, photographs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("PART", 2), ("HELD_OUT_PARTS", 1)):
        monkeypatch.setattr(examples, name, value)
    folder, weights = tmp_path / "examples", blindsr_selection.weights_file(2)
    examples.make_examples(photographs, folder, scale=2, count=2, seed=0)
    pairs = of_corrected(weights, folder, 2, held_out=False)
    assert len(pairs) == 2
    axis = np.arange(FRAME_PX[2])
    for true, told, error in pairs:
        for kernel in (true, told):
            assert kernel.shape == (FRAME_PX[2], FRAME_PX[2])
            assert kernel.sum() == pytest.approx(1)
            assert [kernel.sum(1) @ axis, kernel.sum(0) @ axis] == pytest.approx([middle_px(FRAME_PX[2], 2)] * 2, abs=0.1)
        assert 0.2 < np.linalg.norm(told - true) / np.linalg.norm(true) / error < 5
    settings = tiny.settings("unfolding", photographs, corrector=weights, examples=folder)
    training = TRAININGS["unfolding"](settings, *split(photographs), {})
    assert all(np.array_equal(one.told, other.told) for one, other in zip(training.estimates, pairs, strict=True))
    with pytest.raises(BlindSRError, match="was trained for x2, not for x4; "):
        of_corrected(weights, folder, 4, held_out=False)


def test_a_corrector_without_examples_is_refused(photographs: Path) -> None:
    with pytest.raises(ValueError, match="`corrector`; give both or neither"):
        tiny.settings("unfolding", photographs, corrector=blindsr_selection.weights_file(2))
