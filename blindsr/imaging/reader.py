"""Reading of image files as RGB (depth, alpha, orientation, colour profile), and conversion between depths."""

import io
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from blindsr.errors import BlindSRError
from blindsr.imaging.resize import rounded

Image: TypeAlias = NDArray[np.float32]
"""An array of shape (H, W, 3), RGB, in [0, 1]."""

SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp", ".ppm")
TIFF_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
DECODED_FORMATS = ("PNG", "JPEG", "TIFF", "BMP", "WEBP", "PPM")
GRAY_NOTE = "grayscale: repeated in the three channels"
ALPHA_NOTE = "its transparency is dropped"
DEEP_PROFILE_NOTE = "its colour profile is not applied to more than 8 bits"
SAME_COLOUR = 3  # levels of 255
MAX_PIXELS = 178_956_970
"""Larger images are refused before they are decoded; Pillow has the same limit, against decompression bombs."""

TOO_LARGE = f"over {MAX_PIXELS // 10**6} megapixels; crop it first"


class Picture(NamedTuple):
    """An image as it was read."""

    pixels: NDArray[Any]
    """uint8 or uint16, as the file's depth, (H, W, 3), RGB. Float files become uint16."""
    notes: list[str]
    """What was done to the image on the way, a short sentence each; empty for a plain RGB file."""


def read_image(path: str | Path) -> Picture:
    """Read the first frame of an image file as upright RGB.

    Grayscale is repeated in the three channels, transparency dropped, CMYK, palettes and colour profiles other than sRGB
    converted to sRGB, EXIF orientation applied. `Picture.notes` says what was done.

    Raises
    ------
    BlindSRError
        If the file is missing, no image, cut short, too large to decode, or holds NaN, infinities or floats outside [0, 1].
    """
    from PIL import Image

    notes: list[str] = []
    with decoding(path := Path(path)):
        data = path.read_bytes()
        if deep := deep_tiff(data, notes):
            if deep.icc_profile:
                notes.append(DEEP_PROFILE_NOTE)
            pixels = as_rgb(deep.pixels, notes)
        else:
            with Image.open(io.BytesIO(data), formats=DECODED_FORMATS) as file:
                pixels = _read_other(file, data, notes)
    return Picture(pixels, notes)


@contextmanager
def decoding(path: Path) -> Iterator[None]:
    """Turn whatever decoders raise about the image file `path` into a `BlindSRError`, and silence their warnings."""
    from PIL import Image, UnidentifiedImageError

    if not path.is_file():
        raise BlindSRError(f"{path}: no such file" if not path.is_dir() else f"{path}: is a folder, not an image")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of damage that decoders tolerate, and of sizes below the limit
            yield
    except UnidentifiedImageError:
        raise BlindSRError(f"{path}: not an image in a format that can be read ({', '.join(s[1:] for s in SUFFIXES)})") from None
    except Image.DecompressionBombError:
        raise BlindSRError(f"{path}: {TOO_LARGE}") from None
    except BlindSRError as error:
        raise BlindSRError(f"{path}: {error}") from None
    except MemoryError:
        raise BlindSRError(f"{path}: too large for this machine's memory; crop it first") from None
    except Exception as error:  # decoders of damaged files raise whatever they like
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise BlindSRError(f"{path}: damaged or cut short ({reason})") from None


def to_float(pixels: NDArray[Any]) -> NDArray[np.float32]:
    """uint8 or uint16 pixels as float32 in [0, 1]; floats as float32, as they are. Raises `BlindSRError` for any other type.

    Examples
    --------
    >>> to_float(np.array([0, 51, 255], np.uint8)).tolist()
    [0.0, 0.20000000298023224, 1.0]
    """
    if pixels.dtype.kind == "f":
        return pixels.astype(np.float32, copy=False)
    return pixels.astype(np.float32) / np.float32(peak_of(pixels.dtype))


