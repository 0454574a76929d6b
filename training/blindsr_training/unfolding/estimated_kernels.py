"""Kernels as estimators answer them, with the true ones: what a method that is given estimates should be trained on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import blindsr_kernelnet.files as kernelnet_files
import blindsr_selection.files as corrected_files
import numpy as np
import torch
from blindsr_kernelnet.estimation import LUMA
from numpy.typing import NDArray

from blindsr.api import from_centered_taps
from blindsr_training.corrected.examples import read_examples
from blindsr_training.kernel_families import FRAME_PX, aligned
from blindsr_training.kernelnet.crops import SIDES_PX, random_crops

Array = NDArray[np.float64]

BATCH = 16


class EstimatedKernel(NamedTuple):
    """A true kernel and its estimate, (side, side) both, and the relative error that the estimator expects."""

    true: Array
    told: Array
    error: float


def of_kernelnet(weights: Path, images: Sequence[NDArray[np.uint8]], scale: int, count: int, seed: int) -> list[EstimatedKernel]:
    """What kernelnet with these weights answers to RGB photographs (H, W, 3), uint8, that as many kernels degraded.

    The crops are as large as the photographs allow: a patch to train on would say too little.
    """
    network, calibration = kernelnet_files.load(weights)
    gray = [np.rint(image @ LUMA).astype(np.uint8) for image in images]
    found: list[EstimatedKernel] = []
    for start in range(0, count, BATCH):
        crops = random_crops(gray, scale, BATCH, SIDES_PX[scale][-1], np.random.default_rng((seed, start)))
        with torch.inference_mode():
            answer = network(crops.lr, scale)
        told = [aligned(kernel, scale) for kernel in answer.kernels.double().numpy()]
        errors = [calibration.expected_error(float(value), scale) for value in answer.log_error]
        found += map(EstimatedKernel, crops.kernels.double().numpy(), told, (min(1.0, error) for error in errors))
    return found[:count]


def of_corrected(weights: Path, examples: Path, scale: int, *, held_out: bool) -> list[EstimatedKernel]:
    """What the network of `corrected` with these weights makes of its examples, those held out or the others.

    Raises
    ------
    BlindSRError
        If the files cannot be read, or are for another scale.
    """
    network = corrected_files.load(weights, scale)
    made, _ = read_examples(examples, scale, held_out=held_out)
    with torch.inference_mode():
        answers = [network(*(tensor[start : start + BATCH] for tensor in made[:4])) for start in range(0, len(made.true), BATCH)]
    errors = torch.cat([answer.log_error for answer in answers]).exp().clamp_max(1).tolist()
    told = torch.cat([answer.frames for answer in answers])
    kernels = ([_off_center(frame, scale) for frame in frames.double().numpy()] for frames in (made.true, told))
    return list(map(EstimatedKernel, *kernels, errors))


def _off_center(frame: Array, scale: int) -> Array:
    """A kernel whose centre of mass is in the middle of its frame, in the frame of `kernel_families`."""
    array = from_centered_taps(frame / frame.sum(), scale).array
    rim = (len(array) - FRAME_PX[scale]) // 2
    array = array[rim:-rim, rim:-rim]
    return np.asarray(array / array.sum())
