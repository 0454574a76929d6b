"""Kernel files: ``blindsr kernel convert`` and ``blindsr kernel check``."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click

from blindsr.cli.app import PATH, cli, convention_option, device_option, say
from blindsr.errors import printable

if TYPE_CHECKING:
    from blindsr.api.kernels.conversion import Conversion
    from blindsr.imaging.kernel import Convention

scale_option = click.option(
    "--scale", type=click.IntRange(2, 4), help="What the kernel is for.  [default: as its name or its folder's ends, such as _x2]"
)


@cli.group()
def kernel() -> None:
    """Convert kernel files between tools, and find what is wrong with one."""


@kernel.command()
@click.argument("source", metavar="FROM", type=PATH)
@click.argument("target", metavar="TO", type=PATH)
@scale_option
@convention_option("--from-convention", "The convention of FROM.")
@convention_option("--to-convention", "The convention of TO.")
@click.option("--transpose", is_flag=True, help="Exchange rows and columns.")
@click.option("--flip-rows", is_flag=True, help="Turn it upside down.")
@click.option("--flip-columns", is_flag=True, help="Mirror it left to right.")
@click.option("--shift", type=(float, float), metavar="DOWN RIGHT", default=(0.0, 0.0), help="Move it by so many pixels.")
@click.option("--align", is_flag=True, help="Move its centre of mass to where blindsr has it.")
@click.option("--to-scale", type=click.Choice(["4"]), help="Make a kernel for x4 of one for x2.")
@click.option("--force", is_flag=True, help="Replace TO if it is there.")
def convert(
    source: Path, target: Path, scale: int | None, from_convention: Convention, to_convention: Convention, transpose: bool,
    flip_rows: bool, flip_columns: bool, shift: tuple[float, float], align: bool, to_scale: str | None, force: bool,
) -> None:  # fmt: skip
    """Convert a kernel file: FROM .mat or .npy TO .mat, .npy or .png."""
    from blindsr.api.kernels.conversion import Conversion, convert_kernel

    conversion = Conversion(from_convention, transpose, flip_rows, flip_columns, shift, align, to_scale is not None)
    made, remarks = convert_kernel(source, target, scale=scale, conversion=conversion, to_convention=to_convention, force=force)
    for remark in remarks:
        say(f"note: {source}: {remark}", err=True)
    if not made.aligned:
        down, right = made.misalignment_px
        say(f"note: {target}: the kernel is ({down:+.2f}, {right:+.2f}) px off alignment; see `blindsr kernel check`", err=True)
    widths = " x ".join(f"{width:.2f}" for width in made.widths_px)
    convention = {"kernelgan": "blindsr"}.get(to_convention, to_convention)
    say(f"{target}: x{made.scale} kernel of {made.shape[0]} x {made.shape[1]} pixels, {widths} px wide, convention {convention}")


@kernel.command()
@click.argument("file", metavar="KERNEL", type=PATH)
@click.option("--lr", type=PATH, required=True, help="The LR image.")
@click.option("--hr", type=PATH, help="The HR image that the LR image was made of.")
@scale_option
@device_option
@click.pass_context
def check(ctx: click.Context, file: Path, lr: Path, hr: Path | None, scale: int | None, device: str) -> None:
    """Find a flip, a transposition, a shift, a wrong scale or convention of a kernel, and the command that mends it.

    The exit code is 1 if something is wrong.
    """
    from blindsr.api.kernels.check import check_kernel

    found = check_kernel(file, lr=lr, hr=hr, scale=scale, device=device)
    say(f"{file}: {'right' if found.right else 'wrong'} for x{found.scale}")
    for word in found.words:
        say(f"  {word}")
    if found.mend and not found.right:
        say(f"mend it with: {_command(file, found.mend, found.mend_scale)}")
    ctx.exit(0 if found.right else 1)


def _command(file: Path, change: Conversion, scale: int) -> str:
    """The command that applies a conversion; a name with line breaks is quoted so that a shell reads it."""
    flags = {"--transpose": change.transpose, "--flip-rows": change.flip_rows, "--flip-columns": change.flip_columns}
    flags |= {"--align": change.align, "--to-scale 4": change.compose}
    target = file.with_name(f"{file.stem}_mended_x{scale**2 if change.compose else scale}.{file.suffix[1:]}")
    words = ["blindsr kernel convert", *(shlex.quote(str(path)) for path in (file, target)), f"--scale {scale}"]
    words += [f"--from-convention {change.convention}"] if change.convention != "kernelgan" else []
    words += [flag for flag, given in flags.items() if given]
    words += [f"--shift {change.shift_px[0]:g} {change.shift_px[1]:g}"] if any(change.shift_px) else []
    return printable(" ".join(words))
