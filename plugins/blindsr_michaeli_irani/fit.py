"""The kernel that best explains patches by the parents of their neighbours: non-negative, smooth least squares.

Products and factors are torch's, not numpy's, since torch keeps to the number of threads that the user has set.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from blindsr.api import nonnegative_kernel
from blindsr_michaeli_irani.patches import PATCH_PX, coarse_shape, windows

ROUNDING = 1e-12
SUM_WEIGHT = 1e3
MIN_VARIANCE = 0.05  # of a Gaussian, in square pixels: a narrower one is a single tap

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


def smooth_kernel(matrix: Array, right: Array, penalty: float, around: Array | None = None) -> Array:
    """The k (size, size) that minimises ``k^T matrix k - 2 k^T right + penalty |C (k - around)|^2``, with k >= 0 and sum k = 1.

    `around` (size, size) is the kernel whose smoothness is asked for; by default the smoothest of all, a flat one.

    The paper lets taps be negative. Its kernels then grow wide with high ripples of either sign, which cancel out in the images;
    clipping the ripples afterwards leaves a broad blob.
    """
    size = round(len(right) ** 0.5)
    rough = penalty * roughness(size)
    if around is not None:
        right = right + rough @ around.ravel()
    total = matrix + rough
    scale = np.trace(total) / len(total)
    # One equation more, sum k = 1, so heavy that it holds; and a trace on the diagonal, so that the factor exists.
    total = total + SUM_WEIGHT * scale + ROUNDING * SUM_WEIGHT * scale * len(total) * np.eye(len(total))
    factor = torch.linalg.cholesky(torch.from_numpy(total))
    target = torch.linalg.solve_triangular(factor, torch.from_numpy(right + SUM_WEIGHT * scale)[:, None], upper=False)
    return nonnegative_kernel(factor.numpy(), target[:, 0].numpy())


def gaussian_fit(matrix: Array, right: Array, start: Array) -> Array:
    """The Gaussian k (size, size), summing to 1, that minimises ``k^T matrix k - 2 k^T right``; `start` is a kernel k >= 0.

    It has five free numbers, so it needs no smoothness, which makes all kernels wider, and narrow ones far too wide.
    """
    from scipy.optimize import minimize

    grid = np.indices(start.shape).reshape(2, -1)
    places = torch.from_numpy(grid).to(torch.float64)
    unit = np.trace(matrix) / len(matrix)
    left, towards = torch.from_numpy(matrix / unit), torch.from_numpy(right / unit)

    def gaussian(numbers: Tensor) -> Tensor:
        a, b, c, row, column = numbers
        rows, columns = places[0] - row, places[1] - column
        aa, ab, bb = a * a + MIN_VARIANCE, a * b, b * b + c * c + MIN_VARIANCE
        form = (bb * rows**2 - 2 * ab * rows * columns + aa * columns**2) / (aa * bb - ab * ab)
        return torch.softmax(-form / 2, 0)

    def objective(values: Array) -> tuple[float, Array]:
        numbers = torch.tensor(values, requires_grad=True)
        taps = gaussian(numbers)
        loss = taps @ (left @ taps - 2 * towards)
        (slope,) = torch.autograd.grad(loss, numbers)
        return float(loss.detach()), slope.numpy()

    root = np.linalg.cholesky(np.cov(grid, aweights=start.ravel(), ddof=0) + MIN_VARIANCE * np.eye(2))
    found = minimize(objective, [root[0, 0], root[1, 0], root[1, 1], *grid @ start.ravel()], jac=True, method="BFGS")
    taps: Array = gaussian(torch.from_numpy(found.x)).numpy().reshape(start.shape)
    return taps
