"""What a page shows: the images of results, each with what the methods made of it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blindsr.imaging.kernel import Kernel
from blindsr.imaging.metrics import METRICS
from blindsr.report.merge import merged_rows
from blindsr.report.page.pictures import MAX_SIDE
from blindsr.report.summary import MethodSummary
from blindsr.storage.hdf5 import get_text
from blindsr.storage.result import Result

VERSIONS = ("python", "torch", "numpy", "h5py", "hdf5")


@dataclass(frozen=True)
class Shown:
    """What one method made of an image: its title in the table, and its row in a result (of the first seed)."""

    title: str
    summary: MethodSummary
    result: Result
    seed: int

    @property
    def row(self) -> tuple[str, str, int]:
        return self.summary.item, self.summary.method, self.seed

    @property
    def error(self) -> str:
        """Why it has no image; empty if it has one, or was not reached."""
        return str(self.result.columns["error"][self.result.rows[self.row]])

    def number(self, name: str) -> float:
        """A metric of the row; NaN where it is absent."""
        return self.result.metrics(*self.row).get(name, np.nan)

    @property
    def scores(self) -> list[str]:
        """PSNR and SSIM as texts, as far as there are such."""
        found = ((METRICS[name], self.number(name)) for name in ("psnr", "ssim"))
        return [f"{value:{metric.format}}{' dB' * (metric.unit == 'dB')}" for metric, value in found if not np.isnan(value)]


@dataclass(frozen=True)
class Scene:
    """An image at one scale, with all methods that were run on it. `result` is one that holds the LR and HR image."""

    data: str
    item: str
    scale: int
    result: Result
    shown: Sequence[Shown]

    @property
    def pixels(self) -> int:
        """How many pixels its pictures have together, about."""
        lr = self.result.image(self.item, "lr")
        each = 0 if lr is None else min(lr.shape[0] * lr.shape[1] * self.scale**2, MAX_SIDE**2)
        return each * (len(self.shown) + 2)


@dataclass(frozen=True)
class ShownKernel:
    """A kernel: its title, its method's (empty: the true kernel), its array, and its numbers for people to read."""

    title: str
    method: str
    array: NDArray[np.float64]
    text: str


@dataclass(frozen=True)
class Making:
    """How a result was made, for people to read."""

    title: str
    facts: Sequence[tuple[str, str]]
    pipeline: str


def scenes(summaries: Sequence[MethodSummary], results: Sequence[Result]) -> list[Scene]:
    """The images of results, in the order of the tables; images of one name that differ are scenes of their own.

    `summaries` are those of these results, with an entry for each item.
    """
    opened = {result.path: result for result in results}
    found: dict[tuple[str, str, int, str], list[Shown]] = {}
    for data in dict.fromkeys(summary.origin.data for summary in summaries):
        for row in merged_rows([summary for summary in summaries if summary.origin.data == data]):
            for scale, summary in sorted(row.at.items()):
                result = opened[summary.origin.path]
                seed = next(s for s in result.seeds if (row.item, summary.method, s) in result.rows)
                place = (data, row.item, scale, summary.origin.images[row.item])
                found.setdefault(place, []).append(Shown(row.title, summary, result, seed))
    return [Scene(data, item, scale, shown[0].result, shown) for (data, item, scale, _), shown in found.items()]


def shown_kernels(scene: Scene) -> list[ShownKernel]:
    """The true kernel, if there is one, then those of the methods that do not know it."""
    found = []
    if (true := scene.result.kernel(scene.item)) is not None:
        found.append(ShownKernel("True kernel", "", true.array, _widths(true)))
    for shown in scene.shown:
        kernel = shown.result.kernel(*shown.row)
        if kernel is not None and not shown.summary.knows_kernel:
            error = shown.number("kernel_l2")
            texts = [f"error {error:.3f}"] if not np.isnan(error) else []
            texts += [f"expected {kernel.expected_error:.2f}"] if kernel.expected_error and not texts else []
            texts += shown.scores[:1] or [_widths(kernel)]
            found.append(ShownKernel(shown.title, shown.title, kernel.array, ", ".join(texts)))
    return found


