"""Image files that break programs, each with the expected outcome. For the tests and for benchmarks/faults."""

from __future__ import annotations

import io
import os
import struct
import sys
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image, ImageCms, PngImagePlugin

WORKS = ""
MUTANTS = 8
SIDE = 64


@dataclass(frozen=True)
class Case:
    """A file's name and bytes. `refusal` is a pattern of the expected error, `WORKS` if it must be read, None if both are fine."""

    name: str
    data: bytes
    refusal: str | None = WORKS


def cases() -> Iterator[Case]:
    """All cases; their order and bytes are always the same."""
    photo = _photo()
    for group in (_kinds, _depths, _orientations, _names, _damaged, _declared, _bombs, _mutants):
        yield from group(photo)


def write(folder: Path) -> list[tuple[Path, Case]]:
    """Write the cases whose names the file system accepts."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for case in cases():
        path = folder / case.name
        try:
            path.write_bytes(case.data)
        except OSError:  # the file system does not accept the name
            continue
        written.append((path, case))
    return written


def _photo() -> NDArray[np.uint8]:
    from skimage import data

    return np.ascontiguousarray(data.chelsea()[100 : 100 + SIDE, 150 : 150 + SIDE])


def _saved(image: Image.Image | NDArray[Any], form: str, **options: Any) -> bytes:
    file = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(file, form, **options)
    return file.getvalue()


def _tiff(pixels: NDArray[Any], **options: Any) -> bytes:
    file = io.BytesIO()
    tifffile.imwrite(file, pixels, **options)
    return file.getvalue()


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _png(width: int, height: int, depth: int = 8, colour: int = 2, *chunks: bytes, data: bytes = b"") -> bytes:
    """A PNG file whose header declares any size and depth."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    body = _chunk(b"IHDR", header) + b"".join(chunks) + _chunk(b"IDAT", data or zlib.compress(b"\0"))
    return b"\x89PNG\r\n\x1a\n" + body + _chunk(b"IEND", b"")


def _zeros(size: int) -> bytes:
    """Compressed zeros, made without holding them all in memory."""
    compressor = zlib.compressobj(1)
    block = bytes(1 << 20)
    parts = [compressor.compress(block) for _ in range(size >> 20)]
    return b"".join([*parts, compressor.compress(bytes(size & 0xFFFFF)), compressor.flush()])


def _kinds(photo: NDArray[np.uint8]) -> Iterator[Case]:
    image = Image.fromarray(photo)
    for form, ending in (("PNG", "png"), ("JPEG", "jpg"), ("TIFF", "tif"), ("BMP", "bmp"), ("WEBP", "webp"), ("PPM", "ppm")):
        yield Case(f"plain.{ending}", _saved(image, form))
    yield Case("cmyk.jpg", _saved(image.convert("CMYK"), "JPEG"))
    yield Case("cmyk.tif", _saved(image.convert("CMYK"), "TIFF"))
    yield Case("ycbcr.tif", _saved(image.convert("YCbCr"), "TIFF"))
    yield Case("lab.tif", _saved(image.convert("LAB"), "TIFF"), None)
    yield Case("one-bit.png", _saved(image.convert("1"), "PNG"))
    yield Case("one-bit-fax.tif", _saved(image.convert("1"), "TIFF", compression="group4"), None)
    yield Case("one-bit.bmp", _saved(image.convert("1"), "BMP"))
    yield Case("gray.jpg", _saved(image.convert("L"), "JPEG"))
    yield Case("gray-alpha.png", _saved(image.convert("LA"), "PNG"))
    yield Case("palette.png", _saved(image.convert("P", palette=Image.Palette.ADAPTIVE, colors=16), "PNG"))
    yield Case("palette-clear.png", _saved(image.convert("P"), "PNG", transparency=3))
    yield Case("palette.bmp", _saved(image.convert("P"), "BMP"))
    yield Case("colour-key.png", _saved(image, "PNG", transparency=tuple(map(int, photo[0, 0]))))
    yield Case("alpha.png", _saved(np.dstack([photo, photo[..., :1]]), "PNG"))
    yield Case("alpha.webp", _saved(np.dstack([photo, photo[..., :1]]), "WEBP", lossless=True))
    more = [Image.fromarray(photo[::-1].copy())]
    yield Case("animated.png", _saved(image, "PNG", save_all=True, append_images=more))
    yield Case("animated.webp", _saved(image, "WEBP", save_all=True, append_images=more))
    yield Case("pages.tif", _saved(image, "TIFF", save_all=True, append_images=more))
    yield Case("progressive.jpg", _saved(image, "JPEG", progressive=True))
    yield Case("srgb.jpg", _saved(image, "JPEG", icc_profile=ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()))
    yield Case("bad-profile.jpg", _saved(image, "JPEG", icc_profile=b"\xff" * 500))
    yield Case("ascii.ppm", f"P3 {SIDE} {SIDE} 255\n{' '.join(map(str, photo.ravel()))}\n".encode())
    yield Case("jpeg-called.png", _saved(image, "JPEG"))
    yield Case("png-called.tif", _saved(image, "PNG"))
    yield Case("gif-called.png", _saved(image.convert("P"), "GIF"), "not an image in a format")
    yield Case("flat.png", _saved(np.full_like(photo, 90), "PNG"), None)
    yield Case("one-pixel.png", _saved(photo[:1, :1], "PNG"), None)
    yield Case("three-pixels.png", _saved(photo[:1, :3], "PNG"), None)
    yield Case("thin.png", _saved(np.repeat(photo[:1], 40, axis=1).copy(), "PNG"), None)


