"""The network's files: safetensors in half precision, the network's shape in the header."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from blindsr.api import BlindSRError, write_whole
from blindsr_unfolding.network import UnfoldingNet

FORMAT = "blindsr-unfolding-1"


def save(path: Path, network: UnfoldingNet, about: Mapping[str, Any]) -> None:
    """Write a network, with `about` (plain JSON) in its header."""
    tensors = {name: value.detach().half().contiguous() for name, value in network.state_dict().items()}
    shape = {
        "scale": network.scale,
        "width": network.width,
        "blocks": network.blocks,
        "stages": len(network.priors),
    }
    metadata = {"format": FORMAT, "shape": json.dumps(shape), "about": json.dumps(dict(about))}
    write_whole(path, lambda part: save_file(tensors, part, metadata))


def load(path: Path) -> UnfoldingNet:
    """Read what `save` wrote, in float32.

    Raises
    ------
    BlindSRError
        If the file is missing, damaged, or something else.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            if metadata.get("format") != FORMAT:
                raise BlindSRError(f"{path}: is no network of the unfolding plugin")
            state = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118
        shape = {name: int(value) for name, value in json.loads(metadata["shape"]).items()}
        network = UnfoldingNet(shape.pop("scale"), **shape)
        network.load_state_dict(state)
    except BlindSRError:
        raise
    except Exception as error:  # a damaged file makes safetensors and torch raise nearly anything
        raise BlindSRError(f"{path}: cannot be read as a network ({type(error).__name__}: {error})") from None
    if not all(torch.isfinite(value).all() for value in state.values()):
        raise BlindSRError(f"{path}: holds values that are NaN or infinite")
    return network.eval()
