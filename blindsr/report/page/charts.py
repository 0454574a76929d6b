"""Charts as SVG: curves of a training, and quality against time. Colours come from the page's style, by number."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from blindsr.report.page.markup import Html, element

WIDTH, HEIGHT = 360, 200
PLOT_WIDTH, PLOT_HEIGHT = 560, 300
LEFT, RIGHT, TOP, BOTTOM = 52, 18, 26, 34
MAX_POINTS = 160
MAX_TICKS = 5
COLOURS = 8
CHARACTER_PX = 6.4
LOG_FROM = 50
"""Positive values that differ by more than this factor get a logarithmic axis."""


@dataclass(frozen=True)
class Axis:
    """One axis: its limits, and the pixels that they lie at."""

    low: float
    high: float
    start: float
    end: float
    log: bool

    @classmethod
    def of(cls, values: NDArray[np.float64], start: float, end: float, *, log: bool | None = None, margin: float = 0.0) -> Axis:
        low, high = float(values.min()), float(values.max())
        logarithmic = low > 0 and (high / low > LOG_FROM if log is None else log)
        if logarithmic:
            low, high = math.log10(low), math.log10(high)
        room = (high - low) * margin or (abs(high) * 0.05 + 0.05 if high == low else 0)
        return cls(low - room, high + room, start, end, logarithmic)

    def __call__(self, value: float) -> float:
        place = math.log10(value) if self.log else value
        return self.start + (place - self.low) / (self.high - self.low) * (self.end - self.start)

    def ticks(self) -> list[float]:
        """Round numbers between the limits."""
        if self.log and self.high - self.low >= 1:
            every = math.ceil((self.high - self.low) / MAX_TICKS)
            return [10.0**n for n in range(math.ceil(self.low), math.floor(self.high) + 1, every)]
        low, high = (10**self.low, 10**self.high) if self.log else (self.low, self.high)
        rough = (high - low) / MAX_TICKS
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(power * n for n in (1, 2, 5, 10) if power * n >= rough * 0.999)
        return [n * step for n in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]


@dataclass(frozen=True)
class Series:
    """A curve (n, 2), or a point (1, 2), and its colour's number."""

    name: str
    colour: int
    points: NDArray[np.float64]


def curves(title: str, series: Sequence[Series]) -> Html | None:
    """A chart of curves over steps; None where no number is finite."""
    finite = [Series(s.name, s.colour, _thinned(s.points[np.isfinite(s.points).all(axis=1)])) for s in series]
    finite = [s for s in finite if len(s.points)]
    if not finite:
        return None
    values = np.concatenate([s.points for s in finite])
    x, y = Axis.of(values[:, 0], LEFT, WIDTH - RIGHT, log=False), Axis.of(values[:, 1], HEIGHT - BOTTOM, TOP, margin=0.04)
    drawn = []
    for s in finite:
        path = "".join(f"{'L' if n else 'M'}{x(step):.1f} {y(value):.1f}" for n, (step, value) in enumerate(s.points))
        drawn.append(element("path", element("title", s.name), d=path, class_=f"line {colour(s.colour)}", data_method=s.name))
    return _chart(f"{title}: {', '.join(s.name for s in finite)}", [*_grid(x, y, "step", title), *drawn])


def scatter(title: str, series: Sequence[Series], x_title: str, y_title: str) -> Html:
    """A chart of points with their names beside them; the x axis is logarithmic."""
    values = np.concatenate([s.points for s in series])
    x = Axis.of(values[:, 0], LEFT, PLOT_WIDTH - RIGHT, log=True, margin=0.12)
    y = Axis.of(values[:, 1], PLOT_HEIGHT - BOTTOM, TOP, margin=0.12)
    places = [(x(s.points[0, 0]), y(s.points[0, 1])) for s in series]
    taken = [(px - 6, py - 6, px + 6, py + 6) for px, py in places]
    drawn = []
    for s, (px, py) in zip(series, places, strict=True):
        anchor, text_x, text_y = _free_place(px, py, CHARACTER_PX * len(s.name), taken)
        label = element("text", s.name, x=f"{text_x:.1f}", y=f"{text_y:.1f}", class_=f"name {anchor}")
        hint = element("title", f"{s.name}: {s.points[0, 1]:.2f}, {s.points[0, 0]:.3g} s")
        point = element("circle", hint, cx=f"{px:.1f}", cy=f"{py:.1f}", r=5, class_=f"point {colour(s.colour)}")
        drawn.append(element("g", point, label, data_method=s.name))
    names = ", ".join(f"{s.name} {s.points[0, 1]:.2f} in {s.points[0, 0]:.3g} s" for s in series)
    return _chart(f"{title}: {names}", [*_grid(x, y, x_title, y_title), *drawn], PLOT_WIDTH, PLOT_HEIGHT)


def colour(number: int) -> str:
    """The classes of a colour: beyond the eighth, lines are dashed."""
    return f"c{number % COLOURS}{' dashed' if number >= COLOURS else ''}"


def _free_place(x: float, y: float, width: float, taken: list[tuple[float, float, float, float]]) -> tuple[str, float, float]:
    """Where the name of a point covers least of what is in `taken` (left, top, right, bottom), to which it is added."""
    options = (("start", x + 9, y + 4), ("end", x - 9, y + 4), ("middle", x, y - 11), ("middle", x, y + 18))
    boxes = []
    for anchor, text_x, text_y in options:
        left = text_x - {"start": 0.0, "middle": width / 2, "end": width}[anchor]
        box = (left, text_y - 10, left + width, text_y + 3)
        outside = max(0.0, LEFT - box[0]) + max(0.0, box[2] - PLOT_WIDTH)
        covered = sum(
            max(0.0, min(box[2], other[2]) - max(box[0], other[0])) * max(0.0, min(box[3], other[3]) - max(box[1], other[1]))
            for other in taken
        )
        boxes.append((covered + 20 * outside, box))
    best = min(range(len(options)), key=lambda n: boxes[n][0])
    taken.append(boxes[best][1])
    return options[best]


def _thinned(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """At most `MAX_POINTS` of the points, with the first and the last."""
    if len(points) <= MAX_POINTS:
        return points
    chosen = np.linspace(0, len(points) - 1, MAX_POINTS).round().astype(int)
    return np.take(points, chosen, axis=0)


def _grid(x: Axis, y: Axis, x_title: str, y_title: str) -> Iterator[Html]:
    for value in y.ticks():
        yield element("path", d=f"M{x.start} {y(value):.1f}H{x.end}", class_="grid")
        yield element("text", f"{value:g}", x=x.start - 6, y=f"{y(value) + 4:.1f}", class_="end")
    for value in x.ticks():
        yield element("path", d=f"M{x(value):.1f} {y.start}v4", class_="tick")
        yield element("text", f"{value:g}", x=f"{x(value):.1f}", y=y.start + 16, class_="middle")
    yield element("path", d=f"M{x.start} {y.start}H{x.end}", class_="tick")
    yield element("text", x_title, x=x.end, y=y.start + 30, class_="end axis")
    yield element("text", y_title, x=4, y=14, class_="axis")


def _chart(label: str, content: Sequence[Html], width: float = WIDTH, height: float = HEIGHT) -> Html:
    return element("svg", content, viewBox=f"0 0 {width:g} {height:g}", role="img", aria_label=label, class_="chart")
