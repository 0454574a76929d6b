"""Which photographs there are to upscale, and where the results go."""

import glob
from collections.abc import Container, Sequence
from pathlib import Path
from typing import NamedTuple

from blindsr.api.photographs.reading import PHOTO_SUFFIXES
from blindsr.api.photographs.writing import written_suffix
from blindsr.errors import BlindSRError


class Place(NamedTuple):
    """A photograph, and the file that its SR image is written to."""

    photo: Path
    output: Path


def places(paths: Sequence[Path], out: Path | None, scale: int) -> list[Place]:
    """The photographs that files, folders and glob patterns mean, each once, in their order.

    Results are ``NAME_xSCALE.EXT`` in `out`, or beside the photograph. Files that are named like results of others among them are
    left out: a second call on ``*.jpg`` finds those of the first.

    Raises
    ------
    BlindSRError
        If there are none, a file or folder is missing, `out` is a file, or two photographs would become one file.
    """
    named: dict[Path, Path] = {}
    for path in paths:
        for photo in _photos_of(path):
            named.setdefault(photo.resolve(), photo)
    photos = [photo for resolved, photo in named.items() if not _is_result(resolved, named)]
    if not photos:
        raise BlindSRError("no photographs were named")
    if out is not None and out.exists() and not out.is_dir():
        raise BlindSRError(f"{out}: is a file, not a folder to write to; name another for `out`")
    found = [Place(photo, (out or photo.parent) / f"{photo.stem}_x{scale}{written_suffix(photo)}") for photo in photos]
    first: dict[Path, Path] = {}
    for photo, output in found:
        resolved = output.resolve()
        if resolved in first:
            raise BlindSRError(f"{first[resolved]} and {photo}: both would become {output}; upscale them into different folders")
        if named.get(resolved) in photos:
            raise BlindSRError(f"{photo}: would become {output}, which is to be upscaled, too; name another folder for `out`")
        first[resolved] = photo
    return found


def _photos_of(path: Path) -> list[Path]:
    if path.is_dir():
        files = [p for p in path.iterdir() if p.suffix.lower() in PHOTO_SUFFIXES and not p.name.startswith(".") and p.is_file()]
        if not files:
            raise BlindSRError(f"{path}: holds no photographs ({', '.join(s[1:] for s in PHOTO_SUFFIXES)})")
        return sorted(files)
    if not path.exists() and glob.has_magic(str(path)):
        matches = sorted(match for match in _matches(path) if match.is_file() and not match.name.startswith("."))
        if not matches:
            raise BlindSRError(f"{path}: matches no file")
        return matches
    return [path]  # a missing one is reported as the photograph that failed


def _matches(pattern: Path) -> list[Path]:
    anchor = Path(pattern.anchor)
    return list(anchor.glob(str(pattern.relative_to(anchor))))


def _is_result(file: Path, photos: Container[Path]) -> bool:
    """Whether a file is named as the result beside one of the photographs, whose format may be one that is written as PNG."""
    return any(
        file.with_name(file.stem.removesuffix(ending) + suffix) in photos
        for ending in ("_x2", "_x3", "_x4")
        if file.stem.endswith(ending)
        for suffix in (file.suffix, *PHOTO_SUFFIXES)
    )
