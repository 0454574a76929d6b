"""Titles and notes of tables."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from blindsr.errors import shortened
from blindsr.imaging.metrics import Metric
from blindsr.pipeline.published import PublishedTable
from blindsr.report.summary import DEFAULT, MethodSummary


def title(data: str, summaries: Sequence[MethodSummary]) -> str:
    """The title of a table: the data, and where they are the same for all rows the scale and the numbers of images and seeds."""
    scales = {summary.scale for summary in summaries}
    items = {summary.origin.items for summary in summaries}
    seeds = {summary.origin.seeds for summary in summaries}
    text = f"{data} x{scales.pop()}" if len(scales) == 1 else data
    if len(items) == 1:
        count = len(items.pop())
        text += f", {count} image{'s' if count > 1 else ''}"
    if len(seeds) == 1 and (count := len(seeds.pop())) > 1:
        text += f", {count} seeds"
    return text


def places_with_different_images(summaries: Sequence[MethodSummary]) -> set[tuple[int, str]]:
    """The scales and items (empty: the means over all) at which the rows of a table are over different images."""
    images: dict[tuple[int, str], set[frozenset[tuple[str, str]]]] = {}
    for summary in summaries:
        images.setdefault((summary.scale, summary.item), set()).add(summary.images)
    return {place for place, found in images.items() if len(found) > 1}


def _differences(summaries: Sequence[MethodSummary]) -> Iterator[str]:
    """A note for each file with items that are other images than the items of the same names in another file."""
    first: dict[tuple[int, str], tuple[str, Path]] = {}
    for scale, origin in {(summary.scale, summary.origin.path): (summary.scale, summary.origin) for summary in summaries}.values():
        others = []
        for item, identity in origin.images.items():
            known, path = first.setdefault((scale, item), (identity, origin.path))
            if known != identity:
                others.append((item, path))
        if others:
            names = shortened([item for item, _ in others])
            yield f"x{scale}: another image, or made in another way, in {origin.path} than in {others[0][1]}: {names}"


def notes(
    data: str, summaries: Sequence[MethodSummary], columns: Sequence[Metric], against: Sequence[PublishedTable]
) -> Iterator[str]:
    """The notes below a table: rows over different images, why numbers are missing, the source of published numbers."""
    files = {(summary.scale, summary.origin.path): len(summary.origin.items) for summary in summaries}
    different = places_with_different_images(summaries)
    if different or len({summary.origin.items for summary in summaries if not summary.item}) > 1:
        unranked = "; best and second best are not marked among different images" if different else ""
        counts = "; ".join(f"x{scale} {count} ({path})" for (scale, path), count in files.items())
        yield f"not all over the same images: {counts}{unranked}"
        yield from _differences(summaries)
    means = [summary.means[column.name].mean for summary in summaries for column in DEFAULT]
    if set(DEFAULT) & set(columns) and np.isnan(means).all():
        why = "there are no HR images" if any(summary.done for summary in summaries) else "no row is finished"
        yield f"no PSNR and SSIM: {why}"
    for table in against:
        yield f"published ({table.name}): {table.citation}"
        count = min(files.values())
        if not table.is_of(data):
            yield f"caution: measured on {data}, published for {table.data}: other images, so the differences mean little"
        elif count < table.images:
            yield f"caution: measured on {count} of the {table.images} images of {table.data}"
