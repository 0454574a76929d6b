"""Writing of an upscaled photograph: PNG, JPEG or TIFF, with its bit depth, transparency, EXIF data and colour profile."""

from __future__ import annotations

import io
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blindsr.api.photographs.reading import ORIENTATION, Photograph
from blindsr.errors import BlindSRError
from blindsr.imaging.files import write_whole
from blindsr.imaging.writer import write_png_chunks

JPEG_SUFFIXES = (".jpg", ".jpeg")
TIFF_SUFFIXES = (".tif", ".tiff")
WRITTEN_SUFFIXES = (".png", *JPEG_SUFFIXES, *TIFF_SUFFIXES)
JPEG_QUALITY = 95
MAX_JPEG_PX = 65_500
MAX_TIFF_BYTES = 2**32 - 2**20

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
PACKET_TAGS = {700, 33723, 34377}
"""XMP, IPTC and Photoshop's data, which name the old size and orientation in ways of their own."""


def written_suffix(path: Path) -> str:
    """The suffix that a photograph is written with: its own, or ``.png`` for formats that are not written."""
    return path.suffix if path.suffix.lower() in WRITTEN_SUFFIXES else ".png"


def write_photograph(path: Path, photograph: Photograph, sr: NDArray[Any], alpha: NDArray[Any] | None) -> None:
    """Write the SR image of a photograph, atomically, in the format that `path` names.

    Parameters
    ----------
    photograph
        Whose EXIF data, colour profile and number of channels are kept. The orientation is 1 and the sizes are the new ones.
    sr
        (H, W, 3), uint8 or uint16.
    alpha
        (H, W) of the same type, or None.

    Raises
    ------
    BlindSRError
        If the file cannot be written, or is too large for its format.
    """
    channels = [sr[..., :1] if photograph.gray else sr] + ([alpha[..., None]] if alpha is not None else [])
    pixels = np.ascontiguousarray(np.concatenate(channels, axis=2) if len(channels) > 1 else channels[0])
    exif = _renewed(photograph.exif, (sr.shape[1], sr.shape[0]))
    suffix = path.suffix.lower()
    if suffix in JPEG_SUFFIXES:
        _write_jpeg(path, pixels, exif, photograph.icc_profile)
    elif suffix in TIFF_SUFFIXES:
        _write_tiff(path, pixels, exif, photograph.icc_profile)
    else:
        _write_png(path, pixels, exif, photograph.icc_profile)


def _renewed(exif: bytes | None, size: tuple[int, int]) -> Any:
    """The EXIF data for an upright image of this width and height, without a thumbnail; None if there are none."""
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


def _write_jpeg(path: Path, pixels: NDArray[Any], exif: Any, icc_profile: bytes | None) -> None:
    from PIL import Image

    if max(pixels.shape[:2]) > MAX_JPEG_PX:
        size = f"{pixels.shape[1]} x {pixels.shape[0]} pixels"
        raise BlindSRError(f"{path}: {size} are more than a JPEG file can hold; save the photograph as PNG first")
    image = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
    more = ({"exif": exif.tobytes()} if exif else {}) | ({"icc_profile": icc_profile} if icc_profile else {})
    write_whole(path, lambda part: image.save(part, "JPEG", quality=JPEG_QUALITY, subsampling=0, **more))


def _write_png(path: Path, pixels: NDArray[Any], exif: Any, icc_profile: bytes | None) -> None:
    chunks = [(b"iCCP", b"ICC Profile\0\0" + zlib.compress(icc_profile))] if icc_profile else []
    chunks += [(b"eXIf", exif.tobytes().removeprefix(b"Exif\0\0"))] if exif else []
    write_png_chunks(path, pixels, chunks)


def _write_tiff(path: Path, pixels: NDArray[Any], exif: Any, icc_profile: bytes | None) -> None:
    """One deflated strip, and an IFD by Pillow, which cannot write 16-bit RGB itself but can write EXIF directories."""
    from PIL import TiffImagePlugin

    height, width, channels = pixels.shape
    packed = zlib.compress(pixels.astype(pixels.dtype.newbyteorder("<"), copy=False).data, 1)
    if len(packed) > MAX_TIFF_BYTES:
        raise BlindSRError(f"{path}: more than 4 GB are too much for a TIFF file; save the photograph as PNG first")
    directory = TiffImagePlugin.ImageFileDirectory_v2(b"II*\0\0\0\0\0")
    for tag, value in (exif or {}).items():
        if tag not in LAYOUT:
            directory[tag] = exif.get_ifd(tag) if tag in (EXIF_IFD, GPS_IFD) else value
    alpha = channels in (2, 4)
    colours = channels - alpha
    layout: dict[int, Any] = {
        256: width, 257: height, 258: (8 * pixels.itemsize,) * channels, 259: 8, 262: 2 if colours == 3 else 1, 273: 0,
        277: channels, 278: height, 279: len(packed), 284: 1, 339: (1,) * channels,
    }  # fmt: skip
    layout |= ({338: 2} if alpha else {}) | ({34675: icc_profile} if icc_profile else {})
    for tag, value in layout.items():
        directory[tag] = value
    head = io.BytesIO()
    directory.save(head)

    def write(part: Path) -> None:
        with part.open("wb") as file:
            file.write(head.getbuffer())
            file.write(packed)

    write_whole(path, write)
