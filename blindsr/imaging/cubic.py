"""The cubic that MATLAB's bicubic interpolates with."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

CUBIC_RADIUS = 2  # pixels of the coarser grid that the cubic reaches to either side


def cubic(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Keys' cubic convolution kernel with a = -0.5 (IEEE Trans. ASSP 29(6), 1981)."""
    x = np.abs(x)
    near = (1.5 * x - 2.5) * x * x + 1
    far = ((-0.5 * x + 2.5) * x - 4) * x + 2
    return np.where(x <= 1, near, np.where(x < CUBIC_RADIUS, far, 0.0))
