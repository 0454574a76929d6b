"""What a run computes with: device, workers, threads, or a Dask cluster."""

from __future__ import annotations

import math
import os
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from blindsr.errors import BlindSRError

if TYPE_CHECKING:
    import torch

GPU_NODES = ("nvidiactl", "nvidia0", "nvmap", "nvhost-gpu", "dxg", "kfd")
"""What Linux has in /dev for GPUs that torch knows: NVIDIA's (also Jetson's, and in WSL), and AMD's."""


@dataclass(frozen=True)
class Resources:
    """Where and with what the steps of a run are computed, as `blindsr.run` describes it.

    Float sums depend on `threads`, so results are equal bit for bit only for equal numbers. The workers of a Dask cluster resolve
    the device themselves.
    """

    device: str = "auto"
    workers: int | None = None
    threads: int = 1
    timeout: float | None = None
    dask: str | None = None

    def __post_init__(self) -> None:
        if self.dask and self.workers is not None:
            raise BlindSRError("`workers` is for this machine; a Dask cluster has the workers that were started for it")
        if self.workers == 0 and self.timeout is not None:
            raise BlindSRError("`timeout` needs a worker process that can be stopped: `workers` 1 or more")
        if self.timeout is not None and not 0 < self.timeout < math.inf:
            raise BlindSRError(f"`timeout` {self.timeout}: must be a number of seconds above 0")

    def resolved(self) -> Resources:
        """The same with the device that ``auto`` means on this machine."""
        return self if self.dask else replace(self, device=resolve_device(self.device))

    def workers_for(self, steps: int) -> int:
        """How many processes of this machine are used for that many steps."""
        if self.workers is not None:
            return self.workers
        if self.device == "cuda":
            import torch

            return max(1, min(torch.cuda.device_count(), steps))
        return max(1, min(available_cores() // self.threads, steps))


def available_cores() -> int:
    """The CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def resolve_device(device: str) -> str:
    """``auto`` becomes ``cuda`` if a GPU is there, else ``cpu``; a ``cuda`` that is not there is an error."""
    may_have_gpu = sys.platform != "linux" or any(Path("/dev", name).exists() for name in GPU_NODES)
    if device == "cpu" or (device == "auto" and not may_have_gpu):  # loading torch takes a second
        return "cpu"
    import torch

    if torch.cuda.is_available():
        return "cuda"
    if device == "cuda":
        raise BlindSRError("`device` cuda: torch sees no CUDA GPU on this machine; use `device` cpu")
    return "cpu"


def visible_gpus() -> list[str]:
    """The GPUs of this machine, as ``CUDA_VISIBLE_DEVICES`` names them."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible:
        return visible.split(",")
    import torch

    return [str(number) for number in range(torch.cuda.device_count())]


def fast_dtype(device: str) -> torch.dtype:
    """bfloat16 where the hardware of a device multiplies it faster than float32, otherwise float32."""
    import torch

    if device.startswith("cuda"):
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float32
    # Without these instructions the CPU only emulates bfloat16, and float32 is the faster of the two.
    checks = (getattr(torch.cpu, name, None) for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"))
    return torch.bfloat16 if any(check() for check in checks if check) else torch.float32
