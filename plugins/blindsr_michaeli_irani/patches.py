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

PATCH_PX = 5
MIN_COARSE_PX = 24  # the least side of the downscaled image: 400 patches to search
GRAY = 255 * np.array([0.299, 0.587, 0.114])
FLAT = 0.5  # gray levels of 255: less is the rounding of 8-bit images
CONTRAST = 0.4  # of the image's: patches with less say nothing about the kernel
CHUNK = 16384  # windows that are copied at once


def gray_levels(lr: Image, scale: int, size: int) -> NDArray[np.float64]:
    """The gray image (H, W) of 0..255, less its mean, which kernels that sum to 1 do not change.

    Raises
    ------
    BlindSRError
        If the image holds NaN or infinities, is flat, or too small for kernels of this size.
    """
    least = size + scale * (MIN_COARSE_PX - 1)
    if min(lr.shape[:2]) < least:
        raise BlindSRError(
            f"the LR image of {lr.shape[1]} x {lr.shape[0]} pixels is too small: at least {least} x {least} are needed to find "
            f"patches that recur at x{scale}"
        )
    if not np.isfinite(lr).all():
        raise BlindSRError("the LR image holds values that are NaN or infinite")
    gray: NDArray[np.float64] = lr.astype(np.float64) @ GRAY
    gray -= gray.mean()
    if gray.std() < FLAT:
        raise BlindSRError(
            f"the LR image is flat (its gray levels have a standard deviation of {gray.std():.2g} of 255), so nothing tells its "
            "kernel: take an image with texture"
        )
    return gray


def queries(gray: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    """At most `count` patches of the image (n, 25), spread evenly over all those that have contrast."""
    patches = sliding_window_view(gray, (PATCH_PX, PATCH_PX))
    places = np.flatnonzero(_patch_contrast(gray) >= CONTRAST * gray.std())
    if len(places) > count:
        places = places[np.linspace(0, len(places) - 1, count).round().astype(np.int64)]
    rows, columns = np.unravel_index(places, patches.shape[:2])
    return patches[rows, columns].reshape(-1, PATCH_PX**2)


def coarse_shape(shape: tuple[int, ...], scale: int, size: int) -> tuple[int, int]:
    """Rows and columns of an image downscaled without touching its border."""
    return (shape[0] - size) // scale + 1, (shape[1] - size) // scale + 1


def windows(gray: NDArray[np.float64], scale: int, size: int, chunk: int = CHUNK) -> Iterator[tuple[slice, NDArray[np.float64]]]:
    """The size x size windows around the parents of the downscaled image's pixels, some whole rows of pixels at a time.

    Yields
    ------
    The range of (flat) pixel numbers, and their windows (n, size * size). Never are more than about `chunk` copied.
    """
    grid = sliding_window_view(gray, (size, size))[::scale, ::scale]
    height, width = grid.shape[:2]
    rows = max(1, chunk // width)
    for top in range(0, height, rows):
        bottom = min(top + rows, height)
        yield slice(top * width, bottom * width), grid[top:bottom].reshape(-1, size * size)


def coarse(gray: NDArray[np.float64], kernel: NDArray[np.float64], scale: int, chunk: int = CHUNK) -> NDArray[np.float64]:
    """The image downscaled by a square kernel, ``r[n] = sum_m k[m] l[scale n + m]``, where the kernel lies inside it."""
    size = len(kernel)
    taps = torch.from_numpy(kernel).flatten()
    values = [torch.from_numpy(window) @ taps for _, window in windows(gray, scale, size, chunk)]
    return torch.cat(values).numpy().reshape(coarse_shape(gray.shape, scale, size))


def _patch_contrast(gray: NDArray[np.float64]) -> NDArray[np.float64]:
    """The standard deviation of each patch."""
    mean, square = _patch_mean(gray), _patch_mean(gray**2)
    return np.sqrt(np.maximum(square - mean**2, 0))


def _patch_mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
    for axis in (0, 1):
        inner = values.shape[axis] - PATCH_PX + 1
        values = np.add.reduce([np.take(values, range(i, i + inner), axis) for i in range(PATCH_PX)]) / PATCH_PX
    return values
