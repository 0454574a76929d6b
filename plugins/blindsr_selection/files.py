"""The network's files: safetensors in half precision."""

from __future__ import annotations

import functools
from pathlib import Path

from blindsr.api import State, read_weights
from blindsr_selection.network import CorrectionNet

FORMAT = "blindsr-corrected-1"


@functools.lru_cache(3)
def load(path: Path, scale: int | None = None) -> CorrectionNet:
    """Read what the training wrote, in float32; once a process.

    Raises
    ------
    BlindSRError
        If the file is missing, damaged, something else, or was trained for another scale than this.
    """
    return read_weights(path, scale).build(_network, "is no network of `corrected`; expected one that its training wrote")


def _network(state: State) -> CorrectionNet:
    network = CorrectionNet(width=len(state["head.weight"]), blocks=sum(name.endswith("first.weight") for name in state))
    network.load_state_dict(state)
    return network.eval()
