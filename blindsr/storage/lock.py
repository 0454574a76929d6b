"""One run at a time in a folder of results."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from blindsr.errors import BlindSRError
from blindsr.imaging.files import explained


@contextmanager
def locked(out: Path) -> Iterator[None]:
    """Keep others out of the folder, which is made if need be.

    The system itself lets the lock go when its process ends, however it ends, so none is ever stale.

    Raises
    ------
    BlindSRError
        If another run holds it; it says which.
    """
    import filelock

    with explained(out):
        out.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(out / ".lock")
        holder = out / ".lock-holder"
        try:
            lock.acquire(timeout=0)
        except filelock.Timeout:
            raise BlindSRError(
                f"{out}: another run is using this folder ({_holder(holder)}); wait for it, or choose another --out"
            ) from None
        since = time.strftime("%Y-%m-%d %H:%M:%S")
        holder.unlink(missing_ok=True)  # it may be a link to elsewhere
        holder.write_text(json.dumps({"process": os.getpid(), "host": platform.node(), "since": since}))
    try:
        yield
    finally:
        with contextlib.suppress(OSError):  # it says who is there, and no one asks now
            holder.unlink()
        lock.release()


def _holder(path: Path) -> str:
    try:
        about = json.loads(path.read_text())
        return f"process {about['process']} on {about['host']}, since {about['since']}"
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return "an unknown process"
