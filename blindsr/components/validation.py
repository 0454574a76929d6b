"""What pydantic finds wrong with parameters and fields, in the words of this package's messages."""

from __future__ import annotations

import reprlib
from collections.abc import Iterable, Mapping
from typing import Any

from blindsr.errors import suggestion

MAX_VALUE_LENGTH = 60
"""Characters of a value that a message shows."""


def validation_message(detail: Mapping[str, Any], names: Iterable[str], *, word: str = "parameter") -> str:
    """One entry of ``ValidationError.errors()`` as a message.

    Parameters
    ----------
    names
        The fields that there are beside the one at fault, for near matches.
    word
        What such a field is called: ``parameter`` or ``field``.
    """
    names = list(names)
    if detail["type"] == "extra_forbidden":
        near = suggestion(str(detail["loc"][-1]), names)
        return f"unknown {word}{near or ('; there are ' + ', '.join(names) if names else '')}"
    if detail["type"] == "missing":
        return "is required"
    if detail["type"] in ("model_type", "dict_type"):
        return f"must be a mapping of fields, not {short_repr(detail['input'])}"
    message = str(detail["msg"]).removeprefix("Value error, ").removeprefix("Input ")
    whole = detail["type"] == "value_error" or not {"path", "beside"}.isdisjoint(detail.get("ctx", {}))
    return message if whole else f"{message}, not {short_repr(detail['input'])}"


def short_repr(value: Any) -> str:
    """The `repr` of a value, cut short; it stays cheap where a value refers to another many times over."""
    text = reprlib.repr(value)
    return text if len(text) <= MAX_VALUE_LENGTH else f"{text[: MAX_VALUE_LENGTH - 3]}..."
