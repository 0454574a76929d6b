"""ZSSR as configured by default, given the true kernels: PSNR an image and seed, beside the KernelGAN authors' release.

python benchmarks/zssr_quality.py [--shared ../shared] [--images set14rk/2,set14rk/10,urban5rk/1] [--seeds 0,1,2] [--scale 2]
"""

from __future__ import annotations

import argparse
import csv
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from blindsr_zssr import ZSSR
from numpy.typing import NDArray

from blindsr.imaging.kernel import Kernel
from blindsr.imaging.metrics import psnr_y

IMAGES = "set14rk/2,set14rk/10,urban5rk/1"
ROW = "Ground-truth kernel + ZSSR"


class Run:
    """The least that a component gets beside its inputs."""

    def __init__(self, seed: int, device: str = "cpu") -> None:
        self.device = device
        self.rng = np.random.default_rng(seed)
        self.torch_rng = torch.Generator().manual_seed(seed)

    def progress(self, done: int, total: int) -> None:
        pass

    def log(self, name: str, step: int, value: float) -> None:
        pass

    def warn(self, text: str) -> None:
        print(f"warning: {text}")


def numbers(text: str) -> list[int]:
    """The numbers of a comma-separated list."""
    return [int(part) for part in text.split(",")]


def read(path: Path) -> NDArray[Any]:
    """An 8-bit RGB image."""
    image = cv2.imread(str(path), cv2.IMREAD_COLOR_RGB)
    if image is None:
        raise SystemExit(f"{path}: no readable image; point --shared at the folder that holds data/")
    return image


def item(shared: Path, name: str, scale: int) -> tuple[NDArray[Any], NDArray[Any], Kernel]:
    """The LR image (float32), the HR image (uint8) and the true kernel of an image such as ``set14rk/2``."""
    group, number = name.split("/")
    folder = shared / "data" / group
    kernel = Kernel.load(folder / f"gt_k_x{scale}" / f"kernel_{number}.mat", scale=scale)
    if scale == 4:
        kernel = Kernel(kernel.array, 4, half=Kernel.load(folder / "gt_k_x2" / f"kernel_{number}.mat", scale=2))
    lr = read(folder / f"lr_x{scale}" / f"im_{number}.png").astype(np.float32) / 255
    return lr, read(folder / "gt" / f"img_{number}_gt.png"), kernel


def release(shared: Path) -> dict[str, float]:
    """What the release reached with the true x2 kernel, for some images."""
    with (shared / "reference/release.tsv").open() as file:
        return {row["image"]: float(row["psnr_y"]) for row in csv.DictReader(file, delimiter="\t") if row["method"] == ROW}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    parser.add_argument("--images", default=IMAGES)
    parser.add_argument("--seeds", type=numbers, default=[0, 1, 2])
    parser.add_argument("--scale", type=int, default=2)
    parser.add_argument("--iterations", type=int, help="default: the method's own")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    cv2.setNumThreads(arguments.threads)
    method = ZSSR(iterations=arguments.iterations) if arguments.iterations else ZSSR()
    reference = release(arguments.shared) if arguments.scale == 2 else {}
    scale, means = arguments.scale, []
    for name in arguments.images.split(","):
        lr, hr, kernel = item(arguments.shared, name, scale)
        values, seconds = [], []
        for seed in arguments.seeds:
            start = time.perf_counter()
            sr = method.fit(lr, kernel, Run(seed))(lr)
            seconds.append(time.perf_counter() - start)
            values.append(psnr_y(np.round(255 * sr).astype(np.uint8), hr[: sr.shape[0], : sr.shape[1]], shave=scale))
        listed = " ".join(f"{value:.3f}" for value in values)
        means.append(np.mean(values))
        compared = f"  release {reference[name]:.3f} ({means[-1] - reference[name]:+.3f})" if name in reference else ""
        print(f"{name:12} x{scale}  {listed}  spread {np.ptp(values):.3f}{compared}  {np.mean(seconds):.0f} s", flush=True)
    print(f"mean {np.mean(means):.3f} dB")


if __name__ == "__main__":
    main()
