"""Peak memory of `blindsr upscale` on large photographs, each in a process of its own.

    python benchmarks/upscale_memory.py                                     # 24 and 100 megapixels, bicubic interpolation: minutes
    python benchmarks/upscale_memory.py --sizes 2 --sr unfolding            # the network, on fewer pixels
    python benchmarks/upscale_memory.py --sizes 100 --sr unfolding --bands 1  # or on the first rows of tiles

The photographs are mosaics of those in `--photographs` (BSD100), with noise of 2 levels, as an 8-bit JPEG and a 16-bit PNG. Memory
is the peak of the process's resident memory, as Linux counts it; with `--bands N`, until N bands of the result (rows of tiles) are
written and one more is computed: later ones need no more. It fails if 24 megapixels take more than 2.5 GB, or 100 more than 4 GB.
"""

from __future__ import annotations

import argparse
import itertools
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from blindsr.imaging.reader import read_image
from blindsr.imaging.writer import write_png

LIMITS_GB = {24: 2.5, 100: 4.0}
"""By megapixels of the photograph, at x2."""
SIDE_PX = 320
"""Of the photographs in a mosaic."""
NOISE_LEVELS = 2.0
PROGRAM = """
import os, sys
from blindsr.cli import main
from blindsr.execution import tiling

whole, most = tiling.bands, int(sys.argv.pop(1))

def first(upscaler, lr, *others):
    for number, band in enumerate(whole(upscaler, lr, *others)):
        if number == most and lr.size > 10_000_000:  # not a part that is looked at before
            tell()
            os._exit(0)
        yield band

def tell():
    sys.stderr.write(open("/proc/self/status").read())
    sys.stderr.flush()

if most:
    tiling.bands = first
try:
    main()
finally:
    tell()
"""


def mosaic(folder: Path, megapixels: float) -> NDArray[np.uint16]:
    """A photograph of 3:2 made of those in a folder, side by side, in 16 bits."""
    height = int((megapixels * 1e6 / 1.5) ** 0.5)
    width = int(height * 1.5)
    images = itertools.cycle(sorted(path for path in folder.iterdir() if path.suffix == ".png"))
    rng = np.random.default_rng(0)
    whole = np.empty((height, width, 3), np.uint16)
    for top, left in itertools.product(range(0, height, SIDE_PX), range(0, width, SIDE_PX)):
        photograph = read_image(next(images)).pixels
        repeats = [-(-SIDE_PX // size) for size in photograph.shape[:2]]
        tile = np.tile(photograph, (*repeats, 1))[:SIDE_PX, :SIDE_PX][: height - top, : width - left].astype(np.float32)
        noisy = tile + rng.normal(0, NOISE_LEVELS, tile.shape).astype(np.float32)
        whole[top : top + SIDE_PX, left : left + SIDE_PX] = np.clip(noisy * 257, 0, 65535)
    return whole


def measured(photo: Path, out: Path, bands: int, *options: str) -> tuple[float, float, str]:
    """Peak memory in GB, seconds, and MB of the result of `blindsr upscale`, or of its first bands."""
    arguments = ["upscale", str(photo), "-o", str(out), "--json", "--device", "cpu", *options]
    command = [sys.executable, "-c", PROGRAM, str(bands), *arguments]
    start = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stdout + done.stderr)
    kilobytes = int(done.stderr.split("VmHWM:")[1].split()[0])
    size = f"{Path(json.loads(done.stdout)['output']).stat().st_size / 1e6:.0f}" if done.stdout else f"stopped at {bands}"
    return kilobytes * 1024 / 1e9, time.perf_counter() - start, size


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photographs", type=Path, default=Path(__file__).parents[2] / "shared/data/bsd100")
    parser.add_argument("--sizes", type=float, nargs="+", default=[24, 100], help="Megapixels of the photograph.")
    parser.add_argument("--formats", nargs="+", choices=["jpg", "png", "tif"], default=["jpg", "png"])
    parser.add_argument("--scale", type=int, default=2)
    parser.add_argument("--bands", type=int, default=0, help="Stop after so many bands; 0: do all.")
    parser.add_argument("--quality", default="fast")
    parser.add_argument("--sr", default="bicubic")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    options = ("--quality", args.quality, "--sr", args.sr, "--scale", str(args.scale), "--threads", str(args.threads))
    exceeded = False
    print("| megapixels | photograph | peak GB | seconds | result, MB |\n| --- | --- | --- | --- | --- |")
    for size in args.sizes:
        with tempfile.TemporaryDirectory() as folder:
            for suffix in args.formats:
                photo = Path(folder) / f"photo.{suffix}"
                pixels = mosaic(args.photographs, size)
                if suffix == "jpg":
                    Image.fromarray((pixels >> 8).astype(np.uint8)).save(photo, quality=95)
                elif suffix == "png":
                    write_png(photo, pixels)
                else:
                    import tifffile

                    tifffile.imwrite(photo, pixels, photometric="rgb")
                del pixels
                gigabytes, seconds, written = measured(photo, Path(folder) / "out", args.bands, *options)
                depth = "8-bit JPEG" if suffix == "jpg" else f"16-bit {suffix.upper()}"
                print(f"| {size:g} | {depth} | {gigabytes:.2f} | {seconds:.0f} | {written} |", flush=True)
                exceeded |= args.scale == 2 and gigabytes > LIMITS_GB.get(int(size), np.inf)
    if exceeded:
        raise SystemExit("more memory than the limit")


if __name__ == "__main__":
    main()
