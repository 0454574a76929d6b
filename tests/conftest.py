"""Fixtures that several test files use."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from blindsr.imaging.writer import write_png

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of reference images and kernels, which is not part of the project."""
    if not SHARED.is_dir():
        pytest.skip(f"reference data absent: {SHARED}")
    return SHARED


@pytest.fixture
def one_thread() -> Iterator[None]:
    """One thread of torch: on small tensors, more are slower, most of all on a busy machine."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def photo() -> NDArray[np.uint8]:
    """A photograph, (300, 451, 3)."""
    from skimage import data

    return data.chelsea()


@pytest.fixture
def small_photo(tmp_path: Path, photo: NDArray[np.uint8]) -> Path:
    """A PNG file with a crop of `photo`, 96 x 80 pixels."""
    path = tmp_path / "small.png"
    write_png(path, photo[60:140, 100:196])
    return path
