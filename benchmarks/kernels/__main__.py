"""How far estimated kernels are from the true ones, and the PSNR that they lead to, as Markdown tables:

    python benchmarks/kernels [PART...] --estimators kernelnet "{kernelgan: {iterations: 1000}}" --limit 2 --out FOLDER

Each part has a row for each of its conditions: `families` of kernels, `robustness` to noise and JPEG, `sizes` of the LR image,
`content` (soft, textured, text), and `nongaussian`, a set of 12 images whose kernels are motion, defocus and curves. A cell has the
mean relative L2 error of the kernels (the worst image's in brackets) and the mean PSNR on Y with one SR method, which is told the
noise if it takes that; bicubic interpolation and the true kernel are the bounds. The images are of `--shared`/data/bsd100, and
drawn text. The same seed gives the same images and kernels, whatever parts, estimators and limit are chosen.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import cv2
import torch
from cases import PARTS, Case, Source
from plots import write_plots
from report import as_csv, as_markdown, from_csv
from scoring import Estimator, Row, component, scores, sr_methods

from blindsr.api import BlindSRError, Kernel, to_depth
from blindsr.imaging.writer import write_png

SHARED = Path(__file__).parents[3] / "shared"


def main() -> None:
    """Measure, and print the tables."""
    parser = argparse.ArgumentParser(
        prog="benchmarks/kernels", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"{', '.join(PARTS)}; default: all")
    parser.add_argument("--estimators", nargs="*", default=["kernelnet", "michaeli_irani", "kernelgan"], metavar="COMPONENT")
    parser.add_argument("--sr", default="unfolding", metavar="COMPONENT", help="the SR method, default: unfolding")
    parser.add_argument("--scale", type=int, default=2, choices=(2, 3, 4))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--limit", type=int, help="images of a condition")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--shared", type=Path, default=SHARED)
    parser.add_argument(
        "--out",
        type=Path,
        help="a folder for kernels.md, for kernels.csv with a row for each image and kernel, and for plots, kernels_PART.svg",
    )
    parser.add_argument("--plot", type=Path, metavar="CSV", help="draw the plots of a kernels.csv beside it; nothing is measured")
    parser.add_argument(
        "--write", type=Path, help="a folder for the images and kernels themselves, in DIV2KRK's layout; nothing is measured"
    )
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    cv2.setNumThreads(args.threads)
    try:
        run(args)
    except BlindSRError as error:
        sys.exit(f"benchmarks/kernels: {error}")


def run(args: argparse.Namespace) -> None:
    """Measure the chosen parts, or write their images."""
    if args.plot:
        if not args.plot.is_file():
            raise BlindSRError(f"{args.plot}: no such file; --out of an earlier call has made kernels.csv")
        print(*write_plots(from_csv(args.plot.read_text()), args.plot.parent, f"x{args.scale}, `{args.sr}`"), sep="\n")
        return
    unknown = sorted(set(args.parts) - set(PARTS))
    if unknown:
        raise BlindSRError(f"no part {', '.join(unknown)}; there are {', '.join(PARTS)}")
    source = Source(args.shared / "data" / "bsd100", args.scale, args.seed, args.limit)
    chosen = {part: list(PARTS[part](source)) for part in args.parts or PARTS}
    if args.write:
        write(chosen, args.write)
        return
    estimators = [Estimator(text, component("kernel", text, args.scale)) for text in args.estimators]
    methods = sr_methods(args.sr, args.scale, (case.noise for cases in chosen.values() for case in cases))
    about = f"x{args.scale}, `{args.sr}`, seed {args.seed}, {args.device}, {args.threads} thread(s)"
    rows: list[Row] = []
    for part, cases in chosen.items():
        for case in cases:
            rows += scores(part, case, estimators, methods[case.noise], device=args.device, seed=args.seed)
            print(f"{part}: {case.condition}: {case.image}", file=sys.stderr, flush=True)
        if args.out:  # what is finished is kept if the rest is stopped
            args.out.mkdir(parents=True, exist_ok=True)
            (args.out / "kernels.md").write_text(as_markdown(rows, about))
            (args.out / "kernels.csv").write_text(as_csv(rows))
            write_plots(rows, args.out, f"x{args.scale}, `{args.sr}`")
    print(as_markdown(rows, about))


def write(parts: dict[str, list[Case]], folder: Path) -> None:
    """Write the images of each part as a set in DIV2KRK's layout."""
    for part, cases in parts.items():
        for number, case in enumerate(cases, 1):
            scale = case.kernel.scale
            for inner in ("gt", f"lr_x{scale}", f"gt_k_x{scale}"):
                (folder / part / inner).mkdir(parents=True, exist_ok=True)
            write_png(folder / part / "gt" / f"img_{number}_gt.png", case.hr)
            write_png(folder / part / f"lr_x{scale}" / f"im_{number}.png", to_depth(case.lr, "uint8"))
            Kernel(case.kernel.array, scale).save(folder / part / f"gt_k_x{scale}" / f"kernel_{number}.mat")
        print(f"{folder / part}: {len(cases)} images")


if __name__ == "__main__":
    main()
