"""A training's state on disk, and the loop that saves it, scores it and keeps its log."""

from __future__ import annotations

import functools
import json
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol

import click
import numpy as np
import torch
from safetensors.torch import save_file

from blindsr.api import BlindSRError, write_whole

STATE_FILE = "training.pt"
LOG_FILE = "log.jsonl"
SAVE_EVERY_SECONDS = 120


class Resumable(Protocol):
    """A training under way."""

    out: Path
    step: int
    seconds: float

    def save(self) -> None:
        """Write its state by `save_state`."""
        ...


def load_state(out: Path, settings: Mapping[str, Any]) -> dict[str, Any] | None:
    """The state in a training's folder, or None where there is none.

    Parameters
    ----------
    settings
        What the training is to be; all but ``steps`` must equal the settings in the state.

    Raises
    ------
    BlindSRError
        If the file is no such state, or one of other settings.
    """
    path = out / STATE_FILE
    if not path.is_file():
        return None
    try:
        state: dict[str, Any] = torch.load(path, weights_only=True, map_location="cpu")
        found = dict(state["settings"])
    except Exception as error:  # a damaged file makes torch raise nearly anything
        raise BlindSRError(f"{path}: is no training that could go on ({type(error).__name__}); remove it") from None
    changed = [name for name in settings if name != "steps" and found.get(name) != settings[name]]
    if changed or found.keys() != settings.keys():
        raise BlindSRError(f"{path}: is a training with other settings ({', '.join(changed)}); choose another folder")
    return state


def save_state(out: Path, settings: Mapping[str, Any], state: Mapping[str, Any]) -> None:
    """Write a state, whole or not at all."""
    write_whole(out / STATE_FILE, lambda part: torch.save({"settings": dict(settings), **state}, part))


def save_network(
    path: Path, network: torch.nn.Module, about: Mapping[str, Any], *, header: Mapping[str, str], extra: Mapping[str, torch.Tensor]
) -> None:
    """Write a network as safetensors in half precision, with `extra` tensors as they are, and `about` (JSON) in its header."""
    tensors = {name: value.detach().half().contiguous() for name, value in network.state_dict().items()} | dict(extra)
    write_whole(path, lambda part: save_file(tensors, part, {**header, "about": json.dumps(dict(about))}))


def follow(
    training: Resumable, losses: Iterable[float], *, steps: int, every: int, score: Callable[[], Mapping[str, float]]
) -> None:
    """Take a training to its end: save it every two minutes, and after every `every` steps save, score and log it.

    Parameters
    ----------
    losses
        What trains: an item for each step.
    score
        Numbers for the log, by name.
    """
    saved, recent = time.perf_counter(), []
    for loss in losses:
        recent.append(loss)
        if training.step % every == 0 or training.step == steps:
            line = {"step": training.step, "seconds": round(training.seconds), "loss": round(float(np.mean(recent)), 6)}
            line |= {name: round(value, 3) for name, value in score().items()}
            recent = []
            training.save()  # first, so that a training that goes on from it does not log this step again
            saved = time.perf_counter()
            with (training.out / LOG_FILE).open("a") as log:
                log.write(json.dumps(line) + "\n")
            click.echo(json.dumps(line))
        elif time.perf_counter() - saved > SAVE_EVERY_SECONDS:
            training.save()
            saved = time.perf_counter()


def training_command(run: Callable[..., None], *, batch: int, rate: float) -> Callable[..., None]:
    """`run` with the options that every training has, and one line for an error that a user can cause."""

    @functools.wraps(run)
    def command(**options: Any) -> None:
        try:
            run(**options)
        except BlindSRError as error:
            raise click.ClickException(str(error)) from error

    folder, file = (click.Path(path_type=Path, exists=True, file_okay=not only, dir_okay=only) for only in (True, False))
    for option in (
        click.option("--every", type=click.IntRange(1), default=500, show_default=True, help="Steps between two scores."),
        click.option("--threads", type=click.IntRange(1), help="Of torch on the CPU."),
        click.option("--start", type=file, help="A network to start from."),
        click.option("--rate", type=float, default=rate, show_default=True),
        click.option("--seed", type=click.IntRange(0), default=0, show_default=True),
        click.option("--batch", type=click.IntRange(1), default=batch, show_default=True),
        click.option("--steps", type=click.IntRange(1), default=300_000, show_default=True),
        click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder of the training: state, log, network."),
        click.option("--hr", type=folder, required=True, help="Folder of HR images."),
    ):
        command = option(command)
    return command
