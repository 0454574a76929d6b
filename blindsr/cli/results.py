"""What results are good for: ``blindsr table`` and ``blindsr export``."""

from __future__ import annotations

from fnmatch import fnmatch
from pathlib import Path

import click

from blindsr.cli.app import AnyPath, cli, say
from blindsr.errors import BlindSRError


@cli.command()
@click.argument("results", nargs=-1, required=True, metavar="RESULT...", type=AnyPath())
@click.option(
    "--format", "form", type=click.Choice(["terminal", "markdown", "csv", "latex"]), default="terminal", show_default=True
)
@click.option(
    "--columns",
    metavar="NAMES",
    default="psnr,ssim",
    show_default=True,
    help="psnr, ssim, kernel_l2, kernel_correlation, seconds_estimate, seconds_upscale; seconds (both), all.",
)
@click.option(
    "--against",
    metavar="NAMES",
    help="Put published numbers and the difference beside: paper (KernelGAN's Table 1), dualsr, dan, dcls, pl_idenet.",
)
@click.option("--per-item", is_flag=True, help="A line for each item, instead of their mean.")
def table(results: tuple[Path, ...], form: str, columns: str, against: str | None, per_item: bool) -> None:
    """Print the comparison table of result files (or of the folders that hold them).

    Results of one pipeline's name on the same data become columns side by side, one set for each scale.
    """
    from contextlib import ExitStack

    from blindsr import report as tables
    from blindsr.pipeline.published import published_table
    from blindsr.storage.result import open_result

    chosen = tables.columns_named(columns)
    published = [published_table(name) for name in dict.fromkeys(map(str.strip, against.split(",")))] if against is not None else []
    with ExitStack() as stack:
        lines = tables.lines([stack.enter_context(open_result(path)) for path in results], per_item=per_item)
    sheets = tables.sheets(lines, chosen, published)
    if form == "csv":
        click.echo(tables.to_csv(lines, chosen, published))
        for note in dict.fromkeys(note for sheet in sheets for note in sheet.notes):
            say(f"note: {note}", err=True)
    elif form == "terminal":
        click.echo(tables.to_terminal(sheets, styled=True))  # without the styles where it is no terminal
    else:
        click.echo({"markdown": tables.to_markdown, "latex": tables.to_latex}[form](sheets))


@cli.command()
@click.argument("result", type=AnyPath())
@click.option("--output", "-o", type=AnyPath(), help="Folder to write to.  [default: export, beside the result]")
@click.option(
    "--what",
    type=click.Choice(["sr", "lr", "hr", "kernel"]),
    multiple=True,
    default=["sr"],
    show_default=True,
    help="May be repeated.",
)
@click.option("--items", metavar="GLOB", default="*", help="Only the items whose names match.")
@click.option("--methods", metavar="GLOB", default="*", help="Only the methods whose names match.")
def export(result: Path, output: Path | None, what: tuple[str, ...], items: str, methods: str) -> None:
    """Write images (.png) and kernels (.mat) out of a result file."""
    from blindsr.storage.export import export as write
    from blindsr.storage.result import open_result

    with open_result(result) as opened:
        folder = output or opened.path.parent / "export"
        chosen = (
            [name for name in opened.items if fnmatch(name, items)],
            [name for name in opened.methods if fnmatch(name, methods)],
        )
        count = write(opened, folder, what, *chosen)
    if not count:
        raise BlindSRError(
            f"nothing in {result} matches; it has items {', '.join(opened.items)} and methods {', '.join(opened.methods)}"
        )
    say(f"{count} files written to {folder}")
