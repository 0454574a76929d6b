"""What processes prepare while another one computes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

from torch.utils.data import DataLoader, Dataset

from blindsr.api import BlindSRError

T = TypeVar("T")


def loaded(dataset: Dataset[T], numbers: range, *, workers: int, out: Path, pinned: bool = False) -> Iterator[T]:
    """The items of these numbers in their order, prepared by so many processes; with 0 by this one.

    Raises
    ------
    BlindSRError
        If one of the processes is killed; it names the folder `out`.
    """
    loader = DataLoader(
        dataset, batch_size=None, sampler=numbers, num_workers=workers, multiprocessing_context="fork" if workers else None,
        pin_memory=pinned,
    )  # fmt: skip
    try:
        yield from loader
    except RuntimeError as killed:
        if "DataLoader worker (pid" not in str(killed):
            raise
        raise BlindSRError(f"{out}: a process that prepares data was killed, perhaps for memory; use fewer `workers`") from None
