"""The one exception for what users can put right, and helpers for the texts of messages."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence


def printable(text: str) -> str:
    """`text` with ``?`` in place of control characters: a name in somebody's file must not steer the terminal.

    >>> printable("a\\x1b[2Jb")
    'a?[2Jb'
    """
    return "".join(c if c.isprintable() else "?" for c in text)


def shortened(names: Sequence[str]) -> str:
    """The first three of some names, and how many more there are.

    >>> shortened(["a", "b", "c", "d", "e"])
    'a, b, c and 2 more'
    """
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def suggestion(name: str, names: Iterable[str]) -> str:
    """``; did you mean 'x'?`` with the nearest of `names`, or an empty text."""
    near = difflib.get_close_matches(name, list(names), n=1)
    return f"; did you mean '{near[0]}'?" if near else ""


def alternatives(name: str, names: Iterable[str]) -> str:
    """A `suggestion`; all `names`, where none is near.

    >>> alternatives("kernelgam", ["kernelgan", "zssr"]), alternatives("x", ["kernelgan", "zssr"])
    ("; did you mean 'kernelgan'?", '; there are kernelgan, zssr')
    """
    names = list(names)
    return suggestion(name, names) or f"; there are {', '.join(names)}"


def described(error: BaseException) -> str:
    """``Type: message``; an exception of a plugin may fail even while it makes its message."""
    try:
        return f"{type(error).__name__}: {error}"
    except Exception:
        return f"{type(error).__name__}, whose message cannot be shown"


class BlindSRError(Exception):
    """Something that the user can put right.

    Each message names the value at fault, the place where it stands, and the remedy, in one line.
    The command line prints it without a traceback; anything else that escapes is a defect and keeps its traceback.

    Parameters
    ----------
    lines
        The messages, one line each: usually one, or several problems that were found together.
    excerpts
        For each message, the lines of the user's file that it is about (printable), or an empty text.
    """

    def __init__(self, *lines: str, excerpts: Sequence[str] = ()) -> None:
        self.lines = lines
        self.excerpts = (*excerpts, *[""] * (len(lines) - len(excerpts)))
        super().__init__("\n".join(text for pair in zip(lines, self.excerpts, strict=True) for text in pair if text))
