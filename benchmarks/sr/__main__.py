"""Speed, memory and quality of the SR methods, with true and with estimated kernels: a Markdown table and a plot.

    python benchmarks/sr --set set14rk --limit 3 --out FOLDER

Each method runs in a process of its own. Cold is the first image of a process, with the loading of torch and of the weights; warm
are all images after that. Seconds are per megapixel of the SR image. Baselines in the same run: bicubic interpolation, the networks
in plain form (contiguous tensors, complex FFTs, the whole image at once), and the published weights in `--shared`/weights, where
present. `--set` is a folder of `--shared`/data, in DIV2KRK's layout. Linux only: the peak memory is looked up in /proc.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from measuring import PLAIN, Measured, Sample, component, measured
from plot import Point, as_svg

from blindsr.api import BlindSRError, Kernel, read_image, to_float
from blindsr.api.testing import run_context
from blindsr.pipeline.datasets import Item, div2krk

SHARED = Path(__file__).parents[3] / "shared"
TRUE = "true"
OWN = ("bicubic", "srmd", "unfolding", "zssr")
PUBLISHED = {
    "SRMD, published": "{{srmd: {{checkpoint: '{weights}/srmdnf_x{scale}.pth'}}}}",
    "USRNet-tiny": "{{unfolding: {{checkpoint: '{weights}/usrnet_tiny.pth'}}}}",
}


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(
        prog="benchmarks/sr", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--set", default="set14rk", help="default: set14rk")
    parser.add_argument("--scale", type=int, default=2, choices=(2, 3, 4))
    parser.add_argument("--limit", type=int, help="images")
    parser.add_argument(
        "--methods", nargs="*", metavar="COMPONENT", help="default: all, the plain forms, and the published weights"
    )
    parser.add_argument("--kernels", nargs="*", default=[TRUE, "kernelnet"], metavar="COMPONENT", help="true, or kernel estimators")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--shared", type=Path, default=SHARED)
    parser.add_argument("--out", type=Path, help="a folder for sr.md and sr.svg")
    args = parser.parse_args()
    try:
        run(args)
    except BlindSRError as error:
        sys.exit(f"benchmarks/sr: {error}")


def run(args: argparse.Namespace) -> None:
    """Measure each method with each source of kernels."""
    items = div2krk(args.shared / "data" / args.set, args.scale).items[: args.limit]
    true = [sample(item, args.scale) for item in items]
    methods = {text: text for text in args.methods} if args.methods else default_methods(args.shared / "weights", args.scale)
    found: dict[tuple[str, str], Measured] = {}
    for source in args.kernels:
        samples = true if source == TRUE else estimated(true, source, args)
        for label, text in methods.items():
            if source != TRUE and label in PLAIN:
                continue  # as with true kernels
            with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
                settings = {"scale": args.scale, "device": args.device, "threads": args.threads, "seed": args.seed}
                found[label, source] = process.submit(measured, text, samples, **settings).result()
            print(f"{source} kernels: {label}: {np.mean(found[label, source].psnr):.2f} dB", file=sys.stderr, flush=True)
    inputs = f"{len(true)} images of {args.set} x{args.scale}, {args.device}, {args.threads} thread(s), seed {args.seed}"
    units = "PSNR (dB) and SSIM on Y, means; seconds per megapixel of the SR image (warm: median); peak memory of the process"
    text = f"{inputs}. {units}.\n\n{as_markdown(found)}\n"
    print(text)
    if args.out:
        args.out.mkdir(parents=True, exist_ok=True)
        (args.out / "sr.md").write_text(text)
        points = [
            Point(label, float(np.median(m.warm)), float(np.mean(m.psnr)), source == TRUE) for (label, source), m in found.items()
        ]
        (args.out / "sr.svg").write_text(as_svg(points, f"{args.set} x{args.scale}"))


def default_methods(weights: Path, scale: int) -> Mapping[str, str]:
    """Labels and components: blindsr's own that can do the scale, their plain forms, and published weights that are there."""
    published = {label: text.format(weights=weights, scale=scale) for label, text in PUBLISHED.items()}
    methods = {}
    for label, text in {**{name: name for name in OWN}, **{name: name for name in PLAIN}, **published}.items():
        try:
            component(text, scale)
        except BlindSRError as error:
            print(f"left out: {error}", file=sys.stderr)
        else:
            methods[label] = text
    return methods


def sample(item: Item, scale: int) -> Sample:
    """An item of a set, read."""
    if not (item.lr and item.hr and item.kernel):
        raise BlindSRError(f"{item.id}: the set has no HR images or no kernels, which the benchmark needs")
    lr = to_float(read_image(item.lr).pixels)
    half = Kernel.load(item.half_kernel, scale=2) if item.half_kernel else None
    kernel = Kernel(Kernel.load(item.kernel, scale=scale).array, scale, half=half)
    return Sample(item.id, lr, read_image(item.hr).pixels[: scale * lr.shape[0], : scale * lr.shape[1]], kernel)


def estimated(samples: list[Sample], text: str, args: argparse.Namespace) -> list[Sample]:
    """The same images with the kernels that an estimator finds."""
    estimator = component(text, args.scale, kind="kernel")
    context = {"seed": args.seed, "device": args.device}
    return [replace(one, kernel=estimator.estimate(one.lr, args.scale, run_context(**context))) for one in samples]


def as_markdown(found: Mapping[tuple[str, str], Measured]) -> str:
    """A row for each method and source of kernels."""
    lines = [
        "| method | kernels | PSNR | SSIM | s/MP cold | s/MP warm | memory, MB |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for (label, source), m in found.items():
        quality = f"{np.mean(m.psnr):.2f} | {np.mean(m.ssim):.4f}"
        lines.append(f"| {label} | {source} | {quality} | {m.cold:.2f} | {np.median(m.warm):.2f} | {m.memory_mb:.0f} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
