"""Downscaling by an SR kernel, and back-projection, which corrects an SR image by what its downscaling lacks."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blindsr.errors import BlindSRError
from blindsr.imaging.kernel import Kernel
from blindsr.imaging.reader import to_depth, to_float
from blindsr.imaging.resize import CUBIC_RADIUS, bicubic, check_image, rounded


def downscale(image: NDArray[Any], kernel: Kernel) -> NDArray[Any]:
    """Degrade by an SR kernel: ``correlate(image, kernel)[::scale, ::scale]`` for each channel.

    Parameters
    ----------
    image
        (H, W) or (H, W, C), float or integer. Its borders are mirrored, the edge pixel repeated (scipy's ``reflect``).
    kernel
        Its array and scale are used, aligned or not.

    Returns
    -------
    (ceil(H / scale), ceil(W / scale)[, C]) of the image's dtype. Floats are neither rounded nor clipped; integers are both.

    Raises
    ------
    BlindSRError
        If `image` is not an image of numbers.

    Examples
    --------
    >>> from blindsr.api import Kernel
    >>> int(downscale(np.full((8, 8), 255, np.uint8), Kernel.bicubic(2)).min())
    255
    """
    check_image(image)
    if image.dtype.kind != "f":
        return rounded(downscale(image.astype(np.float64), kernel), image.dtype)
    s = kernel.scale
    height, width = (math.ceil(size / s) for size in image.shape[:2])
    borders = [(size // 2, size // 2) for size in kernel.shape] + [(0, 0)] * (image.ndim - 2)
    padded = np.pad(image, borders, mode="symmetric")
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


def back_project(sr: NDArray[Any], lr: NDArray[Any], kernel: Kernel, *, times: int = 1) -> NDArray[Any]:
    """Make `sr` agree with `lr`: ``sr <- clip(sr + bicubic(lr - downscale(sr, kernel)), 0, 1)``, `times` times.

    `sr`, (scale H, scale W[, C]), and `lr`, (H, W[, C]), are float in [0, 1], or uint8 or uint16; the result has the dtype of `sr`.
    Raises `BlindSRError` if the sizes do not fit the kernel's scale, or an image is of another type.
    Source: Irani and Peleg, CVGIP 53(3), 1991, as used by Shocher et al., CVPR 2018, section 3.2.
    """
    check_image(sr, lr)
    check_sizes(sr, lr, kernel)
    lr = lr if lr.dtype.kind == "f" else to_float(lr)
    if sr.dtype.kind != "f":
        return to_depth(back_project(to_float(sr), lr, kernel, times=times), sr.dtype)
    for _ in range(times):
        sr = np.clip(sr + bicubic(lr - downscale(sr, kernel), scale=kernel.scale), 0, 1)
    return sr


def check_sizes(sr: NDArray[Any], lr: NDArray[Any], kernel: Kernel) -> None:
    """Raise `BlindSRError` if `sr` is not the kernel's scale times `lr`."""
    if sr.shape != (kernel.scale * lr.shape[0], kernel.scale * lr.shape[1], *lr.shape[2:]):
        raise BlindSRError(f"sr of shape {sr.shape} is not {kernel.scale} times lr, of shape {lr.shape}; crop one of them")


def back_projection_reach_px(kernel: Kernel) -> int:
    """LR pixels around one that can change its result in one back-projection: what tiles must overlap by."""
    return CUBIC_RADIUS + math.ceil(max(kernel.shape) // 2 / kernel.scale)
