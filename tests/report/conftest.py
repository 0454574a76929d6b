"""Fixtures of the tests of pages."""

from pathlib import Path

import numpy as np
import pages
import pytest


@pytest.fixture(scope="session")
def path(tmp_path_factory: pytest.TempPathFactory, photo: np.ndarray) -> Path:
    """A result with names that are hard on HTML."""
    return pages.result(tmp_path_factory.mktemp("page"), photo)
