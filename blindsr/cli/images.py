"""Work on images without a pipeline: ``blindsr estimate`` and ``blindsr degrade``."""

from pathlib import Path

import click

from blindsr.cli.app import PATH, cli, console_of, device_option, installed, say, settings_option, threads_option, whole_numbers
from blindsr.errors import BlindSRError


@cli.command()
@click.argument("image", type=PATH)
@click.option("--method", default="kernelnet", show_default=True, help="A kernel estimator; see `blindsr plugins`.")
@click.option("--output", "-o", type=PATH, help="Kernel file: .mat, .npy, or .png.  [default: IMAGE_kernel_xN.mat]")
@click.option("--scale", type=click.IntRange(2, 4), default=2, show_default=True)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
@settings_option
@device_option
@threads_option
def estimate(
    image: Path, method: str, output: Path | None, scale: int, seed: int, settings: tuple[str, ...], device: str, threads: int
) -> None:
    """Estimate the SR kernel of an image, and write it to a file.

    For a photograph as it came from the camera, --method kernelgan needs --set edge_shave=0.
    """
    from blindsr.api.functions import apply
    from blindsr.imaging.kernel_files import KERNEL_SUFFIXES
    from blindsr.pipeline.yaml_source import parsed_settings

    registry = installed()
    output = output or image.with_name(f"{image.stem}_kernel_x{scale}.mat")
    if output.suffix not in KERNEL_SUFFIXES:
        raise BlindSRError(f"{output}: a kernel is written as {', '.join(KERNEL_SUFFIXES)}, not as '{output.suffix}'")
    if not output.parent.is_dir():
        raise BlindSRError(f"{output}: there is no folder {output.parent}")
    kernel = apply(
        "estimate", method, image, scale, seed, parsed_settings(settings), registry=registry, device=device, threads=threads,
        progress=True,
    ).kernel  # fmt: skip
    assert kernel is not None
    kernel.save(output)
    widths = " x ".join(f"{width:.2f}" for width in kernel.widths_px)
    error = "" if kernel.expected_error is None else f", expected error {kernel.expected_error:.2f}"
    say(f"{output}: x{scale} kernel of {kernel.shape[0]} x {kernel.shape[1]} pixels, {widths} px wide (standard deviations){error}")


@cli.command()
@click.argument("hr_folder", type=PATH)
@click.option("--output", "-o", type=PATH, required=True, help="The set's folder, new or of the same settings.")
@click.option("--method", default="random_kernel", show_default=True, help="A degradation; see `blindsr plugins`.")
@click.option("--scales", metavar="2,4", default="2,4", show_default=True)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
@settings_option
@click.pass_context
def degrade(
    ctx: click.Context, hr_folder: Path, output: Path, method: str, scales: str, seed: int, settings: tuple[str, ...]
) -> None:
    """Make a test set of a folder of HR images: LR images and kernels, in DIV2KRK's layout.

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
            hr_folder, output, method, parsed_settings(settings), registry=registry, scales=numbers, seed=seed, listener=listener
        )
    say(f"{output}: {made} images at {' and '.join(f'x{scale}' for scale in numbers)}", err=True)
    ctx.exit(1 if failed else 0)
