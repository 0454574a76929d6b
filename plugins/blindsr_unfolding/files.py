"""The network's files: safetensors in half precision."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import save_file

from blindsr.api import read_weights, write_whole
from blindsr_unfolding.network import UnfoldingNet

FORMAT = "blindsr-unfolding-1"


def save(path: Path, network: UnfoldingNet, about: Mapping[str, Any]) -> None:
    """Write a network, with `about` (plain JSON) in its header."""
    tensors = {name: value.detach().half().contiguous() for name, value in network.state_dict().items()}
    metadata = {"format": FORMAT, "about": json.dumps(dict(about))}
    write_whole(path, lambda part: save_file(tensors, part, metadata))


def load(path: Path) -> UnfoldingNet:
    """Read what `save` wrote, in float32; the shape of the network follows from its tensors.

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
