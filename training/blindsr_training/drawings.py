"""Drawn images to train on beside photographs, which hold little of it: pages of text, screens, charts, facades."""

from __future__ import annotations

import string
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from blindsr.api import BlindSRError

Generator = np.random.Generator
Canvas = Image.Image
Colour = tuple[int, int, int]

SIZE_PX = (480, 320)
OVERSAMPLING = 2
"""Drawings are made this much larger and reduced, as a camera does, or a good screen."""
LETTERS = np.array(list(string.ascii_letters * 2 + string.digits + string.punctuation + " " * 24))
FONT_SIZES_PX = (7.0, 40.0)


@lru_cache(1)
def _fonts() -> list[str]:
    """Faces of letters that ship with matplotlib."""
    import matplotlib

    faces = sorted(Path(matplotlib.get_data_path(), "fonts", "ttf").glob("DejaVu*.ttf"))
    return [str(face) for face in faces if "Display" not in face.name]


def _font(rng: Generator, size_px: float) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(str(rng.choice(_fonts())), round(size_px * OVERSAMPLING))


def _colour(rng: Generator, low: int, high: int) -> Colour:
    """A colour; every second one is gray."""
    levels = rng.integers(low, high, 3) if rng.random() < 0.5 else np.full(3, rng.integers(low, high))
    return int(levels[0]), int(levels[1]), int(levels[2])


def _colours(rng: Generator) -> tuple[Colour, Colour]:
    """Of paper and ink, at times of a dark screen."""
    light, dark = _colour(rng, 190, 256), _colour(rng, 0, 90)
    return (light, dark) if rng.random() < 0.75 else (dark, light)


def _text(rng: Generator, count: int) -> str:
    return "".join(rng.choice(LETTERS, count))


def page(rng: Generator, size: tuple[int, int]) -> Canvas:
    """Lines of random letters in a few faces and sizes."""
    paper, ink = _colours(rng)
    canvas = Image.new("RGB", size, paper)
    pen, top = ImageDraw.Draw(canvas), 4.0
    while top < size[1]:
        font_px = float(np.exp(rng.uniform(*np.log(FONT_SIZES_PX))))
        font = _font(rng, font_px)
        for _ in range(int(rng.integers(1, 6))):
            pen.text((int(rng.integers(0, 40)), top), _text(rng, 160), fill=ink, font=font)
            top += 1.25 * font_px * OVERSAMPLING
        ink = _colours(rng)[1] if rng.random() < 0.1 else ink
    return canvas


def screen(rng: Generator, size: tuple[int, int]) -> Canvas:
    """Panels, frames and buttons with a word on each."""
    canvas = Image.new("RGB", size, _colours(rng)[0])
    pen = ImageDraw.Draw(canvas)
    for _ in range(int(rng.integers(15, 60))):
        left, top = (int(rng.integers(-20, side)) for side in size)
        width, height = (int(rng.integers(10, side // 2)) for side in size)
        paper, ink = _colours(rng)
        frame = (left, top, left + width, top + height)
        radius = int(rng.integers(0, 1 + min(width, height) // 3))
        pen.rounded_rectangle(frame, radius, fill=paper, outline=ink if rng.random() < 0.5 else None, width=int(rng.integers(1, 5)))
        pen.text((left + 8, top + 4), _text(rng, 12), fill=ink, font=_font(rng, rng.uniform(*FONT_SIZES_PX) / 1.5))
    return canvas


def chart(rng: Generator, size: tuple[int, int]) -> Canvas:
    """Lines, polygons and ellipses of all widths and colours, over one another."""
    canvas = Image.new("RGB", size, _colours(rng)[0])
    pen = ImageDraw.Draw(canvas)
    for _ in range(int(rng.integers(20, 80))):
        points = [(int(x), int(y)) for x, y in rng.uniform(0, 1, (int(rng.integers(2, 6)), 2)) * size]
        kind, colour = rng.integers(4), _colour(rng, 0, 256)
        if kind == 0:
            pen.polygon(points, fill=colour)
        elif kind == 1:
            (x, y), radius = points[0], rng.uniform(2, 60, 2)
            pen.ellipse((x - radius[0], y - radius[1], x + radius[0], y + radius[1]), fill=colour)
        else:
            pen.line(points, fill=colour, width=int(rng.integers(1, 8)), joint="curve")
    return canvas


def facade(rng: Generator, size: tuple[int, int]) -> Canvas:
    """A grid of windows with sills and panes, or plain stripes, seen at an angle."""
    wall, glass = _colours(rng)
    canvas = Image.new("RGB", size, wall)
    pen = ImageDraw.Draw(canvas)
    step = rng.uniform(6, 70, 2) * OVERSAMPLING
    window = step * rng.uniform(0.3, 0.85, 2)
    if rng.random() < 0.3:
        window[int(rng.integers(2))] = 1e4
    for y in np.arange(0, size[1], step[1]):
        for x in np.arange(0, size[0], step[0]):
            shade = tuple(int(level) for level in np.clip(np.array(glass) + rng.integers(-25, 26), 0, 255))
            pen.rectangle((x, y, x + window[0], y + window[1]), fill=shade)
            if min(window) > 12 * OVERSAMPLING:
                pen.line((x + window[0] / 2, y, x + window[0] / 2, y + window[1]), fill=wall, width=2 * OVERSAMPLING)
                pen.line((x, y + window[1], x + window[0], y + window[1]), fill=_colour(rng, 0, 256), width=OVERSAMPLING)
    return _turned(rng, canvas)


def _turned(rng: Generator, canvas: Canvas) -> Canvas:
    """Seen at an angle: a random perspective."""
    tilt = rng.uniform(-0.25, 0.25, 4)
    shape = (1 + tilt[0], tilt[1], 0, tilt[2], 1 + tilt[3], 0, *(rng.uniform(0, 0.6, 2) / canvas.width))
    return canvas.transform(
        canvas.size, Image.Transform.PERSPECTIVE, shape, Image.Resampling.BICUBIC, fillcolor=canvas.getpixel((0, 0))
    )


KINDS: tuple[Callable[[Generator, tuple[int, int]], Canvas], ...] = (page, page, screen, chart, facade, facade)


def drawing(rng: Generator) -> Canvas:
    """A random drawing, RGB, of `SIZE_PX`."""
    large = KINDS[int(rng.integers(len(KINDS)))](rng, (SIZE_PX[0] * OVERSAMPLING, SIZE_PX[1] * OVERSAMPLING))
    return large.resize(SIZE_PX, Image.Resampling.BOX if rng.random() < 0.5 else Image.Resampling.LANCZOS)


def write_drawings(folder: Path, count: int, seed: int) -> None:
    """Write so many drawings into a folder, the same ones for the same seed.

    Raises
    ------
    BlindSRError
        If matplotlib is missing, or the folder cannot be written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for number in range(count):
            drawing(np.random.default_rng((seed, number))).save(folder / f"drawing_{number:04}.png")
    except ImportError:
        raise BlindSRError("drawings need the fonts of matplotlib: install blindsr[plot]") from None
    except OSError as error:
        raise BlindSRError(f"{folder}: {error.strerror or error}; choose a folder that can be written to") from None
