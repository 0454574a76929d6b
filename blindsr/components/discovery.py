"""Imports one plugin and takes its components; whatever the plugin does wrong costs only itself."""

import contextlib
import inspect
import sys
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import EntryPoint
from typing import Any, Literal

import pluggy
from pydantic.errors import PydanticUndefinedAnnotation

from blindsr.components import hookspecs
from blindsr.components.interfaces import SUPPORTED_API_VERSIONS, Component, Degradation, KernelEstimator, NonBlindSR
from blindsr.components.signals import Interrupts
from blindsr.errors import BlindSRError, described, suggestion

Kind = Literal["degradation", "kernel", "sr"]
"""What a component is for, as the fields of a pipeline are named."""

HOOKS: Mapping[str, tuple[Kind, type[Component]]] = {
    "blindsr_degradations": ("degradation", Degradation),
    "blindsr_kernel_estimators": ("kernel", KernelEstimator),
    "blindsr_nonblind_sr": ("sr", NonBlindSR),
}


@dataclass(frozen=True)
class RegisteredComponent:
    """A component class, and the distribution that it comes from."""

    kind: Kind
    component: type[Component]
    distribution: str
    version: str

    @property
    def source(self) -> str:
        return f"{self.distribution} {self.version}".strip()

    @property
    def qualified_name(self) -> str:
        """``distribution:name``, which means this component whatever else is installed."""
        return f"{self.distribution}:{self.component.name}"


@dataclass(frozen=True)
class Problem:
    """A plugin, or one of its components, that cannot be used or not under its plain name, and why; the traceback if it raised."""

    plugin: str
    source: str
    reason: str
    traceback: str = ""

    def __str__(self) -> str:
        return f"plugin '{self.plugin}' of {self.source}: {self.reason}"


def components_of(point: EntryPoint) -> list[RegisteredComponent] | Problem:
    """What one plugin offers: all of it, or why there is nothing.

    What the plugin prints goes to standard error, so that it does not mix with the output of a command. A signal that comes
    meanwhile interrupts; a `KeyboardInterrupt` that the plugin itself raises is a problem like any other.
    """
    name, version = (point.dist.name, point.dist.version) if point.dist else ("an unknown distribution", "")
    source = f"{name} {version}".strip()
    with Interrupts() as interrupts, contextlib.redirect_stdout(sys.stderr):
        try:
            with interrupts.at_once():
                return _load(point, name, version)
        except BlindSRError as error:
            return Problem(point.name, source, str(error))
        except BaseException as error:
            return Problem(point.name, source, described(error).splitlines()[0], traceback.format_exc())


def _load(point: EntryPoint, distribution: str, version: str) -> list[RegisteredComponent]:
    module: Any = point.load()
    _check_api_version(getattr(module, "blindsr_api", None))
    manager = pluggy.PluginManager("blindsr")
    manager.add_hookspecs(hookspecs)
    manager.register(module, point.name)
    found = []
    for caller in manager.get_hookcallers(module) or ():
        if not caller.has_spec():
            raise BlindSRError(f"unknown hook '{caller.name}'{suggestion(caller.name, HOOKS)}")
        kind, base = HOOKS[caller.name]
        offered = caller()
        if not offered:
            raise BlindSRError(f"{caller.name} returned nothing; it must return a list of components")
        for component in offered[0]:
            _check_component(component, base, caller.name)
            found.append(RegisteredComponent(kind, component, distribution, version))
    if not found:
        raise BlindSRError(f"offers nothing: mark a function named {', '.join(HOOKS)} with @hookimpl")
    return found


def _check_api_version(version: Any) -> None:
    supported, newest = " and ".join(map(str, SUPPORTED_API_VERSIONS)), max(SUPPORTED_API_VERSIONS)
    if version is None:
        raise BlindSRError(f"does not say which version of blindsr's API it is for; write blindsr_api = {newest} in its module")
    if type(version) is not int:
        raise BlindSRError(f"blindsr_api must be a whole number, not {version!r}; this blindsr supports {supported}")
    if version not in SUPPORTED_API_VERSIONS:
        remedy = "upgrade blindsr" if version > newest else "upgrade the plugin"
        raise BlindSRError(f"is for version {version} of blindsr's API; this blindsr supports {supported}: {remedy}")


def _check_component(component: Any, base: type[Component], hook: str) -> None:
    if not (isinstance(component, type) and issubclass(component, base)):
        raise BlindSRError(f"{hook} must return subclasses of {base.__name__}, not {component!r}")
    if inspect.isabstract(component):
        raise BlindSRError(f"{component.__name__} must define {', '.join(sorted(component.__abstractmethods__))}")
    for attribute, kind in (("version", int), ("stochastic", bool), ("scales", tuple)):
        if not isinstance(value := getattr(component, attribute), kind | property):  # a property may depend on the parameters
            raise BlindSRError(f"{component.__name__}.{attribute} must be of type {kind.__name__}, not {value!r}")
    try:
        component.model_rebuild()
    except PydanticUndefinedAnnotation as error:
        raise BlindSRError(
            f"a parameter of {component.__name__} is annotated with {error.name}, which is not defined when the plugin runs; "
            "import it outside `if TYPE_CHECKING:`"
        ) from error
