"""A YAML text as plain values, the place of each in the text, and messages that show it."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from ruamel.yaml import YAML
from ruamel.yaml.constructor import SafeConstructor
from ruamel.yaml.error import MarkedYAMLError, StreamMark
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from blindsr.components.parameters import CallerText
from blindsr.errors import BlindSRError, printable, suggestion

if TYPE_CHECKING:
    from blindsr.components.discovery import Kind
    from blindsr.components.interfaces import Component
    from blindsr.components.registry import Registry

MAX_EXCERPT_LENGTH = 100
EXPECTED = "a pipeline is a mapping of fields (name, scale, data, methods, ...)"

TEXT_TAGS = ("tag:yaml.org,2002:str", "tag:yaml.org,2002:merge")

Location = tuple[str | int, ...]
"""The keys and indices that lead to a value."""

Settings = Mapping[str, Any] | Sequence[str]
"""Values by their dotted paths, or ``path=value`` strings whose values are YAML."""


class Source:
    """A YAML text, whose `values` are a mapping, and what the caller changed in it. Tags that make objects are refused.

    `expected` says, for the message, what a text that is no mapping should have been.
    """

    def __init__(self, path: Path, text: str, *, expected: str = EXPECTED) -> None:
        self.path = path
        self.text = text
        self._labels: dict[Location, str] = {}  # what the caller changed, and what such places are called
        yaml = YAML(typ="safe", pure=True)
        try:
            self._tree: Node | None = yaml.compose(StringIO(text))
            self.values: dict[str, Any] = yaml.constructor.construct_document(self._tree) if self._tree else {}
        except MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            problem = (error.problem or "not valid YAML").splitlines()[0]
            if mark is None:
                raise BlindSRError(f"{path}: {problem}") from None
            raise BlindSRError(f"{self._position(mark)}: {problem}", excerpts=[self._excerpt(mark)]) from None
        except Exception as error:  # the parser raises exceptions of many types
            reason = str(error).strip().splitlines()[0] if str(error).strip() else "nested too deeply"
            raise BlindSRError(f"{self.path}: not valid YAML: {reason}") from None
        if not isinstance(self.values, dict) or self._tree is None:
            raise BlindSRError(f"{self.path}:1:1: {expected}")
        for key in _keys(self._tree):
            if str(key.tag) not in TEXT_TAGS:
                mark, text = key.start_mark, printable(str(key.value))
                what = f'a name must be text, which {text} is not in YAML; write "{text}" in quotes'
                raise BlindSRError(f"{self._position(mark)}: {what}", excerpts=[self._excerpt(mark)])

    def set(self, path: str, value: Any) -> None:
        """Change the value at a dotted path; keys with dots in them are found, too."""
        self._labels[_set(self.values, path, value)] = "setting "

    def replace(self, field: str, value: Any) -> None:
        """Replace a top-level field by an argument of that name."""
        self.values[field] = value
        self._labels[field,] = ""

    def problem(self, location: Location, what: str, *, of_key: bool = False, beside: Location = ()) -> tuple[str, str]:
        """The message ``file:line:column: place: what``, or ``setting place: what``, and an excerpt of the text.

        With `of_key`, the key at `location` is at fault, not its value. `beside` is shown where nothing is at `location`.
        """
        shown = beside or location
        text = f"{'.'.join(map(str, location))}: {what}"
        labels = [self._labels[shown[:end]] for end in range(1, len(shown) + 1) if shown[:end] in self._labels]
        if labels:
            return f"{labels[-1]}{text}", ""
        mark = self._mark(shown, of_key)
        return f"{self._position(mark)}: {text}", self._excerpt(mark)

    def _position(self, mark: StreamMark) -> str:
        return f"{self.path}:{mark.line + 1}:{mark.column + 1}"

    def _mark(self, location: Location, of_key: bool) -> StreamMark:
        node = cast("Node", self._tree)
        mark = node.start_mark
        for depth, part in enumerate(location):
            key, value = _child(node, part)
            if value is None:
                break
            node = value
            mark = (key if of_key and depth == len(location) - 1 and key else value).start_mark
        return cast("StreamMark", mark)

    def _excerpt(self, mark: StreamMark) -> str:
        """The line of a mark, and below it a caret at the mark's column."""
        lines = self.text.splitlines()
        if mark.line >= len(lines):
            return ""
        start = max(0, mark.column - MAX_EXCERPT_LENGTH // 2)
        line = printable(lines[mark.line].replace("\t", " "))[start : start + MAX_EXCERPT_LENGTH]
        return f"    {line}\n    {' ' * (mark.column - start)}^"


def parsed_settings(settings: Settings) -> dict[str, Any]:
    """Values by their dotted paths.

    >>> parsed_settings(["methods.KernelGAN.sr=zssr", "seeds=[0, 1]"])
    {'methods.KernelGAN.sr': 'zssr', 'seeds': [0, 1]}
    """
    if isinstance(settings, Mapping):
        return dict(settings)
    found = {}
    for setting in settings:
        path, equals, text = setting.partition("=")
        if not equals or not path:
            raise BlindSRError(f"setting {_short(setting)}: write path=value, such as iterations=500")
        yaml = YAML(typ="safe", pure=True)
        yaml.Constructor = _CallerConstructor
        try:
            found[path] = yaml.load(StringIO(text))
        except Exception:  # the parser raises exceptions of many types
            raise BlindSRError(f"setting {_short(setting)}: the value is not valid YAML") from None
    return found


def parsed_component(registry: Registry, kind: Kind, text: str, scale: int, **more: Any) -> Component:
    """The component of a name, or of ``{name: {parameter: value}}``, in a text; `more` are parameters, too."""
    value = parsed_settings([f"{kind}={text}"])[kind]
    name, parameters = next(iter(value.items())) if isinstance(value, dict) and len(value) == 1 else (value, {})
    if not isinstance(name, str) or not isinstance(parameters, dict | None):
        raise BlindSRError(f"{_short(text)}: must be a component, or {{name: {{parameter: value}}}}")
    return registry.build(kind, name, (parameters or {}) | more, scale=scale)


class _CallerConstructor(SafeConstructor):
    """Makes texts that know that they are not from the pipeline's file."""

    def construct_yaml_str(self, node: Any) -> CallerText:
        return CallerText(super().construct_yaml_str(node))


_CallerConstructor.add_constructor("tag:yaml.org,2002:str", _CallerConstructor.construct_yaml_str)


def _set(values: dict[str, Any], path: str, value: Any) -> Location:
    """Change the value at a dotted path, without changing mappings that other places share; where it lies now."""
    node, parts, location = values, path.split("."), cast("Location", ())
    while True:
        key, parts = _longest_key(node, parts)
        if location == ("methods",) and parts and key not in node:
            raise BlindSRError(f"setting {_short(path)}: there is no method '{key}'{suggestion(key, map(str, node))}")
        location = (*location, key)
        if not parts:
            node[key] = value
            return location
        child = node.get(key)
        if isinstance(child, str):  # a component by its name alone
            child = {child: {}}
        node[key] = copy.copy(child) if isinstance(child, dict) else {}
        node = node[key]


def _longest_key(node: Mapping[str, Any], parts: list[str]) -> tuple[str, list[str]]:
    for count in range(len(parts), 0, -1):
        if ".".join(parts[:count]) in node:
            return ".".join(parts[:count]), parts[count:]
    return parts[0], parts[1:]


def _keys(tree: Node) -> Iterator[ScalarNode]:
    """The scalar keys of all mappings in their order; a node that aliases share comes once."""
    waiting, seen = [tree], set[int]()
    while waiting:
        node = waiting.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, MappingNode):
            yield from (key for key, _ in node.value if isinstance(key, ScalarNode))
            waiting += reversed([value for _, value in node.value])
        elif isinstance(node, SequenceNode):
            waiting += reversed(node.value)


def _child(node: Node, part: str | int) -> tuple[Node | None, Node | None]:
    """The key (of a mapping) and the value that `part` means in a node; None if there is none."""
    if isinstance(node, MappingNode):
        return next(((key, value) for key, value in reversed(node.value) if key.value == str(part)), (None, None))
    if isinstance(node, SequenceNode) and isinstance(part, int) and part < len(node.value):
        return None, node.value[part]
    return None, None


def _short(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:57]}..."
