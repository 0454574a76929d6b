"""Finds and loads pipelines; every problem in a file is reported at once, each with its place."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from pydantic import ValidationError

from blindsr.components.discovery import Kind
from blindsr.components.interfaces import Degradation
from blindsr.components.registry import Registry
from blindsr.components.validation import validation_message
from blindsr.errors import BlindSRError, suggestion
from blindsr.imaging.files import explained
from blindsr.imaging.reader import SUFFIXES
from blindsr.pipeline.schema import DataFields, LeftOut, Method, MethodFields, Pipeline, PipelineFields
from blindsr.pipeline.yaml_source import Location, Settings, Source, parsed_settings


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
                raise BlindSRError(f"{name}: is an image, not a pipeline; images are given as its data")
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
    settings: Settings = (),
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
        Values by their dotted paths into the file, or ``path=value`` strings whose values are YAML. Of the strings, file
        parameters of components start at the working directory.
    base
        The folder where relative paths in the file start; by default the file's own.

    Raises
    ------
    BlindSRError
        With every problem found, a message each: ``file:line:column: place: what is wrong``, and the line that it is about.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BlindSRError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or 'not UTF-8 text'}") from None
    source = Source(path, text)
    for setting, value in parsed_settings(settings).items():
        source.set(setting, value)
    for field, value in (overrides or {}).items():
        source.replace(field, value)
    start = path.parent if base is None else base
    return _checked(source, registry, start, data_base=Path() if "data" in (overrides or {}) else start)


def _checked(source: Source, registry: Registry, base: Path, *, data_base: Path) -> Pipeline:
    scale = source.values.get("scale")
    context = {"registry": registry, "base": base, "scale": scale if scale in (2, 3, 4) else None}
    try:
        fields = PipelineFields.model_validate(source.values, context=context)
    except ValidationError as error:
        problems = [_problem(source, registry, detail) for detail in error.errors(include_url=False)]
        raise BlindSRError(*(line for line, _ in problems), excerpts=[excerpt for _, excerpt in problems]) from None
    methods = {name: method for name, method in fields.methods.items() if not isinstance(method, LeftOut)}
    return Pipeline(
        name=fields.name,
        scale=fields.scale,
        seeds=tuple(fields.seeds),
        data=fields.data,
        degradation=cast("Degradation | None", fields.degradation),
        data_seed=fields.data_seed,
        methods=tuple(Method(name, m.kernel, m.sr, m.type, m.published) for name, m in methods.items()),
        path=source.path,
        text=source.text,
        base=data_base,
        left_out=tuple(f"method '{name}' is left out: {m.reason}" for name, m in fields.methods.items() if isinstance(m, LeftOut)),
    )


def _problem(source: Source, registry: Registry, detail: Mapping[str, Any]) -> tuple[str, str]:
    location: Location = tuple(part for part in detail["loc"] if part not in ("list[str]", "[key]"))
    unknown = detail["type"] == "extra_forbidden"
    word, names = _fields_beside(location, registry) if unknown else ("", [])
    message = validation_message(detail, names, word=word)
    return source.problem(location, message, of_key=unknown, beside=detail.get("ctx", {}).get("beside", ()))


def _fields_beside(location: Location, registry: Registry) -> tuple[str, list[str]]:
    """What a field at `location` is called, and which fields there are at its level."""
    match location:
        case ("methods", _, "kernel" | "sr" as kind, str(name), _, *_):
            return "parameter", list(registry.get(cast("Kind", kind), name).model_fields)
        case ("degradation", str(name), _, *_):
            return "parameter", list(registry.get("degradation", name).model_fields)
        case ("methods", _, _):
            return "field", list(MethodFields.model_fields)
        case ("data", _):
            return "field", list(DataFields.model_fields)
    return "field", list(PipelineFields.model_fields)
