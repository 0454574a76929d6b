"""Kernels as estimators answer them, with the true ones: what a method that is given estimates should be trained on."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from blindsr_selection.evidence import UNKNOWN_ERROR
from numpy.random import Generator
from numpy.typing import NDArray

from blindsr.api import Kernel, KernelEstimator, Symmetry, in_one_frame
from blindsr.imaging.files import sha256
from blindsr_training.degraded import random_estimate
from blindsr_training.kernel_families import FRAME_PX
from blindsr_training.precomputed import Recipe, read_samples

Array = NDArray[np.float64]

NAME = "estimates"


class EstimatedKernel(NamedTuple):
    """A true kernel and its estimate, (side, side) both, and the relative error that the estimator expects."""

    true: Array
    told: Array
    error: float

    def turned(self, symmetry: Symmetry, scale: int) -> EstimatedKernel:
        """Both flipped or turned about their centre of mass; taps that leave the frame then, at its rim, are lost."""
        kernels = (symmetry.apply(np.pad(kernel, (0, scale - 1)))[: len(kernel), : len(kernel)] for kernel in self[:2])
        true, told = (kernel / kernel.sum() for kernel in kernels)
        return EstimatedKernel(true, told, self.error)


class Estimates(NamedTuple):
    """True kernels (N, side, side), their estimates, and the relative errors that the estimators expect."""

    true: torch.Tensor
    told: torch.Tensor
    error: torch.Tensor


def estimates_recipe(estimators: Sequence[KernelEstimator], scale: int) -> Recipe[Estimates]:
    """How the estimates of a scale are made: each by one of the estimators, drawn evenly."""
    weights = " ".join(sha256(file) for estimator in estimators for file in estimator.shipped_weights(scale))
    named = str([(estimator.full_name, estimator.version, estimator) for estimator in estimators])
    of = {"scale": str(scale), "networks": weights, "estimators": named}
    return Recipe(NAME, Estimates, partial(_estimate, estimators=estimators, scale=scale), of)


def read_estimates(folder: Path, scale: int, *, held_out: bool) -> list[EstimatedKernel]:
    """All estimates of a folder; a `BlindSRError` if there are none for the scale, or a file is damaged."""
    found, _ = read_samples(folder, NAME, Estimates, scale, held_out=held_out)
    return list(map(EstimatedKernel, found.true.double().numpy(), found.told.double().numpy(), found.error.tolist()))


def _estimate(files: Sequence[Path], rng: Generator, *, estimators: Sequence[KernelEstimator], scale: int) -> Estimates:
    image, told = random_estimate(files, scale, rng, estimators)
    error = UNKNOWN_ERROR if told.expected_error is None else min(1.0, told.expected_error)
    return Estimates(_framed(image.kernel), _framed(told), torch.tensor(error))


def _framed(kernel: Kernel) -> torch.Tensor:
    """An aligned kernel in the frame of `kernel_families`, its sum 1."""
    side = FRAME_PX[kernel.scale]
    array = in_one_frame([kernel.array], side)[0]
    top, left = ((size - side) // 2 for size in array.shape)
    array = array[top : top + side, left : left + side]
    return torch.from_numpy(array / array.sum()).float()
