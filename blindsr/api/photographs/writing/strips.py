"""An image that comes from top to bottom, in strips of the height that a format needs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

STRIP_BYTES = 2**20
"""About so much is compressed at a time."""


@dataclass(frozen=True)
class Strips:
    """An image (height, width, channels) of a type, as bands (rows, width, channels) of any heights, which come once."""

    height: int
    width: int
    channels: int
    dtype: np.dtype[Any]
    bands: Iterable[NDArray[Any]]

    @property
    def row_bytes(self) -> int:
        """The size of a row."""
        return self.width * self.channels * self.dtype.itemsize

    @property
    def usual_rows(self) -> int:
        """Of a strip of about `STRIP_BYTES`."""
        return max(1, STRIP_BYTES // self.row_bytes)

    def of(self, rows: int) -> Iterator[NDArray[Any]]:
        """The image in strips of `rows` rows; the last one has what is left."""
        rest = np.empty((0, self.width, self.channels), self.dtype)
        for band in self.bands:
            assert band.dtype == self.dtype
            rest = np.concatenate([rest, band]) if len(rest) else band
            whole = len(rest) // rows * rows
            for start in range(0, whole, rows):
                yield rest[start : start + rows]
            rest = rest[whole:].copy()  # a view would keep the whole band
        if len(rest):
            yield rest
