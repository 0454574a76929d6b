"""Image files to and from RGB: depth, alpha, orientation, colour profile."""

from __future__ import annotations

import io
import logging
import os
import struct
import warnings
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from blindsr.errors import BlindSRError
from blindsr.imaging.files import write_whole

Image: TypeAlias = NDArray[np.float32]
"""An array of shape (H, W, 3), RGB, in [0, 1]."""

SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp", ".ppm")
TIFF_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
FORMATS = ("PNG", "JPEG", "TIFF", "BMP", "WEBP", "PPM")
GRAY_NOTE = "grayscale: repeated in the three channels"
SAME_COLOUR = 3  # levels of 255
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
PNG_HEADER = 33  # bytes: the signature, and the chunk IHDR
PNG_END = b"\0\0\0\0IEND\xaeB`\x82"
MAX_PIXELS = 178_956_970  # where Pillow, too, takes a file for a decompression bomb
LARGE_PIXELS = 48_000_000
MOST_PIXELS_PER_BYTE = 30
"""A large file with more is nearly empty, a decompression bomb; the worst compressed photographs have about 10."""


@dataclass(frozen=True)
class Picture:
    """An image as it was read.

    Attributes
    ----------
    pixels
        uint8 or uint16, as the file's depth, (H, W, 3), RGB. Float files become uint16.
    notes
        What was done to the image on the way, a short sentence each; empty for a plain RGB file.
    """

    pixels: NDArray[Any]
    notes: list[str] = field(default_factory=list)


def read_image(path: str | Path) -> Picture:
    """Read the first frame of an image file as upright RGB.

    Grayscale is repeated in the three channels, transparency dropped, CMYK, palettes and colour profiles other than sRGB
    converted to sRGB, EXIF orientation applied. Whatever was done is said in `Picture.notes`.

    Raises
    ------
    BlindSRError
        If the file is missing, no image, cut short, too large to decode, or holds NaN, infinities or floats outside [0, 1].
    """
    from PIL import Image, UnidentifiedImageError

    path = Path(path)
    if not path.is_file():
        raise BlindSRError(f"{path}: no such file" if not path.is_dir() else f"{path}: is a folder, not an image")
    try:
        data = path.read_bytes()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of damage that decoders get over, and of size, which is looked at below
            picture = _read_tiff(data) if data[:4] in TIFF_MAGIC else None
            if picture is None:
                with Image.open(io.BytesIO(data), formats=FORMATS) as file:
                    picture = _read_other(file, data)
    except UnidentifiedImageError:
        raise BlindSRError(f"{path}: not an image in a format that can be read ({', '.join(s[1:] for s in SUFFIXES)})") from None
    except Image.DecompressionBombError:
        raise BlindSRError(f"{path}: over {MAX_PIXELS // 10**6} megapixels; crop it first") from None
    except BlindSRError as error:
        raise BlindSRError(f"{path}: {error}") from None
    except MemoryError:
        raise BlindSRError(f"{path}: too large for this machine's memory; crop it first") from None
    except Exception as error:  # decoders of damaged files raise whatever they like
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise BlindSRError(f"{path}: damaged or cut short ({reason})") from None
    return picture


def write_png(path: Path, pixels: NDArray[Any], text: tuple[str, str] | None = None) -> None:
    """Write uint8 or uint16 RGB pixels (H, W, 3) as a PNG, whole or not at all; `text` is a keyword and what it says, in ASCII."""
    import cv2

    encoded = cv2.imencode(".png", pixels[..., ::-1])[1].tobytes()
    if text:
        chunk = b"tEXt" + "\0".join(text).encode("ascii")
        chunk = struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk))
        encoded = encoded[:PNG_HEADER] + chunk + encoded[PNG_HEADER:]
    write_whole(path, lambda part: part.write_bytes(encoded))


def png_text(path: Path) -> tuple[str, str] | None:
    """The text that `write_png` put into a file; None where there is none."""
    try:
        with path.open("rb") as file:
            (size,), kind = struct.unpack(">I", file.read(PNG_HEADER + 4)[PNG_HEADER:]), file.read(4)
            keyword, _, said = file.read(min(size, 1000)).decode("ascii").partition("\0")
    except (OSError, ValueError, struct.error):
        return None
    return (keyword, said) if kind == b"tEXt" else None


def png_is_cut_short(path: Path) -> bool:
    """Whether a PNG file lacks its end."""
    try:
        with path.open("rb") as file:
            file.seek(-len(PNG_END), os.SEEK_END)
            return file.read() != PNG_END
    except OSError:
        return True


