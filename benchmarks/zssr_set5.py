"""ZSSR's full configuration on Set5 x2 with MATLAB's bicubic LR images: PSNR and seconds an image, beside the paper's 37.37.

python benchmarks/zssr_set5.py [--shared ../shared] [--images 1,2,3,4,5] [--seeds 0] [--iterations 3000]
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import cv2
import numpy as np
import torch
from blindsr_zssr import ZSSR
from zssr_quality import Run, numbers, read

from blindsr.imaging.kernel import Kernel
from blindsr.imaging.metrics import psnr_y

NAMES = {1: "baby", 2: "bird", 3: "butterfly", 4: "head", 5: "woman"}
PAPER_MEAN = 37.37


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    parser.add_argument("--images", type=numbers, default=list(NAMES), help="numbers, 1 to 5")
    parser.add_argument("--seeds", type=numbers, default=[0])
    parser.add_argument("--iterations", type=int, default=3000)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    cv2.setNumThreads(arguments.threads)
    folder = arguments.shared / "data/matlab_bicubic/Set5/x2"
    method = ZSSR(iterations=arguments.iterations, augment=True, self_ensemble=True, back_projections=10)
    means = []
    for seed in arguments.seeds:
        values = []
        for number in arguments.images:
            lr, hr = (read(folder / f"img_{number:03}_SRF_2_{kind}.png") for kind in ("LR", "HR"))
            start = time.perf_counter()
            image = lr.astype(np.float32) / 255
            sr = method.fit(image, Kernel.bicubic(2), Run(seed))(image)
            seconds = time.perf_counter() - start
            values.append(psnr_y(np.round(255 * sr).astype(np.uint8), hr[: sr.shape[0], : sr.shape[1]], shave=2))
            print(f"seed {seed}  {NAMES[number]:10} {values[-1]:.3f} dB  {seconds:.0f} s", flush=True)
        means.append(np.mean(values))
    print(f"mean {np.mean(means):.3f} dB on {len(arguments.images)} images, {len(means)} seeds (paper, on all five: {PAPER_MEAN})")


if __name__ == "__main__":
    main()
