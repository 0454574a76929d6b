"""Kernel error of Michaeli and Irani's method on set14rk, beside those of the bicubic kernel and of a delta, and its time.

    python benchmarks/michaeli_irani.py --shared ../shared --threads 2

`--shared` holds data/<set>/lr_x2/im_N.png and gt_k_x2/kernel_N.mat. It fails if the mean error is not the least of the three.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from blindsr_michaeli_irani import MichaeliIrani

from blindsr.imaging.kernel import Kernel
from blindsr.imaging.metrics import kernel_errors
from blindsr.imaging.reader import read_image

SET14 = [f"set14rk/{number}" for number in range(1, 15)]
SPEED_IMAGE = "urban5rk/3"  # 512 x 340


class Silent:
    """A run context that keeps nothing."""

    device = "cpu"

    def progress(self, done: int, total: int) -> None:
        """Nothing."""

    def log(self, name: str, step: int, value: float) -> None:
        """Nothing."""

    def warn(self, text: str) -> None:
        print(text)


def main() -> None:
    """Print errors, widths (standard deviations, in HR pixels) and seconds for each image."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, default=Path(__file__).parents[2] / "shared")
    parser.add_argument("--images", nargs="+", default=[*SET14, SPEED_IMAGE], metavar="SET/NUMBER")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    delta = Kernel(np.pad([[1.0]], 6), 2).align()
    errors = []
    print(f"{'image':14}{'own':>9}{'bicubic':>9}{'delta':>9}{'width':>14}{'true width':>14}{'seconds':>9}")
    for name in args.images:
        folder, number = name.split("/")
        lr = read_image(args.shared / "data" / folder / "lr_x2" / f"im_{number}.png").pixels.astype(np.float32) / 255
        true = Kernel.load(args.shared / "data" / folder / "gt_k_x2" / f"kernel_{number}.mat", scale=2)
        start = time.perf_counter()
        own = MichaeliIrani().estimate(lr, 2, Silent())
        seconds = time.perf_counter() - start
        row = [kernel_errors(kernel, true)["kernel_l2"] for kernel in (own, Kernel.bicubic(2), delta)]
        if name in SET14:
            errors.append(row)
        widths = "".join(f"{'{:.2f} x {:.2f}'.format(*kernel.widths_px):>14}" for kernel in (own, true))
        print(f"{name:14}" + "".join(f"{e:9.3f}" for e in row) + widths + f"{seconds:9.1f}", flush=True)
    if errors:
        means = np.mean(errors, axis=0)
        print(f"{'set14rk':14}" + "".join(f"{e:9.3f}" for e in means))
        if means[0] >= means[1:].min():
            raise SystemExit("the mean error is not below the bicubic kernel's and the delta's")


if __name__ == "__main__":
    main()
