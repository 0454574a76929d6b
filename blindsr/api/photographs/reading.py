"""Reading of a photograph as it is: its colours, transparency, EXIF data and colour profile, none of them converted."""

from __future__ import annotations

import io
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blindsr.errors import BlindSRError
from blindsr.imaging.reader import (
    DECODED_FORMATS,
    SUFFIXES,
    Picture,
    as_rgb,
    decoding,
    deep_pixels,
    deep_tiff,
    note_frames,
    read_image,
    to_srgb,
    upright,
)  # fmt: skip

HEIF_SUFFIXES = (".heic", ".heif", ".hif")
RAW_SUFFIXES = (".arw", ".cr2", ".cr3", ".dng", ".nef", ".orf", ".raf", ".rw2")
PHOTO_SUFFIXES = (*SUFFIXES, ".avif", *HEIF_SUFFIXES, *RAW_SUFFIXES)
ORIENTATION, XMP, IPTC = 0x0112, 700, 33723
PHOTOSHOP_IPTC = 0x0404
"""The resource that holds IPTC data among Photoshop's in a JPEG file."""
RAW_TAGS = {270, 271, 272, 305, 306, 315, 33432}
"""Description, maker, model, software, time, artist, copyright: the others are of raw pixels."""
EXIF_DIRECTORY = 0x8769
RAW_DIRECTORIES, MAKER_NOTE = {EXIF_DIRECTORY, 0x8825}, 37500
GRAY_MODES = ("1", "L", "LA")


@dataclass(frozen=True)
class Photograph:
    """A photograph in the colours of its file.

    Attributes
    ----------
    pixels
        (H, W, 3), uint8 or uint16 as in the file, upright. Of a gray photograph the three channels are equal.
    gray
        Whether the file has one colour channel.
    alpha
        (H, W) transparency of the same type, not multiplied into the colours; None if the file has none.
    exif
        The EXIF data as in a JPEG file, as they were read; None if there are none.
    xmp
        The XMP packet, UTF-8; None if there is none.
    iptc
        The IPTC-IIM records of a JPEG or TIFF file; None if there are none.
    icc_profile
        The colour profile that `pixels` are in; None if there is none.
    compression_error
        Standard deviation of what JPEG compression has changed, in levels of 255, as its quantisation table lets expect; else 0.
    notes
        What was converted, a short sentence each.
    """

    path: Path
    pixels: NDArray[Any]
    gray: bool
    alpha: NDArray[Any] | None
    exif: bytes | None
    xmp: bytes | None
    iptc: bytes | None
    icc_profile: bytes | None
    compression_error: float
    notes: tuple[str, ...]


def read_photograph(path: Path) -> Photograph:
    """Read the first frame of a photograph, with its EXIF orientation applied.

    PNG, JPEG and TIFF (8 and 16 bit; floats in [0, 1] become 16 bit), WebP, BMP and PPM; AVIF where Pillow can; HEIC with
    pillow-heif and camera raw files with rawpy, if they are installed. Palettes become RGB, CMYK becomes sRGB.

    Raises
    ------
    BlindSRError
        As `read_image`, and for a file whose library is not installed.
    """
    from PIL import Image

    formats: tuple[str, ...] = DECODED_FORMATS
    notes: list[str] = []
    suffix = path.suffix.lower()
    with decoding(path):
        if suffix in RAW_SUFFIXES:
            return _photograph(path, _developed(path), _raw_exif(path.read_bytes()), None, notes)
        if suffix in HEIF_SUFFIXES:
            formats += _heif_formats()
        if suffix == ".avif":
            formats += _avif_formats()
        data = path.read_bytes()
        if deep := deep_tiff(data, notes):
            exif = Image.Exif()
            exif.load(data)
            return _photograph(path, deep.pixels, exif, deep.icc_profile, notes, exif.get(XMP), _tiff_iptc(data))
        with Image.open(io.BytesIO(data), formats=formats) as file:
            note_frames(getattr(file, "n_frames", 1), notes)
            pixels, profile = (
                _deep_heif(file, data) if file.format == "HEIF" else deep_pixels(file, data),
                file.info.get("icc_profile"),
            )
            file.load()
            exif = file.getexif()
            if pixels is None:
                pixels, profile = _shallow(file, profile, notes)
            pixels = upright(pixels, exif.get(ORIENTATION, 1))  # after loading: Pillow turns TIFFs itself
            if file.format == "TIFF":  # Pillow drops some of what it has turned
                exif = Image.Exif()
                exif.load(data)
            packet = exif.get(XMP) if file.format == "TIFF" else file.info.get("xmp")
            iptc = _tiff_iptc(data) if file.format == "TIFF" else file.info.get("photoshop", {}).get(PHOTOSHOP_IPTC)
            return _photograph(path, pixels, exif, profile, notes, packet, iptc, _compression_error(file))


def read_picture(path: Path) -> Picture:
    """`read_image`, or for AVIF, HEIC and raw files, which that does not read, the pixels of `read_photograph`."""
    if path.suffix.lower() in SUFFIXES or path.suffix.lower() not in PHOTO_SUFFIXES:
        return read_image(path)
    photo = read_photograph(path)
    return Picture(photo.pixels, list(photo.notes))


