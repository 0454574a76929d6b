"""Commands on results: ``blindsr table`` and ``blindsr export``."""

from __future__ import annotations

from fnmatch import fnmatch
from pathlib import Path

import click

from blindsr.cli.app import AnyPath, cli, say
from blindsr.errors import BlindSRError
from blindsr.report.formats import FORMATS, to_text


@cli.command()
@click.argument("results", nargs=-1, required=True, metavar="RESULT...", type=AnyPath())
@click.option("--format", "form", type=click.Choice(list(FORMATS)), default="terminal", show_default=True)
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

    from blindsr.pipeline.published import published_table
    from blindsr.report.columns import columns_named
    from blindsr.report.layout import Comparison
    from blindsr.report.summary import summarise
    from blindsr.storage.result import open_result

    chosen = columns_named(columns)
    published = [published_table(name) for name in dict.fromkeys(map(str.strip, against.split(",")))] if against is not None else []
    with ExitStack() as stack:
        summaries = summarise([stack.enter_context(open_result(path)) for path in results], per_item=per_item)
    comparison = Comparison(summaries, chosen, published)
    click.echo(to_text(comparison, form))  # click leaves out the styles where standard output is no terminal
    if form == "csv":  # it has no place for notes
        for note in comparison.notes():
            say(f"note: {note}", err=True)


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
    from blindsr.storage.images import export_files
    from blindsr.storage.result import open_result

    with open_result(result) as opened:
        folder = output or opened.path.parent / "export"
        chosen_items = [name for name in opened.items if fnmatch(name, items)]
        chosen_methods = [name for name in opened.methods if fnmatch(name, methods)]
        count = export_files(opened, folder, what, chosen_items, chosen_methods)
    if not count:
        raise BlindSRError(
            f"nothing in {result} matches; it has items {', '.join(opened.items)} and methods {', '.join(opened.methods)}"
        )
    say(f"{count} files written to {folder}")
