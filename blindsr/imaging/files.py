"""Files on disk: where they may be written, atomic writing, names that fit, checksums."""

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from blindsr.errors import BlindSRError

MAX_NAME_BYTES = 255
"""What nearly all file systems allow for a file's name."""


@contextlib.contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn an `OSError` about `path` into a `BlindSRError` that says what to do."""
    try:
        yield
    except PermissionError:
        raise BlindSRError(f"{path}: permission denied; choose another folder, or change its permissions") from None
    except OSError as error:
        raise BlindSRError(f"{path}: {error.strerror or error}") from error


def check_output(path: Path, what: str, suffixes: Sequence[str], *, force: bool, argument: str = "output") -> None:
    """Raise a `BlindSRError` if a file cannot be written there: before the work, not after it.

    Parameters
    ----------
    what, suffixes
        The kind of file, for the message, and what its name may end with.
    force
        Whether it may replace a file.
    argument
        What named it.
    """
    check_suffix(path, what, suffixes)
    with explained(path):
        if not path.parent.is_dir():
            raise BlindSRError(f"{path}: there is no folder {path.parent}")
        if len(os.fsencode(path.name)) > MAX_NAME_BYTES:
            raise BlindSRError(f"{path}: the name is too long; choose one of at most {MAX_NAME_BYTES} bytes")
        if path.is_dir():
            raise BlindSRError(f"{path}: is a folder; name another file")
        check_free(path, force=force, argument=argument)
        try:
            tempfile.TemporaryFile(dir=path.parent).close()  # permissions alone do not tell all that a file system refuses
        except PermissionError:
            raise
        except OSError as error:
            raise BlindSRError(f"{path}: no file can be made there ({error.strerror or error}); choose another folder") from error


def check_suffix(path: Path, what: str, suffixes: Sequence[str]) -> None:
    """Raise a `BlindSRError` if a name does not end as those of this kind of file do, in capitals or not."""
    if path.suffix.lower() not in suffixes:
        raise BlindSRError(f"{path}: a {what} is written as {', '.join(suffixes)}, not as '{path.suffix}'")


def check_free(path: Path, *, force: bool, argument: str = "output") -> None:
    """Raise a `BlindSRError` if something is there that may not be replaced."""
    if path.exists() and not force:
        raise BlindSRError(f"{path}: exists already; choose another `{argument}`, or replace it with `force`")


def write_whole(path: Path, write: Callable[[Path], object], *, sync_folder: bool = True) -> None:
    """Call ``write(temporary)``, bring its bytes to the disk, and rename it to `path`.

    Whatever kills the process, `path` is then either the whole new file or what it was before. Without `sync_folder` the rename
    itself may reach the disk some seconds later: who writes many files calls `bring_to_disk` once.
    """
    part = path.with_name(f"{os.fsencode(path.name)[: MAX_NAME_BYTES - 5].decode(errors='ignore')}.part")
    with explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            part.unlink(missing_ok=True)  # it may be a link to elsewhere
            write(part)
            with part.open("rb+") as file:
                os.fsync(file.fileno())
            part.replace(path)
            if sync_folder:
                bring_to_disk(path.parent)
        except BaseException:
            part.unlink(missing_ok=True)
            raise


def file_name(text: str, suffix: str = "") -> str:
    """A name for a file or folder: `text` and `suffix`; if that is too long, the end of `text` is replaced by a digest."""
    data, room = os.fsencode(text), MAX_NAME_BYTES - len(suffix)
    if len(data) <= room:
        return f"{text}{suffix}"
    return f"{data[: room - 17].decode(errors='ignore')}-{hashlib.sha256(data).hexdigest()[:16]}{suffix}"


def sha256(path: Path) -> str:
    """The SHA-256 of a file's bytes, in hexadecimal."""
    with explained(path), path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def bring_to_disk(folder: Path) -> None:
    """Bring the names of the files in a folder to the disk."""
    if os.name == "posix":  # the rename itself reaches the disk with the folder; Windows has no such call
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
