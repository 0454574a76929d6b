"""What this machine computes on."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from blindsr.errors import BlindSRError

GPU_NODES = ("nvidiactl", "nvidia0", "nvmap", "nvhost-gpu", "dxg", "kfd")
"""What Linux has in /dev for GPUs that torch knows: NVIDIA's (also Jetson's, and in WSL), and AMD's."""


def resolve_device(device: str) -> str:
    """``auto`` becomes ``cuda`` if a GPU is there, else ``cpu``; a ``cuda`` that is not there is an error."""
    if device == "cpu" or (device == "auto" and not _may_have_gpu()):
        return "cpu"
    import torch

    if torch.cuda.is_available():
        return "cuda"
    if device == "cuda":
        raise BlindSRError("--device cuda: torch sees no CUDA GPU on this machine; use --device cpu")
    return "cpu"


def _may_have_gpu() -> bool:
    """Whether it is worth to load torch, which takes a second, to ask."""
    return sys.platform != "linux" or any(Path("/dev", name).exists() for name in GPU_NODES)


def gpus() -> int:
    """How many GPUs torch sees."""
    import torch

    return torch.cuda.device_count()


def cores() -> int:
    """The processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
