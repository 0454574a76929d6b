"""`blindsr upscale` beside bicubic interpolation, on photographs that were degraded by random kernels, noise and JPEG compression.

    python benchmarks/upscale.py --limit 4 --threads 1

`--photographs` is a folder of HR images (BSD100). 24 of them, spread evenly, are degraded by `random_kernel`; then come
noise of 0, 2 and 5 levels, and JPEG compression of quality 95 and 85, or none. Seeds are fixed. It fails if without noise and
compression the mean gain is below 1 dB, with them below 0, or if an image is more than 0.2 dB below bicubic interpolation.
"""

from __future__ import annotations

import argparse
import tempfile
import time
import zlib
from pathlib import Path

import numpy as np
import torch
from PIL import Image

import blindsr
from blindsr.api.photographs.upscaling import Upscaled
from blindsr.imaging.metrics import psnr_y
from blindsr.imaging.reader import crop_to_multiple, read_image, to_depth, to_float
from blindsr.imaging.resize import bicubic

PHOTOGRAPHS, MAX_LOSS_DB = 24, 0.2
KINDS = {"clean": (0, None), "noise 2": (2, None), "noise 5": (5, None), "JPEG 95": (0, 95), "JPEG 85": (0, 85), "both": (2, 85)}
"""Noise in levels, and the JPEG quality."""


def degraded(hr: np.ndarray, folder: Path, name: str, noise: int, jpeg: int | None, scale: int) -> Path:
    """The file of an LR image."""
    seed = zlib.crc32(name.encode())
    lr = blindsr.degrade(hr, scale=scale, seed=seed).lr
    noisy = np.clip(np.rint(lr + np.random.default_rng(seed).normal(0, noise, lr.shape)), 0, 255).astype(np.uint8)
    path = folder / f"{name}.{'jpg' if jpeg else 'png'}"
    Image.fromarray(noisy).save(path, **({"quality": jpeg} if jpeg else {}))
    return path


def gain(hr: np.ndarray, lr: Path, quality: str, scale: int) -> tuple[float, float, Upscaled]:
    """PSNR of bicubic interpolation, by how much the result is better, and the result."""
    plain = to_depth(bicubic(to_float(read_image(lr).pixels), scale=scale), np.uint8)
    [result] = blindsr.upscale(lr, quality=quality, scale=scale, force=True, device="cpu")
    if result.error:
        raise SystemExit(result.error)
    base = psnr_y(plain, hr, shave=scale)
    return base, psnr_y(read_image(result.output).pixels, hr, shave=scale) - base, result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photographs", type=Path, default=Path(__file__).parents[2] / "shared/data/bsd100")
    parser.add_argument("--quality", default="good")
    parser.add_argument("--scale", type=int, default=2)
    parser.add_argument("--limit", type=int, default=PHOTOGRAPHS)
    parser.add_argument("--crop", type=int, help="Only the middle of the photographs, so many pixels a side.")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    files = sorted(path for path in args.photographs.iterdir() if path.suffix == ".png")
    files = [files[n * len(files) // PHOTOGRAPHS] for n in range(PHOTOGRAPHS)][:: max(1, PHOTOGRAPHS // args.limit)][: args.limit]
    gains: dict[str, list[float]] = {kind: [] for kind in KINDS}
    seconds = megapixels = 0.0
    with tempfile.TemporaryDirectory() as folder:
        for file in files:
            hr = crop_to_multiple(read_image(file).pixels, args.scale)
            if args.crop:
                top, left = ((size - args.crop) // 2 // args.scale * args.scale for size in hr.shape[:2])
                hr = hr[max(top, 0) :, max(left, 0) :][: args.crop, : args.crop]
            for kind, (noise, jpeg) in KINDS.items():
                lr = degraded(hr, Path(folder), file.stem, noise, jpeg, args.scale)
                start = time.process_time()
                base, more, result = gain(hr, lr, args.quality, args.scale)
                gains[kind].append(more)
                seconds += time.process_time() - start
                megapixels += hr.size / 3 / args.scale**2 / 1e6
                notes = "; ".join(result.notes)
                print(f"{file.stem:<20} {kind:<8} bicubic {base:.2f} {more:+.2f} dB  noise {result.noise:.1f}  {notes}", flush=True)
    for kind, found in gains.items():
        below = sum(more < -MAX_LOSS_DB for more in found)
        print(f"{kind:<8} mean {np.mean(found):+.2f}, worst {min(found):+.2f} dB, {below} more than {MAX_LOSS_DB} dB below bicubic")
    print(f"{seconds / megapixels:.0f} CPU seconds a megapixel of the photograph")
    means = {kind: np.mean(found) for kind, found in gains.items()}
    if means["clean"] < 1 or min(means.values()) < 0 or min(map(min, gains.values())) < -MAX_LOSS_DB:
        raise SystemExit("too little is gained, or an image is worse than by bicubic interpolation")


if __name__ == "__main__":
    main()
