"""The fields of a pipeline, validated together with the components that they name."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo
from pydantic.functional_validators import BeforeValidator, PlainValidator, WrapValidator, field_validator, model_validator
from pydantic_core import PydanticCustomError

from blindsr.components.interfaces import Component, Degradation
from blindsr.components.nested import component_validator, described_component
from blindsr.components.parameters import MISSING, home_expanded
from blindsr.errors import BlindSRError, alternatives
from blindsr.pipeline import datasets
from blindsr.pipeline.published import row_keys


@dataclass(frozen=True)
class Method:
    """One row of the result table: a kernel and an SR method."""

    name: str
    kernel: Component
    sr: Component
    type: int | None = None
    published: str | None = None


@dataclass(frozen=True)
class Pipeline:
    """A checked pipeline with its components.

    `data` is None where the file at `path`, whose content is `text`, leaves it to the caller; relative paths in it start at
    `base`. `left_out` says which optional methods lack a file.
    """

    name: str
    scale: int
    seeds: tuple[int, ...]
    data: DataFields | None
    degradation: Degradation | None
    data_seed: int
    methods: tuple[Method, ...]
    path: Path
    text: str
    base: Path = Path()
    left_out: tuple[str, ...] = ()

    def dataset(self) -> datasets.Dataset:
        """The items of its data."""
        if self.data is None:
            some = '"data: {lr: [PHOTO]}", "data: {hr: FOLDER}" or "data: {div2krk: FOLDER}"'
            raise BlindSRError(f"{self.path}: names no data; add {some} to it, or name some where you run it")
        return self.data.dataset(self.scale, self.base)

    def resolved(self) -> dict[str, Any]:
        """All settings, defaults included, as plain JSON values."""

        return {
            "name": self.name,
            "scale": self.scale,
            "seeds": list(self.seeds),
            "data": self.data and self.data.model_dump(mode="json", exclude_none=True),
            "degradation": self.degradation and described_component(self.degradation),
            "data_seed": self.data_seed,
            "methods": {
                m.name: {
                    "type": m.type,
                    "kernel": described_component(m.kernel),
                    "sr": described_component(m.sr),
                    "published": m.published,
                }
                for m in self.methods
            },
        }


def _listed(value: Any) -> Any:
    """One or several values, of which paths become texts."""
    values = value if isinstance(value, list | tuple) else [value]
    return None if value is None else [_text(one) for one in values]


def _text(value: Any) -> Any:
    return str(value) if isinstance(value, Path) else value


def _degradation(value: Any, info: ValidationInfo) -> Any:
    if value is not None:
        return component_validator("degradation")(value, info)
    data = info.data.get("data")
    if data and (data.sample, data.hr) != (None, None):
        message = "is required where the data are HR images, e.g. random_kernel"
        raise PydanticCustomError("required_beside", message, {"beside": ("data",)})
    return None


class _Fields(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")


class DataFields(_Fields):
    """Where the images come from: exactly one of the four."""

    sample: Annotated[list[str], Field(min_length=1), BeforeValidator(_listed)] | None = None
    hr: Annotated[str, BeforeValidator(_text)] | None = None
    lr: Annotated[list[str], Field(min_length=1), BeforeValidator(_listed)] | None = None
    div2krk: Annotated[str, BeforeValidator(_text)] | None = None

    @model_validator(mode="after")
    def _one(self) -> DataFields:
        if [self.sample, self.hr, self.lr, self.div2krk].count(None) != 3:
            raise ValueError("must be one of {sample: NAME}, {hr: FOLDER}, {lr: FOLDER}, {div2krk: FOLDER}")
        return self

    def dataset(self, scale: int, base: Path) -> datasets.Dataset:
        """The items; relative paths start at `base`."""
        if self.sample is not None:
            return datasets.sample(self.sample)
        if self.hr is not None:
            return datasets.hr_folder(base / home_expanded(self.hr))
        if self.lr is not None:
            return datasets.lr_images([base / home_expanded(path) for path in self.lr])
        assert self.div2krk is not None
        return datasets.div2krk(base / home_expanded(self.div2krk), scale)


class MethodFields(_Fields):
    """The fields of a method."""

    type: Annotated[int, Field(ge=1, le=4)] | None = None
    kernel: Annotated[Component, PlainValidator(component_validator("kernel"))] = Field("bicubic", validate_default=True)
    sr: Annotated[Component, PlainValidator(component_validator("sr"))]
    published: str | None = None
    optional: bool = False

    @field_validator("published")
    @classmethod
    def _known(cls, key: str | None) -> str | None:
        if key is not None and key not in (keys := row_keys()):
            raise ValueError(f"no published row '{key}'{alternatives(key, keys)}")
        return key


def _method(value: Any, validate: Callable[[Any], MethodFields]) -> MethodFields | str:
    """A method; in place of an optional one whose files are missing, what is missing."""
    try:
        return validate(value)
    except ValidationError as error:
        details = error.errors(include_url=False)
        if all(detail["type"] == MISSING for detail in details) and value.get("optional") is True:
            return "; ".join(detail["msg"] for detail in details)
        raise


class PipelineFields(_Fields):
    """The fields of a pipeline's file.

    The validation context holds the ``registry``, the ``base`` where relative paths of parameters start, and the ``scale`` that
    all components must be able to do, or None if it is wrong itself.
    """

    name: str
    scale: int = Field(ge=2, le=4)
    seeds: Annotated[list[Annotated[int, Field(ge=0, lt=2**63)]], BeforeValidator(_listed)] = Field([0], min_length=1)
    data: DataFields | None = None
    degradation: Annotated[Degradation | None, PlainValidator(_degradation)] = Field(None, validate_default=True)
    data_seed: int = Field(0, ge=0, lt=2**63)
    methods: dict[str, Annotated[MethodFields, WrapValidator(_method)]] = Field(min_length=1)

    @field_validator("name")
    @classmethod
    def _part_of_file_names(cls, name: str) -> str:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
            raise ValueError(f"must begin with a letter or digit, and hold only these and '.', '_', '-', not {name!r}")
        return name

    @field_validator("methods")
    @classmethod
    def _printable(cls, methods: dict[str, MethodFields]) -> dict[str, MethodFields]:
        for name in methods:
            if not (name.strip() and name.isprintable()):
                raise ValueError(f"the name {name!r} is empty, or holds what cannot be printed")
        return methods

    @field_validator("seeds")
    @classmethod
    def _distinct(cls, seeds: list[int]) -> list[int]:
        if len(set(seeds)) < len(seeds):
            raise ValueError("holds a seed twice")
        return seeds
