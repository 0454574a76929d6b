"""The network's files: safetensors in half precision."""

from __future__ import annotations

import functools
import math
from pathlib import Path

from blindsr.api import State, read_weights
from blindsr_unfolding.network import UnfoldingNet

FORMAT = "blindsr-unfolding-1"


@functools.lru_cache(3)
def load(path: Path) -> UnfoldingNet:
    """Read what the training wrote, in float32; once a process. The shape of the network follows from its tensors.

    Raises
    ------
    BlindSRError
        If the file is missing, damaged, or something else.
    """
    return read_weights(path).build(_network, "is no network of the unfolding plugin; expected one that its training wrote")


def _network(state: State) -> UnfoldingNet:
    width, pixels = len(state["priors.0.head.weight"]), len(state["priors.0.tail.weight"])
    blocks = sum(name.startswith("priors.0.blocks.") for name in state) // 4  # two convolutions, with weights and biases
    network = UnfoldingNet(math.isqrt(pixels // 3), width=width, blocks=blocks, stages=len(state["log_alpha"]))
    network.load_state_dict(state)
    return network.eval()
