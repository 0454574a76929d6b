"""SHA-256 of files, computed once a run, and kept between runs with facts about contents."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, FiniteFloat, TypeAdapter

from blindsr.errors import BlindSRError
from blindsr.imaging.files import explained, sha256, write_whole

SETTLED_SECONDS = 2.0
"""A stamp younger than this is not trusted: the file could change once more within the resolution of its time stamps."""

T = TypeVar("T")
Stamp = tuple[int, int, int, int]
"""Size in bytes, modification and change time in nanoseconds, and inode of a file."""


@dataclass(frozen=True)
class HashedFile:
    """A file as it was when the run was planned: its SHA-256 in hexadecimal and, where it can be trusted, its stamp."""

    path: Path
    sha256: str
    stamp: Stamp | None = field(default=None, compare=False)

    def check(self) -> None:
        """Refuse the file if its bytes have changed. It is read again only if its stamp differs."""
        settled = self.stamp is not None and self.stamp == _stamp(self.path)
        if not settled and sha256(self.path) != self.sha256:
            raise BlindSRError(f"{self.path}: changed since the run began; run again")


class _Memory(BaseModel):
    """What is kept between runs."""

    model_config = ConfigDict(strict=True)

    files: dict[str, tuple[Stamp, str]] = {}
    facts: dict[str, list[FiniteFloat]] = {}


class Hashes:
    """Hashes of files, each computed once in the life of this object, and kept between runs in `memory` (JSON)."""

    def __init__(self, memory: Path | None = None) -> None:
        self._file = memory
        self._memory = (read_side_file(memory, _Memory) if memory else None) or _Memory()
        self._seen: dict[Path, HashedFile] = {}
        self._changed = False

    def of(self, path: Path) -> str:
        """The SHA-256 of a file's bytes, in hexadecimal."""
        return self.file(path).sha256

    def file(self, path: Path) -> HashedFile:
        """The file with its hash: the same for the whole life of this object."""
        if path not in self._seen:
            self._seen[path] = self._look_up(path)
        return self._seen[path]

    def fact(self, content: str, count: int, compute: Callable[[], Sequence[float]]) -> tuple[float, ...]:
        """`count` numbers that depend only on the contents whose hashes `content` holds; computed once for each `content`."""
        if len(self._memory.facts.get(content, ())) != count:
            self._memory.facts[content] = list(map(float, compute()))
            self._changed = True
        return tuple(self._memory.facts[content])

    def save(self) -> None:
        """Keep everything for the next run, if the file can be written: it is a convenience, not a result."""
        if self._file and self._changed:
            with contextlib.suppress(BlindSRError):
                write_whole(self._file, lambda part: part.write_text(self._memory.model_dump_json()))
                self._changed = False

    def _look_up(self, path: Path) -> HashedFile:
        stamp = _stamp(path)
        with explained(path):
            absolute = os.fsencode(path.absolute()).decode(errors="backslashreplace")  # JSON takes no lone surrogates
        known = self._memory.files.get(absolute)
        if known and known[0] == stamp:
            return HashedFile(path, known[1], stamp)
        digest = sha256(path)
        if time.time() - max(stamp[1:3]) / 1e9 <= SETTLED_SECONDS:
            return HashedFile(path, digest)
        self._memory.files[absolute] = (stamp, digest)
        self._changed = True
        return HashedFile(path, digest, stamp)


def read_side_file(file: Path, content: type[T]) -> T | None:
    """The content of a JSON file beside the results, strictly of the type `content`; None if absent or anything else."""
    try:
        return TypeAdapter(content).validate_json(file.read_bytes(), strict=True)
    except (OSError, ValueError):  # pydantic's ValidationError is a ValueError
        return None


def _stamp(path: Path) -> Stamp:
    with explained(path):
        state = path.stat()
    return state.st_size, state.st_mtime_ns, state.st_ctime_ns, state.st_ino
