"""Summaries of results: for each file, scale and method the means of its metrics, which are the columns of a table."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blindsr.errors import BlindSRError, suggestion
from blindsr.imaging.metrics import METRICS, Metric
from blindsr.storage.result import Result, open_result

DEFAULT = (METRICS["psnr"], METRICS["ssim"])
SEVERAL = {"seconds": ("seconds_estimate", "seconds_upscale"), "all": tuple(METRICS)}
"""Names that stand for several columns."""

GROUND_TRUTH = 4
"""The type of methods that know the true kernel: an upper bound, which is not ranked."""


@dataclass(frozen=True)
class Origin:
    """A result file: the names of its data and its pipeline, its items, its seeds, and the identity of each item's images."""

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
class MethodSummary:
    """One method of one file at one scale (and, in a table by items, on one item).

    `done` of `total` rows are complete (with PSNR and SSIM, where others have them), `type` 0 is none, `published` is the key of
    the published row to compare with.
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
        """What the means are over: items, and the identity of each one's images."""
        images = self.origin.images
        return frozenset([(self.item, images[self.item])] if self.item else images.items())

    @property
    def complete(self) -> bool:
        return self.done == self.total


def summarise(paths: Iterable[Path], *, per_item: bool = False) -> list[MethodSummary]:
    """Summaries of result files (or of their folders), in that order; a file that is given twice counts once."""
    found: dict[Path, list[MethodSummary]] = {}
    for path in paths:
        with open_result(path) as result:
            found.setdefault(result.path.resolve(), list(_summaries(result, per_item=per_item)))
    return [summary for summaries in found.values() for summary in summaries]


def _summaries(result: Result, *, per_item: bool) -> Iterator[MethodSummary]:
    columns = result.columns
    seeds = frozenset(int(seed) for seed in columns["seed"])
    images = {item: result.identity(item) for item in result.items}
    origin = Origin(result.path, result.data, result.pipeline, frozenset(result.items), seeds, images)
    items, methods = ({name: n for n, name in enumerate(names)} for names in (result.items, result.methods))
    places: dict[tuple[int, str, str], list[int]] = {}
    for n, (scale, item, method) in enumerate(zip(*(columns[name] for name in ("scale", "item", "method")), strict=True)):
        places.setdefault((int(scale), str(item) if per_item else "", str(method)), []).append(n)
    for scale, item, method in sorted(places, key=lambda place: (place[0], items.get(place[1], 0), methods[place[2]])):
        yield _summary(result, origin, scale, method, item, np.array(places[scale, item, method]))


def _summary(result: Result, origin: Origin, scale: int, method: str, item: str, chosen: NDArray[np.int64]) -> MethodSummary:
    columns = {name: values[chosen] for name, values in result.columns.items()}
    kind = int(columns["type"][0])
    published, kernel = (result.settings(method).get(name) for name in ("published", "kernel"))
    done = _done(result, columns)
    return MethodSummary(
        origin, scale, kind, method, item, int(done.sum()), len(done),
        means={name: _mean(columns[name], columns["seed"]) for name in METRICS},
        published=published if isinstance(published, str) else "",
        knows_kernel=kind == GROUND_TRUTH or (isinstance(kernel, dict) and "ground_truth" in kernel),
    )  # fmt: skip


def _done(result: Result, columns: dict[str, NDArray[Any]]) -> NDArray[np.bool_]:
    done: NDArray[np.bool_] = np.isfinite(columns["seconds_upscale"]) | ~np.isnan(columns["psnr"])
    for n in np.flatnonzero(~done):  # the time of images that were made elsewhere is not known
        done[n] = result.has_sr(str(columns["item"][n]), str(columns["method"][n]), int(columns["seed"][n]))
    done &= columns["error"] == ""
    for name in ("psnr", "ssim"):  # where some have the number, those without it are missing in the mean
        there = ~np.isnan(columns[name])
        done &= there | ~there.any()
    return done


def _mean(values: NDArray[np.float64], seeds: NDArray[np.int64]) -> Mean:
    """The mean of each seed's mean, and the sample standard deviation of these; values that are NaN are left out."""
    there = ~np.isnan(values)
    if not there.any():
        return Mean(np.nan)
    means = np.array([values[there & (seeds == seed)].mean() for seed in np.unique(seeds[there])])
    with np.errstate(invalid="ignore"):  # the PSNR of equal images is infinite
        spread = float(means.std(ddof=1)) if len(means) > 1 else np.nan
    random = spread > 1e-9 * abs(means.mean())  # smaller differences come from the rounding of sums
    return Mean(float(means.mean()), spread if random else np.nan)


def displayed(number: float, column: Metric) -> float:
    """`number` as a table displays it, so that what looks equal is equal."""
    return float(f"{number:{column.format}}")


def columns_named(names: str) -> tuple[Metric, ...]:
    """The columns of a comma-separated list such as ``psnr,ssim,kernel_l2,seconds``: each once, in that order."""
    found: dict[str, Metric] = {}
    for name in (part.strip() for part in names.split(",")):
        if name not in METRICS and name not in SEVERAL:
            there = (*METRICS, *SEVERAL)
            raise BlindSRError(f"`columns`: no column '{name}'{suggestion(name, there) or '; there are ' + ', '.join(there)}")
        found |= {each: METRICS[each] for each in SEVERAL.get(name, (name,))}
    return tuple(found.values())


def filled(columns: Sequence[Metric], summaries: Sequence[MethodSummary]) -> tuple[Metric, ...]:
    """The columns in which some summary has a number; all, if there is none."""
    found = [column for column in columns if any(not np.isnan(summary.means[column.name].mean) for summary in summaries)]
    return tuple(found or columns)