def brightest(kernels: Sequence[ShownKernel]) -> float:
    """The value that the brightest colour is for: the largest of the true kernel; without one, of all."""
    return float(max(kernel.array.max() for kernel in kernels[: 1 if not kernels[0].method else None]))


def shown_curves(scene: Scene) -> dict[str, list[tuple[str, NDArray[np.float64]]]]:
    """By the name of a curve: the methods that have it, and their points (n, 2) of step and value."""
    found: dict[str, list[tuple[str, NDArray[np.float64]]]] = {}
    for shown in scene.shown:
        for name, curve in shown.result.curves(*shown.row).items():
            if curve.ndim == 2 and curve.shape[1:] == (2,) and curve.dtype.kind == "f" and len(curve) > 1:
                found.setdefault(name.replace("_", " "), []).append((shown.title, curve))
    return found


def speeds(means: Sequence[MethodSummary]) -> dict[str, list[tuple[str, float, float]]]:
    """By data and scale: methods with their mean seconds for an image (kernel and SR) and mean PSNR."""
    found: dict[str, list[tuple[str, float, float]]] = {}
    for data in dict.fromkeys(summary.origin.data for summary in means):
        for row in merged_rows([summary for summary in means if summary.origin.data == data]):
            for scale, summary in sorted(row.at.items()):
                estimate, upscale, psnr = (summary.means[name].mean for name in ("seconds_estimate", "seconds_upscale", "psnr"))
                seconds = float(np.nansum([estimate, upscale]))
                if seconds > 0 and np.isfinite(psnr):
                    found.setdefault(f"{data} ×{scale}", []).append((row.title, seconds, psnr))
    return found


def making(result: Result) -> Making:
    """How a result was made: versions, seeds, weights, settings."""
    about = result.file.get("provenance")
    texts = {name: get_text(about, name) if about else "" for name in ("plugins", "weights", "left_out", "device", "pipeline_yaml")}
    creator, git = get_text(result.file, "creator_version"), get_text(result.file, "git_revision")
    facts = {
        "file": result.path.name if result.path.parent == Path() else f"{result.path.parent.name}/{result.path.name}",
        "written": get_text(result.file, "file_time"),
        "blindsr": f"{creator} ({git[:12]})" if git else creator,
        "versions": ", ".join(f"{name} {text}" for name in VERSIONS if (text := get_text(result.file, f"version_{name}"))),
        "device": texts["device"],
        "seeds": ", ".join(map(str, result.seeds)),
        "weights": "; ".join(_weights(texts["weights"])),
        "plugins": ", ".join(_plugins(texts["plugins"])),
        "left out": texts["left_out"],
    }
    title = " ".join(filter(None, (result.pipeline, "on", result.data)))
    return Making(title, [(name, text) for name, text in facts.items() if text], texts["pipeline_yaml"])


def _widths(kernel: Kernel) -> str:
    return " × ".join(f"{width:.2f}" for width in kernel.widths_px) + " px wide"


def _weights(text: str) -> Iterator[str]:
    for entry in _entries(text):
        licence = f", {entry['licence']}" if entry.get("licence") else ""
        path = Path(str(entry.get("path", "")))
        name = "/".join(path.parts[-3:]) if licence else path.name  # those that come with a plugin have like names
        yield f"{name} (SHA-256 {str(entry.get('sha256', ''))[:16]}…{licence})"


def _plugins(text: str) -> Iterator[str]:
    """The distributions and their versions, each once."""
    found = (f"{entry.get('distribution', '')} {entry.get('version', '')}".strip() for entry in _entries(text))
    yield from dict.fromkeys(name for name in found if name)


def _entries(text: str) -> list[dict[str, Any]]:
    """The objects in a JSON list; none where the file of somebody else holds another thing."""
    try:
        entries = json.loads(text or "[]")
    except ValueError:
        return []
    return [entry for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []
