"""Maintenance of a folder of results: ``blindsr check`` and ``blindsr clean``."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from blindsr.cli.app import AnyPath, cli, say
from blindsr.errors import BlindSRError

MAX_LISTED = 10


@cli.command()
@click.argument("path", type=AnyPath(), default=Path("runs"))
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
@click.argument("out", type=AnyPath(), default=Path("runs"))
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
