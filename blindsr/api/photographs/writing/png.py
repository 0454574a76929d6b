"""PNG, written as the image comes; its format is W3C's *Portable Network Graphics (PNG) Specification*, third edition."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blindsr.api.photographs.writing.strips import Strips
from blindsr.api.photographs.writing.tags import Tags

SIGNATURE = b"\x89PNG\r\n\x1a\n"
COLOUR_TYPES = {1: 0, 2: 4, 3: 2, 4: 6}
"""By the number of channels: gray, gray with alpha, RGB, RGB with alpha."""
SUB = 1
"""The filter: each byte less that of the pixel before it."""
XMP_KEYWORD = b"XML:com.adobe.xmp"


def write_png(part: Path, strips: Strips, tags: Tags) -> None:
    """Write an image of 1 to 4 channels, uint8 or uint16."""
    from PIL.PngImagePlugin import putchunk

    packer = zlib.compressobj(1, strategy=zlib.Z_RLE)  # as good as any on photographs, and the fastest
    depth = 8 * strips.dtype.itemsize
    with part.open("wb") as file:
        file.write(SIGNATURE)
        putchunk(file, b"IHDR", struct.pack(">IIBBBBB", strips.width, strips.height, depth, COLOUR_TYPES[strips.channels], 0, 0, 0))
        if tags.icc_profile:
            putchunk(file, b"iCCP", b"ICC Profile\0\0" + zlib.compress(tags.icc_profile))
        if tags.exif:
            putchunk(file, b"eXIf", tags.exif.tobytes().removeprefix(b"Exif\0\0"))
        if tags.xmp:
            putchunk(file, b"iTXt", XMP_KEYWORD + b"\0\0\0\0\0" + tags.xmp)  # not compressed, in no language
        for strip in strips.of(strips.usual_rows):
            if packed := packer.compress(_filtered(strip).data):
                putchunk(file, b"IDAT", packed)
        putchunk(file, b"IDAT", packer.flush())
        putchunk(file, b"IEND", b"")


def _filtered(strip: NDArray[Any]) -> NDArray[np.uint8]:
    """The rows of a strip as PNG has them: big-endian bytes behind the filter's number."""
    pixel_bytes = strip.shape[2] * strip.itemsize
    raw = np.ascontiguousarray(strip, strip.dtype.newbyteorder(">")).view(np.uint8).reshape(len(strip), -1)
    filtered = np.empty((len(raw), 1 + raw.shape[1]), np.uint8)
    filtered[:, 0] = SUB
    filtered[:, 1 : 1 + pixel_bytes] = raw[:, :pixel_bytes]
    np.subtract(raw[:, pixel_bytes:], raw[:, :-pixel_bytes], out=filtered[:, 1 + pixel_bytes :])
    return filtered
