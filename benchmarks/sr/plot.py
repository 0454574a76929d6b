"""Speed against quality as an SVG picture."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from typing import NamedTuple

WIDTH, HEIGHT = 820, 480
LEFT, RIGHT, TOP, BOTTOM = 60, 220, 40, 50
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#444444", "#8c564b")
"""Okabe and Ito's, which colour-blind readers can tell apart, and two more."""


class Point(NamedTuple):
    """A method: seconds per megapixel, PSNR in dB, and whether it had the true kernels."""

    label: str
    seconds: float
    psnr: float
    true: bool


def as_svg(points: Sequence[Point], title: str) -> str:
    """A scatter plot: seconds on a logarithmic axis, PSNR; filled with true kernels, hollow with estimated ones."""
    decades = range(
        math.floor(min(math.log10(p.seconds) for p in points)), math.ceil(max(math.log10(p.seconds) for p in points)) + 1
    )
    levels = range(math.floor(min(p.psnr for p in points)), math.ceil(max(p.psnr for p in points)) + 1)
    colours = {label: COLOURS[n % len(COLOURS)] for n, label in enumerate(dict.fromkeys(p.label for p in points))}

    def x(seconds: float) -> float:
        return LEFT + (math.log10(seconds) - decades[0]) / max(len(decades) - 1, 1) * (WIDTH - LEFT - RIGHT)

    def y(psnr: float) -> float:
        return HEIGHT - BOTTOM - (psnr - levels[0]) / max(len(levels) - 1, 1) * (HEIGHT - TOP - BOTTOM)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        _text(LEFT, 22, f"{title}: PSNR on Y (dB) against seconds per SR megapixel; filled: true kernels, hollow: estimated"),
    ]
    for decade in decades:
        parts += [
            _line(x(10**decade), TOP, x(10**decade), HEIGHT - BOTTOM),
            _text(x(10**decade) - 8, HEIGHT - 28, f"{10.0**decade:g}"),
        ]
    for level in levels:
        parts += [_line(LEFT, y(level), WIDTH - RIGHT, y(level)), _text(LEFT - 28, y(level) + 4, str(level))]
    for point in points:
        fill = colours[point.label] if point.true else "white"
        place = f'cx="{x(point.seconds):.1f}" cy="{y(point.psnr):.1f}"'
        parts.append(f'<circle {place} r="5" fill="{fill}" stroke="{colours[point.label]}" stroke-width="2"/>')
    for number, (label, colour) in enumerate(colours.items()):
        row = TOP + 18 * number
        parts += [
            f'<circle cx="{WIDTH - RIGHT + 16}" cy="{row}" r="5" fill="{colour}"/>',
            _text(WIDTH - RIGHT + 28, row + 4, label),
        ]
    return "\n".join([*parts, "</svg>", ""])


def _line(x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="#ddd"/>'


def _text(x: float, y: float, text: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" fill="#222">{escape(text)}</text>'
