"""ZSSR's own Muon beside torch.optim.Muon: milliseconds of a step, and PSNR after a training, in one run.

    python benchmarks/zssr_optimizer.py [--shared ../shared] [--images set14rk/2,urban5rk/3] [--iterations 300] [--threads 1]

The plugin's own one takes all six hidden layers through the Newton-Schulz iteration as one batch, in float32, and multiplies their
small Gram matrices only; torch's takes one matrix at a time, in bfloat16. The rest (Adam, rates, data, seeds) is the same.
"""

from __future__ import annotations

import argparse
import math
import time
from pathlib import Path

import cv2
import numpy as np
import torch
from blindsr_zssr import ZSSR, training
from blindsr_zssr.network import Network
from blindsr_zssr.scales import RATES
from zssr_quality import Run, item, numbers

from blindsr.imaging.metrics import psnr_y

WARM_UP = 5


class TorchMuon(training.Optimizer):
    """The plugin's optimiser with torch's Muon for the hidden layers."""

    def __init__(self, network: Network, rates: training.Rates) -> None:
        super().__init__(network, rates)
        self.matrices = [torch.nn.Parameter(weight.flatten(1).clone()) for weight in network.hidden]
        self.muon = torch.optim.Muon(
            self.matrices, lr=rates.muon, weight_decay=0.0, momentum=training.MUON_MOMENTUM, adjust_lr_fn="match_rms_adamw"
        )

    def _muon(self, gradient: torch.Tensor, rate: float) -> None:
        for matrix, weight in zip(self.matrices, gradient, strict=True):
            matrix.grad = weight.flatten(1)
        self.muon.param_groups[0]["lr"] = rate
        self.muon.step()
        for weight, matrix in zip(self.network.hidden, self.matrices, strict=True):
            weight.copy_(matrix.view_as(weight))


OPTIMIZERS = {"own": training.Optimizer, "torch": TorchMuon}


def step_ms(kind: type[training.Optimizer], steps: int) -> float:
    """The median milliseconds of a step of the optimiser alone."""
    rng = torch.Generator().manual_seed(0)
    network = Network(torch.randn(64, 3, 3, 3), torch.randn(6, 64, 3, 3, 64) / math.sqrt(576), torch.randn(3, 64, 3, 3))
    gradient = Network(*(torch.randn(weight.shape, generator=rng) for weight in network))
    made = kind(network, RATES)
    seconds = []
    for _ in range(WARM_UP + steps):
        start = time.perf_counter()
        made.step(gradient, 1.0)
        seconds.append(time.perf_counter() - start)
    return 1e3 * float(np.median(seconds[WARM_UP:]))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    parser.add_argument("--images", default="set14rk/2,urban5rk/3")
    parser.add_argument("--seeds", type=numbers, default=[0])
    parser.add_argument("--iterations", type=int, default=300)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    cv2.setNumThreads(arguments.threads)
    times: dict[str, list[float]] = {name: [] for name in OPTIMIZERS}
    for _ in range(3):
        for name, kind in OPTIMIZERS.items():
            times[name].append(step_ms(kind, arguments.steps))
    print("a step of the optimiser: " + ", ".join(f"{name} {np.median(found):.1f} ms" for name, found in times.items()))
    for image in arguments.images.split(","):
        lr, hr, kernel = item(arguments.shared, image, 2)
        for seed in arguments.seeds:
            scores = []
            for name, kind in OPTIMIZERS.items():
                training.Optimizer = kind  # type: ignore[misc,assignment]
                start = time.perf_counter()
                upscaler = ZSSR(iterations=arguments.iterations).fit(lr, kernel, Run(seed))
                seconds = time.perf_counter() - start
                sr = np.round(255 * upscaler(lr)).astype(np.uint8)
                scores.append(f"{name} {psnr_y(sr, hr[: sr.shape[0], : sr.shape[1]], shave=2):.2f} dB in {seconds:.1f} s")
            print(f"{image}, seed {seed}, {arguments.iterations} steps: {', '.join(scores)}", flush=True)


if __name__ == "__main__":
    main()
