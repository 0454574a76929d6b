"""A kernel as a few coefficients: its projection on the principal components of many."""

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
        """Of one kernel array (n, n) of any odd size, cut or padded around its middle and normalised; shape (coefficients,)."""
        inside = framed(array, self.mean.shape[0])
        return np.tensordot(self.basis, inside - self.mean, axes=2)

    @classmethod
    def fitted(cls, kernels: NDArray[Any], count: int) -> KernelBasis:
        """The principal components of kernels (N, side, side), scaled so that the first one's coefficients have variance 1."""
        flat = kernels.reshape(len(kernels), -1).astype(np.float64)
        mean = flat.mean(0)
        covariance = (flat - mean).T @ (flat - mean) / len(flat)
        variances, vectors = np.linalg.eigh(covariance)
        components = vectors[:, ::-1][:, :count].T / np.sqrt(variances[-1])
        largest = np.abs(components).argmax(1)
        components *= np.sign(components[np.arange(count), largest])[:, None]  # else the linear algebra library's choice
        side = kernels.shape[1]
        return cls(components.reshape(count, side, side), mean.reshape(side, side))


def framed(array: NDArray[Any], side: int) -> Array:
    """A kernel array in a square frame of `side` pixels around its middle pixel, summing to 1; what lies outside is cut."""
    out = np.zeros((side, side))
    pairs = []
    for size in array.shape:
        half = min(size, side) // 2
        pairs.append((slice(side // 2 - half, side // 2 + half + 1), slice(size // 2 - half, size // 2 + half + 1)))
    (rows_to, rows_from), (columns_to, columns_from) = pairs
    out[rows_to, columns_to] = array[rows_from, columns_from]
    return out / out.sum()


def aligned_array(kernel: Kernel) -> Array:
    """The array of a kernel, aligned, as the networks were trained on; how far it was off is for the SR image to follow."""
    return kernel.array if max(map(abs, kernel.misalignment_px)) < 1e-3 else kernel.align().array
