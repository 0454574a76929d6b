"""TIFF, written as the image comes, in deflated strips. Pillow makes the directories, but cannot write 16-bit RGB itself."""

from __future__ import annotations

import io
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from blindsr.api.photographs.reading import IPTC, XMP
from blindsr.api.photographs.writing.strips import Strips
from blindsr.api.photographs.writing.tags import EXIF_IFD, GPS_IFD, LAYOUT, Tags
from blindsr.errors import BlindSRError

MAX_BYTES = 2**32 - 2**20
OFFSETS, SIZES, LONG = 273, 279, 4
HORIZONTAL_DIFFERENCES = 2


def write_tiff(part: Path, strips: Strips, tags: Tags) -> None:
    """Write an image of 1 to 4 channels, uint8 or uint16.

    Raises
    ------
    BlindSRError
        If it takes more than 4 GB.
    """
    rows = strips.usual_rows
    sizes = [0] * -(-strips.height // rows)
    with part.open("wb") as file:
        file.write(_head(strips, tags, rows, sizes))  # as long as the final one
        for number, strip in enumerate(strips.of(rows)):
            differences = np.array(strip, strip.dtype.newbyteorder("<"))
            differences[:, 1:] -= strip[:, :-1]
            packed = zlib.compress(differences.data, 1)
            file.write(packed)
            sizes[number] = len(packed)
            if file.tell() > MAX_BYTES:
                raise BlindSRError("more than 4 GB are too much for a TIFF file; save the photograph as PNG first")
        file.seek(0)
        file.write(_head(strips, tags, rows, sizes))


def _head(strips: Strips, tags: Tags, rows: int, sizes: list[int]) -> bytes:
    """The first bytes of a file, with its directory; the strips follow."""
    from PIL import TiffImagePlugin

    directory = TiffImagePlugin.ImageFileDirectory_v2(b"II*\0\0\0\0\0")
    for tag, value in (tags.exif or {}).items():
        if tag not in LAYOUT:
            directory[tag] = tags.exif.get_ifd(tag) if tag in (EXIF_IFD, GPS_IFD) else value
    alpha = strips.channels in (2, 4)
    colours = strips.channels - alpha
    layout: dict[int, Any] = {
        256: strips.width, 257: strips.height, 258: (8 * strips.dtype.itemsize,) * strips.channels, 259: 8,
        262: 2 if colours == 3 else 1, 277: strips.channels, 278: rows, 284: 1, 317: HORIZONTAL_DIFFERENCES,
        339: (1,) * strips.channels,
    }  # fmt: skip
    layout |= ({338: 2} if alpha else {}) | ({34675: tags.icc_profile} if tags.icc_profile else {})
    layout |= {tag: packet for tag, packet in ((XMP, tags.xmp), (IPTC, tags.iptc)) if packet}
    for tag, value in layout.items():
        directory[tag] = value
    starts = np.cumsum([0, *sizes[:-1]]).tolist()  # from the directory's end, which Pillow adds
    for tag, values in ((OFFSETS, starts), (SIZES, sizes)):
        directory.tagtype[tag] = LONG
        directory[tag] = tuple(values)
    head = io.BytesIO()
    directory.save(head)
    return head.getvalue()
