"""From an SR kernel to the blur that, followed by MATLAB's bicubic downscaling, does nearly the same."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blindsr.api import Kernel, nonnegative_kernel
from blindsr_srmd.stretching import aligned_array, framed

Array = NDArray[np.float64]

RIDGE = 1e-4
"""Weight of the blur's own energy against the misfit: the bicubic kernel lets nearly nothing through above the LR image's
Nyquist frequency, so next to nothing there tells the blur. That it is nowhere negative tells the most of it."""


def equivalent_blur(kernel: Kernel, side: int) -> Array:
    """The centred blur b >= 0 (side, side), summing to 1, for which ``b * bicubic`` is nearest to the SR kernel (least squares).

    It is a correlation, as all of blindsr's kernels. The bicubic kernel's second moment is zero, so the blur keeps the
    SR kernel's covariance; what of it lies outside `side` is lost. Of the bicubic kernel itself it is a single pixel.
    """
    matrix, triangle, reach = _system(kernel.scale, side)
    wanted = framed(aligned_array(kernel), reach)
    return nonnegative_kernel(triangle, np.linalg.solve(triangle, matrix.T @ wanted.ravel()))


@lru_cache(maxsize=4)
def _system(scale: int, side: int) -> tuple[Array, Any, int]:
    """The matrix of the full convolution with the bicubic kernel, its normal matrix's Cholesky factor, and the result's side."""
    bicubic = Kernel.bicubic(scale).array
    size = bicubic.shape[0]
    reach = side + size - 1
    matrix = np.zeros((reach, reach, side, side))
    for row in range(side):
        for column in range(side):
            matrix[row : row + size, column : column + size, row, column] = bicubic
    matrix = matrix.reshape(reach**2, side**2)
    normal = matrix.T @ matrix
    return matrix, np.linalg.cholesky(normal + RIDGE * np.trace(normal) / len(normal) * np.eye(len(normal))), reach
