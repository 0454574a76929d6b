"""Finds the components of all plugins by name, and makes them."""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, Self

from pydantic import ValidationError

from blindsr import __version__
from blindsr.components.builtin import External, Given, GroundTruth
from blindsr.components.discovery import Kind, Problem, RegisteredComponent, components_of
from blindsr.components.interfaces import Component
from blindsr.components.parameters import validation_message
from blindsr.errors import BlindSRError, alternatives, described

BUNDLED = "blindsr"
"""The distribution whose components own their plain names."""

TITLES: Mapping[Kind, str] = {"degradation": "degradation", "kernel": "kernel estimator", "sr": "SR method"}

Key = tuple[Kind, str]
"""The kind of a component, and a name that means it."""


@dataclass(frozen=True)
class Registry:
    """The components of all plugins that could be loaded, and the problems of the others.

    `entries` has every component once, under the shortest name that means it: its plain name, or ``distribution:name`` where a
    bundled component or that of another distribution has the same plain name.
    """

    entries: Mapping[Key, RegisteredComponent]
    problems: tuple[Problem, ...] = ()

    @classmethod
    def discover(cls) -> Self:
        """Load every installed plugin of the entry-point group ``blindsr``, each on its own."""
        return cls.load(entry_points(group="blindsr"))

    @classmethod
    def load(cls, points: Iterable[EntryPoint]) -> Self:
        """A registry of these entry points and of the components that the core itself supplies.

        A plugin that raises, or offers something that is not a component, costs only itself.
        """
        core: Sequence[tuple[Kind, type[Component]]] = (("kernel", GroundTruth), ("kernel", Given), ("sr", External))
        groups = defaultdict(list)
        for kind, component in core:
            groups[kind, component.name].append(RegisteredComponent(kind, component, BUNDLED, __version__))
        problems = []
        for point in sorted(points, key=lambda p: (p.name, p.value)):
            loaded = components_of(point)
            if isinstance(loaded, Problem):
                problems.append(loaded)
                continue
            for entry in loaded:
                groups[entry.kind, entry.component.name].append(entry)
        entries: dict[Key, RegisteredComponent] = {}
        for (kind, name), group in sorted(groups.items()):
            named, clashes = _named(kind, name, group)
            entries |= {(kind, own): entry for own, entry in named.items()}
            problems += clashes
        return cls(entries, tuple(problems))

    def entry(self, kind: Kind, name: str) -> RegisteredComponent:
        """The component that `name`, plain or ``distribution:name``, means; the error has near names, or the plugin's problem."""
        if (kind, name) in self.entries:
            return self.entries[kind, name]
        distribution, colon, plain = name.rpartition(":")
        offers = [e for (k, _), e in self.entries.items() if k == kind and e.component.name == plain]
        if colon:
            for entry in offers:
                if _normalized(entry.distribution) == _normalized(distribution):
                    return entry
        elif offers:
            sources, names = " and ".join(e.source for e in offers), " or ".join(e.qualified_name for e in offers)
            raise BlindSRError(f"{TITLES[kind]} '{name}' is offered by {sources}; write {names}")
        raise BlindSRError(f"unknown {TITLES[kind]} '{name}'{self._hint(kind, name)}")

    def get(self, kind: Kind, name: str) -> type[Component]:
        """The class of the component that `name` means."""
        return self.entry(kind, name).component

    def build(
        self, kind: Kind, name: str, settings: Mapping[str, Any] | None = None, *, scale: int | None = None, base: Path = Path(),
    ) -> Component:  # fmt: skip
        """Make a component that can do `scale`; relative paths in `settings`, its parameters, start at `base`.

        An error has a message for each wrong parameter.
        """
        try:
            return self.validated(kind, name, settings or {}, {"base": base, "scale": scale})
        except ValidationError as error:
            names = self.get(kind, name).model_fields
            raise BlindSRError(
                *(
                    f"{'.'.join(map(str, (name, *e['loc'])))}: {validation_message(e, names)}"
                    for e in error.errors(include_url=False)
                )
            ) from None

    def validated(self, kind: Kind, name: str, settings: Any, context: Mapping[str, Any]) -> Component:
        """`build` that lets pydantic's ``ValidationError`` through; `context` holds ``base`` and ``scale``."""
        entry = self.entry(kind, name)
        try:
            component = entry.component.model_validate(settings, context=dict(context))
        except (ValidationError, BlindSRError):
            raise
        except Exception as error:  # a validator of the plugin itself
            raise BlindSRError(f"{TITLES[kind]} '{name}' of {entry.source} cannot be made ({described(error)})") from error
        if context["scale"] not in (None, *component.scales):
            able = " and ".join(f"x{scale}" for scale in component.scales)
            raise BlindSRError(f"{TITLES[kind]} '{name}' can do {able}, not x{context['scale']}")
        if entry.distribution != BUNDLED:
            component._full_name = entry.qualified_name
        return component

    def _hint(self, kind: Kind, name: str) -> str:
        for problem in self.problems:
            if name in (problem.plugin, problem.plugin.removeprefix("blindsr_")):
                return f"; {problem}"
        for other in TITLES:
            if (other, name) in self.entries:
                return f"; '{name}' is a {TITLES[other]}"
        return alternatives(name, [n for k, n in self.entries if k == kind])


def _named(kind: Kind, name: str, group: Sequence[RegisteredComponent]) -> tuple[dict[str, RegisteredComponent], list[Problem]]:
    """The components of one plain name under the names that mean them, and what to tell of those that do not have it.

    The bundled one has the plain name; of several others none has it: the order of installation must not decide.
    """
    owners = [entry for entry in group if entry.distribution == BUNDLED] or group
    named = {name: owners[0]} if len(owners) == 1 else {}
    problems: dict[Problem, None] = {}  # each once, in their order
    for entry in group:
        if entry in named.values():
            continue
        if sum(_normalized(entry.distribution) == _normalized(other.distribution) for other in group) > 1:
            reason = f"the {TITLES[kind]} '{name}' is offered twice by this distribution, so it cannot be used"
        else:
            named[entry.qualified_name] = entry
            others = " and ".join(other.source for other in group if other is not entry)
            reason = f"the {TITLES[kind]} '{name}' is offered by {others}, too; this one is called '{entry.qualified_name}'"
        problems[Problem(name, entry.source, reason)] = None
    return named, list(problems)


def _normalized(distribution: str) -> str:
    """The name of a distribution as packaging tools compare it."""
    return re.sub(r"[-_.]+", "-", distribution).lower()
