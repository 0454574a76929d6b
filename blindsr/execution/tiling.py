"""Upscales an image tile by tile, so that memory is bounded however large it is."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from itertools import groupby, product
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from blindsr.components.interfaces import Upscaler
from blindsr.errors import BlindSRError
from blindsr.imaging.reader import to_depth, to_float

TILE_SR_PX = 768
"""Side of a tile in SR pixels, its halo not counted, on a CPU."""
MAX_GPU_TILE_SR_PX, GPU_BYTES_PER_PX = 2048, 8192
"""On a GPU: at most, and for how much of its memory an SR pixel is counted. The bundled networks take 300 to 600 bytes, measured
on a CPU; published ones of 256 channels take thousands."""
GRID_PX = 4
"""What an upscaler sees begins at multiples of so many LR pixels: one that works at half or a quarter of the resolution pools the
same pixels in a tile as in the whole image."""


class Tile(NamedTuple):
    """A tile in LR pixels: what the upscaler sees, and the part of it that is kept, both as (row, column) slices."""

    seen: tuple[slice, ...]
    kept: tuple[slice, ...]


def tile_px(device: str) -> int:
    """Side of a tile in SR pixels on a device, its halo not counted.

    One large tile keeps a GPU as busy as a batch of small ones, and has less halo. Its size follows from all the memory of the GPU,
    not from what is free, so that it is the same in each run.
    """
    if not device.startswith("cuda"):
        return TILE_SR_PX
    import torch

    memory = torch.cuda.get_device_properties(device).total_memory
    return min(MAX_GPU_TILE_SR_PX, max(TILE_SR_PX, math.isqrt(memory // GPU_BYTES_PER_PX)))


def tiles(height: int, width: int, *, side: int, halo: int) -> Iterator[Tile]:
    """Cut an image into tiles of about `side` pixels, each seen with `halo` more where the image has them."""
    for spans in product(_spans(height, side, halo), _spans(width, side, halo)):
        yield Tile(*zip(*spans, strict=True))


def upscale(
    upscaler: Upscaler, lr: NDArray[Any], scale: int, dtype: Any = np.uint8,
    progress: Callable[[int, int], None] = lambda done, total: None, device: str = "cpu",
) -> NDArray[Any]:  # fmt: skip
    """The SR image (scale H, scale W, 3) of an LR image, as `bands` makes it."""
    sr = np.empty((lr.shape[0] * scale, lr.shape[1] * scale, 3), dtype)
    row = 0
    for band in bands(upscaler, lr, scale, dtype, progress, device):
        sr[row : row + len(band)] = band
        row += len(band)
    return sr


def bands(
    upscaler: Upscaler, lr: NDArray[Any], scale: int, dtype: Any = np.uint8,
    progress: Callable[[int, int], None] = lambda done, total: None, device: str = "cpu",
) -> Iterator[NDArray[Any]]:  # fmt: skip
    """The SR image (scale H, scale W, 3) from top to bottom, in bands (rows, scale W, 3) of one row of tiles each.

    Only one band is in memory at a time, clipped and rounded to `dtype`.

    Parameters
    ----------
    lr
        The LR image (H, W, 3): uint8, uint16, or floats in [0, 1].
    progress
        Called with the number of tiles that are done, and of all.
    device
        What the upscaler computes on: see `tile_px`.

    Raises
    ------
    BlindSRError
        If the upscaler has no valid halo, or gives a wrong shape, or values that are not finite.
    """
    height, width = lr.shape[:2]
    halo = getattr(upscaler, "halo", "missing")
    if not (halo is None or (isinstance(halo, int) and halo >= 0)):
        name = type(upscaler).__name__
        raise BlindSRError(f"the upscaler {name} has a halo of {halo!r}; it must be a number of LR pixels, or None")
    side = max(height, width) if halo is None else tile_px(device) // scale
    cuts = list(tiles(height, width, side=side, halo=halo or 0))
    done = 0
    for (top, bottom), row in groupby(cuts, lambda tile: (tile.kept[0].start, tile.kept[0].stop)):
        band = np.empty(((bottom - top) * scale, width * scale, 3), dtype)
        for tile in row:
            columns = tile.kept[1]
            band[:, scale * columns.start : scale * columns.stop] = to_depth(_kept(upscaler, lr, tile, scale), dtype)
            done += 1
            progress(done, len(cuts))
        yield band


def _kept(upscaler: Upscaler, lr: NDArray[Any], tile: Tile, scale: int) -> NDArray[np.floating[Any]]:
    """What the upscaler makes of a tile, without its halo."""
    source = np.ascontiguousarray(to_float(lr[tile.seen]))
    result = np.asarray(upscaler(source))
    expected = (source.shape[0] * scale, source.shape[1] * scale, 3)
    if result.shape != expected:
        raise BlindSRError(f"the upscaler made an image of shape {result.shape} out of {source.shape}; expected {expected}")
    if result.dtype.kind != "f":
        raise BlindSRError(f"the upscaler gave values of type {result.dtype}; they must be floats in [0, 1]")
    if not np.isfinite(result).all():
        raise BlindSRError("the upscaler gave values that are NaN or infinite")
    starts = [seen.start for seen in tile.seen]
    return result[tuple(slice(scale * (k.start - at), scale * (k.stop - at)) for k, at in zip(tile.kept, starts, strict=True))]


def _spans(size: int, side: int, halo: int) -> Iterator[tuple[slice, slice]]:
    count = max(1, round(size / side))
    for index in range(count):
        start, stop = index * size // count, (index + 1) * size // count
        seen = max(0, start - halo)
        yield slice(seen - seen % GRID_PX, min(size, stop + halo)), slice(start, stop)
