"""Work on images without a pipeline: ``blindsr estimate`` and ``blindsr degrade``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from blindsr.cli.app import (
    INTERRUPTED,
    PATH,
    cli,
    console_of,
    convention_option,
    device_option,
    installed,
    say,
    settings_option,
    threads_option,
    whole_numbers,
)
from blindsr.errors import BlindSRError

if TYPE_CHECKING:
    from blindsr.api.kernels.layouts import PoolLayout
    from blindsr.components.registry import Registry
    from blindsr.imaging.kernel import Convention

POOL_OPTIONS = {"--format": "layout", "--max-error": "max_error", "--noise-patches": "noise_patches"}
"""Those that decide what a pool is, and would be ignored for one image; and their parameters."""


@cli.command()
@click.argument("images", nargs=-1, required=True, metavar="IMAGE_OR_FOLDER...", type=PATH)
@click.option("--method", default="kernelnet", show_default=True, help="A kernel estimator; see `blindsr plugins`.")
@click.option(
    "--output",
    "-o",
    "out",
    type=PATH,
    help="Kernel file: .mat, .npy, or .png.  [default: IMAGE_kernel_xN.mat]  For a pool of many photographs: its folder.",
)
@click.option("--scale", type=click.IntRange(2, 4), default=2, show_default=True)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
@settings_option
@convention_option("--convention", "The convention of the kernel files.")
@click.option("--cells", type=click.IntRange(1, 64), default=1, show_default=True, help="Pool: N x N kernels for each photograph.")
@click.option(
    "--format",
    "layout",
    type=click.Choice(["mat", "npy", "png", "realsr", "trainner", "h5"]),
    default="mat",
    show_default=True,
    help="Pool: the kernel files, or the folders that Real-SR or traiNNer read, or kernels.h5 alone.",
)
@click.option(
    "--max-error",
    type=click.FloatRange(0),
    default=0.35,
    show_default=True,
    help="Pool: kernels with a larger expected error are left out.",
)
@click.option(
    "--noise-patches",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    help="Pool: at most so many patches of noise are kept of each photograph.",
)
@click.option("--workers", type=click.IntRange(0), help="Pool: worker processes.  [default: one for each core or GPU]")
@device_option
@threads_option
@click.pass_context
def estimate(
    ctx: click.Context, images: tuple[Path, ...], method: str, out: Path | None, scale: int, seed: int,
    settings: tuple[str, ...], convention: Convention, cells: int, layout: PoolLayout, max_error: float, noise_patches: int,
    workers: int | None, device: str, threads: int,
) -> None:  # fmt: skip
    """Estimate the SR kernel of an image and write it to a file, or those of many photographs to a folder: a kernel pool.

    A pool has a kernel file for each photograph, kernels.h5 with all kernels, and contact_sheet.png. What is finished is not
    computed again. A photograph that fails is named, and the others go on.

    For a photograph as it came from the camera, --method kernelgan needs --set edge_shave=0.
    """
    from blindsr.pipeline.yaml_source import parsed_settings

    registry = installed()
    if len(images) == 1 and not images[0].is_dir() and cells == 1 and not _is_folder(out):
        for option, name in POOL_OPTIONS.items():
            if ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE:
                raise BlindSRError(f"{option} is for kernel pools: name a folder with --output, or leave it out")
        _estimate_one(
            images[0], out, convention, method=method, scale=scale, seed=seed, settings=settings, registry=registry,
            device=device, threads=threads,
        )  # fmt: skip
        return
    if out is None:
        raise BlindSRError("--output is needed for the kernels of several photographs: a folder")
    if not out.is_dir() and not _is_folder(out):
        raise BlindSRError(f"--output {out}: the kernels of several photographs need a folder, not a file")
    from blindsr.api.kernels.pool import estimate_pool

    try:
        with console_of(ctx) as listener:
            done = estimate_pool(
                images, out, method=method, scale=scale, seed=seed, parameters=parsed_settings(settings), cells=cells,
                layout=layout, convention=convention, max_error=max_error, noise_patches=noise_patches, device=device,
                workers=workers, threads=threads, registry=registry, listener=listener,
            )  # fmt: skip
    except KeyboardInterrupt:
        say("interrupted: what is finished is kept; the same command does the others", err=True)
        ctx.exit(INTERRUPTED)
    counts = f"{done.computed} estimated, {done.cached} done before, {len(done.pool.left_out)} left out, {done.failed} failed"
    say(f"{out}: {len(done.pool.kernels)} kernels for x{scale} ({counts})")
    ctx.exit(1 if done.failed else 0)


def _is_folder(output: Path | None) -> bool:
    """Whether `output` is, or can only be meant as, a folder."""
    return output is not None and (output.is_dir() or not output.suffix)


def _estimate_one(
    image: Path, output: Path | None, convention: Convention, *, method: str, scale: int, seed: int, settings: tuple[str, ...],
    registry: Registry, device: str, threads: int,
) -> None:  # fmt: skip
    from blindsr.api.functions import apply
    from blindsr.imaging.files import check_output
    from blindsr.imaging.kernel_files import KERNEL_SUFFIXES
    from blindsr.pipeline.yaml_source import parsed_settings

    output = output or image.with_name(f"{image.stem}_kernel_x{scale}.mat")
    check_output(output, "kernel", KERNEL_SUFFIXES, force=True)
    kernel = apply(
        "estimate", method, image, scale, seed, parsed_settings(settings), registry=registry, device=device, threads=threads,
        progress=True,
    ).kernel  # fmt: skip
    assert kernel is not None
    kernel.save(output, convention=convention)
    widths = " x ".join(f"{width:.2f}" for width in kernel.widths_px)
    error = "" if kernel.expected_error is None else f", expected error {kernel.expected_error:.2f}"
    say(f"{output}: x{scale} kernel of {kernel.shape[0]} x {kernel.shape[1]} pixels, {widths} px wide (standard deviations){error}")


@cli.command()
@click.argument("hr_folder", type=PATH)
@click.option("--output", "-o", type=PATH, required=True, help="The set's folder, new or of the same settings.")
@click.option("--method", default="random_kernel", show_default=True, help="A degradation; see `blindsr plugins`.")
@click.option("--scales", metavar="2,4", default="2,4", show_default=True)
@click.option(
    "--layout",
    type=click.Choice(["div2krk", "basicsr", "kair"]),
    default="div2krk",
    show_default=True,
    help="The folders and names: DIV2KRK's, or those that the trainings of BasicSR or KAIR read.",
)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
@settings_option
@click.pass_context
def degrade(
    ctx: click.Context, hr_folder: Path, output: Path, method: str, scales: str, layout: str, seed: int, settings: tuple[str, ...]
) -> None:  # fmt: skip
    """Make a test or training set of a folder of HR images: LR images and kernels, in DIV2KRK's layout or another.

    Each image is degraded by a kernel of its own. The same images, settings and seed give the same bytes.
    Run on it with: blindsr run PIPELINE --data OUTPUT
    """
    from blindsr.api.degradation import degrade_folder
    from blindsr.pipeline.yaml_source import parsed_settings

    numbers = sorted(set(whole_numbers("--scales", scales, "2,4")))
    if not {2, 3, 4}.issuperset(numbers):
        raise BlindSRError(f"--scales {scales}: there are the scales 2, 3 and 4")
    registry = installed()
    with console_of(ctx) as listener:
        made, failed = degrade_folder(
            hr_folder,
            output,
            method,
            parsed_settings(settings),
            registry=registry,
            scales=numbers,
            seed=seed,
            listener=listener,
            layout=layout,
        )
    say(f"{output}: {made} images at {' and '.join(f'x{scale}' for scale in numbers)}", err=True)
    ctx.exit(1 if failed else 0)