def verify_png(path: Path) -> None:
    """Read a PNG file and compare all its checksums; `ValueError` says what is wrong with it."""
    with path.open("rb") as file:
        if file.read(len(PNG_SIGNATURE)) != PNG_SIGNATURE:
            raise ValueError("not a PNG file")
        kind = b""
        while kind != b"IEND":
            head = file.read(8)
            size = int.from_bytes(head[:4], "big")
            kind, chunk, checksum = head[4:], file.read(size), file.read(4)
            if len(checksum) < 4:
                raise ValueError("cut short")
            if zlib.crc32(kind + chunk) != int.from_bytes(checksum, "big"):
                raise ValueError(f"its checksum is wrong in the chunk before byte {file.tell()}")


def to_float(pixels: NDArray[Any]) -> NDArray[np.float32]:
    """uint8 or uint16 pixels as float32 in [0, 1]."""
    return pixels.astype(np.float32) / np.float32(np.iinfo(pixels.dtype).max)


def to_depth(image: NDArray[np.float32], dtype: Any) -> NDArray[Any]:
    """A float image clipped to [0, 1] and rounded to uint8 or uint16."""
    peak = np.iinfo(dtype).max
    pixels: NDArray[Any] = np.floor(np.clip(image, 0, 1) * peak + np.float32(0.5)).astype(dtype)
    return pixels


def crop_to_multiple(image: NDArray[Any], scale: int) -> NDArray[Any]:
    """The image without the last rows and columns that do not fill a block of `scale` pixels."""
    height, width = (size - size % scale for size in image.shape[:2])
    return image[:height, :width]


def _read_tiff(data: bytes) -> Picture | None:
    """A TIFF of more than 8 bits, or None for the others: Pillow knows their many kinds, but not these."""
    import tifffile

    logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # it tells of all that is odd; what matters, it raises
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        page = file.pages.first
        if not page.dtype or page.dtype.itemsize == 1:
            return None
        _check_size(page.imagewidth * page.imagelength, data)
        if page.photometric not in (tifffile.PHOTOMETRIC.RGB, tifffile.PHOTOMETRIC.MINISBLACK, tifffile.PHOTOMETRIC.MINISWHITE):
            kind = tifffile.PHOTOMETRIC(page.photometric).name
            raise BlindSRError(f"a TIFF of {page.bitspersample} bits in {kind} cannot be read; save it as RGB")
        if tifffile.EXTRASAMPLE.ASSOCALPHA in page.extrasamples:
            raise BlindSRError("its colours are multiplied by its transparency; flatten it")
        notes = [f"the first of {len(file.pages)} frames is used"] if len(file.pages) > 1 else []
        if 34675 in page.tags:
            notes.append("its colour profile is not applied to more than 8 bits")
        pixels = _tiff_pixels(page, data)
        if page.photometric == tifffile.PHOTOMETRIC.MINISWHITE:
            pixels = (np.iinfo(pixels.dtype).max if pixels.dtype.kind == "u" else 1) - pixels
    return Picture(_as_rgb(pixels, notes), notes)


def _tiff_pixels(page: Any, data: bytes) -> NDArray[Any]:
    """The page's pixels, upright: (H, W) or (H, W, C)."""
    try:
        pixels: NDArray[Any] = page.asarray()
    except ValueError as error:
        if "imagecodecs" not in str(error) or page.planarconfig != 1:
            raise
        return _decoded_by_opencv(data)  # knows LZW, and turns the image itself
    if page.axes.startswith("S"):
        pixels = np.moveaxis(pixels, 0, -1)
    if pixels.ndim not in (2, 3) or pixels.shape[:2] != (page.imagelength, page.imagewidth):
        raise BlindSRError(f"a TIFF with axes {page.axes} cannot be read; save it as RGB")
    return _upright(pixels, int(page.tags.valueof(274, 1)))


def _check_size(pixels: int, data: bytes) -> None:
    """Refuse, before it is decoded, what would fill the memory to no purpose."""
    if pixels > MAX_PIXELS:
        raise BlindSRError(f"over {MAX_PIXELS // 10**6} megapixels; crop it first")
    if pixels > max(LARGE_PIXELS, MOST_PIXELS_PER_BYTE * len(data)):
        raise BlindSRError(f"{pixels / 1e6:.0f} megapixels in {len(data) / 1e6:.1f} MB: a decompression bomb, or nearly empty")


def _read_other(file: Any, data: bytes) -> Picture:
    _check_size(file.width * file.height, data)
    notes = [f"the first of {file.n_frames} frames is used"] if getattr(file, "n_frames", 1) > 1 else []
    file.load()
    orientation = file.getexif().get(0x0112, 1)  # after loading: Pillow turns TIFFs itself
    if file.format == "PPM" or (file.format == "PNG" and data[24] == 16):  # IHDR's depth; Pillow would cut them to 8 bit
        if file.info.get("icc_profile"):
            notes.append("its colour profile is not applied to more than 8 bits")
        pixels = _as_rgb(_decoded_by_opencv(data), notes)
    else:
        pixels = _shallow_pixels(file, notes)
    return Picture(_upright(pixels, orientation), notes)


