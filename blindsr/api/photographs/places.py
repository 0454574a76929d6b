"""Which photographs there are to upscale, and where the results go."""

import glob
from collections.abc import Sequence
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

    Results are ``NAME_xSCALE.EXT`` in `out`, or beside the photograph. In a folder, results of earlier calls are left out.

    Raises
    ------
    BlindSRError
        If there are none, a file or folder is missing, `out` is a file, or two photographs would become one file.
    """
    photos = list(dict.fromkeys(photo for path in paths for photo in _photos_of(path)))
    if not photos:
        raise BlindSRError("no photographs were named")
    if out is not None and out.exists() and not out.is_dir():
        raise BlindSRError(f"{out}: is a file, not a folder to write to; name another for `out`")
    found = [Place(photo, (out or photo.parent) / f"{photo.stem}_x{scale}{written_suffix(photo)}") for photo in photos]
    first: dict[Path, Path] = {}
    for photo, output in found:
        if output in first:
            raise BlindSRError(f"{first[output]} and {photo}: both would become {output}; upscale them into different folders")
        first[output] = photo
    return found


def _photos_of(path: Path) -> list[Path]:
    if path.is_dir():
        files = [p for p in path.iterdir() if p.suffix.lower() in PHOTO_SUFFIXES and not p.name.startswith(".") and p.is_file()]
        stems = {file.stem for file in files}
        sources = [file for file in files if not _is_result(file, stems)]
        if not sources:
            raise BlindSRError(f"{path}: holds no photographs ({', '.join(s[1:] for s in PHOTO_SUFFIXES)})")
        return sorted(sources)
    if not path.exists() and glob.has_magic(str(path)):
        matches = sorted(filter(Path.is_file, _matches(path)))
        if not matches:
            raise BlindSRError(f"{path}: matches no file")
        return matches
    return [path]  # a missing one is reported as the photograph that failed


def _matches(pattern: Path) -> list[Path]:
    anchor = Path(pattern.anchor)
    return list(anchor.glob(str(pattern.relative_to(anchor))))


def _is_result(file: Path, stems: set[str]) -> bool:
    """Whether a file is named as the result of another one in its folder."""
    return any(file.stem.removesuffix(ending) in stems for ending in ("_x2", "_x3", "_x4") if file.stem.endswith(ending))
