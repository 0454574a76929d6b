"""The settings of a training: fields that all have, and their YAML files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, PositiveFloat, PositiveInt, ValidationError

from blindsr.api import BlindSRError, InputFile, InputFolder
from blindsr.components.parameters import CallerText, validation_message
from blindsr.errors import alternatives
from blindsr.imaging.files import sha256
from blindsr.pipeline.yaml_source import Source
from blindsr_training.photographs import digest

CONFIGS = Path(__file__).parent / "configs"
EXPECTED = "expected a mapping of settings (scale, steps, batch, ...)"


class Settings(BaseModel):
    """What a training is, and how it is run. Relative paths in a file start at the file's folder."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    RUNNING: ClassVar = {"hr", "every", "threads", "workers", "device"}
    """Settings that may change when a training goes on. `steps` may, too: more of them make it longer."""

    hr: InputFolder = Field(description="Folder of HR images; every image in it and its subfolders serves.")
    start: InputFile | None = Field(None, description="A network to start from, a file of weights.")
    steps: PositiveInt = Field(300_000, description="Steps in all; the rate falls to zero at the last one.")
    batch: PositiveInt = Field(8, description="Patches in a step.")
    rate: PositiveFloat = Field(description="Peak learning rate.")
    warm_up: PositiveInt = Field(200, description="Steps in which the rate rises.")
    averaging: float = Field(
        0, ge=0, lt=1, description="Weight of each step in a moving average of the network, which is kept; 0: none."
    )
    seed: NonNegativeInt = Field(0, description="Of the first weights and of the data.")
    precision: Literal["bfloat16", "float32"] = Field("bfloat16", description="Arithmetic of the network: bfloat16 or float32.")
    every: PositiveInt = Field(500, description="Steps between two scores.")
    threads: PositiveInt | None = Field(None, description="Threads of torch on the CPU.")
    workers: NonNegativeInt = Field(0, description="Processes that prepare the data; 0: the training's own. Keeps a GPU busy.")
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="Where to train: auto (a GPU if there is one), cpu or cuda.")

    def identity(self, images: Sequence[Path]) -> dict[str, str | int | float | None]:
        """What decides the result; files and folders stand for their bytes, `images` for those of the HR images."""
        kept = {name: value for name, value in self if name not in self.RUNNING}
        return {"images": digest(images), **{name: _bytes(v) if isinstance(v, Path) else v for name, v in kept.items()}}


def _bytes(path: Path) -> str:
    return digest(sorted(path.glob("*.safetensors"))) if path.is_dir() else sha256(path)


AnySettings = TypeVar("AnySettings", bound=Settings)


def read_settings(model: type[AnySettings], config: str | None, given: Mapping[str, str]) -> AnySettings:
    """The settings in a file, or in a bundled one of that name, overridden by those given as texts.

    Raises
    ------
    BlindSRError
        With a line for each problem.
    """
    path, text = Path(), "{}"
    if config:
        path = _found(config)
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise BlindSRError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or 'not UTF-8 text'}") from None
    source = Source(path, text, expected=EXPECTED)
    values = source.values | {name: CallerText(value) for name, value in given.items()}
    try:
        return model.model_validate(values, context={"base": path.parent})
    except ValidationError as error:
        details = {str(detail["loc"][0]): detail for detail in reversed(error.errors(include_url=False))}  # the first of each field
    lines = []
    for name, detail in reversed(details.items()):
        message = validation_message(detail, model.model_fields, word="setting")
        if name in source.values and name not in given:
            message, _ = source.problem((name,), message, of_key=detail["type"] == "extra_forbidden")
        else:
            message = f"`{name}`: {message}"
        lines.append(message)
    raise BlindSRError(*lines)


def _found(config: str) -> Path:
    path = Path(config)
    bundled = {file.stem: file for file in CONFIGS.glob("*.yaml")}
    if path.is_file():
        return path
    name = config.removesuffix(".yaml")
    if name not in bundled:
        raise BlindSRError(f"{config}: no such file, nor bundled settings{alternatives(name, sorted(bundled))}")
    return bundled[name]
