"""The training of ZSSR's pretrained weights."""

from pathlib import Path

import pytest
import tiny_training as tiny
import torch
from blindsr_training.__main__ import TRAININGS
from blindsr_training.harness import Trainer
from blindsr_training.photographs import split
from blindsr_zssr import WEIGHTS
from blindsr_zssr.pretrained import load


@pytest.mark.slow
def test_a_training_that_starts_from_weights_leaves_those_that_were_read_as_they_are(photographs: Path, tmp_path: Path) -> None:
    settings = tiny.settings("zssr", photographs, start=WEIGHTS)
    trainer = Trainer(TRAININGS["zssr"](settings, *split(photographs), {}), tmp_path, {})
    network = trainer.training.network
    before = {name: weight.detach().clone() for name, weight in network.named_parameters()}
    read = load(WEIGHTS)
    assert torch.equal(before["first"], read.network.first)
    next(trainer.losses())
    trained = dict(network.named_parameters())
    assert all(not torch.equal(weight, trained[name]) for name, weight in before.items())
    assert torch.equal(before["first"], read.network.first)
    assert torch.equal(before["hidden.5"], read.network.hidden[5].permute(0, 3, 1, 2))
    assert torch.equal(before["last"], read.network.last)
    assert torch.equal(before["log_alpha"], read.log_alpha)
