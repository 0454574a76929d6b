"""Where a page may be written."""

from __future__ import annotations

from pathlib import Path

from blindsr.errors import BlindSRError
from blindsr.imaging.files import check_free, check_output

PAGE_SUFFIXES = (".html", ".htm")


def check_page(output: Path, *, force: bool, argument: str = "output") -> None:
    """Raise a `BlindSRError` if a page cannot be written there: before the work, not after it. `argument` is what named it."""
    check_output(output, "page", PAGE_SUFFIXES, force=force, argument=argument)


def pictures_folder(output: Path, *, force: bool, argument: str = "output") -> Path:
    """The folder beside a page for its pictures; a `BlindSRError` if what is there may not be replaced, or is no folder."""
    folder = output.with_name(f"{output.stem}_files")
    check_free(folder, force=force, argument=argument)
    if folder.exists() and not folder.is_dir():
        raise BlindSRError(f"{folder}: is a file, and the pictures need a folder of this name; choose another `{argument}`")
    return folder
