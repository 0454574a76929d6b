"""MATLAB's bicubic resizing."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blindsr.errors import BlindSRError

CUBIC_RADIUS = 2
"""Pixels of the coarser grid that the cubic reaches to either side."""


def cubic(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Keys' cubic convolution kernel with a = -0.5 (IEEE Trans. ASSP 29(6), 1981).

    Examples
    --------
    >>> cubic(np.array([0.0, 0.5, 1.0, 1.5, 2.0])).tolist()
    [1.0, 0.5625, 0.0, -0.0625, 0.0]
    """
    x = np.abs(x)
    near = (1.5 * x - 2.5) * x * x + 1
    far = ((-0.5 * x + 2.5) * x - 4) * x + 2
    return np.where(x <= 1, near, np.where(x < CUBIC_RADIUS, far, 0.0))


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

    Raises
    ------
    BlindSRError
        If `image` is not an image of numbers, or the result would be empty.

    Examples
    --------
    >>> bicubic(np.full((6, 8, 3), 200, np.uint8), scale=0.5).shape
    (3, 4, 3)
    """
    if (scale is None) == (shape is None):
        raise TypeError("bicubic needs either scale or shape")
    check_image(image)
    for axis in (0, 1):
        size_in = image.shape[axis]
        size_out = shape[axis] if shape else math.ceil(size_in * (scale or 0))
        if size_out < 1:
            raise BlindSRError(f"the result would have {size_out} pixels on an axis; give a larger scale or shape")
        factor = size_out / size_in if shape else float(scale or 1)
        image = _resize_axis(image, axis, size_out, factor)
    return image


def check_image(*images: Any) -> None:
    """Check that each is an array (H, W) or (H, W, C) of floats or integers."""
    for image in images:
        if not isinstance(image, np.ndarray) or image.dtype.kind not in "fiu":
            what = f"an array of {image.dtype}" if isinstance(image, np.ndarray) else type(image).__name__
            raise BlindSRError(f"an image must be a numpy array of floats in [0, 1] or of integers, not {what}; convert it first")
        if image.ndim not in (2, 3) or not image.size:
            raise BlindSRError(f"an image must be of shape (H, W) or (H, W, C) and not empty; its shape is {image.shape}")


def rounded(values: NDArray[Any], dtype: Any) -> NDArray[Any]:
    """Values rounded to the nearest integer (halves up), and clipped to the range of an integer type."""
    limits = np.iinfo(dtype)
    pixels: NDArray[Any] = np.clip(np.floor(values + 0.5), limits.min, limits.max).astype(dtype)
    return pixels


def _resize_axis(image: NDArray[Any], axis: int, size_out: int, scale: float) -> NDArray[Any]:
    weights = _weights(image.shape[axis], size_out, scale)
    exact = image.dtype.kind == "f"
    moved = np.moveaxis(image, axis, 0)
    result = (weights.astype(image.dtype) if exact else weights) @ moved.reshape(moved.shape[0], -1)
    result = (result if exact else rounded(result, image.dtype)).reshape(size_out, *moved.shape[1:])
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