def to_depth(image: NDArray[Any], dtype: Any) -> NDArray[Any]:
    """A float image clipped to [0, 1] and rounded to uint8 or uint16.

    Examples
    --------
    >>> to_depth(np.array([-0.1, 0.5, 1.2], np.float32), np.uint8).tolist()
    [0, 128, 255]
    """
    if image.dtype.kind != "f":
        raise BlindSRError(f"to_depth takes floats in [0, 1], not {image.dtype}; convert them by to_float first")
    peak = peak_of(np.dtype(dtype))
    pixels: NDArray[Any] = np.floor(np.clip(image, 0, 1) * peak + np.float32(0.5)).astype(dtype)
    return pixels


def peak_of(dtype: Any) -> int:
    """White in an image of type uint8 or uint16: 255 or 65535."""
    if dtype not in (np.uint8, np.uint16):
        raise BlindSRError(f"pixels must be uint8, uint16, or floats in [0, 1], not {dtype}; convert them first")
    return int(np.iinfo(dtype).max)


def crop_to_multiple(image: NDArray[Any], scale: int) -> NDArray[Any]:
    """The image without the last rows and columns that do not fill a block of `scale` pixels."""
    height, width = (size - size % scale for size in image.shape[:2])
    return image[:height, :width]


def as_rgb(pixels: NDArray[Any], notes: list[str]) -> NDArray[Any]:
    """Decoded pixels (H, W) or (H, W, C) as uint8 or uint16 RGB (H, W, 3)."""
    if pixels.ndim not in (2, 3) or not pixels.size:
        raise BlindSRError(f"an image is (H, W) or (H, W, channels), and not empty; this has the shape {pixels.shape}")
    channels = 1 if pixels.ndim == 2 else pixels.shape[2]
    if channels > 4:
        raise BlindSRError(f"has {channels} channels; save it as RGB")
    pixels = pixels.reshape(*pixels.shape[:2], channels)
    if channels in (2, 4):
        if pixels[..., -1].min() < _white(pixels):
            notes.append(ALPHA_NOTE)
        pixels = pixels[..., :-1]
    if channels <= 2:
        notes.append(GRAY_NOTE)
        pixels = pixels.repeat(3, axis=2)
    if pixels.dtype.kind == "f":
        return _float_to_16_bit(pixels.astype(np.float32), notes)
    if pixels.dtype not in (np.uint8, np.uint16):
        raise BlindSRError(f"pixels of type {pixels.dtype} cannot be read; save it as an 8- or 16-bit RGB PNG")
    return np.ascontiguousarray(pixels)


def _float_to_16_bit(pixels: NDArray[np.float32], notes: list[str]) -> NDArray[np.uint16]:
    bad = ~np.isfinite(pixels).all(axis=2)
    if bad.any():
        row, column = np.argwhere(bad)[0]
        raise BlindSRError(f"{int(bad.sum())} pixels are NaN or infinite, the first at row {row}, column {column}; mend them")
    if pixels.min() < 0 or pixels.max() > 1:
        raise BlindSRError(f"float values run from {pixels.min():.4g} to {pixels.max():.4g}; scale them to [0, 1]")
    notes.append("floats rounded to 16 bit")
    return np.ascontiguousarray(to_depth(pixels, np.uint16))


def _white(pixels: NDArray[Any]) -> int:
    return int(np.iinfo(pixels.dtype).max) if pixels.dtype.kind == "u" else 1


class DeepTiff(NamedTuple):
    """What a TIFF of more than 8 bits holds: its upright pixels (H, W) or (H, W, C), as stored, and its colour profile."""

    pixels: NDArray[Any]
    icc_profile: bytes | None


def deep_tiff(data: bytes, notes: list[str]) -> DeepTiff | None:
    """The first frame of a TIFF of more than 8 bits; None for other files, which Pillow reads."""
    if data[:4] not in TIFF_MAGIC:
        return None
    import tifffile

    logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # it warns of harmless oddities; what matters, it raises
    colours = tifffile.PHOTOMETRIC
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        page = file.pages.first
        if not page.dtype or page.dtype.itemsize == 1:
            return None
        if page.imagewidth * page.imagelength > MAX_PIXELS:
            raise BlindSRError(TOO_LARGE)
        if page.photometric not in (colours.RGB, colours.MINISBLACK, colours.MINISWHITE):
            kind = colours(page.photometric).name
            raise BlindSRError(f"a TIFF of {page.bitspersample} bits in {kind} cannot be read; save it as RGB")
        if tifffile.EXTRASAMPLE.ASSOCALPHA in page.extrasamples:
            raise BlindSRError("its colours are multiplied by its transparency; flatten it")
        note_frames(len(file.pages), notes)
        pixels: NDArray[Any] = page.asarray()
        if page.axes.startswith("S"):
            pixels = np.moveaxis(pixels, 0, -1)
        if pixels.ndim not in (2, 3) or pixels.shape[:2] != (page.imagelength, page.imagewidth):
            raise BlindSRError(f"a TIFF with axes {page.axes} cannot be read; save it as RGB")
        if page.photometric == colours.MINISWHITE:
            pixels = _white(pixels) - pixels
        return DeepTiff(upright(pixels, int(page.tags.valueof(274, 1))), page.tags.valueof(34675))


