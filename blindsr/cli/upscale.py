"""The command ``blindsr upscale``."""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from blindsr.cli.app import INTERRUPTED, PATH, cli, console_of, device_option, installed
from blindsr.errors import printable

if TYPE_CHECKING:
    from blindsr.api.photographs.qualities import QualityName
    from blindsr.api.photographs.upscaling import Upscaled


@cli.command()
@click.argument("photos", nargs=-1, required=True, metavar="PHOTO...", type=PATH)
@click.option("--out", "-o", metavar="DIR", type=PATH, help="Folder for the results.  [default: beside each photograph]")
@click.option("--scale", type=click.IntRange(2, 4), default=2, show_default=True)
@click.option("--quality", type=click.Choice(["fast", "good", "best"]), default="good", show_default=True)
@click.option("--kernel", metavar="METHOD", help="A kernel estimator in place of the quality's; see `blindsr plugins`.")
@click.option("--sr", metavar="METHOD", help="An SR method in place of the quality's.")
@click.option(
    "--strength", type=click.FloatRange(0, 1), default=1.0, show_default=True,
    help="How much of the estimated blur is undone; 0 assumes bicubic downscaling.",
)  # fmt: skip
@click.option("--force", is_flag=True, help="Replace results that are there.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object for each photograph.")
@device_option
@click.option("--threads", type=click.IntRange(1, 1024), help="Of torch.  [default: the cores]")
@click.pass_context
def upscale(
    ctx: click.Context, photos: tuple[Path, ...], out: Path | None, scale: int, quality: QualityName, kernel: str | None,
    sr: str | None, strength: float, force: bool, as_json: bool, device: str, threads: int | None,
) -> None:  # fmt: skip
    """Upscale photographs (files, folders, or patterns): estimate the blur of each, and undo it.

    Writes DIR/NAME_xSCALE.EXT with the photograph's bit depth, transparency, EXIF data and colour profile.
    A photograph that fails is named, and the others go on.
    """
    from blindsr.api.photographs.places import places
    from blindsr.api.photographs.upscaling import Settings, upscale_all

    signal.signal(signal.SIGTERM, signal.default_int_handler)
    settings = Settings(installed(), scale, quality, kernel, sr, strength, force, device=device)
    found = places(photos, out, scale)
    if threads is not None:
        import torch

        torch.set_num_threads(threads)
    stdout = sys.stdout  # the console of a terminal takes over standard output, even where that is a file
    failed = finished = 0
    try:
        with console_of(ctx) as console:
            console.begun(len(found))
            for result in upscale_all(found, settings, console):
                line = json.dumps(_facts(result)) if as_json else printable(_told(result))
                if line:
                    click.echo(line, file=None if stdout.isatty() else stdout)
                failed += result.status == "failed"
                finished += result.status == "done"
    except KeyboardInterrupt:
        click.echo(f"interrupted: {finished} of {len(found)} are finished and kept; the same command does the others", err=True)
        ctx.exit(INTERRUPTED)
    ctx.exit(1 if failed else 0)


def _told(result: Upscaled) -> str:
    """A line about a photograph that was upscaled; what others need is on standard error."""
    if result.status != "done":
        return ""
    blur = f"blur {result.blur}" if result.blur else "blur not estimated"
    return f"{result.output}: {blur}; noise {result.noise:.1f} of 255; {result.seconds:.1f} s"


def _facts(result: Upscaled) -> dict[str, Any]:
    blur = result.blur
    return {
        "photo": str(result.photo),
        "output": str(result.output),
        "status": result.status,
        "blur": blur and {"long_px": blur.long_px, "short_px": blur.short_px, "degrees": blur.degrees, "like": blur.likeness},
        "expected_error": result.expected_error,
        "strength": result.strength,
        "noise": result.noise,
        "seconds": round(result.seconds, 3),
        "notes": list(result.notes),
        "error": result.error or None,
    }
