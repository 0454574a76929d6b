"""Kernels as a few coefficients: projections on principal components."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blindsr.api import Kernel

Array = NDArray[np.float64]


@dataclass(frozen=True)
class KernelBasis:
    """``coefficients = basis @ (kernel - mean)`` of a kernel in a square frame.

    Attributes
    ----------
    basis
        (coefficients, side, side).
    mean
        (side, side); zero where the components are uncentred.
    """

    basis: Array
    mean: Array

    def coefficients(self, array: NDArray[Any]) -> Array:
        """The coefficients of a kernel array (n, n) of any odd size, which is cut or padded around its middle and normalised."""
        inside = framed(array, self.mean.shape[0])
        return np.tensordot(self.basis, inside - self.mean, axes=2)


def framed(array: NDArray[Any], side: int) -> Array:
    """A kernel array in a square frame of `side` pixels around its middle pixel, summing to 1; what lies outside is cut."""
    out = np.zeros((side, side))
    pairs = []
    for size in array.shape:
        half = min(size, side) // 2
        pairs.append((slice(side // 2 - half, side // 2 + half + 1), slice(size // 2 - half, size // 2 + half + 1)))
    (rows_to, rows_from), (columns_to, columns_from) = pairs
    out[rows_to, columns_to] = array[rows_from, columns_from]
    inside: Array = out / out.sum()
    return inside


def aligned_array(kernel: Kernel) -> Array:
    """The array of a kernel, aligned, as the networks were trained on; the SR image is shifted by the misalignment instead."""
    return kernel.array if max(map(abs, kernel.misalignment_px)) < 1e-3 else kernel.align().array
