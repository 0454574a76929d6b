"""The training of the unfolding network: what it starts from."""

from pathlib import Path

import pytest
import tiny_training as tiny
import torch
from blindsr_training.__main__ import TRAININGS
from blindsr_training.photographs import split
from blindsr_unfolding import weights_file
from blindsr_unfolding.files import load

from blindsr.errors import BlindSRError


@pytest.mark.slow
def test_a_network_of_another_fold_and_with_less_stages_starts_with_the_layers_that_fit(photographs: Path) -> None:
    file = weights_file(2)
    settings = tiny.settings("unfolding", photographs, width=64, fold=1, start=file)
    network = TRAININGS["unfolding"](settings, *split(photographs), {}).network
    given, found = load(file).state_dict(), network.state_dict()
    fitting = {name for name, value in found.items() if name in given and value.shape == given[name].shape}
    assert {name for name in given if ".blocks." in name and name in found} <= fitting
    assert all(not value.any() for name, value in found.items() if ".coarse.up." in name)  # so it changes nothing yet
    assert fitting.isdisjoint({"priors.0.head.weight", "priors.1.tail.weight", "priors.1.tail.bias", "log_alpha"})
    assert all(torch.equal(found[name], given[name]) for name in fitting)


def test_a_network_of_another_width_is_refused_with_its_file_and_a_remedy(photographs: Path) -> None:
    file = weights_file(2)
    settings = tiny.settings("unfolding", photographs, width=16, start=file)
    with pytest.raises(BlindSRError) as refused:
        TRAININGS["unfolding"](settings, *split(photographs), {})
    remedy = "set `width` to 64, or leave `start` out"
    assert str(refused.value) == f"{file}: its priors have 64 channels, those to train 16; {remedy}"
