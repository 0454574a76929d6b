"""Images and kernels of a result, exported as files."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, Literal

from numpy.typing import NDArray

from blindsr.imaging.files import file_name
from blindsr.imaging.kernel import Kernel
from blindsr.imaging.writer import write_png
from blindsr.storage.images import folder_names
from blindsr.storage.result import Result


def export_files(result: Result, folder: Path, what: Collection[str], items: Collection[str], methods: Collection[str]) -> int:
    """Write images and kernels of a result as files.

    Parameters
    ----------
    folder
        Gets ``lr/ITEM.png``, ``hr/ITEM.png``, ``METHOD/seed-N/ITEM.png`` and ``METHOD/seed-N/ITEM_kernel.mat``, and
        ``true_kernel/ITEM.mat``. Names are made safe: a result of others cannot write elsewhere.
    what
        Some of ``sr``, ``lr``, ``hr`` and ``kernel``.

    Returns
    -------
    The number of files written.
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
    """What to write, None where the result does not have it, and the name of its file."""
    item_names, method_names = folder_names(result.items), folder_names(result.methods)
    images: tuple[Literal["lr", "hr"], ...] = ("lr", "hr")
    for item in items:
        for which in images:
            if which in what:
                yield Path(which, file_name(item_names[item], ".png")), result.image(item, which)
        if "kernel" in what:
            yield Path("true_kernel", file_name(item_names[item], ".mat")), result.kernel(item)
    for item, method, seed in result.rows:
        if item in items and method in methods:
            place = Path(method_names[method], f"seed-{seed}")
            if "sr" in what:
                yield place / file_name(item_names[item], ".png"), result.sr(item, method, seed)
            if "kernel" in what:
                yield place / file_name(item_names[item], "_kernel.mat"), result.kernel(item, method, seed)