def _depths(photo: NDArray[np.uint8]) -> Iterator[Case]:
    deep = photo.astype(np.uint16) * 257
    unit = (photo / 255).astype(np.float32)
    yield Case("deep.tif", _tiff(deep, photometric="rgb"))
    yield Case("deep-planar.tif", _tiff(np.moveaxis(deep, -1, 0), photometric="rgb", planarconfig="separate"))
    yield Case("deep-big-endian.tif", _tiff(deep, photometric="rgb", byteorder=">"))
    yield Case("deep-deflate.tif", _tiff(deep, photometric="rgb", compression="zlib"))
    yield Case("deep-gray.png", _saved(Image.fromarray(deep[..., 0]), "PNG"))
    yield Case("deep.ppm", f"P6 {SIDE} {SIDE} 65535\n".encode() + deep.astype(">u2").tobytes())
    yield Case("float.tif", _tiff(unit, photometric="rgb"))
    yield Case("double.tif", _tiff(unit.astype(np.float64), photometric="rgb"))
    for name, value in (("nan", np.nan), ("inf", np.inf), ("minus-inf", -np.inf)):
        spoilt = unit.copy()
        spoilt[5, 7, 1] = value
        yield Case(
            f"float-{name}.tif", _tiff(spoilt, photometric="rgb"), "1 pixels are NaN or infinite, the first at row 5, column 7"
        )
    yield Case("float-all-nan.tif", _tiff(np.full_like(unit, np.nan), photometric="rgb"), f"{SIDE**2} pixels are NaN")
    yield Case("float-255.tif", _tiff(photo.astype(np.float32), photometric="rgb"), r"scale them to \[0, 1\]")
    yield Case("float-huge.tif", _tiff(unit * np.float32(3e38), photometric="rgb"), r"scale them to \[0, 1\]")
    yield Case("float16.tif", _tiff(unit.astype(np.float16), photometric="rgb"))
    yield Case("int32.tif", _tiff(photo.astype(np.int32), photometric="rgb"), "cannot be read")
    yield Case("complex.tif", _tiff(unit[..., 0].astype(np.complex64)), "cannot be read|channels|damaged")
    yield Case("five-channels.tif", _tiff(np.dstack([deep, deep[..., :2]]), photometric="rgb"), None)
    yield Case("volume.tif", _tiff(np.stack([deep[..., 0]] * 3), volumetric=True, photometric="minisblack", tile=(3, 16, 16)), None)