def note_frames(count: int, notes: list[str]) -> None:
    """Note that only the first of several frames is used."""
    if count > 1:
        notes.append(f"the first of {count} frames is used")


def _read_other(file: Any, data: bytes, notes: list[str]) -> NDArray[Any]:
    note_frames(getattr(file, "n_frames", 1), notes)
    deep = deep_pixels(file, data)
    file.load()
    orientation = file.getexif().get(0x0112, 1)  # after loading: Pillow turns TIFFs itself
    if deep is not None and file.info.get("icc_profile"):
        notes.append(DEEP_PROFILE_NOTE)
    return upright(_shallow_pixels(file, notes) if deep is None else as_rgb(deep, notes), orientation)


def deep_pixels(file: Any, data: bytes) -> NDArray[Any] | None:
    """The pixels (H, W) or (H, W, C) of a PNG or PPM of more than 8 bits, which Pillow would reduce to 8; None for others."""
    if file.format == "PNG" and data[24] == 16:  # the depth in IHDR
        import imagecodecs

        pixels: NDArray[Any] = imagecodecs.png_decode(data)
        return pixels
    if file.format != "PPM":
        return None
    if file.mode in ("I", "F"):
        return np.asarray(file).astype(np.uint16 if file.mode == "I" else np.float32)
    codec, _, offset, arguments = file.tile[0]
    peak = arguments[1] if codec in ("ppm", "ppm_plain") else 255
    if file.mode != "RGB" or peak <= 255:
        return None
    count = 3 * file.width * file.height
    values = np.frombuffer(data, ">u2", count, offset) if codec == "ppm" else np.array(data[offset:].split()[:count], np.uint16)
    pixels = values.reshape(file.height, file.width, 3)
    return pixels.astype(np.uint16) if peak == 65535 else rounded(pixels * (65535 / peak), np.uint16)


def _shallow_pixels(file: Any, notes: list[str]) -> NDArray[np.uint8]:
    if file.mode == "P" or "transparency" in file.info:
        file = file.convert("RGBA" if "transparency" in file.info else "RGB")
    if file.mode in ("RGBA", "LA", "PA"):
        if file.getchannel("A").getextrema()[0] < 255:
            notes.append(ALPHA_NOTE)
        file = file.convert("RGB" if file.mode != "LA" else "L")
    if file.mode in ("L", "1"):
        if file.info.get("icc_profile"):
            notes.append("its colour profile is ignored")
        notes.append(GRAY_NOTE)
        return np.asarray(file.convert("RGB"))
    if file.mode != "RGB":
        notes.append(f"{file.mode} converted to sRGB")
    return np.asarray(to_srgb(file, notes))


def to_srgb(file: Any, notes: list[str]) -> Any:
    """Apply an embedded profile other than sRGB."""
    from PIL import ImageCms

    if profile := file.info.get("icc_profile"):
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
    """Whether a colour transform from RGB to RGB changes no colour by more than rounding, as from sRGB to sRGB."""
    from PIL import Image, ImageCms

    levels = np.linspace(0, 255, 9).astype(np.uint8)
    cube = np.stack(np.meshgrid(levels, levels, levels), -1).reshape(27, 27, 3)
    after = np.asarray(ImageCms.applyTransform(Image.fromarray(cube), convert))
    return bool(np.abs(after.astype(int) - cube).max() <= SAME_COLOUR)


def upright(pixels: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Undo EXIF orientation 2..8."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)
