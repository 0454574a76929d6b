"""SHA-256 of files, remembered by their size and time stamps, and facts about contents."""

from __future__ import annotations

import contextlib
import json
import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from blindsr.errors import BlindSRError
from blindsr.imaging.files import explained, sha256, write_whole

FILE = "hashes.json"
FACTS = "facts"
SETTLED_SECONDS = 2.0
"""A file that changed less long ago is not remembered: it could change once more within its time stamp's resolution."""


class Hashes:
    """What `sha256` gives, computed once for each state of a file.

    Parameters
    ----------
    file
        Where they are kept between runs (JSON); None: nowhere. One that cannot be read is taken for empty.
    """

    def __init__(self, file: Path | None = None) -> None:
        self._file = file
        self._known: dict[str, Any] = _read(file) if file else {}
        self._seen: dict[Path, str] = {}
        self._changed = False

    def of(self, path: Path) -> str:
        """The SHA-256 of a file's bytes, in hexadecimal: the same for the whole life of this object.

        Raises
        ------
        BlindSRError
            If it cannot be read.
        """
        if path not in self._seen:
            self._seen[path] = self._look_up(path)
        return self._seen[path]

    def fact(self, content: str, count: int, compute: Callable[[], Sequence[float]]) -> tuple[float, ...]:
        """So many numbers that depend on contents only, of which `content` holds the hashes; computed once for each."""
        facts = self._known.setdefault(FACTS, {})
        try:
            found = tuple(map(float, facts[content]))
        except (KeyError, TypeError, ValueError, OverflowError):
            found = ()
        if len(found) != count or not all(map(math.isfinite, found)):
            found = tuple(map(float, compute()))
            facts[content] = found
            self._changed = True
        return found

    def save(self) -> None:
        """Keep them for the next run, if that is possible: they are a convenience, no result."""
        if self._file and self._changed:
            with contextlib.suppress(BlindSRError):
                text = json.dumps(self._known)
                write_whole(self._file, lambda part: part.write_text(text))
                self._changed = False

    def _look_up(self, path: Path) -> str:
        with explained(path):
            absolute = str(path.absolute())
            state = path.stat()
        stamp = [state.st_size, state.st_mtime_ns, state.st_ctime_ns, state.st_ino]
        known = self._known.get(absolute)
        if isinstance(known, list) and known[:-1] == stamp and isinstance(known[-1], str):
            return known[-1]
        digest = sha256(path)
        if time.time() - max(state.st_mtime, state.st_ctime) > SETTLED_SECONDS:
            self._known[absolute] = [*stamp, digest]
            self._changed = True
        return digest


def _read(file: Path) -> dict[str, Any]:
    try:
        known = json.loads(file.read_bytes()) if file.is_file() else {}
    except (OSError, ValueError, RecursionError):
        return {}
    sound = isinstance(known, dict) and isinstance(known.get(FACTS, {}), dict)
    return known if sound else {}