def _orientations(photo: NDArray[np.uint8]) -> Iterator[Case]:
    image = Image.fromarray(photo[: SIDE - 4])
    for orientation in (*range(10), 65535):
        exif = image.getexif()
        exif[0x0112] = orientation
        for form, ending in (("JPEG", "jpg"), ("TIFF", "tif"), ("PNG", "png"), ("WEBP", "webp")):
            refusal = WORKS if 1 <= orientation <= 8 else None
            yield Case(f"orientation-{orientation}.{ending}", _saved(image, form, exif=exif), refusal)
    yield Case("bad-exif.jpg", _saved(image, "JPEG", exif=b"Exif\0\0MM\0*" + b"\xff" * 60))
    yield Case(
        "endless-exif.jpg", _saved(image, "JPEG", exif=b"Exif\0\0II*\0\x08\0\0\0\x01\0\x69\x87\x04\0\x01\0\0\0\x08\0\0\0\0\0\0\0")
    )


def _names(photo: NDArray[np.uint8]) -> Iterator[Case]:
    data = _saved(photo, "PNG")
    names = [
        "new\nline",
        'it\'s "quoted"',
        "<img src=x onerror=alert(1)>",
        "n" * 251,
        "ü" * 125,
        "..%2f..%2fup",
        "back\\slash",
        "-dash",
    ]
    names += ["..", "\x1b[31mred\x1b[0m", "{0}%s$HOME`id`", "\U0001f431", " ", "CON", "a:b*?|", "\u202etxt.exe"]
    if sys.platform == "linux":
        names.append(os.fsdecode(b"\xff\xfe not utf-8"))
    for name in names:
        yield Case(f"{name}.png", data)


