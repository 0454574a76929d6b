"""Writing and checking of PNG files, with chunks of text and others inside."""

import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blindsr.errors import BlindSRError
from blindsr.imaging.files import write_whole

PNG_HEADER_BYTES = 33  # the signature, and the chunk IHDR
PNG_END = b"\0\0\0\0IEND\xaeB`\x82"


def write_png(path: Path, pixels: NDArray[Any], text: tuple[str, str] | None = None) -> None:
    """Write RGB pixels (H, W, 3), uint8 or uint16, atomically, with an ASCII keyword and its value for `png_text`."""
    if pixels.dtype not in (np.uint8, np.uint16) or pixels.ndim != 3 or pixels.shape[2] != 3:
        given = f"{pixels.dtype} of {pixels.shape}"
        raise BlindSRError(f"{path}: pixels must be uint8 or uint16 of shape (H, W, 3), not {given}; see to_depth")
    write_png_chunks(path, pixels, [(b"tEXt", "\0".join(text).encode("ascii"))] if text else [])


def write_png_chunks(path: Path, pixels: NDArray[Any], chunks: Sequence[tuple[bytes, bytes]]) -> None:
    """Write pixels (H, W, 1 to 4: gray or RGB, with alpha or not), uint8 or uint16, atomically, with chunks before the pixels."""
    import imagecodecs
    from PIL import PngImagePlugin

    png = imagecodecs.PNG
    fast = {"level": png.COMPRESSION.SPEED, "strategy": png.STRATEGY.RLE, "filter": png.FILTER.SUB}
    encoded = memoryview(imagecodecs.png_encode(np.ascontiguousarray(pixels), **fast))
    head = io.BytesIO()
    head.write(encoded[:PNG_HEADER_BYTES])
    for name, data in chunks:  # which imagecodecs cannot write, and Pillow cannot write 16-bit RGB
        PngImagePlugin.putchunk(head, name, data)

    def write(part: Path) -> None:
        with part.open("wb") as file:
            file.write(head.getbuffer())
            file.write(encoded[PNG_HEADER_BYTES:])

    write_whole(path, write)


def png_text(path: Path, keyword: str) -> str | None:
    """The text that `write_png` stored under a keyword; None if there is none, or the file is no PNG."""
    from PIL.PngImagePlugin import PngImageFile

    try:
        with PngImageFile(path) as file:  # Image.open would refuse large SR images
            return file.info.get(keyword)
    except Exception:  # Pillow raises many things about damaged files
        return None


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
    from PIL.PngImagePlugin import PngImageFile

    try:
        with PngImageFile(path) as file:
            if png_is_cut_short(path):
                raise ValueError("cut short")
            file.verify()
    except Exception as error:  # SyntaxError, OSError, and others
        reason = str(error) or type(error).__name__
        raise ValueError(f"its checksum is wrong ({reason})" if "checksum" in reason else reason) from None
