"""Makes steps. A step's key is the SHA-256 of all that its result depends on, so equal keys are the same step."""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import BaseModel

from blindsr.components.interfaces import Component
from blindsr.components.parameters import short_repr
from blindsr.errors import BlindSRError, described
from blindsr.pipeline.hashes import HashedFile, Hashes
from blindsr.pipeline.steps import VERSIONS, Absent, Input, Step, StepKind, StepOutput


class _Identity(NamedTuple):
    """What of a component is part of the keys, the files that it reads, and what keeps its steps from being done."""

    component: Component  # kept, so that its id stays its own
    content: Mapping[str, Any]
    files: tuple[HashedFile, ...]
    problem: Mapping[str, Absent]


class StepMaker:
    """Makes the steps of one scale; `hashes` knows the files that were read before."""

    def __init__(self, scale: int, hashes: Hashes) -> None:
        self.scale = scale
        self.hashes = hashes
        self._identities: dict[int, _Identity] = {}  # by the components' ids: their parameters need not be hashable

    def step(
        self, kind: StepKind, component: Component | None, inputs: Mapping[str, Input], *, seed: int = 0, item: str = ""
    ) -> Step:
        """The step of this kind; `seed` counts only for components that are stochastic."""
        identity: dict[str, Any] = {"kind": kind, "version": VERSIONS[kind]}
        label: str = kind
        files: tuple[HashedFile, ...] = ()
        if component:
            own = self._identity(component)
            label, files, inputs = component.name, own.files, {**inputs, **own.problem}
            identity |= {**own.content, "seed": seed if component.stochastic else None}
        identity["inputs"] = {role: _input_key(source) for role, source in inputs.items()}
        key = _digest(identity | {"scale": self.scale})
        return Step(
            key, kind, component, self.scale, dict(inputs), _digest(identity) if kind == "degrade" else "", item, label, files
        )

    def _identity(self, component: Component) -> _Identity:
        if id(component) not in self._identities:
            files: dict[Path, HashedFile] = {}
            content: dict[str, Any] = {"component": self._component(component, files, component.full_name)}
            problem = {}
            try:
                shipped = shipped_weights(component, self.scale)
            except BlindSRError as error:
                problem, shipped = {"weights": Absent(str(error))}, {}
            if shipped:
                content["weights"] = sorted(self.hashes.of(path) for path in shipped)
            self._identities[id(component)] = _Identity(component, content, tuple(files.values()), problem)
        return self._identities[id(component)]

    def _component(self, component: Component, files: dict[Path, HashedFile], place: str) -> list[Any]:
        fields = type(component).model_fields
        values = {name: getattr(component, name) for name in fields}
        later = component.later_parameters
        parameters = {name: value for name, value in values.items() if name not in later or value != fields[name].get_default()}
        return [component.full_name, component.version, self._content(parameters, files, place)]

    def _content(self, value: Any, files: dict[Path, HashedFile], place: str) -> Any:
        """A parameter's value in JSON's types, files and folders by their bytes; the files are added to `files`."""
        if isinstance(value, Path):
            return self._bytes(value, files)
        if isinstance(value, Component):
            return self._component(value, files, f"{place}.{value.full_name}")
        if isinstance(value, BaseModel):
            value = {name: getattr(value, name) for name in type(value).model_fields}
        if isinstance(value, Mapping):
            return {str(key): self._content(inner, files, f"{place}.{key}") for key, inner in value.items()}
        if isinstance(value, set | frozenset):
            with contextlib.suppress(TypeError):  # members that have no order are refused below
                value = sorted(value)
        if isinstance(value, list | tuple):
            return [self._content(inner, files, place) for inner in value]
        if isinstance(value, float) and not math.isfinite(value):
            return repr(value)
        if isinstance(value, str | bool | int | float | None):
            return value
        raise BlindSRError(
            f"{place}: a value of type {type(value).__name__} cannot be part of a step's key; declare the parameter as "
            "numbers, texts, paths, or lists and mappings of these"
        )

    def _bytes(self, path: Path, files: dict[Path, HashedFile]) -> dict[str, Any]:
        if not path.is_dir():
            return {"file": self._file(path, files)}
        inside = sorted(file for file in path.rglob("*") if file.is_file())
        return {"folder": [[file.relative_to(path).as_posix(), self._file(file, files)] for file in inside]}

    def _file(self, path: Path, files: dict[Path, HashedFile]) -> str:
        absolute = path.absolute()
        files[absolute] = self.hashes.file(absolute)
        return files[absolute].sha256


def shipped_weights(component: Component, scale: int) -> dict[Path, str]:
    """The files that a component ships for a scale, and the licence of each; every defect of its method is a `BlindSRError`."""
    name = component.full_name
    try:
        shipped = dict(component.shipped_weights(scale))
    except BlindSRError:
        raise
    except Exception as error:
        raise BlindSRError(f"{name}: shipped_weights failed ({described(error)}); this is a defect of the plugin") from error
    if not all(isinstance(path, Path) and isinstance(licence, str) for path, licence in shipped.items()):
        raise BlindSRError(
            f"{name}: shipped_weights must return a mapping of pathlib.Path to licence, not {short_repr(shipped)}; "
            "this is a defect of the plugin"
        )
    return shipped


def _input_key(source: Input) -> str:
    return f"made:{source.key}:{source.what}" if isinstance(source, StepOutput) else source.key


def _digest(identity: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(identity, sort_keys=True, allow_nan=False).encode()).hexdigest()
