"""The pipeline: its YAML schema and its loader, whose errors say file:line:column."""

from __future__ import annotations

import re
import reprlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, cast

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator, model_validator

from blindsr.components.discovery import Kind
from blindsr.components.interfaces import Component, Degradation
from blindsr.components.paths import MISSING, home_expanded
from blindsr.components.registry import TITLES, Registry
from blindsr.errors import BlindSRError, suggestion
from blindsr.imaging.files import explained
from blindsr.imaging.reader import SUFFIXES
from blindsr.pipeline import datasets
from blindsr.pipeline.published import row_keys
from blindsr.pipeline.yaml_source import Location, Source


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
    """A checked pipeline, its components made.

    `data` is None where the file leaves the data to the command line. `path` is the YAML file, `text` its content, `base` the
    folder where relative data paths start. `left_out` says which optional methods lack a file.
    """

    name: str
    scale: int
    seeds: tuple[int, ...]
    data: DataSpec | None
    degradation: Degradation | None
    data_seed: int
    methods: tuple[Method, ...]
    path: Path
    text: str
    base: Path = Path()
    left_out: tuple[str, ...] = ()

    def dataset(self) -> datasets.Dataset:
        """The items of its data.

        Raises
        ------
        BlindSRError
            If they cannot be found, or nothing was said of them.
        """
        if self.data is None:
            raise BlindSRError(f"{self.path}: names no data; add --lr PHOTO, --hr FOLDER or --data DIV2KRK_FOLDER")
        return self.data.dataset(self.scale, self.base)

    def resolved(self) -> dict[str, Any]:
        """All settings, defaults included, as plain JSON values."""

        def spec(component: Component) -> dict[str, Any]:
            return {component.full_name: component.model_dump(mode="json")}

        return {
            "name": self.name,
            "scale": self.scale,
            "seeds": list(self.seeds),
            "data": self.data.model_dump(mode="json", exclude_none=True) if self.data else None,
            "degradation": spec(self.degradation) if self.degradation else None,
            "data_seed": self.data_seed,
            "methods": {
                m.name: {"type": m.type, "kernel": spec(m.kernel), "sr": spec(m.sr), "published": m.published} for m in self.methods
            },
        }


def _listed(value: Any) -> Any:
    return value if isinstance(value, list) or value is None else [value]


