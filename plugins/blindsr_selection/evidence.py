"""What the image says of a kernel: how well super-resolution with it agrees with the image, how much better with a narrower one.

Too narrow a kernel does not show in this way, so it is only good for telling that a kernel is too wide; but this is the error that
costs most.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from blindsr.api import BlindSRError, Kernel, downscale

if TYPE_CHECKING:
    from blindsr.api import Image, KernelEstimator, NonBlindSR, RunContext

CROP_PX = 112
BORDER_PX = 6
"""Of the crop, where residuals are not counted."""
MIN_SIDE_PX = 3 * BORDER_PX
"""Of an image by which kernels are judged."""
STEP = 1.05
MAX_EXCESS = 0.23
"""A kernel is made narrower by a step where that lowers the logarithm of the residual by more than this.

Of 98 photographs (of the training, kernels of DIV2KRK's recipe) 11 are. The mean PSNR rises by 0.03 dB; the largest loss is
0.2 dB, the largest gain 2 dB.
"""
MAX_STEPS = 4
FAR = 2.0
MAX_FAR_EXCESS = 1.0
"""A kernel is much too wide where making it so much narrower lowers the logarithm of the residual by more than this."""
MIN_RESIDUAL = 1e-6
UNKNOWN_ERROR = 0.3
"""The relative error to expect of a kernel of which nothing is known."""


class KernelTrial:
    """Tries kernels on the most textured part of an LR image (H, W, 3) with an SR method."""

    def __init__(self, lr: Image, sr: NonBlindSR, run: RunContext) -> None:
        self._crop = textured_crop(lr, CROP_PX)
        self._sr = sr
        self._run = run

    def residual(self, kernel: Kernel) -> float:
        """RMS difference, for an image from 0 to 1, of the LR image and its SR image downscaled by the kernel.

        The SR method is told that the kernel is exact. Small for kernels that are right or too narrow.
        """
        told = replace(kernel, expected_error=0.0)
        sr = np.clip(self._sr.fit(self._crop, told, self._run)(self._crop), 0, 1)
        inside = slice(BORDER_PX, -BORDER_PX)
        return float(np.sqrt(np.mean((downscale(sr, kernel) - self._crop)[inside, inside] ** 2)))

    def excess(self, kernel: Kernel, factor: float) -> float:
        """How much of the residual goes if the kernel is made narrower by a factor: the logarithm of the ratio.

        Nothing if the image is too small to say anything.
        """
        return 0.0 if self._too_small() else self._excess(self.residual(kernel), self.residual(widened(kernel, 1 / factor)))

    def narrowed(self, kernel: Kernel) -> Kernel:
        """The kernel, made narrower by 5 % up to four times, as long as the residual falls a lot.

        It stays as it is if the image is too small to say anything.
        """
        if self._too_small():
            self._run.warn(f"refined: the image has less than {MIN_SIDE_PX} pixels a side; its kernel is left as it is")
            return kernel
        residual = self.residual(kernel)
        for _ in range(MAX_STEPS):
            narrower = widened(kernel, 1 / STEP)
            lower = self.residual(narrower)
            if self._excess(residual, lower) <= MAX_EXCESS:
                break
            kernel, residual = narrower, lower
        return kernel

    def _too_small(self) -> bool:
        return bool(min(self._crop.shape[:2]) < MIN_SIDE_PX)

    @staticmethod
    def _excess(residual: float, lower: float) -> float:
        return math.log(max(residual, MIN_RESIDUAL) / max(lower, MIN_RESIDUAL))


def best(of: Sequence[KernelEstimator], sr: NonBlindSR, lr: Image, scale: int, run: RunContext) -> Kernel:
    """The kernel of the least expected error among those that are not much too wide; of all where all are."""
    kernels, failures = [], []
    for estimator in of:
        try:
            kernels.append(estimate_with(estimator, lr, scale, run))
        except BlindSRError as error:
            run.warn(f"best_of: {estimator.full_name} is left out: {error}")
            failures.append(f"{estimator.full_name}: {error}")
    if not kernels:
        raise BlindSRError(f"best_of: none of the estimators gave a kernel ({'; '.join(failures)})")
    kernels.sort(key=lambda kernel: UNKNOWN_ERROR if kernel.expected_error is None else kernel.expected_error)
    trial = KernelTrial(lr, sr, run)
    sound = (kernel for kernel in kernels if trial.excess(kernel, FAR) <= MAX_FAR_EXCESS)
    return next(sound, kernels[0])


def estimate_with(estimator: KernelEstimator, lr: Image, scale: int, run: RunContext) -> Kernel:
    """An estimator's aligned kernel, with the estimator's typical error where it tells none."""
    return estimator.with_error(estimator.estimate(lr, scale, run)).align()


def widened(kernel: Kernel, factor: float) -> Kernel:
    """The aligned kernel stretched about its centre, by cubic interpolation of its square root, which stays above zero."""
    middle = np.array(kernel.center_of_mass)
    places = (np.indices(kernel.shape).reshape(2, -1) - middle[:, None]) / factor + middle[:, None]
    root = np.sqrt(np.clip(kernel.array, 0, None))
    stretched = (ndimage.map_coordinates(root, places, order=3, mode="constant") ** 2).reshape(kernel.shape)
    return Kernel(stretched / stretched.sum(), kernel.scale, expected_error=kernel.expected_error).align()


def textured_crop(lr: Image, side_px: int) -> Image:
    """The square of so many pixels a side (less in a small image) with the strongest mean gradient; a view."""
    if min(lr.shape[:2]) < 2:  # it has no gradient
        return lr[:side_px, :side_px]
    gray = lr.mean(2)
    gradient = np.abs(np.diff(gray, axis=0))[:, :-1] + np.abs(np.diff(gray, axis=1))[:-1]
    sides = [min(side_px, size) for size in gray.shape]
    means = ndimage.uniform_filter(gradient, [side - 1 for side in sides], mode="constant")
    inner = tuple(slice((side - 1) // 2, (side - 1) // 2 + size - side + 1) for side, size in zip(sides, gray.shape, strict=True))
    top, left = np.unravel_index(np.argmax(means[inner]), means[inner].shape)
    return lr[top : top + sides[0], left : left + sides[1]]