def exif_of(path: Path) -> dict[int, Any]:
    """The EXIF tags of a photograph, of its main and its Exif directory, without its pixels; raises whatever decoders raise."""
    from PIL import Image

    suffix = path.suffix.lower()
    if suffix in HEIF_SUFFIXES:
        _heif_formats()
    if suffix in RAW_SUFFIXES:
        exif = _raw_exif(path.read_bytes()) or Image.Exif()
        return {**exif, **exif.get_ifd(EXIF_DIRECTORY)}
    with Image.open(path) as file:
        exif = file.getexif()
        return {**exif, **exif.get_ifd(EXIF_DIRECTORY)}


def _photograph(
    path: Path, pixels: NDArray[Any], exif: Any, icc_profile: bytes | None, notes: list[str], xmp: Any = None,
    iptc: bytes | None = None, compression_error: float = 0.0,
) -> Photograph:  # fmt: skip
    pixels = pixels.reshape(*pixels.shape[:2], -1)
    channels = pixels.shape[2]
    colours = as_rgb(pixels[..., :-1] if channels in (2, 4) else pixels, notes)
    alpha = None
    if channels in (2, 4):
        alpha = np.ascontiguousarray(as_rgb(pixels[..., -1], [])[..., 0])
    found = exif.tobytes() if exif else None
    # What `as_rgb` says of gray is not so here: it stays gray.
    kept = tuple(note for note in notes if not note.startswith("grayscale"))
    packet = xmp if isinstance(xmp, bytes) else None
    return Photograph(path, colours, channels <= 2, alpha, found, packet, iptc, icc_profile, compression_error, kept)


def _tiff_iptc(data: bytes) -> bytes | None:
    """The IPTC records of a TIFF file, whatever type they are said to be of: Photoshop calls them 4-byte integers."""
    import tifffile

    with tifffile.TiffFile(io.BytesIO(data)) as file:
        tag = file.pages.first.tags.get(IPTC)
        return data[tag.valueoffset : tag.valueoffset + tag.valuebytecount] if tag else None


def _shallow(file: Any, profile: bytes | None, notes: list[str]) -> tuple[NDArray[np.uint8], bytes | None]:
    """The pixels of an 8-bit image, and the profile that they are in."""
    if "transparency" in file.info:
        file = file.convert("LA" if file.mode in GRAY_MODES else "RGBA")
    elif file.mode in ("P", "PA"):
        file = file.convert("RGBA" if file.mode == "PA" else "RGB")
    elif file.mode == "1":
        file = file.convert("L")
    if file.mode not in ("L", "LA", "RGB", "RGBA"):
        notes.append(f"{file.mode} converted to sRGB")
        return np.asarray(to_srgb(file, notes)), None
    return np.asarray(file), profile


def _compression_error(file: Any) -> float:
    """A coefficient that is rounded to multiples of q is off by ``q / sqrt(12)``, but one that becomes 0 by no more than its size.

    On 9 photographs of BSD100, at qualities from 98 to 20, the error of the brightness was between 0.85 and 1.05 times the square
    root of the mean of ``q / sqrt(12)`` over its table, in the mean of the photographs.
    """
    tables = getattr(file, "quantization", {})
    return math.sqrt(np.mean(tables[0]) / math.sqrt(12)) if tables else 0.0


def _heif_formats() -> tuple[str, ...]:
    try:
        import pillow_heif
    except ImportError:
        raise BlindSRError("HEIC photographs need the library pillow-heif; pip install 'blindsr[heif]'") from None
    pillow_heif.register_heif_opener()
    return ("HEIF",)


def _deep_heif(file: Any, data: bytes) -> NDArray[np.uint16] | None:
    """The pixels of a HEIC photograph of 10 or 12 bits in 16 bits; None of one of 8."""
    depth = file.info.get("bit_depth", 8)
    if depth == 8:
        return None
    import pillow_heif

    pixels: NDArray[np.uint16] = np.asarray(pillow_heif.open_heif(io.BytesIO(data), convert_hdr_to_8bit=False)).astype(np.uint16)
    pixels |= pixels >> depth  # the highest bits again in the lowest ones: white becomes 65535
    return pixels


def _avif_formats() -> tuple[str, ...]:
    from PIL import features

    if not features.check("avif"):
        raise BlindSRError("this Pillow cannot read AVIF; pip install --upgrade pillow (11.3 or newer)")
    return ("AVIF",)


def _developed(path: Path) -> NDArray[np.uint16]:
    """A camera's raw file as 16-bit RGB, as LibRaw develops it."""
    try:
        import rawpy
    except ImportError:
        raise BlindSRError("a camera's raw file needs the library rawpy; pip install 'blindsr[raw]', or save it as TIFF") from None
    with rawpy.imread(str(path)) as raw:
        pixels: NDArray[np.uint16] = raw.postprocess(output_bps=16, use_camera_wb=True)
    return pixels


def _raw_exif(data: bytes) -> Any:
    """Camera, time, place and exposure of a raw file, where it is a TIFF file inside, as most are; else None."""
    from PIL import Image

    exif, kept = Image.Exif(), Image.Exif()
    try:
        exif.load(data)
        for tag in RAW_TAGS & set(exif):
            kept[tag] = exif[tag]
        for directory in RAW_DIRECTORIES & set(exif):
            kept.get_ifd(directory).update({tag: value for tag, value in exif.get_ifd(directory).items() if tag != MAKER_NOTE})
        kept.tobytes()
    except Exception:  # cameras write what they like
        return None
    return kept
