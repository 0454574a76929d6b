"""Published numbers and where they come from: the reader of published.toml."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from blindsr.errors import BlindSRError, alternatives

PUBLISHED_METRICS = ("psnr", "ssim")
"""What a published row gives at a scale, in the file's order: dB, and 0..1."""


@dataclass(frozen=True)
class PublishedRow:
    """A row of a published table; `scores` are its numbers by scale and metric, for the scales that it has."""

    key: str
    method: str
    type: int | None
    scores: Mapping[int, Mapping[str, float]]


@dataclass(frozen=True)
class PublishedTable:
    """A published table: its rows, the set of images that they are means over, and (where known) how they were made."""

    name: str
    source: str
    data: str
    images: int
    rows: tuple[PublishedRow, ...]
    protocol: str | None = None
    runs: int | None = None

    @property
    def citation(self) -> str:
        """Where the numbers come from, in one line."""
        details = [f"{self.data}, {self.images} images"]
        details += [f"means of {self.runs} runs"] if self.runs else []
        details += [self.protocol or "protocol and number of runs: see there"]
        return f"{self.source} ({'; '.join(details)})"

    def is_of(self, data: str) -> bool:
        """Whether a data set of this name is the table's: a folder ``DIV2KRK``, or ``DIV2KRK_public`` as its archive unpacks."""
        return data.lower().startswith(self.data.lower())


def published_tables() -> dict[str, PublishedTable]:
    """All published tables by name; the KernelGAN paper's is ``paper``, and comes first."""
    with Path(__file__).with_name("published.toml").open("rb") as file:
        tables = tomllib.load(file)
    return {name: PublishedTable(name, **{**fields, "rows": tuple(map(_row, fields["rows"]))}) for name, fields in tables.items()}


def published_table(name: str) -> PublishedTable:
    """The table of this name; the error for an unknown one says which there are."""
    tables = published_tables()
    if name not in tables:
        raise BlindSRError(f"no published table '{name}'{alternatives(name, tables)}")
    return tables[name]


def row_keys() -> list[str]:
    """The keys that a method's ``published`` may name."""
    return [row.key for table in published_tables().values() for row in table.rows]


def _row(fields: Mapping[str, Any]) -> PublishedRow:
    scores = {scale: dict(zip(PUBLISHED_METRICS, fields[f"x{scale}"], strict=True)) for scale in (2, 3, 4) if f"x{scale}" in fields}
    return PublishedRow(fields["key"], fields["method"], fields.get("type"), scores)
