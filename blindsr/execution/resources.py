"""What a run computes with: device, workers, threads, or a Dask cluster."""

from __future__ import annotations

import math
import os
import sys
from dataclasses import dataclass, replace
from pathlib import Path

from blindsr.errors import BlindSRError

GPU_NODES = ("nvidiactl", "nvidia0", "nvmap", "nvhost-gpu", "dxg", "kfd")
"""What Linux has in /dev for GPUs that torch knows: NVIDIA's (also Jetson's, and in WSL), and AMD's."""


@dataclass(frozen=True)
class Resources:
    """Where and with what the steps of a run are computed.

    Attributes
    ----------
    device
        ``cpu``, ``cuda``, or ``auto``: a GPU if there is one.
    workers
        Worker processes; 0 runs everything in this process; None: one for each `threads` cores, or one for each GPU.
    threads
        Threads of each worker. Float sums depend on it, so results are equal bit for bit only for equal numbers.
    timeout
        Seconds after which a step is given up; None: never. Not for ``workers=0``.
    dask
        Address of a Dask scheduler, whose workers are used instead; they resolve the device themselves.

    Raises
    ------
    BlindSRError
        If two of these do not go together.
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
        """The same with the device that ``auto`` means on this machine.

        Raises
        ------
        BlindSRError
            If the device is not there.
        """
        return self if self.dask else replace(self, device=resolve_device(self.device))

    def workers_for(self, steps: int) -> int:
        """How many processes of this machine are used for that many steps."""
        if self.workers is not None:
            return self.workers
        return max(1, min(count_gpus() if self.device == "cuda" else count_cores() // self.threads, steps))


def resolve_device(device: str) -> str:
    """``auto`` becomes ``cuda`` if a GPU is there, else ``cpu``; a ``cuda`` that is not there is an error."""
    if device == "cpu" or (device == "auto" and not _may_have_gpu()):
        return "cpu"
    import torch

    if torch.cuda.is_available():
        return "cuda"
    if device == "cuda":
        raise BlindSRError("`device` cuda: torch sees no CUDA GPU on this machine; use `device` cpu")
    return "cpu"


def count_gpus() -> int:
    """How many GPUs torch sees."""
    import torch

    return torch.cuda.device_count()


def count_cores() -> int:
    """The processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _may_have_gpu() -> bool:
    """Whether it is worth loading torch, which takes a second, to ask."""
    return sys.platform != "linux" or any(Path("/dev", name).exists() for name in GPU_NODES)
