"""What stands above a table and below it: what it is of, and what its reader must know."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from blindsr.errors import shortened
from blindsr.imaging.metrics import Metric
from blindsr.pipeline.published import PublishedTable
from blindsr.report.columns import DEFAULT
from blindsr.report.lines import Line


def title(data: str, lines: Sequence[Line]) -> str:
    """The name of the data, and what all lines have in common: scale, number of images, number of seeds."""
    scales = {line.scale for line in lines}
    items = {line.origin.items for line in lines}
    seeds = {line.origin.seeds for line in lines}
    text = f"{data} x{scales.pop()}" if len(scales) == 1 else data
    if len(items) == 1:
        count = len(items.pop())
        text += f", {count} image{'s' if count > 1 else ''}"
    if len(seeds) == 1 and (count := len(seeds.pop())) > 1:
        text += f", {count} seeds"
    return text


def mixed(lines: Sequence[Line]) -> set[tuple[int, str]]:
    """At which scales, of which item (empty: of all), means are over different images."""
    images: dict[tuple[int, str], set[frozenset[tuple[str, str]]]] = {}
    for line in lines:
        images.setdefault((line.scale, line.item), set()).add(line.images)
    return {place for place, found in images.items() if len(found) > 1}


def _differences(lines: Sequence[Line]) -> Iterator[str]:
    """Which items have the same name in two files of a scale, and are not the same image."""
    first: dict[tuple[int, str], tuple[str, Path]] = {}
    for scale, origin in {(line.scale, line.origin.path): (line.scale, line.origin) for line in lines}.values():
        others = []
        for item, made_of in origin.images.items():
            known, path = first.setdefault((scale, item), (made_of, origin.path))
            if known != made_of:
                others.append((item, path))
        if others:
            names = shortened([item for item, _ in others])
            yield f"x{scale}: another image, or made in another way, in {origin.path} than in {others[0][1]}: {names}"


def notes(data: str, lines: Sequence[Line], columns: Sequence[Metric], against: Sequence[PublishedTable]) -> Iterator[str]:
    """What is not over the same images, why numbers are missing, and where published numbers come from; a line each."""
    files = {(line.scale, line.origin.path): len(line.origin.items) for line in lines}
    different = mixed(lines)
    if different or len({line.origin.items for line in lines if not line.item}) > 1:
        unranked = "; best and second best are not marked among different images" if different else ""
        counts = "; ".join(f"x{scale} {count} ({path})" for (scale, path), count in files.items())
        yield f"not all over the same images: {counts}{unranked}"
        yield from _differences(lines)
    if set(DEFAULT) & set(columns) and all(np.isnan(line.means[column.name].mean) for line in lines for column in DEFAULT):
        yield "no PSNR and SSIM: there are no HR images, or nothing is done yet"
    for table in against:
        yield f"published ({table.name}): {table.citation}"
        least = min(files.values())
        if not table.is_of(data):
            yield f"caution: measured on {data}, published for {table.data}: other images, so the differences mean little"
        elif least < table.images:
            yield f"caution: measured on {least} of the {table.images} images of {table.data}"
