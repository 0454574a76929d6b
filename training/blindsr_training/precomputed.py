"""Samples that take about a second each to make, while a training needs thousands of them, many times.

They are made first, and kept in a folder, in files of `PART`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

import click
import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch.utils.data import Dataset

from blindsr.api import BlindSRError
from blindsr_training.files import locked, write_bytes
from blindsr_training.loading import loaded
from blindsr_training.photographs import digest, split

PART = 100
"""Samples in a file."""
HELD_OUT_PARTS = 2

Samples = TypeVar("Samples", bound=NamedTuple)
Origin = dict[str, str]


@dataclass(frozen=True)
class Recipe(Generic[Samples]):
    """How samples are made.

    Attributes
    ----------
    name
        What they are called: the beginning of their files' names, and the command that makes them.
    fields
        A named tuple of tensors; with one more dimension in front it holds many samples.
    make
        Makes one sample from photographs.
    of
        What decides them, beside the photographs and the seed.
    """

    name: str
    fields: Callable[..., Samples]
    make: Callable[[Sequence[Path], np.random.Generator], Samples]
    of: Origin


class _Part(NamedTuple):
    """A file of so many samples, and what its random numbers begin with."""

    path: Path
    files: Sequence[Path]
    key: tuple[int, ...]
    size: int


def precompute(recipe: Recipe[Any], hr: Path, out: Path, *, count: int, seed: int, workers: int = 0) -> None:
    """Write samples of the photographs in `hr` to the folder `out`; the files that are there are kept.

    They are the same with any number of workers, which are processes of one thread each; with 0 this one makes them.

    Raises
    ------
    BlindSRError
        If there are too few photographs, or files of other samples in the folder, or it cannot be written to.
    """
    trained_on, held_out = split(hr)
    of = {**recipe.of, "seed": str(seed), "hr": digest(trained_on)}
    parts = [_Part(out / f"held_out_{n:03}.safetensors", held_out, (seed, 1, n), PART) for n in range(HELD_OUT_PARTS)]
    parts += [_Part(out / f"{recipe.name}_{n:03}.safetensors", trained_on, (seed, 0, n), PART) for n in range(-(-count // PART))]
    with locked(out), click.progressbar(length=len(parts), label=f"Hundreds of {recipe.name}", show_pos=True) as shown:
        missing = []
        for part in parts:
            if part.path.is_file():
                _read(part.path, recipe.name, recipe.fields, of)
                shown.update(1)
            else:
                missing.append(part)
        for error in loaded(_Writing(missing, recipe, of), range(len(missing)), workers=workers, out=out):
            if error:
                raise error
            shown.update(1)


class _Writing(Dataset[BlindSRError | None]):
    """Writes each part, for `DataLoader`, and returns its error: one raised in a worker gets a traceback into its text."""

    def __init__(self, parts: Sequence[_Part], recipe: Recipe[Any], of: Origin) -> None:
        self._parts, self._recipe, self._of = parts, recipe, of

    def __getitem__(self, number: int) -> BlindSRError | None:
        try:
            self._write(self._parts[number])
        except BlindSRError as error:
            return error
        return None

    def _write(self, part: _Part) -> None:
        made = [self._recipe.make(part.files, np.random.default_rng((*part.key, n))) for n in range(part.size)]
        tensors = {field: torch.stack([getattr(each, field) for each in made]) for field in made[0]._fields}
        write_bytes(part.path, save(tensors, {_header(self._recipe.name): json.dumps(self._of)}))  # one entry: no order is chance


def read_samples(folder: Path, name: str, fields: Callable[..., Samples], scale: int, *, held_out: bool) -> tuple[Samples, Origin]:
    """All samples of a folder, and of what they are; a `BlindSRError` if there are none for the scale, or a file is damaged."""
    files = sorted(folder.glob("held_out_*.safetensors" if held_out else f"{name}_*.safetensors"))
    if not files:
        raise BlindSRError(f"{folder}: holds no {name}; make them: python -m blindsr_training {name} --hr PHOTOS --out {folder}")
    _, of = _read(files[0], name, fields, None)
    if of["scale"] != str(scale):
        raise BlindSRError(f"{folder}: its {name} are for x{of['scale']}; set `scale` to {of['scale']}, or name others")
    parts = [_read(file, name, fields, of)[0] for file in files]
    return fields(*(torch.cat(tensors).float() for tensors in zip(*parts, strict=True))), of


def _read(path: Path, name: str, fields: Callable[..., Samples], of: Origin | None) -> tuple[Samples, Origin]:
    """The samples in a file, which must be `of` that."""
    try:
        data = path.read_bytes()
        tensors = load(data)
        ((header, described),) = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])["__metadata__"].items()
        if header != _header(name) and (other := re.fullmatch(_header(r"(\w+)"), header)):
            raise BlindSRError(f"{path}: holds {other[1]}, not {name}; choose another folder")
        found: Origin = json.loads(described)
        samples = fields(**tensors)
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise BlindSRError(f"{path}: holds no {name} ({type(error).__name__}); remove it, and make them again") from None
    if of is not None and found != of:
        changed = ", ".join(entry for entry in of if found.get(entry) != of[entry])
        raise BlindSRError(f"{path}: was made with other settings or networks ({changed}); choose another folder")
    return samples, found


def _header(name: str) -> str:
    return f"blindsr-{name}-1"
