"""Result files summarised: a line for each file, scale and method, with the means of its numbers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blindsr.imaging.metrics import METRICS
from blindsr.storage.result import Result

Numbers = NDArray[np.float64]
GROUND_TRUTH = 4
"""The type of the methods that know the true kernel: an upper bound, no competitors."""


@dataclass(frozen=True)
class Origin:
    """A result file, and what it is of: the names of its data and its pipeline, its items, its seeds; what each item is made of."""

    path: Path
    data: str
    pipeline: str
    items: frozenset[str]
    seeds: frozenset[int]
    images: Mapping[str, str]


@dataclass(frozen=True)
class Mean:
    """The mean over items and seeds, and with several seeds the standard deviation of the seeds' means; NaN where there is none."""

    mean: float
    spread: float = np.nan


@dataclass(frozen=True)
class Line:
    """One method of one file at one scale (and, in a table by items, on one item).

    `done` of `total` results are whole (with PSNR and SSIM, where others have them), `type` 0 is none, `published` is the key of
    the published row that it answers to.
    """

    origin: Origin
    scale: int
    type: int
    method: str
    item: str
    done: int
    total: int
    means: dict[str, Mean]
    published: str = ""
    knows_kernel: bool = False

    @property
    def images(self) -> frozenset[tuple[str, str]]:
        """The images that its means are over."""
        images = self.origin.images
        return frozenset([(self.item, images[self.item])] if self.item else images.items())

    @property
    def complete(self) -> bool:
        """Whether none of its results is missing."""
        return self.done == self.total


def lines(results: Sequence[Result], *, per_item: bool = False) -> list[Line]:
    """Summarise results, in the files' order; a file that is named twice counts once."""
    files = {result.path.resolve(): result for result in results}
    return [line for result in files.values() for line in _lines(result, per_item=per_item)]


def _lines(result: Result, *, per_item: bool) -> Iterator[Line]:
    columns = result.columns
    seeds = frozenset(int(seed) for seed in columns["seed"])
    images = {item: result.identity(item) for item in result.items}
    origin = Origin(result.path, result.data, result.pipeline, frozenset(result.items), seeds, images)
    items, methods = ({name: n for n, name in enumerate(names)} for names in (result.items, result.methods))
    places: dict[tuple[int, str, str], list[int]] = {}
    for n, (scale, item, method) in enumerate(zip(*(columns[name] for name in ("scale", "item", "method")), strict=True)):
        places.setdefault((int(scale), str(item) if per_item else "", str(method)), []).append(n)
    for scale, item, method in sorted(places, key=lambda place: (place[0], items.get(place[1], 0), methods[place[2]])):
        yield _line(result, origin, scale, method, item, np.array(places[scale, item, method]))


def _line(result: Result, origin: Origin, scale: int, method: str, item: str, chosen: NDArray[np.int64]) -> Line:
    columns = {name: values[chosen] for name, values in result.columns.items()}
    kind = int(columns["type"][0])
    settings = result.settings(method)
    published = settings.get("published")
    done = _done(result, columns)
    return Line(
        origin=origin,
        scale=scale,
        type=kind,
        method=method,
        item=item,
        done=int(done.sum()),
        total=len(done),
        means={name: mean(columns[name], columns["seed"]) for name in METRICS},
        published=published if isinstance(published, str) else "",
        knows_kernel=kind == GROUND_TRUTH or "ground_truth" in _names(settings.get("kernel")),
    )


def _done(result: Result, columns: dict[str, NDArray[Any]]) -> NDArray[np.bool_]:
    """Which rows are whole."""
    done: NDArray[np.bool_] = np.isfinite(columns["seconds_upscale"]) | ~np.isnan(columns["psnr"])
    for n in np.flatnonzero(~done):  # images that were made elsewhere took nobody knows how long
        done[n] = result.has_sr(str(columns["item"][n]), str(columns["method"][n]), int(columns["seed"][n]))
    done &= columns["error"] == ""
    for name in ("psnr", "ssim"):  # where some have the number, those without it are missing in the mean
        there = ~np.isnan(columns[name])
        done &= there | ~there.any()
    return done


def _names(component: object) -> tuple[str, ...]:
    """The name of a component in resolved settings, ``{name: parameters}``."""
    return tuple(component) if isinstance(component, dict) else ()


def mean(values: Numbers, seeds: NDArray[np.int64]) -> Mean:
    """The mean of each seed's mean, and the sample standard deviation of these; values that are NaN are left out."""
    there = ~np.isnan(values)
    if not there.any():
        return Mean(np.nan)
    means = np.array([values[there & (seeds == seed)].mean() for seed in np.unique(seeds[there])])
    with np.errstate(invalid="ignore"):  # the PSNR of equal images is infinite
        spread = float(means.std(ddof=1)) if len(means) > 1 else np.nan
    chance = spread > 1e-9 * abs(means.mean())  # without it, what differs is the rounding of sums
    return Mean(float(means.mean()), spread if chance else np.nan)
