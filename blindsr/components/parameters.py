"""Parameters: those that are files or folders, and what pydantic finds wrong with any, in the words of this package's messages."""

import os
import reprlib
from collections.abc import Collection, Mapping
from functools import partial
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, ValidationInfo
from pydantic_core import PydanticCustomError

from blindsr.errors import alternatives

MAX_VALUE_LENGTH = 60
MISSING = "missing_path"
"""The type of the validation error for an `InputFile` or `InputFolder` that is not there."""


class CallerText(str):
    """A text that the caller gave, not the pipeline's file: as a relative path it starts at the working directory."""


def home_expanded(path: str | Path) -> Path:
    """The path with a leading ``~`` or ``~user`` replaced, where there is such a user."""
    return Path(os.path.expanduser(path))  # noqa: PTH111  (Path's own raises where there is no such user)


def _resolved(value: Any, info: ValidationInfo) -> Path:
    if not isinstance(value, str | Path):
        raise ValueError("must be a path")
    base = "." if isinstance(value, CallerText) else (info.context or {}).get("base", ".")
    return (Path(base) / home_expanded(value)).resolve()


def _existing(path: Path, kind: str) -> Path:
    if not {"file": path.is_file, "folder": path.is_dir}.get(kind, path.exists)():
        raise PydanticCustomError(MISSING, "no such {kind}: {path}", {"kind": kind, "path": str(path)})
    return path


InputFile = Annotated[Path, BeforeValidator(_resolved), AfterValidator(partial(_existing, kind="file"))]
"""A parameter that is a file. Relative paths start at the pipeline's folder; the file's bytes, not its name, are part of
the step's key."""

InputPath = Annotated[Path, BeforeValidator(_resolved), AfterValidator(partial(_existing, kind="file or folder"))]
"""A parameter that is either of them."""

InputFolder = Annotated[Path, BeforeValidator(_resolved), AfterValidator(partial(_existing, kind="folder"))]
"""A parameter that is a folder, likewise relative to the pipeline's."""


def validation_message(detail: Mapping[str, Any], names: Collection[str], *, word: str = "parameter") -> str:
    """One entry of ``ValidationError.errors()`` as a message; `names` are the fields at its level, each called a `word`."""
    match detail["type"]:
        case "extra_forbidden":
            return f"unknown {word}{alternatives(str(detail['loc'][-1]), names) if names else ''}"
        case "missing":
            return "is required"
        case "model_type" | "dict_type":
            return f"must be a mapping of fields, not {short_repr(detail['input'])}"
        case "too_short":
            return f"needs at least {detail['ctx']['min_length']}, not {short_repr(detail['input'])}"
    message = str(detail["msg"]).removeprefix("Value error, ").removeprefix("Input ")
    whole = detail["type"] == "value_error" or not {"path", "beside"}.isdisjoint(detail.get("ctx", {}))
    return message if whole else f"{message}, not {short_repr(detail['input'])}"


def short_repr(value: Any) -> str:
    """The `repr` of a value, cut short; it stays cheap where a value refers to another many times over."""
    text = reprlib.repr(value)
    return text if len(text) <= MAX_VALUE_LENGTH else f"{text[: MAX_VALUE_LENGTH - 3]}..."
