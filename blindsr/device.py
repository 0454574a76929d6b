"""What this machine computes on."""

from __future__ import annotations

import os

from blindsr.errors import BlindSRError


def resolve_device(device: str) -> str:
    """``auto`` becomes ``cuda`` if a GPU is there, else ``cpu``; a ``cuda`` that is not there is an error."""
    if device == "cpu":
        return device
    import torch

    if torch.cuda.is_available():
        return "cuda"
    if device == "cuda":
        raise BlindSRError("--device cuda: torch sees no CUDA GPU on this machine; use --device cpu")
    return "cpu"


def gpus() -> int:
    """How many GPUs torch sees."""
    import torch

    return torch.cuda.device_count()


def cores() -> int:
    """The processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
