"""JPEG, written as the image comes: strips that are compressed one by one, joined at restart markers.

Between two restart markers, the data of a JPEG file depend on nothing before them (ITU-T T.81, E.1.4). So strips that were
compressed with the same tables, and a marker after each row of blocks, are one image when they follow each other.
"""

from __future__ import annotations

import io
import struct
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blindsr.api.photographs.reading import PHOTOSHOP_IPTC
from blindsr.api.photographs.writing.strips import Strips
from blindsr.api.photographs.writing.tags import Tags
from blindsr.errors import BlindSRError

QUALITY = 95
MAX_PX = 65_500
STRIP_PX = 64
"""Eight rows of blocks: restart markers are numbered from 0 to 7."""
LAST_RESTART, END = b"\xff\xd7", b"\xff\xd9"
FRAME, SCAN = 0xC0, 0xDA


def check_jpeg(path: Path, strips: Strips) -> None:
    """Raise a `BlindSRError` if the image is too large."""
    if max(strips.height, strips.width) > MAX_PX:
        size = f"{strips.width} x {strips.height} pixels"
        raise BlindSRError(f"{path}: {size} are more than a JPEG file can hold; save the photograph as PNG first")


def write_jpeg(part: Path, strips: Strips, tags: Tags) -> None:
    """Write an 8-bit image of 1 or 3 channels."""
    more: dict[str, Any] = {
        name: data
        for name, data in (("exif", tags.exif and tags.exif.tobytes()), ("icc_profile", tags.icc_profile), ("xmp", tags.xmp))
        if data
    }
    if tags.iptc:
        more["extra"] = _iptc_segment(tags.iptc)
    with part.open("wb") as file:
        for number, strip in enumerate(strips.of(STRIP_PX)):
            head, data = _compressed(strip, strips.height, {} if number else more)
            file.write(LAST_RESTART if number else head)
            file.write(data)
        file.write(END)


def _iptc_segment(iptc: bytes) -> bytes:
    """The segment APP13 with IPTC records, as Photoshop's resource."""
    resource = b"8BIM" + struct.pack(">HHI", PHOTOSHOP_IPTC, 0, len(iptc)) + iptc + b"\0" * (len(iptc) % 2)
    content = b"Photoshop 3.0\0" + resource
    return b"\xff\xed" + struct.pack(">H", 2 + len(content)) + content


def _compressed(strip: NDArray[Any], height: int, more: dict[str, Any]) -> tuple[bytes, bytes]:
    """The head of a file of this height, and the data of a strip."""
    from PIL import Image

    stream = io.BytesIO()
    image = Image.fromarray(np.ascontiguousarray(strip[..., 0] if strip.shape[2] == 1 else strip))
    image.save(stream, "JPEG", quality=QUALITY, subsampling=0, restart_marker_rows=1, **more)
    file = bytearray(stream.getbuffer())
    place, marker = 2, 0
    while marker != SCAN:
        marker, length = file[place + 1], int.from_bytes(file[place + 2 : place + 4])
        if marker == FRAME:
            struct.pack_into(">H", file, place + 5, height)
        place += 2 + length
    return bytes(file[:place]), bytes(file[place : -len(END)])
