"""What pydantic finds wrong with parameters and fields, in the words of this package's messages."""

import reprlib
from collections.abc import Collection, Mapping
from typing import Any

from blindsr.errors import alternatives

MAX_VALUE_LENGTH = 60


def validation_message(detail: Mapping[str, Any], names: Collection[str], *, word: str = "parameter") -> str:
    """One entry of ``ValidationError.errors()`` as a message; `names` are the fields at its level, each called a `word`."""
    match detail["type"]:
        case "extra_forbidden":
            return f"unknown {word}{alternatives(str(detail['loc'][-1]), names) if names else ''}"
        case "missing":
            return "is required"
        case "model_type" | "dict_type":
            return f"must be a mapping of fields, not {short_repr(detail['input'])}"
    message = str(detail["msg"]).removeprefix("Value error, ").removeprefix("Input ")
    whole = detail["type"] == "value_error" or not {"path", "beside"}.isdisjoint(detail.get("ctx", {}))
    return message if whole else f"{message}, not {short_repr(detail['input'])}"


def short_repr(value: Any) -> str:
    """The `repr` of a value, cut short; it stays cheap where a value refers to another many times over."""
    text = reprlib.repr(value)
    return text if len(text) <= MAX_VALUE_LENGTH else f"{text[: MAX_VALUE_LENGTH - 3]}..."
