"""The network's files: safetensors in half precision."""

from __future__ import annotations

import math
from pathlib import Path

from blindsr.api import read_weights
from blindsr_unfolding.network import UnfoldingNet

FORMAT = "blindsr-unfolding-1"


def load(path: Path) -> UnfoldingNet:
    """Read what the training wrote, in float32; the shape of the network follows from its tensors.

    Raises
    ------
    BlindSRError
        If the file is missing, damaged, or something else.
    """
    weights = read_weights(path)
    state = {name: value.float() for name, value in weights.state.items()}
    try:
        width, pixels = len(state["priors.0.head.weight"]), len(state["priors.0.tail.weight"])
        blocks = sum(name.startswith("priors.0.blocks.") for name in state) // 4  # two convolutions, with weights and biases
        network = UnfoldingNet(math.isqrt(pixels // 3), width=width, blocks=blocks, stages=len(state["log_alpha"]))
        network.load_state_dict(state)
    except (KeyError, RuntimeError):
        raise weights.error("is no network of the unfolding plugin") from None
    return network.eval()
