"""The weights that a training starts from instead of random ones."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import NamedTuple

import torch

from blindsr.api import State, read_weights
from blindsr_zssr.network import Network
from blindsr_zssr.restoring import PLANES

FORMAT = "blindsr-zssr-1"


class Pretrained(NamedTuple):
    """A network that was trained on many images and kernels, and the weights of its data step (see `restored`)."""

    network: Network
    log_alpha: torch.Tensor


@functools.lru_cache(1)
def load(path: Path) -> Pretrained:
    """Read what the training wrote, in float32; once a process.

    Raises
    ------
    BlindSRError
        If the file is missing, damaged, or something else.
    """
    return read_weights(path).build(
        _pretrained, "holds no pretrained weights of ZSSR; expected a file that `blindsr_training zssr` wrote"
    )


def _pretrained(state: State) -> Pretrained:
    found = Pretrained(Network(state["first"], state["hidden"], state["last"]), state["log_alpha"])
    if found.network.first.shape[1] != PLANES * found.network.fold**2 or found.log_alpha.shape != (3,):
        raise ValueError
    return found
