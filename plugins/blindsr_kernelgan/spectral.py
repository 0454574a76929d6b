"""Spectral normalisation: weight matrices divided by a running estimate of their largest singular value.

Source: Miyato et al., "Spectral Normalization for Generative Adversarial Networks", ICLR 2018; step for step as in
``torch.nn.utils.spectral_norm`` (one power iteration a training pass), but for stacks of matrices, and for several passes at once.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

EPS = 1e-12


class Normalized(NamedTuple):
    """A weight as the next n passes use it."""

    matrix: Tensor
    """(..., n, rows, columns), the weight over `norm`."""
    norm: Tensor
    """(..., n, 1, 1)"""
    u: Tensor
    """(..., n, rows, 1)"""
    v: Tensor
    """(..., n, columns, 1)"""

    def gradient(self, of_matrix: Tensor) -> Tensor:
        """A loss's gradient for the weight, summed over the passes, from that for `matrix`: (..., rows, columns).

        The norm is ``u^T W v`` with u and v constant, so with ``M = W / norm``: ``dW = (dM - <dM, M> u v^T) / norm``.
        """
        inner = (of_matrix * self.matrix).sum((-2, -1), keepdim=True)
        return ((of_matrix - (inner * self.u) @ self.v.mT) / self.norm).sum(-3)


class SpectralWeight:
    """A weight matrix (..., rows, columns), or a stack of them, and its left singular vector (..., rows, 1) as estimated so far."""

    def __init__(self, weight: Tensor, u: Tensor) -> None:
        self.weight = weight
        self.u = u

    def normalize(self, passes: int) -> Normalized:
        """The weight for that many passes, one after the other: each moves the estimate by one power iteration."""
        found = []
        for _ in range(passes):
            v = self.weight.mT @ self.u
            v /= _length(v).clamp_min_(EPS)
            u = self.weight @ v
            norm = _length(u)
            self.u = u / norm.clamp_min(EPS)
            found.append((norm, self.u, v))
        norm, u, v = (torch.stack(each, -3) for each in zip(*found, strict=True))
        return Normalized(self.weight.unsqueeze(-3) / norm, norm, u, v)


def _length(column: Tensor) -> Tensor:
    length: Tensor = torch.linalg.vector_norm(column, dim=-2, keepdim=True)
    return length
