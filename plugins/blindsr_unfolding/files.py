"""The network's files: safetensors in half precision."""

from __future__ import annotations

import functools
import math
from pathlib import Path

from blindsr.api import State, read_weights
from blindsr_unfolding.network import UnfoldingNet

FORMAT = "blindsr-unfolding-1"


@functools.lru_cache(3)
def load(path: Path, scale: int | None = None) -> UnfoldingNet:
    """Read what the training wrote, in float32; once a process. The shape of the network follows from its tensors.

    Raises
    ------
    BlindSRError
        If the file is missing, damaged, something else, or was trained for another scale than this.
    """
    return read_weights(path, scale).build(_network, "is no network of the unfolding plugin; expected one that its training wrote")


def _network(state: State) -> UnfoldingNet:
    width, pixels = len(state["priors.0.head.weight"]), len(state["priors.0.tail.weight"])
    # A block has two convolutions, with weights and biases.
    blocks, coarse_blocks = (sum(name.startswith(f"priors.0.{of}blocks.") for name in state) // 4 for of in ("", "coarse."))
    stages = len(state["log_alpha"])
    network = UnfoldingNet(math.isqrt(pixels // 3), width=width, blocks=blocks, stages=stages, coarse_blocks=coarse_blocks)
    network.load_state_dict(state)
    return network.eval()
