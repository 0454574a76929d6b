"""The one exception that a user can cause, and what may be printed."""

from __future__ import annotations

from collections.abc import Sequence


def printable(text: str) -> str:
    """`text` without control characters: a name in somebody's file must not steer the terminal."""
    return "".join(c if c.isprintable() else "?" for c in text)


def shortened(names: Sequence[str]) -> str:
    """The first few of some names, and how many more there are."""
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def described(error: BaseException) -> str:
    """``Type: message``; an exception of a plugin may fail even in saying that."""
    try:
        return f"{type(error).__name__}: {error}"
    except Exception:
        return f"{type(error).__name__}, which cannot say what it is"


class BlindSRError(Exception):
    """Something that the user can put right.

    The message names the value at fault, the place it stands in, and what to do instead, in one or two lines.
    The command line prints it without a traceback; anything else that escapes is a defect and keeps its traceback.

    Parameters
    ----------
    lines
        A message each, of problems that are to be mended together.
    """

    def __init__(self, *lines: str) -> None:
        super().__init__("\n".join(lines))
        self.lines = lines
