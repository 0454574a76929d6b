"""Results as one HTML page that needs no network: the table, images to compare, kernels, curves, and how they were made."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from pathlib import Path

from blindsr.errors import BlindSRError
from blindsr.imaging.files import write_whole
from blindsr.report.page.data import making, scenes
from blindsr.report.page.document import document
from blindsr.report.page.output import check_page, pictures_folder
from blindsr.report.page.pictures import MAX_PIXELS, Pictures
from blindsr.report.summary import summarise
from blindsr.storage.result import Result, open_result

MAX_ITEMS_INSIDE = 20
"""With more images, or too many pixels, the pictures are in a folder beside the page, and are loaded as they come into sight."""


def write_page(
    paths: Sequence[Path], output: Path, *, force: bool = False, progress: Callable[[int, int], None] | None = None
) -> Path | None:
    """Write the page of some results. Of several seeds it shows the first one's images.

    Parameters
    ----------
    paths
        Result files, or their folders.
    output
        The page, ``.html``.
    force
        Whether it may replace a file.
    progress
        Called with the number of images that are done, and of all.

    Returns
    -------
    The folder of the pictures, ``NAME_files`` beside the page ``NAME.html``; None if they are in the page.

    Raises
    ------
    BlindSRError
        If one of `paths` is no result or has no images, or the page cannot be written there.
    """
    check_page(output, force=force)
    with contextlib.ExitStack() as stack:
        results: dict[Path, Result] = {}
        for path in paths:
            result = stack.enter_context(open_result(path))
            results.setdefault(result.path.resolve(), result)
            if not any(result.has_sr(*row) for row in result.rows):
                raise BlindSRError(f"{result.path}: has no SR images to show; run its pipeline again, or use `blindsr table`")
        means, per_item = (summarise(paths, per_item=each) for each in (False, True))
        found = scenes(per_item, list(results.values()))
        pixels = sum(scene.pixels for scene in found)
        inside = len({(scene.data, scene.item) for scene in found}) <= MAX_ITEMS_INSIDE and pixels <= max(MAX_PIXELS.values())
        folder = None if inside else pictures_folder(output, force=force)
        pictures = Pictures(pixels, folder)
        makings = [making(result) for result in results.values()]
        text = document(
            means, per_item, found, makings, pictures, folder.name if folder else "", progress or (lambda done, total: None)
        )
    write_whole(output, lambda part: part.write_text(text, "utf-8", errors="replace"))
    pictures.remove_others()
    return pictures.folder
