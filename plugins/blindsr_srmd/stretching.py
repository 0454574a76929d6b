"""Kernels as a few coefficients: projections on principal components."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from blindsr.api import Kernel

Array = NDArray[np.float64]


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
