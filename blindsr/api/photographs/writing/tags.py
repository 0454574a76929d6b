"""EXIF data, XMP, IPTC records and colour profile of a photograph, as they are after upscaling."""

from __future__ import annotations

import re
import struct
from typing import Any, NamedTuple, Self

from blindsr.api.photographs.reading import IPTC, ORIENTATION, XMP, Photograph

EXIF_IFD, GPS_IFD = 0x8769, 0x8825
EXIF_SIZE = {0xA002: 0, 0xA003: 1}
"""PixelXDimension and PixelYDimension, of the EXIF directory: width and height."""
IFD_SIZE = {0x0100: 0, 0x0101: 1}
LAYOUT = {
    254, 255, 256, 257, 258, 259, 262, 263, 266, 273, 277, 278, 279, 280, 281, 284, 317, 318, 319, 320, 322, 323, 324, 325, 330,
    338, 339, 340, 341, 347, 512, 513, 514, 529, 530, 531, 532, 34675,
}  # fmt: skip
"""Tags that say how a TIFF's pixels are laid out in it, and its colour profile: those of the new file are others."""
DESCRIPTION, TIFFFILE_MARK = 270, '{"shape": '
"""tifffile keeps the old size in the description."""
PACKET_TAGS = {XMP, IPTC, 34377}
"""XMP and IPTC, which are kept on their own, and Photoshop's data, which name the old size in ways of their own."""

STALE = rb"(?:tiff:(?:Orientation|ImageWidth|ImageLength)|exif:Pixel[XY]Dimension|xmp:Thumbnails)"
STALE_XMP = re.compile(rb"\s+" + STALE + rb"\s*=\s*(?:\"[^\"]*\"|'[^']*')|<(" + STALE + rb")(?:\s[^>]*)?>.*?</\1\s*>", re.DOTALL)
"""Properties of an XMP packet that would be wrong of the new image, as attributes and as elements."""
MAX_XMP_BYTES = 65_502
"""What a segment of a JPEG file holds; longer packets are dropped from all formats."""
MAX_IPTC_BYTES, MAX_DATASET_BYTES = 65_000, 32_767
IPTC_DATASET, IPTC_CHARACTERS, IPTC_TEXTS, FIRST_PREVIEW = 0x1C, (1, 90), 2, 200
"""How a dataset begins; what says how texts are encoded; the record of texts (title, people, place, rights), in which datasets from
200 on are a small picture. Source: IPTC-NAA Information Interchange Model, version 4.2, sections 1.5 and 6."""


class Tags(NamedTuple):
    """What belongs to an image: Pillow's `Exif`, an XMP packet, IPTC records and a colour profile, each None if there is none."""

    exif: Any
    xmp: bytes | None
    iptc: bytes | None
    icc_profile: bytes | None

    @classmethod
    def of(cls, photograph: Photograph, size: tuple[int, int]) -> Self:
        """Those of a photograph whose SR image has this width and height, upright, without a thumbnail."""
        xmp, iptc = _renewed_xmp(photograph.xmp), _texts(photograph.iptc)
        return cls(_renewed_exif(photograph.exif, size), xmp, iptc, photograph.icc_profile)


def _renewed_exif(exif: bytes | None, size: tuple[int, int]) -> Any:
    from PIL import Image

    if not exif:
        return None
    renewed = Image.Exif()
    renewed.load(exif)
    for tag in (LAYOUT | PACKET_TAGS) & set(renewed) - set(IFD_SIZE):
        del renewed[tag]
    if str(renewed.get(DESCRIPTION, "")).startswith(TIFFFILE_MARK):
        del renewed[DESCRIPTION]
    directory = renewed.get_ifd(EXIF_IFD)
    for tags, holder in ((IFD_SIZE, renewed), (EXIF_SIZE, directory)):
        for tag, axis in tags.items():
            if tag in holder:
                holder[tag] = size[axis]
    if ORIENTATION in renewed:
        renewed[ORIENTATION] = 1
    return renewed


def _renewed_xmp(xmp: bytes | None) -> bytes | None:
    if not xmp:
        return None
    renewed = STALE_XMP.sub(b"", xmp)
    return renewed if len(renewed) <= MAX_XMP_BYTES else None


def _texts(iptc: bytes | None) -> bytes | None:
    """The datasets of IPTC records that are texts about the photograph; those that follow damage are lost."""
    place, kept = 0, b""
    while iptc and place + 5 <= len(iptc):
        start, record, number, size = struct.unpack_from(">BBBH", iptc, place)
        end = place + 5 + size
        if start != IPTC_DATASET or size > MAX_DATASET_BYTES or end > len(iptc):
            break
        if (record, number) == IPTC_CHARACTERS or (record == IPTC_TEXTS and number < FIRST_PREVIEW):
            kept += iptc[place:end]
        place = end
    return kept if 0 < len(kept) <= MAX_IPTC_BYTES else None
