"""Images and kernels out of a result, as files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from blindsr.imaging.files import file_name
from blindsr.imaging.kernel import Kernel
from blindsr.imaging.writer import write_png
from blindsr.storage.images import folder_names
from blindsr.storage.result import Result


def export(result: Result, folder: Path, what: Sequence[str], items: Sequence[str], methods: Sequence[str]) -> int:
    """Write files out of a result.

    Parameters
    ----------
    folder
        Gets ``lr/ITEM.png``, ``hr/ITEM.png``, ``METHOD/seed-N/ITEM.png`` and ``METHOD/seed-N/ITEM_kernel.mat``, and
        ``true_kernel/ITEM.mat``. Names are made safe: a foreign result cannot write elsewhere.
    what
        Some of ``sr``, ``lr``, ``hr`` and ``kernel``.

    Returns
    -------
    The number of files written.
    """
    count = 0
    for name, content in _contents(result, what, items, methods):
        path = folder / name
        if isinstance(content, Kernel):
            content.save(path)
        else:
            write_png(path, content)
        count += 1
    return count


def _contents(
    result: Result, what: Sequence[str], items: Sequence[str], methods: Sequence[str]
) -> Iterator[tuple[Path, NDArray[Any] | Kernel]]:
    item_names = folder_names(result.items)
    method_names = folder_names(result.methods)
    for item in items:
        for which in ("lr", "hr"):
            if which in what and (image := result.image(item, which)) is not None:
                yield Path(which, file_name(item_names[item], ".png")), image
        if "kernel" in what and (kernel := result.kernel(item)):
            yield Path("true_kernel", file_name(item_names[item], ".mat")), kernel
        for method in methods:
            for seed in map(int, sorted(set(result.columns["seed"]))):
                place = Path(method_names[method], f"seed-{seed}")
                if "sr" in what and (image := result.sr(item, method, seed)) is not None:
                    yield place / file_name(item_names[item], ".png"), image
                if "kernel" in what and (kernel := result.kernel(item, method, seed)):
                    yield place / file_name(item_names[item], "_kernel.mat"), kernel
