"""Kernels as the networks take them: a few coefficients, of the kernel itself or of the blur that is equivalent to it."""

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from blindsr.api import Kernel, nonnegative_kernel

Array = NDArray[np.float64]

RIDGE = 1e-4
"""Weight of the blur's own energy against the misfit: the bicubic kernel lets nearly nothing through above the LR image's
Nyquist frequency, so next to nothing there tells the blur. That it is nowhere negative tells the most of it."""


class KernelBasis(NamedTuple):
    """``coefficients = basis @ (kernel - mean)`` of a kernel in a square frame."""

    basis: Array
    """(coefficients, side, side)"""
    mean: Array
    """(side, side); zero where the components are uncentred."""

    def coefficients(self, array: NDArray[Any]) -> Array:
        """The coefficients of a kernel array (n, n) of any odd size, which is cut or padded around its middle and normalised."""
        inside = framed(array, self.mean.shape[0])
        return np.tensordot(self.basis, inside - self.mean, axes=2)


def framed(array: NDArray[Any], side: int) -> Array:
    """A kernel array in a square frame of `side` pixels around its middle pixel, summing to 1; what lies outside is cut."""
    inside = np.asarray(array, np.float64)[tuple(slice(max(n // 2 - side // 2, 0), n // 2 + side // 2 + 1) for n in array.shape)]
    padded = np.pad(inside, [((side - n) // 2,) * 2 for n in inside.shape])
    whole: Array = padded / padded.sum()
    return whole


def aligned_array(kernel: Kernel) -> Array:
    """The array of a kernel, aligned, as the networks were trained on; the SR image is shifted by the misalignment instead."""
    return kernel.array if max(map(abs, kernel.misalignment_px)) < 1e-3 else kernel.align().array


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
