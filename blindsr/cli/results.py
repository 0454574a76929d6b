"""Commands on results: ``blindsr table``, ``export``, ``check`` and ``clean``."""

import sys
from fnmatch import fnmatch
from pathlib import Path

import click

from blindsr.cli.app import PATH, cli, say
from blindsr.errors import BlindSRError
from blindsr.report.formats import FORMATS

MAX_LISTED = 10


@cli.command()
@click.argument("results", nargs=-1, required=True, metavar="RESULT...", type=PATH)
@click.option("--format", "form", type=click.Choice(list(FORMATS)), default="terminal", show_default=True)
@click.option(
    "--columns", metavar="NAMES", default="psnr,ssim", show_default=True,
    help="psnr, ssim, kernel_l2, kernel_correlation, expected_error, seconds_estimate, seconds_upscale; seconds (both), all.",
)  # fmt: skip
@click.option(
    "--against", metavar="NAMES",
    help="Put published numbers and the difference beside: paper (KernelGAN's Table 1), dualsr, dan, dcls, pl_idenet.",
)  # fmt: skip
@click.option("--per-item", is_flag=True, help="A line for each item, instead of their mean.")
def table(results: tuple[Path, ...], form: str, columns: str, against: str | None, per_item: bool) -> None:
    """Print the comparison table of result files (or of the folders that hold them).

    Results of one pipeline's name on the same data become columns side by side, one set for each scale.
    """
    from blindsr.pipeline.published import published_table
    from blindsr.report.layout import Comparison
    from blindsr.report.summary import columns_named, summarise

    chosen = columns_named(columns)
    published = [published_table(name) for name in dict.fromkeys(map(str.strip, against.split(",")))] if against is not None else []
    comparison = Comparison(summarise(results, per_item=per_item), chosen, published)
    click.echo(FORMATS[form](comparison))  # click leaves out the styles where standard output is no terminal
    if form == "csv":  # it has no place for notes
        for note in comparison.notes():
            say(f"note: {note}", err=True)


@cli.command()
@click.argument("result", type=PATH)
@click.option("--output", "-o", type=PATH, help="Folder to write to.  [default: export, beside the result]")
@click.option(
    "--what", type=click.Choice(["sr", "lr", "hr", "kernel"]), multiple=True, default=["sr"], show_default=True,
    help="May be repeated.",
)  # fmt: skip
@click.option("--items", metavar="GLOB", default="*", help="Only the items whose names match.")
@click.option("--methods", metavar="GLOB", default="*", help="Only the methods whose names match.")
def export(result: Path, output: Path | None, what: tuple[str, ...], items: str, methods: str) -> None:
    """Write images (.png) and kernels (.mat) out of a result file."""
    from blindsr.storage.images import export_files
    from blindsr.storage.result import open_result

    with open_result(result) as opened:
        folder = output or opened.path.parent / "export"
        chosen_items = [name for name in opened.items if name == items or fnmatch(name, items)]
        chosen_methods = [name for name in opened.methods if name == methods or fnmatch(name, methods)]
        count = export_files(opened, folder, what, chosen_items, chosen_methods)
    if not count:
        there = f"items {', '.join(opened.items)} and methods {', '.join(opened.methods)}"
        raise BlindSRError(f"nothing in {result} matches; it has {there}")
    say(f"{count} files written to {folder}")


@cli.command()
@click.argument("path", type=PATH, default=Path("runs"))
def check(path: Path) -> None:
    """Read every step, result and image in a folder of results (or one file) to the end, and list what is damaged.

    Nothing is changed. A run computes damaged steps again.
    """
    from blindsr.storage.maintenance import check_files

    count, damaged = 0, 0
    for file, problem in check_files(path):
        count += 1
        if problem:
            damaged += 1
            say(f"{file}: {problem}")
    say(f"{count} files read, {damaged} damaged", err=True)
    if damaged:
        sys.exit(1)


@cli.command()
@click.argument("out", type=PATH, default=Path("runs"))
@click.option("--dry-run", is_flag=True, help="Only list what would be removed.")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
def clean(out: Path, dry_run: bool, yes: bool) -> None:
    """Remove from a folder of results what no result in it needs: other steps, damaged files, files of killed runs.

    Every result counts whose folder is there, finished or not. To remove a result's steps, remove its folder first.
    """
    from blindsr.imaging.files import explained
    from blindsr.storage.maintenance import leftovers
    from blindsr.storage.output_folder import OutputFolder

    if not out.is_dir():
        raise BlindSRError(f"{out}: no such folder")
    output = OutputFolder(out)
    leftovers(output)  # refuses a folder that is not blindsr's, before a lock file is put there
    with output.locked():
        found = leftovers(output)
        size = sum(path.stat().st_size for path in found)
        say(f"{out}: {len(found)} files that no result needs, {size / 1e6:.1f} MB")
        for path in found[:MAX_LISTED]:
            say(f"  {path.relative_to(out)}")
        if len(found) > MAX_LISTED:
            say(f"  and {len(found) - MAX_LISTED} more")
        if found and not dry_run and (yes or _confirmed()):
            for path in found:
                with explained(path):
                    path.unlink(missing_ok=True)
            say(f"{size / 1e6:.1f} MB are free")


def _confirmed() -> bool:
    try:
        return click.confirm("Remove them?", default=False)
    except (click.Abort, RuntimeError) as error:
        if isinstance(error.__context__, KeyboardInterrupt):
            raise KeyboardInterrupt from None
        # Standard input is at its end, or closed.
        raise BlindSRError("nothing is removed, since nobody answers; --yes removes without asking") from None
