"""A contact sheet: a picture of all kernels of a pool."""

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from blindsr.errors import printable
from blindsr.imaging.files import write_whole
from blindsr.imaging.kernel import Kernel
from blindsr.storage.kernel_pool import KernelPool

SIDE_PX, TEXT_PX, GAP_PX, LINE_PX = 128, 44, 8, 14
MAX_COLUMNS = 10
MIN_SEEN = 0.01
"""Values below this share of the largest one need no room."""
NAME_CHARACTERS = 20
Colour = tuple[int, int, int]
WHITE, GRAY, RED = (255, 255, 255), (170, 170, 170), (255, 120, 120)


def write_sheet(path: Path, pool: KernelPool) -> None:
    """Write a PNG of all kernels at one magnification, their names, widths and expected errors; also of those left out."""
    entries = list(_captions(pool))
    columns = min(MAX_COLUMNS, math.ceil(math.sqrt(len(entries))))
    cell, row = SIDE_PX + GAP_PX, SIDE_PX + TEXT_PX + GAP_PX
    sheet = Image.new("RGB", (columns * cell + GAP_PX, math.ceil(len(entries) / columns) * row + GAP_PX), (24, 24, 24))
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=11)
    side = 2 * max(_reach(kernel) for kernel, *_ in entries) + 1
    for number, (kernel, lines, colour) in enumerate(entries):
        left, top = GAP_PX + number % columns * cell, GAP_PX + number // columns * row
        sheet.paste(_picture(kernel, side), (left, top))
        for line, text in enumerate(lines):
            draw.text((left, top + SIDE_PX + 1 + line * LINE_PX), text, fill=colour if line else WHITE, font=font)
    write_whole(path, lambda part: sheet.save(part, "PNG"))


def _captions(pool: KernelPool) -> Iterator[tuple[Kernel, list[str], Colour]]:
    """Of each kernel: what is written under it, and the colour of that."""
    for entries, what, colour in (
        (pool.kernels, "", GRAY),
        (pool.cameras, "mean of {photographs}", GRAY),
        (pool.left_out, "left out", RED),
    ):
        for entry in entries:
            name = printable(entry.source.encode("latin-1", "replace").decode("latin-1"))  # what the font has
            error = entry.kernel.expected_error
            about = [what.format(**entry.about), "" if error is None else f"error {error:.2f}", str(entry.about.get("cell", ""))]
            widths = " x ".join(f"{width:.2f}" for width in entry.kernel.widths_px)
            name = name if len(name) <= NAME_CHARACTERS else f"{name[: NAME_CHARACTERS - 3]}..."
            yield entry.kernel, [name, f"{widths} px", ", ".join(filter(None, about))], colour


def _reach(kernel: Kernel) -> int:
    """How far from the array's middle there is something to see."""
    seen = np.argwhere(kernel.array > MIN_SEEN * kernel.array.max())
    return int(np.abs(seen - np.array(kernel.shape) // 2).max()) + 1


def _picture(kernel: Kernel, side: int) -> Image.Image:
    """The `side` x `side` values around the array's middle, the largest one white."""
    padded = np.pad(kernel.array, side // 2)
    top, left = (size // 2 for size in kernel.shape)
    frame = padded[top : top + side, left : left + side]
    gray = np.round(255 * np.clip(frame / frame.max(), 0, 1)).astype(np.uint8)
    return Image.fromarray(gray).resize((SIDE_PX, SIDE_PX), Image.Resampling.NEAREST).convert("RGB")
