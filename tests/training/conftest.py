"""Photographs that all trainings can use, and one thread."""

from pathlib import Path

import numpy as np
import pytest
from blindsr_training.photographs import HELD_OUT

from blindsr.imaging.writer import write_png


@pytest.fixture(autouse=True)
def _one_thread(one_thread: None) -> None:
    """All trainings run on one thread."""


@pytest.fixture(scope="session")
def photographs(tmp_path_factory: pytest.TempPathFactory, photo: np.ndarray) -> Path:
    """A folder of images, as small as srmd and unfolding can take."""
    folder = tmp_path_factory.mktemp("photographs")
    for number in range(2 * HELD_OUT):
        write_png(folder / f"{number:02}.png", photo[5 * number : 5 * number + 150, 10 * number : 10 * number + 160])
    return folder


@pytest.fixture(scope="session")
def large_photographs(tmp_path_factory: pytest.TempPathFactory, photo: np.ndarray) -> Path:
    """A folder of images, as small as kernelnet can take."""
    folder = tmp_path_factory.mktemp("large")
    for number in range(2 * HELD_OUT):
        write_png(folder / f"{number:02}.png", np.pad(photo, ((0, 100), (0, 0), (0, 0)), mode="reflect")[:, number : number + 400])
    return folder
