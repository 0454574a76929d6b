"""SRMD with true kernels: its own weights and the published ones beside bicubic interpolation, in one run; and its time.

    python benchmarks/srmd.py --shared ../shared --threads 2

`--shared` holds data/<set>/ in DIV2KRK's layout, data/matlab_bicubic/Set5, and weights/srmdnf_xS.pth with srmd_pca_matlab.mat.
It fails if an image with our own weights is below bicubic interpolation.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from blindsr_srmd import SRMD

from blindsr.execution.tasks import Context
from blindsr.execution.tiling import upscale
from blindsr.imaging.kernel import Kernel
from blindsr.imaging.metrics import psnr_y, ssim_y
from blindsr.imaging.reader import read_image, to_depth, to_float
from blindsr.imaging.resize import bicubic
from blindsr.pipeline.datasets import Item, div2krk

SETS = (("set14rk", 2), ("urban5rk", 2), ("urban5rk", 4))
SPEED_SHAPE = (340, 512, 3)


def super_resolved(component: SRMD, lr: np.ndarray, kernel: Kernel) -> np.ndarray:
    image = to_float(lr)
    return upscale(component.fit(image, kernel, Context("cpu", "0", lambda done, total: None)), image, kernel.scale)


def scores(item: Item, scale: int, methods: dict[str, Callable[[np.ndarray, Kernel], np.ndarray]]) -> list[tuple[float, float]]:
    """PSNR and SSIM of each method."""
    assert item.lr
    assert item.hr
    assert item.kernel
    lr, kernel = read_image(item.lr).pixels, Kernel.load(item.kernel, scale=scale)
    hr = read_image(item.hr).pixels[: scale * lr.shape[0], : scale * lr.shape[1]]
    images = [method(lr, kernel) for method in methods.values()]
    return [(psnr_y(image, hr, shave=scale), ssim_y(image, hr, shave=scale)) for image in images]


def compare(shared: Path, name: str, scale: int) -> bool:
    """Print a table of a set; whether no image is below bicubic interpolation."""
    published = SRMD(checkpoint=shared / f"weights/srmdnf_x{scale}.pth")
    methods: dict[str, Callable[[np.ndarray, Kernel], np.ndarray]] = {
        "bicubic": lambda lr, kernel: to_depth(bicubic(to_float(lr), scale=scale), np.uint8),
        "published": lambda lr, kernel: super_resolved(published, lr, kernel),
        "own": lambda lr, kernel: super_resolved(SRMD(), lr, kernel),
    }
    print(f"{name} x{scale}".ljust(16) + "".join(f"{method:>20}" for method in methods))
    rows = []
    for item in div2krk(shared / "data" / name, scale).items:
        rows.append(scores(item, scale, methods))
        print(item.id.ljust(16) + "".join(f"{psnr:11.2f} / {ssim:.4f}" for psnr, ssim in rows[-1]), flush=True)
    means = np.mean(rows, axis=0)
    print("mean".ljust(16) + "".join(f"{psnr:11.2f} / {ssim:.4f}" for psnr, ssim in means))
    return all(row[2][0] > row[0][0] for row in rows)


def set5(shared: Path, scale: int) -> None:
    """Print the published weights' figures on bicubic LR images."""
    component, found = SRMD(checkpoint=shared / f"weights/srmdnf_x{scale}.pth"), []
    for path in sorted((shared / f"data/matlab_bicubic/Set5/x{scale}").glob("*_LR.png")):
        sr = super_resolved(component, read_image(path).pixels, Kernel.bicubic(scale))
        hr = read_image(path.with_name(path.name.replace("_LR", "_HR"))).pixels[: sr.shape[0], : sr.shape[1]]
        found.append((psnr_y(sr, hr, shave=scale), ssim_y(sr, hr, shave=scale)))
    psnr, ssim = np.mean(found, axis=0)
    print(f"Set5 x{scale}, published weights: {psnr:.2f} / {ssim:.4f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, default=Path(__file__).parents[2] / "shared")
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    lr = to_depth(np.random.default_rng(0).random(SPEED_SHAPE, np.float32), np.uint8)
    for scale in (2, 3, 4):
        times = []
        for work in (
            lambda s=scale: to_depth(bicubic(to_float(lr), scale=s), np.uint8),
            lambda s=scale: super_resolved(SRMD(), lr, Kernel.bicubic(s)),
        ):
            start = time.perf_counter()
            work()
            times.append(time.perf_counter() - start)
        ratio = times[1] / times[0]
        print(f"x{scale}, 512 x 340: {times[1]:.2f} s with {args.threads} threads, {ratio:.0f} times bicubic interpolation's")
    for scale in (2, 3, 4):
        set5(args.shared, scale)
    above = [compare(args.shared, name, scale) for name, scale in SETS]
    if not all(above):
        raise SystemExit("an image is below bicubic interpolation")


if __name__ == "__main__":
    main()
