"""How much faster ZSSR trains than the plain recipe: one 128 x 128 crop a step, float32, Adam, the son made in every step.

python benchmarks/zssr_speed.py [--shared ../shared] [--image urban5rk/3] [--steps 40] [--threads 1] [--plain-steps 6]

Prints the seconds of a step of each, taken by turns in this one run, then the seconds of the whole method.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from blindsr_zssr import ZSSR
from blindsr_zssr.network import CHANNELS, LAYERS
from zssr_quality import Run, item

from blindsr.imaging.downscaling import downscale
from blindsr.imaging.kernel import Kernel
from blindsr.imaging.resize import bicubic

PLAIN_STEPS = 3000
PLAIN_CROP_PX = 128


def plain_step(lr: np.ndarray, kernel: Kernel) -> Callable[[], None]:
    """A step of the recipe of the ZSSR that KernelGAN's release bundles (without its loss map and its plateau checks)."""
    sides = [3, *[CHANNELS] * (LAYERS - 1), 3]
    layers = [torch.nn.Conv2d(a, b, 3, padding=1, bias=False) for a, b in pairwise(sides)]
    optimizer = torch.optim.Adam([layer.weight for layer in layers], lr=1e-3)
    rng = np.random.default_rng(0)

    def step() -> None:
        top, left = (int(rng.integers(size - PLAIN_CROP_PX + 1)) for size in lr.shape[:2])
        father = lr[top : top + PLAIN_CROP_PX, left : left + PLAIN_CROP_PX]
        son = bicubic(np.clip(downscale(father, kernel), 0, 1), scale=kernel.scale)
        x = base = torch.from_numpy(son).permute(2, 0, 1)[None].contiguous()
        for index, layer in enumerate(layers):
            x = layer(x) if index == LAYERS - 1 else F.relu(layer(x))
        loss = (base + x - torch.from_numpy(np.ascontiguousarray(father)).permute(2, 0, 1)[None]).abs().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    parser.add_argument("--image", default="urban5rk/3")
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--plain-steps", type=int, default=6)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    cv2.setNumThreads(arguments.threads)
    lr, _, kernel = item(arguments.shared, arguments.image, 2)
    plain = plain_step(lr, kernel)
    plain()
    ours, theirs = [], []
    for _ in range(arguments.rounds):
        start = time.perf_counter()
        for _ in range(arguments.plain_steps):
            plain()
        theirs.append((time.perf_counter() - start) / arguments.plain_steps)
        start = time.perf_counter()
        ZSSR(iterations=arguments.steps).fit(lr, kernel, Run(0))
        ours.append((time.perf_counter() - start) / arguments.steps)
    steps, mine, plainly = ZSSR().iterations, float(np.median(ours)), float(np.median(theirs))
    print(f"{lr.shape[1]} x {lr.shape[0]} LR pixels, {arguments.threads} thread(s)")
    print(f"a step: {1e3 * mine:.1f} ms, of the plain recipe {1e3 * plainly:.1f} ms: {plainly / mine:.1f} times as fast")
    ratio = PLAIN_STEPS * plainly / (steps * mine)
    print(f"training ({steps} steps, of the plain recipe {PLAIN_STEPS}): {ratio:.1f} times as fast")
    start = time.perf_counter()
    upscaler = ZSSR().fit(lr, kernel, Run(0))
    trained = time.perf_counter()
    upscaler(lr)
    done = time.perf_counter()
    print(f"in all: {done - start:.1f} s (training {trained - start:.1f} s, upscaling {done - trained:.1f} s)")


if __name__ == "__main__":
    main()
