"""The network's file: safetensors in half precision."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from blindsr.api import BlindSRError, write_whole
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
    try:
        with safe_open(path, framework="pt") as file:
            if (file.metadata() or {}).get("format") != FORMAT:
                raise BlindSRError(f"{path}: is no network of the kernelnet plugin")
            state = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118
        network = KernelNet()
        network.load_state_dict(state)
    except BlindSRError:
        raise
    except Exception as error:  # a damaged file makes safetensors and torch raise nearly anything
        raise BlindSRError(f"{path}: cannot be read as a network ({type(error).__name__}: {error})") from None
    if not all(torch.isfinite(value).all() for value in state.values()):
        raise BlindSRError(f"{path}: holds values that are NaN or infinite")
    return network.eval()
