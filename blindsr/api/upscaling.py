"""Photographs, whole and with all that belongs to them: ``blindsr.upscale``."""

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

from blindsr.api.photographs.places import places
from blindsr.api.photographs.qualities import QualityName
from blindsr.api.photographs.showing import page_of, shown
from blindsr.api.photographs.upscaling import Upscaled, UpscaleSettings, upscale_all
from blindsr.components.registry import Registry
from blindsr.execution.events import Listener
from blindsr.report.progress import console


def upscale(
    photos: str | Path | Sequence[str | Path], *, out: str | Path | None = None, scale: int = 2, quality: QualityName = "good",
    kernel: str | None = None, sr: str | None = None, strength: float = 1.0, force: bool = False, seed: int = 0,
    report: str | Path | None = None, device: str = "auto", threads: int | None = None, progress: bool = False,
) -> list[Upscaled]:  # fmt: skip
    """Upscale photographs: estimate the blur of each, undo it, and write an image of the same kind.

    Bit depth, transparency, EXIF data (upright, with the new size) and colour profile are kept. Each result is written whole or not
    at all, as soon as it is finished.

    Parameters
    ----------
    photos
        Files, folders, or glob patterns.
    out
        The folder for the results, ``NAME_xSCALE.EXT``; by default beside each photograph.
    scale
        2, 3 or 4.
    quality
        ``fast``, ``good`` or ``best``: which methods are used (docs/guide.md, "Your own photographs").
    kernel, sr
        A kernel estimator and an SR method (see ``blindsr plugins``) in place of the quality's.
    strength
        How much of the estimated blur is undone: from 0, which is bicubic downscaling's kernel, to 1, the estimate.
    force
        Replace results that are there.
    report
        A page, ``.html``, to make of the results, each beside bicubic interpolation; `force` replaces it.
    seed, device, threads, progress
        As in `blindsr.estimate_kernel`.

    Returns
    -------
    What became of each photograph (`Upscaled`), in order. A photograph that fails has an ``error``; the others are upscaled.

    Raises
    ------
    BlindSRError
        If an argument is wrong, there are no photographs, or the page cannot be written.

    Examples
    --------
    >>> import tempfile, blindsr, skimage
    >>> from blindsr.imaging.writer import write_png
    >>> folder = Path(tempfile.mkdtemp())
    >>> write_png(folder / "cat.png", skimage.data.chelsea()[100:164, 120:184])
    >>> [result] = blindsr.upscale(folder, kernel="bicubic", sr="bicubic")
    >>> result.output.name, blindsr.read_image(result.output).pixels.shape
    ('cat_x2.png', (128, 128, 3))
    """
    registry = Registry.discover()
    chosen = [photos] if isinstance(photos, str | Path) else photos
    settings = UpscaleSettings(registry, scale, quality, kernel, sr, strength, force, seed, device, report is not None)
    found = places([Path(photo) for photo in chosen], None if out is None else Path(out), scale)
    if threads is not None:
        import torch

        torch.set_num_threads(threads)
    page = page_of(found, report, force=force) if report is not None else None
    results = []
    with console() if progress else nullcontext(Listener()) as listener:
        listener.begun(len(found))
        for result in upscale_all(found, settings, listener):
            if page:
                page.add(shown(result))
            results.append(replace(result, preview=None))  # or those of many photographs would fill the memory
    if page:
        page.write()
    return results