def _shallow_pixels(file: Any, notes: list[str]) -> NDArray[np.uint8]:
    if file.mode == "P" or "transparency" in file.info:
        file = file.convert("RGBA" if "transparency" in file.info else "RGB")
    if file.mode in ("RGBA", "LA", "PA"):
        if file.getchannel("A").getextrema()[0] < 255:
            notes.append("its transparency is dropped")
        file = _with_profile(file.convert("RGB" if file.mode != "LA" else "L"), file.info)
    if file.mode in ("L", "1"):
        if file.info.get("icc_profile"):
            notes.append("its colour profile is ignored")
        notes.append(GRAY_NOTE)
        return np.asarray(file.convert("RGB"))
    if file.mode != "RGB":
        notes.append(f"{file.mode} converted to sRGB")
    return np.asarray(_to_srgb(file, notes))


def _with_profile(file: Any, info: dict[str, Any]) -> Any:
    if "icc_profile" in info:
        file.info["icc_profile"] = info["icc_profile"]
    return file


def _to_srgb(file: Any, notes: list[str]) -> Any:
    """Apply an embedded profile other than sRGB."""
    from PIL import ImageCms

    profile = file.info.get("icc_profile")
    if profile:
        try:
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            name = ImageCms.getProfileDescription(source).strip()
            convert = ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), file.mode, "RGB")
            if file.mode == "RGB" and _changes_nothing(convert):
                return file
            converted = ImageCms.applyTransform(file, convert)
        except (ImageCms.PyCMSError, OSError):
            notes.append("its colour profile is unreadable and was ignored")
        else:
            notes.append(f"colour profile '{name}' converted to sRGB")
            return converted
    return file.convert("RGB")


def _changes_nothing(convert: Any) -> bool:
    """Whether a colour transform from RGB to RGB is one from sRGB to sRGB, but for rounding: whatever its profile is called."""
    from PIL import Image, ImageCms

    levels = np.linspace(0, 255, 9).astype(np.uint8)
    cube = np.stack(np.meshgrid(levels, levels, levels), -1).reshape(27, 27, 3)
    after = np.asarray(ImageCms.applyTransform(Image.fromarray(cube), convert))
    return bool(np.abs(after.astype(int) - cube).max() <= SAME_COLOUR)


def _decoded_by_opencv(data: bytes) -> NDArray[Any]:
    """A PNG or PPM as it is stored, or a TIFF upright: (H, W) or (H, W, C), with R before B."""
    import cv2

    level = cv2.utils.logging.getLogLevel()
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    try:
        pixels: NDArray[Any] | None = cv2.imdecode(
            np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED | cv2.IMREAD_IGNORE_ORIENTATION
        )
    finally:
        cv2.utils.logging.setLogLevel(level)
    if pixels is None:
        raise BlindSRError("damaged, or of a kind that cannot be read; save it as an 8- or 16-bit RGB PNG")
    return pixels if pixels.ndim == 2 else pixels[..., [2, 1, 0, 3][: pixels.shape[2]]]


def _as_rgb(pixels: NDArray[Any], notes: list[str]) -> NDArray[Any]:
    """Decoded pixels (H, W) or (H, W, C) as uint8 or uint16 RGB (H, W, 3)."""
    channels = 1 if pixels.ndim == 2 else pixels.shape[2]
    if channels > 4:
        raise BlindSRError(f"has {channels} channels; save it as RGB")
    pixels = pixels.reshape(*pixels.shape[:2], channels)
    if channels in (2, 4):
        if pixels[..., -1].min() < (np.iinfo(pixels.dtype).max if pixels.dtype.kind == "u" else 1):
            notes.append("its transparency is dropped")
        pixels = pixels[..., :-1]
    if channels <= 2:
        notes.append(GRAY_NOTE)
        pixels = pixels.repeat(3, axis=2)
    pixels = np.ascontiguousarray(pixels)
    if pixels.dtype.kind == "f":
        return _float_to_16_bit(pixels.astype(np.float32), notes)
    if pixels.dtype not in (np.uint8, np.uint16):
        raise BlindSRError(f"pixels of type {pixels.dtype} cannot be read; save it as an 8- or 16-bit RGB PNG")
    return pixels


def _float_to_16_bit(pixels: NDArray[Any], notes: list[str]) -> NDArray[np.uint16]:
    bad = ~np.isfinite(pixels).all(axis=2)
    if bad.any():
        row, column = np.argwhere(bad)[0]
        raise BlindSRError(f"{int(bad.sum())} pixels are NaN or infinite, the first at row {row}, column {column}; mend them")
    low, high = float(pixels.min()), float(pixels.max())
    if low < 0 or high > 1:
        raise BlindSRError(f"float values run from {low:.4g} to {high:.4g}; scale them to [0, 1]")
    notes.append("floats rounded to 16 bit")
    return to_depth(pixels.astype(np.float32), np.uint16)


def _upright(pixels: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Undo EXIF orientation 2..8."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)
