"""The image's patches, its windows on the grid of the downscaled image, and its downscaling by a candidate kernel."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from blindsr.api import BlindSRError

if TYPE_CHECKING:
    from blindsr.api import Image

Array = NDArray[np.float64]

PATCH_PX = 5
MIN_COARSE_PX = 24  # the least side of the downscaled image: 400 patches to search
GRAY = 255 * np.array([0.299, 0.587, 0.114])
FLAT = 0.5  # gray levels of 255: less is the rounding of 8-bit images
CONTRAST = 0.4  # of the image's: patches with less say nothing about the kernel
CHUNK = 16384  # windows that are copied at once


def gray_levels(lr: Image, scale: int, size: int) -> Array:
    """The gray image (H, W) of 0..255, less its mean, which kernels that sum to 1 do not change; useless ones are refused."""
    least = size + scale * (MIN_COARSE_PX - 1)
    if min(lr.shape[:2]) < least:
        raise BlindSRError(
            f"the LR image of {lr.shape[1]} x {lr.shape[0]} pixels is too small: at least {least} x {least} are needed to find "
            f"patches that recur at x{scale}"
        )
    if not np.isfinite(lr).all():
        raise BlindSRError("the LR image holds values that are NaN or infinite")
    gray: Array = lr.astype(np.float64) @ GRAY
    gray -= gray.mean()
    if gray.std() < FLAT:
        raise BlindSRError(
            f"the LR image is flat (its gray levels have a standard deviation of {gray.std():.2g} of 255), so nothing tells its "
            "kernel: take an image with texture"
        )
    return gray


def queries(gray: Array, count: int) -> Array:
    """At most `count` patches of the image (n, 25), spread evenly over all those that have contrast."""
    patches = sliding_window_view(gray, (PATCH_PX, PATCH_PX))
    contrast = np.sqrt(np.maximum(_patch_mean(gray**2) - _patch_mean(gray) ** 2, 0))
    places = np.flatnonzero(contrast >= CONTRAST * gray.std())
    if not len(places):
        raise BlindSRError("the LR image is smooth everywhere, so nothing tells its kernel: take an image with texture")
    if len(places) > count:
        places = places[np.linspace(0, len(places) - 1, count).round().astype(np.int64)]
    rows, columns = np.unravel_index(places, patches.shape[:2])
    return patches[rows, columns].reshape(-1, PATCH_PX**2)


def coarse_shape(shape: tuple[int, ...], scale: int, size: int) -> tuple[int, int]:
    """Rows and columns of an image downscaled without touching its border."""
    return (shape[0] - size) // scale + 1, (shape[1] - size) // scale + 1


def windows(gray: Array, scale: int, size: int) -> Iterator[tuple[slice, Array]]:
    """The size x size windows around the parents of the downscaled image's pixels, some whole rows of pixels at a time.

    Each with the range of the (flat) pixel numbers: (n, size * size).
    """
    grid = sliding_window_view(gray, (size, size))[::scale, ::scale]
    height, width = grid.shape[:2]
    rows = max(1, CHUNK // width)
    for top in range(0, height, rows):
        bottom = min(top + rows, height)
        yield slice(top * width, bottom * width), grid[top:bottom].reshape(-1, size * size)


def coarse(gray: Array, kernel: Array, scale: int) -> Array:
    """The image downscaled by a square kernel, ``r[n] = sum_m k[m] l[scale n + m]``, where the kernel lies inside it."""
    size = len(kernel)
    taps = torch.from_numpy(kernel).flatten()
    values = [torch.from_numpy(window) @ taps for _, window in windows(gray, scale, size)]
    return torch.cat(values).numpy().reshape(coarse_shape(gray.shape, scale, size))


def _patch_mean(values: Array) -> Array:
    for axis in (0, 1):
        inner = values.shape[axis] - PATCH_PX + 1
        values = np.add.reduce([np.take(values, range(i, i + inner), axis) for i in range(PATCH_PX)]) / PATCH_PX
    return values
