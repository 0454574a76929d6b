"""Upscales an image tile by tile, so that memory is bounded however large it is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import product
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from blindsr.components.interfaces import Upscaler
from blindsr.errors import BlindSRError
from blindsr.imaging.reader import to_depth

TILE_SR_PX = 768
"""Side of a tile in SR pixels, its halo not counted."""


class Tile(NamedTuple):
    """A tile in LR pixels: what the upscaler sees, and the part of it that is kept, both as (row, column) slices."""

    seen: tuple[slice, ...]
    kept: tuple[slice, ...]


def tiles(height: int, width: int, *, side: int, halo: int) -> Iterator[Tile]:
    """Cut an image into tiles of about `side` pixels, each seen with `halo` more where the image has them."""
    for spans in product(_spans(height, side, halo), _spans(width, side, halo)):
        yield Tile(*zip(*spans, strict=True))


def upscale(
    upscaler: Upscaler, lr: NDArray[np.float32], scale: int, dtype: Any = np.uint8,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> NDArray[Any]:  # fmt: skip
    """The SR image (scale H, scale W, 3) of an LR image (H, W, 3), each tile clipped and rounded to `dtype` as it comes.

    A `BlindSRError` says that the upscaler gives a wrong shape, or values that are not finite.
    """
    height, width = lr.shape[:2]
    halo = getattr(upscaler, "halo", "missing")
    if not (halo is None or (isinstance(halo, int) and halo >= 0)):
        name = type(upscaler).__name__
        raise BlindSRError(f"the upscaler {name} has a halo of {halo!r}; it must be a number of LR pixels, or None")
    cuts = list(tiles(height, width, side=max(height, width) if halo is None else TILE_SR_PX // scale, halo=halo or 0))
    sr = np.empty((height * scale, width * scale, 3), dtype)
    for number, tile in enumerate(cuts, 1):
        source = lr[tile.seen]
        result = np.asarray(upscaler(source))
        expected = (source.shape[0] * scale, source.shape[1] * scale, 3)
        if result.shape != expected:
            raise BlindSRError(f"the upscaler made an image of shape {result.shape} out of {source.shape}; expected {expected}")
        if result.dtype.kind != "f":
            raise BlindSRError(f"the upscaler gave values of type {result.dtype}; they must be floats in [0, 1]")
        if not np.isfinite(result).all():
            raise BlindSRError("the upscaler gave values that are NaN or infinite")
        starts = [seen.start for seen in tile.seen]
        inner = tuple(slice(scale * (k.start - at), scale * (k.stop - at)) for k, at in zip(tile.kept, starts, strict=True))
        outer = tuple(slice(scale * k.start, scale * k.stop) for k in tile.kept)
        sr[outer] = to_depth(result[inner], dtype)
        progress(number, len(cuts))
    return sr


def _spans(size: int, side: int, halo: int) -> Iterator[tuple[slice, slice]]:
    count = max(1, round(size / side))
    for index in range(count):
        start, stop = index * size // count, (index + 1) * size // count
        yield slice(max(0, start - halo), min(size, stop + halo)), slice(start, stop)
