"""The kernel that best explains patches by the parents of their neighbours: non-negative, smooth least squares.

Products and factors are torch's, not numpy's, since torch keeps to the number of threads that the user has set.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from blindsr.api import nonnegative_kernel
from blindsr_michaeli_irani.patches import PATCH_PX, coarse_shape, windows

ROUNDING = 1e-12
SUM_WEIGHT = 1e3


Array = NDArray[np.float64]


def normal_equations(
    gray: Array, queries: Array, places: NDArray[np.int64], weights: Array, *, scale: int, size: int
) -> tuple[Array, Array]:
    """Matrix (size^2, size^2) and right side of ``min_k sum_ij w_ij |q_i - R_j k|^2``: ``sum w R^T R`` and ``sum w R^T q``.

    `queries` are (n, 25); `places` and `weights`, (n, neighbours), those of `find` and `neighbours.weights`.

    The row of R_j that makes a pixel of the downscaled image is the window around the pixel's parent, whichever patch the
    pixel is seen in. So the weights and the weighted queries are first summed for each pixel, and each window is then used once.
    """
    height, width = coarse_shape(gray.shape, scale, size)
    rows, columns = height - PATCH_PX + 1, width - PATCH_PX + 1
    flat, pairs = places.ravel(), weights.ravel()
    weight = np.bincount(flat, pairs, rows * columns).reshape(rows, columns)
    weight_sum, query_sum = np.zeros((2, height, width))
    for pixel, values in enumerate(queries.T):
        top, left = divmod(pixel, PATCH_PX)
        covered = np.s_[top : top + rows, left : left + columns]
        weight_sum[covered] += weight
        query_sum[covered] += np.bincount(flat, (weights * values[:, None]).ravel(), rows * columns).reshape(rows, columns)
    of_pixels, towards = torch.from_numpy(weight_sum).flatten(), torch.from_numpy(query_sum).flatten()
    matrix, right = torch.zeros(size**2, size**2, dtype=torch.float64), torch.zeros(size**2, dtype=torch.float64)
    for span, copied in windows(gray, scale, size):
        window = torch.from_numpy(copied)
        right.addmv_(window.T, towards[span])
        matrix.addmm_(window.T, window * of_pixels[span, None])
    return matrix.numpy(), right.numpy()


def roughness(size: int) -> Array:
    """C^T C (size^2, size^2) of the differences C between neighbouring taps, along rows and along columns."""
    step = np.diff(np.eye(size), axis=0)
    along = step.T @ step
    rough: Array = np.kron(along, np.eye(size)) + np.kron(np.eye(size), along)
    return rough


def smooth_kernel(matrix: Array, right: Array, penalty: float) -> Array:
    """The k (size, size) that minimises ``k^T matrix k - 2 k^T right + penalty |C k|^2``, with k >= 0 and sum k = 1.

    The paper lets taps be negative. Its kernels then grow wide with high ripples of either sign, which cancel out in the images;
    clipping the ripples afterwards leaves a broad blob.
    """
    size = round(len(right) ** 0.5)
    total = matrix + penalty * roughness(size)
    scale = np.trace(total) / len(total)
    # One equation more, sum k = 1, so heavy that it holds; and a trace on the diagonal, so that the factor exists.
    total = total + SUM_WEIGHT * scale + ROUNDING * SUM_WEIGHT * scale * len(total) * np.eye(len(total))
    factor = torch.linalg.cholesky(torch.from_numpy(total))
    target = torch.linalg.solve_triangular(factor, torch.from_numpy(right + SUM_WEIGHT * scale)[:, None], upper=False)
    return nonnegative_kernel(factor.numpy(), target[:, 0].numpy())
