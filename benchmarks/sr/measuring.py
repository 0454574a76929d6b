"""One method over the images of a set, in a process of its own."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blindsr.api import Kernel, psnr_y, ssim_y

PLAIN = ("srmd, plain", "unfolding, plain")


@dataclass(frozen=True)
class Sample:
    """An LR image (float32), its HR image (uint8) and a kernel."""

    name: str
    lr: NDArray[np.float32]
    hr: NDArray[np.uint8]
    kernel: Kernel


@dataclass
class Measured:
    """Scores of the images, seconds per SR megapixel of the first one and of all after it, and the peak memory."""

    cold: float = 0.0
    warm: list[float] = field(default_factory=list)
    psnr: list[float] = field(default_factory=list)
    ssim: list[float] = field(default_factory=list)
    memory_mb: float = 0.0


def component(text: str, scale: int, *, kind: Any = "sr") -> Any:
    """The component of a name, or of ``{name: {parameter: value}}`` as in a pipeline; or a plain form."""
    from blindsr.components.registry import Registry
    from blindsr.pipeline.yaml_source import parsed_component

    if text in PLAIN:
        import plain

        return plain.FORMS[PLAIN.index(text)]()
    return parsed_component(Registry.discover(), kind, text, scale)


def measured(text: str, samples: Sequence[Sample], *, scale: int, device: str, threads: int, seed: int) -> Measured:
    """Run a method: the first image cold, then all of them warm."""
    result = Measured()
    result.cold, _ = _timed(text, None, samples[0], scale, device, threads, seed)
    method = component(text, scale)
    for sample in samples:
        seconds, sr = _timed(text, method, sample, scale, device, threads, seed)
        result.warm.append(seconds)
        result.psnr.append(psnr_y(sr, sample.hr, shave=scale))
        result.ssim.append(ssim_y(sr, sample.hr, shave=scale))
    result.memory_mb = _peak_memory_mb(device)
    return result


def _timed(text: str, method: Any, sample: Sample, scale: int, device: str, threads: int, seed: int) -> tuple[float, Any]:
    """Seconds per SR megapixel, and the SR image; without a method all that comes before is timed, too."""
    start = time.perf_counter()
    import torch

    from blindsr.api.testing import run_context
    from blindsr.execution.tiling import upscale

    torch.set_num_threads(threads)
    upscaler = (method or component(text, scale)).fit(sample.lr, sample.kernel, run_context(seed=seed, device=device))
    sr = upscale(upscaler, sample.lr, scale, device=device)
    return (time.perf_counter() - start) / (sr.shape[0] * sr.shape[1] / 1e6), sr


def _peak_memory_mb(device: str) -> float:
    if device == "cuda":
        import torch

        return torch.cuda.max_memory_allocated() / 1e6
    peak = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert peak
    return int(peak[1]) / 1e3
