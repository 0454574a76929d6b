"""Kernels as kernelnet estimates them: what a method that is given estimates should be trained on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from blindsr_kernelnet.estimation import LUMA
from blindsr_kernelnet.files import load
from numpy.typing import NDArray

from blindsr_training.kernel_families import aligned
from blindsr_training.kernelnet.crops import SIDES_PX, random_crops

Array = NDArray[np.float64]

BATCH = 16


class EstimatedKernels:
    """True kernels, kernelnet's answers to photographs that they degraded, and the errors that it expects of these.

    Made once, before a training, from crops as large as the photographs allow: a patch to train on would say too little.

    Parameters
    ----------
    weights
        Of kernelnet.
    images
        RGB photographs (H, W, 3), uint8.
    count
        How many kernels.
    """

    def __init__(self, weights: Path, images: Sequence[NDArray[np.uint8]], scale: int, count: int, seed: int) -> None:
        network, calibration = load(weights)
        gray = [np.rint(image @ LUMA).astype(np.uint8) for image in images]
        true, told, errors = [], [], []
        for start in range(0, count, BATCH):
            crops = random_crops(gray, scale, BATCH, SIDES_PX[scale][-1], np.random.default_rng((seed, start)))
            with torch.inference_mode():
                answer = network(crops.lr, scale)
            true += list(crops.kernels.double().numpy())
            told += [aligned(kernel, scale) for kernel in answer.kernels.double().numpy()]
            errors += [min(1.0, calibration.expected_error(float(value), scale)) for value in answer.log_error]
        self._rows = list(zip(true, told, errors, strict=True))[:count]

    def draw(self, rng: np.random.Generator) -> tuple[Array, Array, float]:
        """A true kernel (side, side), its estimate, and the error that is expected of the estimate."""
        return self._rows[int(rng.integers(len(self._rows)))]
