"""Finds plugins and their components; near matches, duplicates, broken plugins."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Literal, get_args

import pluggy

from blindsr import __version__
from blindsr.components import hookspecs
from blindsr.components.builtin import External, Given, GroundTruth
from blindsr.components.interfaces import API_VERSION, Component, Degradation, KernelEstimator, NonBlindSR
from blindsr.errors import BlindSRError, described

Kind = Literal["degradation", "kernel", "sr"]
"""What a component is for, as the fields of a pipeline are named."""

TITLES: Mapping[Kind, str] = {"degradation": "degradation", "kernel": "kernel estimator", "sr": "SR method"}
HOOKS: Mapping[str, tuple[Kind, type[Component]]] = {
    "blindsr_degradations": ("degradation", Degradation),
    "blindsr_kernel_estimators": ("kernel", KernelEstimator),
    "blindsr_nonblind_sr": ("sr", NonBlindSR),
}


@dataclass(frozen=True)
class Entry:
    """A registered component, and where it comes from."""

    kind: Kind
    component: type[Component]
    distribution: str
    version: str

    @property
    def source(self) -> str:
        """The distribution and its version."""
        return f"{self.distribution} {self.version}"


@dataclass(frozen=True)
class Problem:
    """A plugin, or one name of it, that cannot be used, and why."""

    plugin: str
    source: str
    reason: str

    def __str__(self) -> str:
        return f"plugin '{self.plugin}' of {self.source}: {self.reason}"


@dataclass(frozen=True)
class Registry:
    """The components of all the plugins that could be loaded, and what kept the others from it."""

    entries: Mapping[tuple[Kind, str], Entry]
    problems: tuple[Problem, ...] = ()
    clashes: Mapping[tuple[Kind, str], tuple[str, ...]] = field(default_factory=dict)

    @classmethod
    def discover(cls) -> Registry:
        """Load every installed plugin of the entry-point group ``blindsr``, each on its own."""
        return cls.load(entry_points(group="blindsr"))

    @classmethod
    def load(cls, points: Iterable[EntryPoint]) -> Registry:
        """A registry of these entry points and what the core itself supplies.

        A plugin that raises, or offers what is no component, costs only itself. A name that two distributions offer is
        nobody's: neither may win by the order of their installation.
        """
        found: list[Entry] = [Entry("kernel", component, "blindsr", __version__) for component in (GroundTruth, Given)]
        found.append(Entry("sr", External, "blindsr", __version__))
        problems: list[Problem] = []
        for point in sorted(points, key=lambda p: (p.name, p.value)):
            source = (point.dist.name, point.dist.version) if point.dist else ("an unknown distribution", "")
            try:
                found += _components(point, *source)
            except KeyboardInterrupt:
                raise
            except BaseException as error:
                reason = str(error) if isinstance(error, BlindSRError) else described(error).splitlines()[0]
                problems.append(Problem(point.name, " ".join(source).strip(), reason))
        by_name: dict[tuple[Kind, str], list[Entry]] = {}
        for entry in found:
            by_name.setdefault((entry.kind, entry.component.name), []).append(entry)
        clashes = {key: tuple(e.source for e in entries) for key, entries in by_name.items() if len(entries) > 1}
        problems += [
            Problem(name, " and ".join(sources), f"the {TITLES[kind]} '{name}' is offered more than once, so it cannot be used")
            for (kind, name), sources in clashes.items()
        ]
        return cls({key: e[0] for key, e in sorted(by_name.items()) if len(e) == 1}, tuple(problems), clashes)

    def get(self, kind: Kind, name: str) -> type[Component]:
        """The component of that kind and name.

        Raises
        ------
        BlindSRError
            With near matches, or with what kept a plugin of that name from loading.
        """
        if (kind, name) in self.entries:
            return self.entries[kind, name].component
        if (kind, name) in self.clashes:
            raise BlindSRError(
                f"{TITLES[kind]} '{name}' is offered by {' and by '.join(self.clashes[kind, name])}; uninstall one of them"
            )
        raise BlindSRError(f"unknown {TITLES[kind]} '{name}'{self._hint(kind, name)}")

    def _hint(self, kind: Kind, name: str) -> str:
        for problem in self.problems:
            if name in (problem.plugin, problem.plugin.removeprefix("blindsr_")):
                return f"; {problem}"
        for other in get_args(Kind):
            if (other, name) in self.entries:
                return f"; '{name}' is a {TITLES[other]}"
        names = [n for k, n in self.entries if k == kind]
        return suggestion(name, names) or f"; there are {', '.join(names)}"


def suggestion(name: str, names: Iterable[str]) -> str:
    """``; did you mean 'x'?`` with the nearest of `names`, or nothing."""
    near = difflib.get_close_matches(name, list(names), n=1)
    return f"; did you mean '{near[0]}'?" if near else ""


def _components(point: EntryPoint, distribution: str, version: str) -> list[Entry]:
    """What one plugin offers; all of it, or an exception."""
    module: Any = point.load()
    _check_api(module)
    manager = pluggy.PluginManager("blindsr")
    manager.add_hookspecs(hookspecs)
    manager.register(module, point.name)
    entries = []
    for caller in manager.get_hookcallers(module) or ():
        if not caller.has_spec():
            raise BlindSRError(f"unknown hook '{caller.name}'{suggestion(caller.name, HOOKS)}")
        kind, base = HOOKS[caller.name]
        offered = caller()
        if not offered:
            raise BlindSRError(f"{caller.name} returned nothing; it must return a list of components")
        for component in offered[0]:
            _check_component(component, base, caller.name)
            entries.append(Entry(kind, component, distribution, version))
    if not entries:
        raise BlindSRError(f"offers nothing: mark a function named {', '.join(HOOKS)} with @hookimpl")
    return entries


def _check_api(module: Any) -> None:
    api = getattr(module, "blindsr_api", None)
    if api != API_VERSION:
        says = (
            "does not say which version of blindsr's interfaces it is for"
            if api is None
            else f"is for version {api} of blindsr's interfaces"
        )
        raise BlindSRError(f"{says}; this blindsr has version {API_VERSION} (the module says it with blindsr_api = {API_VERSION})")


def _check_component(component: Any, base: type[Component], hook: str) -> None:
    if not (isinstance(component, type) and issubclass(component, base)):
        raise BlindSRError(f"{hook} must return subclasses of {base.__name__}, not {component!r}")
    if inspect.isabstract(component):
        raise BlindSRError(f"{component.__name__} must define {', '.join(sorted(component.__abstractmethods__))}")
