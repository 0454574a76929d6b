"""Parameters that are components themselves: an estimator that starts from another one, say."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import PlainSerializer, PlainValidator, TypeAdapter, ValidationInfo

from blindsr.components.discovery import Kind
from blindsr.components.interfaces import Component, KernelEstimator, NonBlindSR
from blindsr.errors import BlindSRError


def component_validator(kind: Kind) -> Callable[[Any, ValidationInfo], Any]:
    """A validator that makes the component of a name, or of ``{name: {parameter: value}}``; a component stays as it is.

    The validation context holds the ``registry``, ``base`` and ``scale`` (`Registry.validated`); without one, all installed
    plugins are searched.
    """

    def validate(value: Any, info: ValidationInfo) -> Any:
        if isinstance(value, Component):
            return value
        name, parameters = next(iter(value.items())) if isinstance(value, dict) and len(value) == 1 else (value, {})
        if not isinstance(name, str) or not isinstance(parameters, dict | None):
            raise ValueError("must be a name, or {name: {parameter: value}}")
        context = info.context or _context()
        make = PlainValidator(lambda given: context["registry"].validated(kind, name, given, context))
        try:
            # As the value of a mapping, so that the places of errors begin with the name.
            return TypeAdapter(dict[str, Annotated[Any, make]]).validate_python({name: parameters or {}})[name]
        except BlindSRError as error:
            raise ValueError(str(error)) from error

    return validate


def components_in(component: Component) -> Iterator[Component]:
    """A component, and all that its parameters hold."""
    yield component
    for part in _parts(component):
        yield from components_in(part)


def _parts(component: Component) -> Iterator[Component]:
    """The components that are parameters of a component, or in lists that are."""
    for name in type(component).model_fields:
        value = getattr(component, name)
        yield from (part for part in (value if isinstance(value, list | tuple) else [value]) if isinstance(part, Component))


class Composite(Component):
    """A component made of others, its parameters: it depends on the seed if one of them does, and ships what they ship.

    Name it before the kind of component: ``class BestOf(Composite, KernelEstimator)``.
    """

    @property
    def stochastic(self) -> bool:  # type: ignore[override]  # a class attribute where it does not depend on the parameters
        return any(part.stochastic for part in _parts(self))

    def shipped_weights(self, scale: int) -> Mapping[Path, str]:
        return {file: licence for part in _parts(self) for file, licence in part.shipped_weights(scale).items()}


def described_component(component: Component) -> dict[str, Any]:
    """A component and all its parameters as plain JSON values: ``{name: {parameter: value}}``."""
    return {component.full_name: component.model_dump(mode="json")}


def _context() -> Mapping[str, Any]:
    from blindsr.components.registry import Registry

    return {"registry": Registry.discover(), "base": ".", "scale": None}


def _of_class(kind: Kind, component_class: type[Component]) -> Callable[[Any, ValidationInfo], Any]:
    make = component_validator(kind)

    def validate(value: Any, info: ValidationInfo) -> Any:
        component = make(value, info)
        if not isinstance(component, component_class):  # `ground_truth` and the like, which the core alone can do
            raise ValueError(f"'{component.full_name}' cannot be used inside another component")
        return component

    return validate


AnyKernelEstimator = Annotated[
    KernelEstimator, PlainValidator(_of_class("kernel", KernelEstimator)), PlainSerializer(described_component)
]
"""A parameter that is a kernel estimator: its name, or ``{name: {parameter: value}}``."""

AnyNonBlindSR = Annotated[NonBlindSR, PlainValidator(_of_class("sr", NonBlindSR)), PlainSerializer(described_component)]
"""A parameter that is an SR method."""
