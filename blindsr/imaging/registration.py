"""Registration of a stored kernel with its images: the sub-pixel shift that fits them best, by least squares."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from blindsr.imaging.downscaling import downscale
from blindsr.imaging.kernel import Kernel

ITERATIONS = 4
MAX_STEP_PX = 1.0
DIFFERENCE_PX = 0.25
MIN_GAIN = 0.01
"""A stored kernel is moved only if that lowers its residual by more than this fraction."""


class Registration(NamedTuple):
    """How a stored kernel fits its LR image, as it is and shifted."""

    better: Kernel
    """The shifted kernel if it `gains`, else the stored one."""
    gains: bool
    shift_px: tuple[float, float]
    """Rows and columns, in HR pixels."""
    residual_stored: float
    """Root mean square of ``downscale(hr, kernel) - lr``, in levels of 255."""
    residual_moved: float


def register(hr: NDArray[np.float32], lr: NDArray[np.float32], kernel: Kernel) -> Registration:
    """Fit the shift of `kernel` for which downscaling `hr`, (scale H, scale W, 3) in [0, 1], gives `lr`, (H, W, 3).

    Some published kernels do not reproduce their LR images exactly: they are a sub-pixel shift away.
    """
    shift_px = _fitted_shift(hr, lr, kernel)
    moved = _moved(kernel, *shift_px)
    before, after = (float(255 * np.sqrt(np.mean(np.square(np.clip(downscale(hr, each), 0, 1) - lr)))) for each in (kernel, moved))
    gains = after < (1 - MIN_GAIN) * before
    return Registration(moved if gains else kernel, gains, shift_px, before, after)


def _fitted_shift(hr: NDArray[np.float32], lr: NDArray[np.float32], kernel: Kernel) -> tuple[float, float]:
    """Gauss-Newton steps, with central differences for the derivatives."""
    y = x = 0.0
    d = DIFFERENCE_PX
    for _ in range(ITERATIONS):
        ahead, behind, right, left, here = (
            downscale(hr, _moved(kernel, *at)) for at in ((y + d, x), (y - d, x), (y, x + d), (y, x - d), (y, x))
        )
        slopes = np.stack([2 * (ahead - behind).ravel(), 2 * (right - left).ravel()], axis=1)
        step = np.clip(np.linalg.lstsq(slopes, (lr - here).ravel())[0], -MAX_STEP_PX, MAX_STEP_PX)
        y, x = y + float(step[0]), x + float(step[1])
    return y, x


def _moved(kernel: Kernel, rows_px: float, columns_px: float) -> Kernel:
    """The kernel moved. A x4 kernel with a known half is moved by moving the half by a third: it acts at steps of 1 and of 2 px."""
    if kernel.half:
        return kernel.half.shifted(rows_px / 3, columns_px / 3).composed()
    return kernel.shifted(rows_px, columns_px)