class _Schema(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")


class DataSpec(_Schema):
    """Where the images come from: exactly one of the four."""

    sample: Annotated[list[str], BeforeValidator(_listed), Field(min_length=1)] | None = None
    hr: str | None = None
    lr: Annotated[list[str], BeforeValidator(_listed), Field(min_length=1)] | None = None
    div2krk: str | None = None

    @model_validator(mode="after")
    def _one(self) -> DataSpec:
        if sum(value is not None for value in (self.sample, self.hr, self.lr, self.div2krk)) != 1:
            raise ValueError("must be one of {sample: NAME}, {hr: FOLDER}, {lr: FOLDER}, {div2krk: FOLDER}")
        return self

    @property
    def has_hr_only(self) -> bool:
        """Whether LR images must be made of HR images."""
        return self.sample is not None or self.hr is not None

    def dataset(self, scale: int, base: Path) -> datasets.Dataset:
        """The items; relative paths start at `base`."""

        def path(text: str) -> Path:
            return base / home_expanded(text)

        if self.sample is not None:
            return datasets.sample(self.sample)
        if self.hr is not None:
            return datasets.hr_folder(path(self.hr))
        if self.lr is not None:
            return datasets.lr_images([path(text) for text in self.lr])
        assert self.div2krk is not None
        return datasets.div2krk(path(self.div2krk), scale)


class _MethodSpec(_Schema):
    type: Annotated[int, Field(ge=1, le=4)] | None = None
    kernel: Any = "bicubic"
    sr: Any
    published: str | None = None
    optional: bool = False

    @field_validator("published")
    @classmethod
    def _known(cls, key: str | None) -> str | None:
        if key is not None and key not in (keys := row_keys()):
            raise ValueError(f"no published row '{key}'{suggestion(key, keys) or '; there are ' + ', '.join(keys)}")
        return key


class _PipelineSpec(_Schema):
    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    scale: int = Field(ge=2, le=4)
    seeds: Annotated[list[Annotated[int, Field(ge=0, lt=2**63)]], BeforeValidator(_listed)] = Field([0], min_length=1)
    data: DataSpec | None = None
    degradation: Any = None
    data_seed: int = Field(0, ge=0, lt=2**63)
    methods: dict[str, _MethodSpec] = Field(min_length=1)

    @field_validator("methods")
    @classmethod
    def _printable(cls, methods: dict[str, _MethodSpec]) -> dict[str, _MethodSpec]:
        for name in methods:
            if not name.isprintable():
                raise ValueError(f"the name {name!r} holds what cannot be printed")
        return methods

    @field_validator("seeds")
    @classmethod
    def _distinct(cls, seeds: list[int]) -> list[int]:
        if len(set(seeds)) < len(seeds):
            raise ValueError("holds a seed twice")
        return seeds


def bundled() -> dict[str, Path]:
    """The pipelines that come with blindsr, by name."""
    here = Path(__file__).parents[1]
    folder = here / "pipelines"
    if not folder.is_dir():  # a checkout, installed in place
        folder = here.parent / "pipelines"
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def find(name: str) -> Path:
    """The pipeline file that `name` means: a path, or the name of a bundled pipeline."""
    path = Path(name)
    with explained(path):
        if path.is_file():
            if path.suffix.lower() in SUFFIXES:
                raise BlindSRError(f"{name}: is an image; the pipeline comes first, then --lr with the images")
            return path
    names = bundled()
    if name in names:
        return names[name]
    if path.is_dir():
        raise BlindSRError(f"{name}: is a folder, not a pipeline")
    raise BlindSRError(
        f"{name}: no such file, nor a bundled pipeline{suggestion(path.stem, names) or '; there are ' + ', '.join(names)}"
    )


def load(
    path: Path,
    registry: Registry,
    *,
    overrides: Mapping[str, Any] | None = None,
    settings: Sequence[str] = (),
    base: Path | None = None,
) -> Pipeline:
    """Read and check a pipeline.

    Parameters
    ----------
    path
        The YAML file (YAML 1.2; tags that make objects are refused).
    registry
        Where its components are looked up.
    overrides
        Top-level fields that replace the file's (`data` paths in them start at the working directory).
    settings
        ``path=value`` strings: a dotted path into the file, and YAML for the value.
    base
        The folder where relative paths in the file start; by default the file's own.

    Raises
    ------
    BlindSRError
        With every problem found, a line each: ``file:line:column: place: what is wrong``.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BlindSRError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or 'not UTF-8 text'}") from None
    source = Source(path, text)
    values = source.values()
    for setting in settings:
        source.set(values, setting)
    for field, value in (overrides or {}).items():
        source.labels[field,] = f"--{field}"
        values[field] = value
    start = path.parent if base is None else base
    pipeline = _Checker(source, registry, start).pipeline(values)
    return replace(pipeline, base=Path() if "data" in (overrides or {}) else start)


def parse(values: dict[str, Any], registry: Registry, *, settings: Sequence[str] = ()) -> Pipeline:
    """A pipeline out of plain values instead of a file; its paths start at the working directory. Raises as `load` does."""
    import json

    source = Source(Path("<settings>"), json.dumps(values))
    loaded = source.values()
    for setting in settings:
        source.set(loaded, setting)
    try:
        return _Checker(source, registry, Path()).pipeline(loaded)
    except BlindSRError as error:  # there is no file whose lines could be named
        raise BlindSRError(re.sub(rf"^{source.path}:\d+:\d+: ", "", str(error), flags=re.MULTILINE)) from None


class _Checker:
    """Collects every problem before it gives up."""

    def __init__(self, source: Source, registry: Registry, base: Path) -> None:
        self.source = source
        self.base = base
        self.registry = registry
        self.problems: list[str] = []
        self.left_out: list[str] = []
        self.missing: dict[str, str] = {}  # problems that are nothing but a missing file; and that, in short
        self.scale: Any = None

    def pipeline(self, values: dict[str, Any]) -> Pipeline:
        try:
            spec = _PipelineSpec.model_validate(values)
        except ValidationError as error:
            self._note(error, (), _PipelineSpec)
            spec = None
        self.scale = values.get("scale")
        methods = self._methods(values.get("methods"))
        degradation = (
            self._component("degradation", values.get("degradation"), ("degradation",)) if values.get("degradation") else None
        )
        self.problems += self.missing
        if spec and spec.data and spec.data.has_hr_only and not values.get("degradation"):
            self.problems.append(
                f"{self.source.place(('data',))}: degradation: is required where the data are HR images, e.g. random_kernel"
            )
        if self.problems:
            raise BlindSRError(*self.problems)
        assert spec is not None
        return Pipeline(
            name=spec.name,
            scale=spec.scale,
            seeds=tuple(spec.seeds),
            data=spec.data,
            degradation=cast("Degradation | None", degradation),
            data_seed=spec.data_seed,
            methods=tuple(methods),
            path=self.source.path,
            text=self.source.text,
            left_out=tuple(self.left_out),
        )

    def _methods(self, values: Any) -> Iterable[Method]:
        methods = []
        for name, value in values.items() if isinstance(values, dict) else ():
            if not isinstance(value, dict):
                continue
            problems = len(self.problems)
            kernel = self._component("kernel", value.get("kernel", "bicubic"), ("methods", name, "kernel"))
            sr = self._component("sr", value["sr"], ("methods", name, "sr")) if "sr" in value else None
            missing, self.missing = self.missing, {}
            if missing and value.get("optional") is True and len(self.problems) == problems:
                self.left_out.append(f"method '{name}' is left out: {'; '.join(missing.values())}")
            else:
                self.problems += missing
            if kernel and sr:
                methods.append(Method(str(name), kernel, sr, value.get("type"), value.get("published")))
        return methods

    def _component(self, kind: Kind, value: Any, location: Location) -> Component | None:
        if isinstance(value, dict) and len(value) == 1:
            ((name, parameters),) = value.items()
            inner: Location = (*location, name)
        else:
            name, parameters, inner = value, {}, location
        if not isinstance(name, str) or not isinstance(parameters, dict | None):
            self._add(location, "must be a name, or {name: {parameter: value}}")
            return None
        try:
            component = self.registry.get(kind, name)
            made = self.registry.validated(kind, name, parameters or {}, self._context(inner))
        except BlindSRError as error:
            self._add(location, str(error))
            return None
        except ValidationError as error:
            if all(detail["type"] == MISSING for detail in error.errors()):
                self._note_missing(error, inner)
            else:
                self._note(error, inner, component)
            return None
        if self.scale in (2, 3, 4) and self.scale not in component.scales:
            able = " and ".join(f"x{scale}" for scale in component.scales)
            self._add(location, f"{TITLES[kind]} '{name}' can do {able}, not x{self.scale}")
        return made

    def _context(self, inside: Location) -> dict[str, Any]:
        """Where a component's paths start: at the file's folder, or here if they come from the command line."""
        labels = self.source.labels
        if any(inside[:end] in labels for end in range(1, len(inside) + 1)):
            return {"base": "."}
        from_here = {location[-1] for location in labels if location[:-1] == inside}
        return {"base": self.base, "from_here": from_here}

    def _note_missing(self, error: ValidationError, inside: Location) -> None:
        for detail in error.errors():
            location = (*inside, *detail["loc"])
            self.missing[f"{self.source.place(location)}: {'.'.join(map(str, location))}: {detail['msg']}"] = detail["msg"]

    def _note(self, error: ValidationError, inside: Location, model: type[BaseModel]) -> None:
        for detail in error.errors():
            location = (*inside, *(part for part in detail["loc"] if part not in ("list[str]", "[key]")))
            unknown = detail["type"] == "extra_forbidden"
            if unknown:
                word = "parameter" if issubclass(model, Component) else "field"
                names = _fields_at(model, detail["loc"][:-1])
                message = (
                    f"unknown {word}{suggestion(str(location[-1]), names) or ('; there are ' + ', '.join(names) if names else '')}"
                )
            elif detail["type"] == "missing":
                message = "is required"
            elif detail["type"] in ("model_type", "dict_type"):
                message = f"must be a mapping of fields, not {_short(detail['input'])}"
            else:
                message = detail["msg"].removeprefix("Value error, ").removeprefix("Input ")
                if detail["type"] != "value_error":
                    message += f", not {_short(detail['input'])}"
            self._add(location, message, of_key=unknown)

    def _add(self, location: Location, message: str, *, of_key: bool = False) -> None:
        self.problems.append(f"{self.source.place(location, of_key=of_key)}: {'.'.join(map(str, location))}: {message}")


def _fields_at(model: type[BaseModel], location: Location) -> list[str]:
    """The fields of the (nested) model that an error's location lies in."""
    if location and location[0] == "methods":
        model = _MethodSpec
    elif location and location[0] == "data":
        return ["sample", "hr", "lr", "div2krk"]
    return list(model.model_fields)


def _short(value: Any) -> str:
    text = reprlib.repr(value)  # which stays short itself: a value may refer to another many times over
    return text if len(text) <= 60 else text[:57] + "..."
