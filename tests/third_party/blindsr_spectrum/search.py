"""The search for the width. numpy is imported here, not in the declaration."""

import numpy as np

from blindsr.api import BlindSRError, Image, Kernel, RunContext, downscale


def gaussian(sigma: float, scale: int) -> Kernel:
    """An aligned isotropic Gaussian."""
    size = 2 * int(4 * sigma + scale) + 1
    offset = np.arange(size) - (size // 2 + (scale - 1) / 2)
    taps = np.exp(-0.5 * (offset / sigma) ** 2)
    array = np.outer(taps, taps)
    return Kernel(array / array.sum(), scale)


def best_gaussian(lr: Image, scale: int, candidates: int, run: RunContext) -> Kernel:
    """The Gaussian whose downscaled image differs least from `lr` in the strength of its gradients."""
    strength = _gradient_strength(lr)
    if strength == 0:
        raise BlindSRError("the image is flat, so its blur leaves no trace; choose one with detail")
    best, least = gaussian(scale / 2, scale), np.inf
    for number, sigma in enumerate(np.linspace(0.4, 2.5, candidates) * scale / 2):
        kernel = gaussian(sigma, scale)
        difference = abs(np.log(_gradient_strength(downscale(lr, kernel)) / strength))
        run.log("difference", number, difference)
        run.progress(number + 1, candidates)
        if difference < least:
            best, least = kernel, difference
    return best


def _gradient_strength(image: Image) -> float:
    return float(np.abs(np.diff(image, axis=0)).mean() + np.abs(np.diff(image, axis=1)).mean())
