"""The command ``blindsr upscale``."""

from __future__ import annotations

import json
import signal
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from blindsr.cli.app import INTERRUPTED, PATH, cli, console_of, device_option, installed, say
from blindsr.cli.shell import methods, show
from blindsr.errors import printable

if TYPE_CHECKING:
    from blindsr.api.photographs.places import Place
    from blindsr.api.photographs.qualities import QualityName
    from blindsr.api.photographs.upscaling import Upscaled
    from blindsr.report.page.photographs import PhotographsPage


class _Command(click.Command):
    """A command whose ``--report`` may go without a value: what follows is one only if it ends like a page."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        options = args[: args.index("--")] if "--" in args else args
        if "--report" in options:
            from blindsr.report.page.output import PAGE_SUFFIXES

            place = options.index("--report")
            if place + 1 == len(args) or not args[place + 1].lower().endswith(PAGE_SUFFIXES):
                args = [*args[:place], "--report=", *args[place + 1 :]]
        return super().parse_args(ctx, args)


@cli.command(cls=_Command)
@click.argument("photos", nargs=-1, required=True, metavar="PHOTO...", type=PATH)
@click.option("--out", "-o", metavar="DIR", type=PATH, help="Folder for the results.  [default: beside each photograph]")
@click.option("--scale", type=click.IntRange(2, 4), default=2, show_default=True)
@click.option("--quality", type=click.Choice(["fast", "good", "best"]), default="good", show_default=True)
@click.option(
    "--kernel",
    metavar="METHOD",
    shell_complete=methods("kernel"),
    help="A kernel estimator in place of the quality's; see `blindsr plugins`.",
)
@click.option("--sr", metavar="METHOD", shell_complete=methods("sr"), help="An SR method in place of the quality's.")
@click.option(
    "--strength", type=click.FloatRange(0, 1), default=1.0, show_default=True,
    help="How much of the estimated blur is undone; 0 assumes bicubic downscaling.",
)  # fmt: skip
@click.option("--force", is_flag=True, help="Replace results that are there.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object for each photograph.")
@click.option(
    "--report", metavar="[PAGE.html]",
    help="Make a page too, with each result beside bicubic interpolation.  [default: report.html beside the results]",
)  # fmt: skip
@click.option("--open", "open_it", is_flag=True, help="Show the result: the page, the photograph, or the folder.")
@device_option
@click.option("--threads", type=click.IntRange(1, 1024), help="Of torch.  [default: the cores]")
@click.pass_context
def upscale(
    ctx: click.Context, photos: tuple[Path, ...], out: Path | None, scale: int, quality: QualityName, kernel: str | None,
    sr: str | None, strength: float, force: bool, as_json: bool, report: str | None, open_it: bool, device: str,
    threads: int | None,
) -> None:  # fmt: skip
    """Upscale photographs (files, folders, or patterns): estimate the blur of each, and undo it.

    Writes DIR/NAME_xSCALE.EXT with the photograph's bit depth, transparency, EXIF data and colour profile.
    A photograph that fails is named, and the others go on.
    """
    from blindsr.api.photographs.places import places
    from blindsr.api.photographs.upscaling import UpscaleSettings, upscale_all

    signal.signal(signal.SIGTERM, signal.default_int_handler)
    settings = UpscaleSettings(installed(), scale, quality, kernel, sr, strength, force, device=device, previews=report is not None)
    found = places(photos, out, scale)
    page = _page(report, found, force=force)
    if threads is not None:
        import torch

        torch.set_num_threads(threads)
    stdout = sys.stdout  # the console of a terminal takes over standard output, even where that is a file
    counts: Counter[str] = Counter()
    try:
        with console_of(ctx) as console:
            console.begun(len(found))
            for result in upscale_all(found, settings, console):
                line = json.dumps(_facts(result)) if as_json else printable(_told(result))
                if line:
                    click.echo(line, file=None if stdout is None or stdout.isatty() else stdout)
                counts[result.status] += 1
                if page:
                    _add(page, result)
    except KeyboardInterrupt:
        finished = f"{counts['done']} of {len(found)} are finished and kept"
        click.echo(f"interrupted: {finished}; the same command does the others", err=True)
        ctx.exit(INTERRUPTED)
    finally:
        if page and counts:
            page.write()
            say(f"report: {page.output}", err=True)
    if open_it and counts.total() > counts["failed"]:
        show(page.output if page else _to_open([place.output for place in found]))
    ctx.exit(1 if counts["failed"] else 0)


def _page(report: str | None, found: Sequence[Place], *, force: bool) -> PhotographsPage | None:
    """The page to make, if any."""
    if report is None:
        return None
    from blindsr.api.photographs.showing import page_of

    return page_of(found, report, force=force)


def _add(page: PhotographsPage, result: Upscaled) -> None:
    from blindsr.api.photographs.showing import shown

    page.add(shown(result))


def _to_open(outputs: Sequence[Path]) -> Path:
    return outputs[0] if len(outputs) == 1 else outputs[0].parent


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