def _damaged(photo: NDArray[np.uint8]) -> Iterator[Case]:
    image = Image.fromarray(photo)
    yield Case("empty.png", b"", "not an image")
    yield Case("one-byte.jpg", b"\xff", "not an image")
    yield Case("text.png", b"hello\n", "not an image")
    yield Case("script.svg.png", b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>", "not an image")
    yield Case("postscript.tif", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not an image")
    yield Case("program.png", b"\x7fELF" + bytes(200), "not an image")
    for form, ending in (("PNG", "png"), ("JPEG", "jpg"), ("TIFF", "tif"), ("BMP", "bmp"), ("WEBP", "webp"), ("PPM", "ppm")):
        data = _saved(image, form)
        yield Case(f"half.{ending}", data[: len(data) // 2], "damaged|cut short|not an image")
        yield Case(f"header.{ending}", data[:20], "damaged|cut short|not an image")
    for name, pixels in (("deep", photo.astype(np.uint16) * 257), ("float", (photo / 255).astype(np.float32))):
        data = _tiff(pixels, photometric="rgb")
        yield Case(f"half-{name}.tif", data[: len(data) // 2], "damaged|cut short|not an image")
    yield Case("magic.tif", b"II*\0" + b"\xff" * 40, "damaged|not an image")
    yield Case("circle.tif", b"II*\0\x08\0\0\0\0\0\x08\0\0\0", "damaged|not an image")
    png = bytearray(_saved(image, "PNG"))
    png[60] ^= 255
    yield Case("checksum.png", bytes(png), "damaged|cut short")


def _declared(photo: NDArray[np.uint8]) -> Iterator[Case]:
    large = "megapixels|damaged|cut short|not an image|too large"
    yield Case("largest.png", _png(2**31 - 1, 2**31 - 1), large)
    yield Case("huge.png", _png(60_000, 60_000), large)
    yield Case("huge-deep.png", _png(60_000, 60_000, 16), large)
    yield Case("wide.png", _png(2**31 - 1, 1), large)
    yield Case("large.png", _png(12_000, 12_000), large)
    yield Case("nothing.png", _png(0, 0), large)
    yield Case("huge.ppm", b"P6 99999 99999 255\n" + bytes(1000), large)
    yield Case("large.ppm", b"P6 12000 12000 65535\n" + bytes(1000), large)
    yield Case("negative.ppm", b"P6 -5 -5 255\n" + bytes(1000), large)
    jpeg = bytearray(_saved(photo, "JPEG"))
    frame = jpeg.index(b"\xff\xc0") + 5
    jpeg[frame : frame + 4] = b"\xff\xff\xff\xff"
    yield Case("huge.jpg", bytes(jpeg), large)
    bmp = bytearray(_saved(photo, "BMP"))
    bmp[18:26] = struct.pack("<ii", 2**31 - 1, 2**31 - 1)
    yield Case("huge.bmp", bytes(bmp), large)
    for name, pixels in (("", photo), ("-deep", photo.astype(np.uint16))):
        tiff = bytearray(_tiff(pixels, photometric="rgb"))
        for tag in (256, 257):
            place = (
                tiff.index(struct.pack("<HH", tag, 4))
                if struct.pack("<HH", tag, 4) in tiff
                else tiff.index(struct.pack("<HH", tag, 3))
            )
            tiff[place : place + 12] = struct.pack("<HHII", tag, 4, 1, 1_000_000)
        yield Case(f"huge{name}.tif", bytes(tiff), large)
    webp = b"VP8X\n\0\0\0" + b"\0\0\0\0" + b"\xff\xff\xff" * 2
    yield Case("huge.webp", b"RIFF" + struct.pack("<I", len(webp) + 4) + b"WEBP" + webp, large)


def _bombs(photo: NDArray[np.uint8]) -> Iterator[Case]:
    bomb = "megapixels"
    yield Case("bomb.png", _png(14_000, 14_000, data=_zeros(14_000 * (3 * 14_000 + 1))), bomb)
    yield Case("bomb-over.png", _png(20_000, 20_000, 8, 0, data=_zeros(20_000 * 20_001)), bomb)
    yield Case("bomb-one-bit.png", _png(14_000, 14_000, 1, 0, data=_zeros(14_000 * (14_000 // 8 + 1))), bomb)
    yield Case("bomb-deep.png", _png(14_000, 14_000, 16, data=_zeros(14_000 * (6 * 14_000 + 1))), bomb)
    rows = 14_000
    deflated = _zeros(rows * rows * 6)
    tags = [(256, 4, rows), (257, 4, rows), (258, 3, 16), (259, 3, 8), (262, 3, 1), (273, 4, 8), (277, 3, 3), (278, 4, rows)]
    tags += [(279, 4, len(deflated)), (284, 3, 1)]
    directory = struct.pack("<H", len(tags)) + b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in tags)
    directory = directory.replace(struct.pack("<HHII", 262, 3, 1, 1), struct.pack("<HHII", 262, 3, 1, 2))
    yield Case("bomb.tif", b"II*\0" + struct.pack("<I", 8 + len(deflated)) + deflated + directory + bytes(4), bomb)
    flat = io.BytesIO()
    Image.new("RGB", (14_000, 14_000)).save(flat, "JPEG", quality=10, subsampling=2)
    yield Case("bomb.jpg", flat.getvalue(), bomb)
    text = PngImagePlugin.PngInfo()
    text.add(b"zTXt", b"note\0\0" + _zeros(1 << 29))
    yield Case("bomb-text.png", _saved(photo, "PNG", pnginfo=text), None)
    profile = PngImagePlugin.PngInfo()
    profile.add(b"iCCP", b"icc\0\0" + _zeros(1 << 29))
    yield Case("bomb-profile.png", _saved(photo, "PNG", pnginfo=profile), None)


def _mutants(photo: NDArray[np.uint8]) -> Iterator[Case]:
    """Files with a few random bytes changed."""
    rng = np.random.default_rng(0)
    image = Image.fromarray(photo)
    makers: dict[str, Callable[[], bytes]] = {
        "png": lambda: _saved(image, "PNG"),
        "jpg": lambda: _saved(image, "JPEG"),
        "tif": lambda: _tiff(photo.astype(np.uint16) * 257, photometric="rgb"),
        "webp": lambda: _saved(image, "WEBP"),
        "bmp": lambda: _saved(image.convert("P"), "BMP"),
    }
    for ending, make in makers.items():
        for number in range(MUTANTS):
            data = bytearray(make())
            places = rng.integers(0, min(len(data), 400), 5)
            for place, value in zip(places, rng.integers(0, 256, 5), strict=True):
                data[place] = value
            yield Case(f"mutant-{number}.{ending}", bytes(data), None)
