"""Finds and loads pipelines; every problem in a file is reported at once, each with its place."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from pydantic import ValidationError

from blindsr.components.discovery import Kind
from blindsr.components.parameters import validation_message
from blindsr.components.registry import Registry
from blindsr.errors import BlindSRError, alternatives
from blindsr.imaging.files import explained
from blindsr.imaging.reader import SUFFIXES
from blindsr.pipeline.schema import DataFields, Method, MethodFields, Pipeline, PipelineFields
from blindsr.pipeline.yaml_source import Location, Settings, Source, parsed_settings


def bundled() -> dict[str, Path]:
    """The pipelines that come with blindsr, by name."""
    package = Path(__file__).parents[1]
    folder = package / "pipelines"
    if not folder.is_dir():  # a checkout, installed in place
        folder = package.parent / "pipelines"
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
    raise BlindSRError(f"{name}: no such file, nor a bundled pipeline{alternatives(path.stem, names)}")


def load(
    path: Path, registry: Registry, *, overrides: Mapping[str, Any] | None = None, settings: Settings = (),
    base: Path | None = None,
) -> Pipeline:  # fmt: skip
    """Read and check a pipeline; an error has a message for every problem: ``file:line:column: place: what is wrong``.

    `overrides` are top-level fields that replace the file's, `settings` values by their dotted paths. Relative paths start at
    `base` (by default the file's folder); in `settings` that are texts, and of `data` in `overrides`, at the working directory.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BlindSRError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or 'not UTF-8 text'}") from None
    source = Source(path, text)
    changed = parsed_settings(settings)
    for setting, value in changed.items():
        source.set(setting, value)
    overrides = overrides or {}
    for field, value in overrides.items():
        source.replace(field, value)
    base = path.parent if base is None else base
    data_of_caller = "data" in overrides or any(setting.split(".")[0] == "data" for setting in changed)
    scale = source.values.get("scale")
    context = {"registry": registry, "base": base, "scale": scale if scale in (2, 3, 4) else None}
    try:
        fields = PipelineFields.model_validate(source.values, context=context)
    except ValidationError as error:
        problems = [_problem(source, registry, detail) for detail in error.errors(include_url=False)]
        raise BlindSRError(*(line for line, _ in problems), excerpts=[excerpt for _, excerpt in problems]) from None
    methods = [(name, method) for name, method in fields.methods.items() if isinstance(method, MethodFields)]
    left_out = [f"method '{name}' is left out: {reason}" for name, reason in fields.methods.items() if isinstance(reason, str)]
    return Pipeline(
        fields.name, fields.scale, tuple(fields.seeds), fields.data, fields.degradation, fields.data_seed,
        tuple(Method(name, m.kernel, m.sr, m.type, m.published) for name, m in methods),
        path, text, base=Path() if data_of_caller else base, left_out=tuple(left_out),
    )  # fmt: skip


def _problem(source: Source, registry: Registry, detail: Mapping[str, Any]) -> tuple[str, str]:
    location: Location = tuple(part for part in detail["loc"] if part not in ("list[str]", "[key]"))
    unknown = detail["type"] == "extra_forbidden"
    word, fields = _fields_beside(location, registry) if unknown else ("", {})
    message = validation_message(detail, fields, word=word)
    return source.problem(location, message, of_key=unknown, beside=detail.get("ctx", {}).get("beside", ()))


def _fields_beside(location: Location, registry: Registry) -> tuple[str, Mapping[str, Any]]:
    """What a field at `location` is called, and which fields there are at its level."""
    match location:
        case ("methods", _, "kernel" | "sr" as kind, str(name), _, *_):
            return "parameter", registry.get(cast("Kind", kind), name).model_fields
        case ("degradation", str(name), _, *_):
            return "parameter", registry.get("degradation", name).model_fields
        case ("methods", _, _):
            return "field", MethodFields.model_fields
        case ("data", _):
            return "field", DataFields.model_fields
    return "field", PipelineFields.model_fields
