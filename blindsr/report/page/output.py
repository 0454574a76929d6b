"""Where a page may be written."""

from __future__ import annotations

import os
from pathlib import Path

from blindsr.errors import BlindSRError

SUFFIXES = (".html", ".htm")


def check_output(output: Path, *, force: bool, argument: str = "output") -> None:
    """Raise a `BlindSRError` if a page cannot be written there: before the work, not after it. `argument` is what named it."""
    if output.suffix.lower() not in SUFFIXES:
        raise BlindSRError(f"{output}: a page is written as {' or '.join(SUFFIXES)}; name a file such as report.html")
    if not output.parent.is_dir():
        raise BlindSRError(f"{output}: there is no folder {output.parent}")
    if output.is_dir():
        raise BlindSRError(f"{output}: is a folder; name another file")
    check_free(output, force=force, argument=argument)
    if not os.access(output.parent, os.W_OK):
        raise BlindSRError(f"{output}: permission denied; choose another folder, or change its permissions")


def check_free(path: Path, *, force: bool, argument: str = "output") -> None:
    """Raise a `BlindSRError` if something is there that may not be replaced."""
    if path.exists() and not force:
        raise BlindSRError(f"{path}: exists already; choose another `{argument}`, or replace it with `force`")
