"""What stands above a table and below it: what it is of, and what its reader must know."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from blindsr.published import PublishedTable
from blindsr.table.columns import DEFAULT, Column
from blindsr.table.lines import Line


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


def of_same_items(lines: Sequence[Line], scale: int) -> bool:
    """Whether means at this scale are over the same items (single items are what they are)."""
    return len({line.origin.items for line in lines if line.scale == scale and not line.item}) <= 1


def notes(data: str, lines: Sequence[Line], columns: Sequence[Column], against: Sequence[PublishedTable]) -> Iterator[str]:
    """What is not over the same images, why numbers are missing, and where published numbers come from; a line each."""
    files = {(line.scale, line.origin.path): len(line.origin.items) for line in lines}
    if len({line.origin.items for line in lines if not line.item}) > 1:
        ranked = all(of_same_items(lines, scale) for scale, _ in files)
        unranked = "" if ranked else "; best and second best are not marked among different images"
        counts = "; ".join(f"x{scale} {count} ({path})" for (scale, path), count in files.items())
        yield f"not all over the same images: {counts}{unranked}"
    if set(DEFAULT) & set(columns) and all(np.isnan(line.means[column.name].mean) for line in lines for column in DEFAULT):
        yield "no PSNR and SSIM: there are no HR images, or nothing is done yet"
    for table in against:
        yield f"published ({table.name}): {table.citation}"
        least = min(files.values())
        if not table.is_of(data):
            yield f"caution: measured on {data}, published for {table.data}: other images, so the differences mean little"
        elif least < table.images:
            yield f"caution: measured on {least} of the {table.images} images of {table.data}"
