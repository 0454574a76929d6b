"""The SR images of a result as PNG files."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from blindsr.imaging.files import explained, file_name
from blindsr.imaging.writer import png_is_cut_short, png_text, write_png
from blindsr.pipeline.plan import Plan

STEP = "blindsr-step"


def write_pictures(folder: Path, plan: Plan, key: str, pixels: Callable[[], NDArray[Any]]) -> None:
    """Write the image of an upscaling step for each of its rows.

    The files are ``METHOD/ITEM.png``, with several seeds ``METHOD/seed-N/ITEM.png``. Each names its step (PNG text
    ``blindsr-step``). Complete files of the same step are left alone, and `pixels` is then not called.
    """
    for path in _paths(folder, plan, key):
        if png_text(path, STEP) != key or png_is_cut_short(path):
            write_png(path, pixels(), (STEP, key))


def remove_pictures(folder: Path, plan: Plan, key: str) -> None:
    """Remove the images that earlier runs wrote for the rows of a step that has failed now."""
    for path in _paths(folder, plan, key):
        if png_text(path, STEP) is not None:
            with explained(path):
                path.unlink()


def _paths(folder: Path, plan: Plan, key: str) -> Iterator[Path]:
    names = folder_names([method.name for method in plan.pipeline.methods])
    for row in plan.uses[key]:
        place = folder / names[row.method.name]
        if len(plan.pipeline.seeds) > 1:
            place /= f"seed-{row.seed}"
        yield place / file_name(row.item, ".png")


def folder_names(names: list[str]) -> dict[str, str]:
    """A folder name for each method name: its letters, digits and ``+ - _ . ,``, and a number where two would be equal."""
    taken: dict[str, str] = {}
    for name in names:
        plain = re.sub(r"[^\w+.,-]+", "_", name).strip("._") or "method"
        number = 2
        unique = file_name(plain)
        while unique in taken.values():
            unique, number = file_name(plain, f"-{number}"), number + 1
        taken[name] = unique
    return taken
