"""Registration of a stored kernel with its images: the sub-pixel shift that fits them best, by least squares."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from blindsr.imaging.downscaling import downscale
from blindsr.imaging.kernel import Kernel

ITERATIONS = 4
MAX_STEP_PX = 1.0
DIFFERENCE_PX = 0.25
MIN_GAIN = 0.01
"""A stored kernel is moved only if that lowers its residual by more than this fraction."""


@dataclass(frozen=True)
class Registration:
    """A stored kernel, and the same kernel shifted so that it fits the LR image best.

    Attributes
    ----------
    stored, moved
        The two kernels.
    shift_px
        By how much `moved` was moved: rows and columns, in HR pixels.
    residual_stored, residual_moved
        Root mean square of ``downscale(hr, kernel) - lr``, in levels of 255.
    """

    stored: Kernel
    moved: Kernel
    shift_px: tuple[float, float]
    residual_stored: float
    residual_moved: float

    @property
    def gains(self) -> bool:
        """Whether the shift lowers the residual by more than 1 %."""
        return self.residual_moved < (1 - MIN_GAIN) * self.residual_stored

    @property
    def better(self) -> Kernel:
        """The moved kernel if `gains`, else the stored one."""
        return self.moved if self.gains else self.stored


def register(hr: NDArray[np.float32], lr: NDArray[np.float32], kernel: Kernel) -> Registration:
    """Fit the shift of `kernel` for which downscaling `hr` gives `lr`.

    Some published kernels do not reproduce their LR images exactly: they are a sub-pixel shift away.

    Parameters
    ----------
    hr, lr
        (scale H, scale W, 3) and (H, W, 3), float, in [0, 1].
    """
    shift_px = _fitted_shift(hr, lr, kernel)
    moved = _moved(kernel, shift_px)
    return Registration(kernel, moved, shift_px, _residual(hr, lr, kernel), _residual(hr, lr, moved))


def _residual(hr: NDArray[np.float32], lr: NDArray[np.float32], kernel: Kernel) -> float:
    return float(255 * np.sqrt(np.mean(np.square(np.clip(downscale(hr, kernel), 0, 1) - lr))))


def _fitted_shift(hr: NDArray[np.float32], lr: NDArray[np.float32], kernel: Kernel) -> tuple[float, float]:
    """Gauss-Newton steps, with central differences for the derivatives."""
    rows_px = columns_px = 0.0
    for _ in range(ITERATIONS):
        ahead, behind = (_moved(kernel, (rows_px + d, columns_px)) for d in (DIFFERENCE_PX, -DIFFERENCE_PX))
        right, left = (_moved(kernel, (rows_px, columns_px + d)) for d in (DIFFERENCE_PX, -DIFFERENCE_PX))
        slopes = [2 * (downscale(hr, a) - downscale(hr, b)).ravel() for a, b in ((ahead, behind), (right, left))]
        error = (lr - downscale(hr, _moved(kernel, (rows_px, columns_px)))).ravel()
        step = np.linalg.lstsq(np.stack(slopes, axis=1), error)[0]
        rows_px += float(np.clip(step[0], -MAX_STEP_PX, MAX_STEP_PX))
        columns_px += float(np.clip(step[1], -MAX_STEP_PX, MAX_STEP_PX))
    return rows_px, columns_px


def _moved(kernel: Kernel, shift_px: tuple[float, float]) -> Kernel:
    """The kernel moved. A x4 kernel with a known half is moved by moving the half by a third: it acts at steps of 1 and of 2 px."""
    if kernel.half:
        return kernel.half.shifted(shift_px[0] / 3, shift_px[1] / 3).composed()
    return kernel.shifted(*shift_px)
