"""The processes that prepare data."""

import os
import signal
from pathlib import Path

import pytest
from blindsr_training.loading import loaded
from torch.utils.data import Dataset

from blindsr.api import BlindSRError


class _Squares(Dataset[int]):
    """Squares; the process that is to prepare one of them is killed instead, or fails."""

    def __init__(self, killed_at: int = -1, fails_at: int = -1) -> None:
        self._killed_at, self._fails_at = killed_at, fails_at

    def __getitem__(self, number: int) -> int:
        if number == self._killed_at:
            os.kill(os.getpid(), signal.SIGKILL)
        if number == self._fails_at:
            raise RuntimeError("no square")
        return number**2


@pytest.mark.parametrize("workers", [0, 2])
def test_items_come_in_their_order(tmp_path: Path, workers: int) -> None:
    assert list(loaded(_Squares(), range(3, 7), workers=workers, out=tmp_path)) == [9, 16, 25, 36]


def test_a_process_that_is_killed_gets_a_line(tmp_path: Path) -> None:
    with pytest.raises(BlindSRError) as killed:
        list(loaded(_Squares(killed_at=2), range(8), workers=1, out=tmp_path))
    assert str(killed.value) == f"{tmp_path}: a process that prepares data was killed, perhaps for memory; use fewer `workers`"


def test_an_error_of_another_kind_is_not_hidden(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="no square"):
        list(loaded(_Squares(fails_at=0), range(2), workers=1, out=tmp_path))
