"""Writing of an upscaled photograph as it is computed: with its depth, transparency, EXIF data, XMP, IPTC and colour profile."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from blindsr.api.photographs.reading import Photograph
from blindsr.api.photographs.writing.jpeg import check_jpeg, write_jpeg
from blindsr.api.photographs.writing.png import write_png
from blindsr.api.photographs.writing.strips import Strips
from blindsr.api.photographs.writing.tags import Tags
from blindsr.api.photographs.writing.tiff import write_tiff
from blindsr.imaging.files import write_whole

JPEG_SUFFIXES = (".jpg", ".jpeg")
TIFF_SUFFIXES = (".tif", ".tiff")
WRITTEN_SUFFIXES = (".png", *JPEG_SUFFIXES, *TIFF_SUFFIXES)


def written_suffix(path: Path) -> str:
    """The suffix that a photograph is written with: its own, or ``.png`` for formats that are not written."""
    return path.suffix if path.suffix.lower() in WRITTEN_SUFFIXES else ".png"


def write_photograph(path: Path, photograph: Photograph, scale: int, bands: Iterable[NDArray[Any]]) -> None:
    """Write the SR image of a photograph, atomically, in the format that `path` names.

    Whatever raises, the computation of a band included, no file is left.

    Parameters
    ----------
    photograph
        Whose EXIF data, XMP, IPTC (in JPEG and TIFF), colour profile and number of channels are kept. The orientation is 1 and
        the sizes are the new ones.
    scale
        Of the SR image.
    bands
        The SR image from top to bottom, each (rows, width, channels) of the type of the photograph's pixels: gray or RGB, and the
        transparency where the photograph has such. Each is asked for once those before it are written.

    Raises
    ------
    BlindSRError
        If the file cannot be written, or is too large for its format.
    """
    pixels = photograph.pixels
    height, width = (scale * size for size in pixels.shape[:2])
    channels = (1 if photograph.gray else 3) + (photograph.alpha is not None)
    strips = Strips(height, width, channels, pixels.dtype, bands)
    tags = Tags.of(photograph, (width, height))
    suffix = path.suffix.lower()
    if suffix in JPEG_SUFFIXES:
        check_jpeg(path, strips)
        write_whole(path, lambda part: write_jpeg(part, strips, tags))
    elif suffix in TIFF_SUFFIXES:
        write_whole(path, lambda part: write_tiff(part, strips, tags))
    else:
        write_whole(path, lambda part: write_png(part, strips, tags))
