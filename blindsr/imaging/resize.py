"""MATLAB's bicubic resizing, and downscaling by an SR kernel."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from blindsr.imaging.cubic import CUBIC_RADIUS, cubic

if TYPE_CHECKING:
    from blindsr.imaging.kernel import Kernel

__all__ = ["CUBIC_RADIUS", "bicubic", "cubic", "downscale"]


def bicubic(image: NDArray[Any], *, scale: float | None = None, shape: tuple[int, int] | None = None) -> NDArray[Any]:
    """Resize like MATLAB's ``imresize(image, scale)``: bicubic, antialiased when shrinking, replicated borders, rows first.

    Parameters
    ----------
    image
        (H, W) or (H, W, C). Integers are rounded and clipped to their type after each of the two passes, as MATLAB does;
        floats are neither.
    scale, shape
        One of the two: the factor (the result has ``ceil(size * scale)`` pixels on each axis), or rows and columns of the result.

    Returns
    -------
    An array of the image's dtype. On uint8 it equals MATLAB's (versions that replicate borders) bit for bit.
    """
    if (scale is None) == (shape is None):
        raise TypeError("bicubic needs either scale or shape")
    for axis in (0, 1):
        size_in = image.shape[axis]
        size_out = shape[axis] if shape else math.ceil(size_in * (scale or 1))
        factor = size_out / size_in if shape else float(scale or 1)
        image = _resize_axis(image, axis, size_out, factor)
    return image


def downscale(image: NDArray[np.float32], kernel: Kernel) -> NDArray[np.float32]:
    """Degrade by an SR kernel: ``correlate(image, kernel)[::scale, ::scale]`` for each channel.

    Parameters
    ----------
    image
        (H, W) or (H, W, C), float. Its borders are mirrored, the edge pixel repeated (scipy's ``reflect``).
    kernel
        Its array and scale are used, aligned or not.

    Returns
    -------
    (ceil(H / scale), ceil(W / scale)[, C]) of the image's dtype; neither rounded nor clipped.
    """
    s = kernel.scale
    rows, columns = kernel.shape
    height, width = (math.ceil(size / s) for size in image.shape[:2])
    border = [(rows // 2, rows // 2), (columns // 2, columns // 2), (0, 0)][: image.ndim]
    padded = np.pad(image, border, mode="symmetric")
    # One copy for each phase of the sub-sampling grid, so that every tap below reads contiguous rows.
    phases = [[np.ascontiguousarray(padded[i::s, j::s]) for j in range(s)] for i in range(s)]
    out = np.zeros((height, width, *image.shape[2:]), image.dtype)
    term = np.empty_like(out)
    for (i, j), weight in np.ndenumerate(kernel.array):
        if weight:
            source = phases[i % s][j % s][i // s : i // s + height, j // s : j // s + width]
            np.multiply(source, image.dtype.type(weight), out=term)
            out += term
    return out


def _resize_axis(image: NDArray[Any], axis: int, size_out: int, scale: float) -> NDArray[Any]:
    weights = _weights(image.shape[axis], size_out, scale)
    if image.dtype.kind == "f":
        weights = weights.astype(image.dtype)
    moved = np.moveaxis(image, axis, 0)
    result = (weights @ moved.reshape(moved.shape[0], -1)).reshape(size_out, *moved.shape[1:])
    if image.dtype.kind != "f":
        result = np.clip(np.floor(result + 0.5), 0, np.iinfo(image.dtype).max).astype(image.dtype)
    return np.ascontiguousarray(np.moveaxis(result, 0, axis))


def _weights(size_in: int, size_out: int, scale: float) -> Any:
    """The (size_out, size_in) sparse matrix of one pass."""
    from scipy.sparse import csr_array

    shrink = min(scale, 1.0)
    radius = CUBIC_RADIUS / shrink
    taps = math.ceil(2 * radius) + 2
    center = (np.arange(size_out) + 0.5) / scale - 0.5
    index = (np.floor(center - radius)[:, None] + np.arange(taps)).astype(np.int64)
    weight = cubic((center[:, None] - index) * shrink)
    weight /= weight.sum(1, keepdims=True)
    rows = np.repeat(np.arange(size_out), taps)
    return csr_array((weight.ravel(), (rows, np.clip(index, 0, size_in - 1).ravel())), shape=(size_out, size_in))
