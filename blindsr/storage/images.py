"""Images and kernels as files: the SR images of a run, and what is exported from a result."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from blindsr.imaging.files import explained, file_name
from blindsr.imaging.kernel import Kernel
from blindsr.imaging.writer import png_is_cut_short, png_text, write_png
from blindsr.pipeline.plan import Plan
from blindsr.storage.result import Result

STEP = "blindsr-step"


def write_pictures(folder: Path, plan: Plan, key: str, pixels: Callable[[], NDArray[Any]]) -> None:
    """Write the image of an SR step for each of its rows: ``METHOD/ITEM.png``, with several seeds ``METHOD/seed-N/ITEM.png``.

    Each file names its step. Complete files of the same step are left alone, and `pixels` is then not called.
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


def export_files(result: Result, folder: Path, what: Collection[str], items: Collection[str], methods: Collection[str]) -> int:
    """Write those of ``sr``, ``lr``, ``hr`` and ``kernel`` that are in `what`; the number of files.

    Names are made safe: the result of somebody else cannot write elsewhere.
    """
    count = 0
    for name, content in _contents(result, what, items, methods):
        if isinstance(content, Kernel):
            content.save(folder / name)
        elif content is not None:
            write_png(folder / name, content)
        count += content is not None
    return count


def _contents(
    result: Result, what: Collection[str], items: Collection[str], methods: Collection[str]
) -> Iterator[tuple[Path, NDArray[Any] | Kernel | None]]:
    """The name of each file, and its content: None where the result does not have it."""
    item_names, method_names = folder_names(result.items), folder_names(result.methods)
    for item in items:
        image = file_name(item_names[item], ".png")
        if "lr" in what:
            yield Path("lr", image), result.image(item, "lr")
        if "hr" in what:
            yield Path("hr", image), result.image(item, "hr")
        if "kernel" in what:
            yield Path("true_kernel", file_name(item_names[item], ".mat")), result.kernel(item)
    for item, method, seed in result.rows:
        if item in items and method in methods:
            place = Path(method_names[method], f"seed-{seed}")
            if "sr" in what:
                yield place / file_name(item_names[item], ".png"), result.sr(item, method, seed)
            if "kernel" in what:
                yield place / file_name(item_names[item], "_kernel.mat"), result.kernel(item, method, seed)


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
        candidates = (file_name(plain, f"-{number}" if number > 1 else "") for number in itertools.count(1))
        taken[name] = next(candidate for candidate in candidates if candidate not in taken.values())
    return taken
