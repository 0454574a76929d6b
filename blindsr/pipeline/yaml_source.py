"""A YAML text as plain values that know where they stand."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from io import StringIO
from pathlib import Path
from typing import Any, cast

from blindsr.errors import BlindSRError, suggestion

Location = tuple[str | int, ...]
"""The keys and indices that lead to a value."""


class Source:
    """A YAML text, and where each of its values stands."""

    def __init__(self, path: Path, text: str) -> None:
        self.path = path
        self.text = text
        self.labels: dict[Location, str] = {}  # what was set from outside the file, and by which option

    def values(self) -> dict[str, Any]:
        from ruamel.yaml import YAML
        from ruamel.yaml.error import MarkedYAMLError

        try:
            values = YAML(typ="safe", pure=True).load(StringIO(self.text))
            self._tree = YAML(typ="rt", pure=True).load(StringIO(self.text))
        except MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            place = f":{mark.line + 1}:{mark.column + 1}" if mark else ""
            problem = (error.problem or "not valid YAML").splitlines()[0]
            raise BlindSRError(f"{self.path}{place}: {problem}") from None
        except Exception as error:  # the parser raises what it likes
            reason = str(error).strip().splitlines()[0] if str(error).strip() else "nested too deeply"
            raise BlindSRError(f"{self.path}: not valid YAML: {reason}") from None
        if not isinstance(values, dict):
            raise BlindSRError(f"{self.path}:1:1: a pipeline is a mapping of fields (name, scale, data, methods, ...)")
        return values

    def set(self, values: dict[str, Any], setting: str) -> None:
        """Apply one ``path=value``; keys with dots in them are found, too."""
        from ruamel.yaml import YAML

        dotted, equals, text = setting.partition("=")
        if not equals or not dotted:
            raise BlindSRError(f"--set {_short(setting)}: write path=value, such as scale=4")
        try:
            value = YAML(typ="safe", pure=True).load(StringIO(text))
        except Exception:  # the parser raises what it likes
            raise BlindSRError(f"--set {_short(setting)}: the value is not valid YAML") from None
        parts = dotted.split(".")
        node, location = values, cast("Location", ())
        while True:
            key, parts = _longest_key(node, parts)
            if location == ("methods",) and parts and key not in node:
                raise BlindSRError(f"--set {_short(setting)}: there is no method '{key}'{suggestion(key, map(str, node))}")
            location = (*location, key)
            if not parts:
                break
            child = node.get(key)
            if isinstance(child, str):  # a component by its name alone
                child = {child: {}}
            node[key] = copy.copy(child) if isinstance(child, dict) else {}
            node = node[key]
        node[key] = value
        self.labels[location] = f"--set {dotted}"

    def place(self, location: Location, *, of_key: bool = False) -> str:
        """``file:line:column`` of a value (or of its key), or the option that set it."""
        for end in range(len(location), 0, -1):
            if location[:end] in self.labels:
                return self.labels[location[:end]]
        node = self._tree
        line, column = 0, 0
        for depth, key in enumerate(location):
            try:
                mark = node.lc.key(key) if of_key and depth == len(location) - 1 else _value_mark(node, key)
                node = node[key]
            except (AttributeError, KeyError, IndexError, TypeError):
                break
            line, column = mark
        return f"{self.path}:{line + 1}:{column + 1}"


def _short(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:57]}..."


def _longest_key(node: Mapping[str, Any], parts: list[str]) -> tuple[str, list[str]]:
    for count in range(len(parts), 0, -1):
        if ".".join(parts[:count]) in node:
            return ".".join(parts[:count]), parts[count:]
    return parts[0], parts[1:]


def _value_mark(node: Any, key: Any) -> tuple[int, int]:
    place = node.lc
    mark: tuple[int, int] = place.item(key) if isinstance(node, list) else place.value(key)
    return mark
