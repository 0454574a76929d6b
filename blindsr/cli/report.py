"""Results to look at: ``blindsr report`` and ``blindsr plot``."""

import sys
from pathlib import Path

import click

from blindsr.cli.app import PATH, cli, say

PAGE = "report.html"


@cli.command()
@click.argument("results", nargs=-1, required=True, metavar="RESULT...", type=PATH)
@click.option("--output", "-o", type=PATH, help=f"The page, .html.  [default: {PAGE}, beside the first result]")
@click.option("--force", is_flag=True, help="Replace the page if it exists.")
def report(results: tuple[Path, ...], output: Path | None, force: bool) -> None:
    """Make a page of results (or of the folders that hold them): table, images to compare, kernels, curves.

    It is one file that needs no network. With more than 20 images, the pictures are in a folder beside it.
    """
    from blindsr.report.page import write_page

    first = results[0]
    output = output or (first if first.is_dir() else first.parent) / PAGE
    with click.progressbar(length=1, label="images", file=sys.stderr, hidden=sys.stderr is None or not sys.stderr.isatty()) as bar:

        def progress(done: int, total: int) -> None:
            bar.length = total
            bar.update(done - bar.pos)

        folder = write_page(results, output, force=force, progress=progress)
    pictures = f", with the pictures in {folder}" if folder else ""
    say(f"{output}: {output.stat().st_size / 1e6:.1f} MB{pictures}")


@cli.command()
@click.argument("result", type=PATH)
@click.option("--what", type=click.Choice(["kernels", "curves", "scatter"]), required=True)
@click.option("--output", "-o", type=PATH, required=True, help="The file to write: .png, .pdf or .svg.")
@click.option("--items", metavar="GLOB", default="*", help="Only the images whose names match, of kernels and curves.")
@click.option("--force", is_flag=True, help="Replace the file if it exists.")
def plot(result: Path, what: str, output: Path, items: str, force: bool) -> None:
    """Plot kernels, training curves, or PSNR against seconds, for a paper.

    Needs matplotlib: pip install blindsr[plot]
    """
    from blindsr.report.plots import write_plot

    write_plot(result, what, output, items=items, force=force)
    say(f"{output}: {what} of {result}")
