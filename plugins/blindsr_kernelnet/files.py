"""The network's file: safetensors in half precision."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import save_file

from blindsr.api import read_weights, write_whole
from blindsr_kernelnet.network import KernelNet

FORMAT = "blindsr-kernelnet-1"


def save(path: Path, network: KernelNet, about: Mapping[str, Any]) -> None:
    """Write a network, with `about` (plain JSON) in its header."""
    tensors = {name: value.detach().half().contiguous() for name, value in network.state_dict().items()}
    metadata = {"format": FORMAT, "about": json.dumps(dict(about))}
    write_whole(path, lambda part: save_file(tensors, part, metadata))


@functools.lru_cache(1)
def load(path: Path) -> KernelNet:
    """Read what `save` wrote, in float32; once a process.

    Raises
    ------
    BlindSRError
        If the file is missing, damaged, or something else.
    """
    weights = read_weights(path)
    network = KernelNet()
    try:
        network.load_state_dict({name: value.float() for name, value in weights.state.items()})
    except RuntimeError:
        raise weights.error("is no network of the kernelnet plugin") from None
    return network.eval()
