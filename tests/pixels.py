"""The pixels of an image file, for tests."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from blindsr.imaging.reader import read_image


def read(path: Path) -> NDArray[np.uint8]:
    """(H, W, 3)."""
    return read_image(path).pixels
