"""The loop that trains all networks: data, schedule, moving average, scores, log, and a state from which it goes on."""

from __future__ import annotations

import copy
import json
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Generic, NamedTuple, TypeVar

import click
import numpy as np
import torch
from torch import nn
from torch.utils.data import Dataset

from blindsr.api import BlindSRError
from blindsr_training.files import damaged, load_state, locked, save_state, write_bytes
from blindsr_training.loading import loaded
from blindsr_training.optimizer import Optimizer, rate_factor
from blindsr_training.photographs import split
from blindsr_training.settings import AnySettings, Settings

LOG_FILE = "log.jsonl"
SAVE_EVERY_SECONDS = 120

Batch = TypeVar("Batch", bound=NamedTuple)


class Training(ABC, Generic[AnySettings, Batch]):
    """What a network brings to its training: itself, its optimiser, its data, loss, scores and file.

    Parameters
    ----------
    settings
        Of the class `Settings` that the training names.
    trained_on, held_out
        HR images.
    constants
        Those of the training that goes on; empty for a new one.
    """

    Settings: ClassVar[type[Settings]]
    network: nn.Module
    optimizer: Optimizer
    constants: Mapping[str, torch.Tensor] = {}
    """What is computed once, in the beginning, and must not change when the training goes on."""
    max_gradient: ClassVar[float | None] = 1.0
    """Norm to which the gradient is clipped."""
    compiled: ClassVar[bool] = True
    """Whether `torch.compile` pays on a GPU."""

    def __init__(
        self, settings: AnySettings, trained_on: Sequence[Path], held_out: Sequence[Path], constants: Mapping[str, torch.Tensor]
    ) -> None:
        self.settings = settings
        self.device = device_of(settings)

    @abstractmethod
    def batch(self, rng: np.random.Generator) -> Batch:
        """The data of a step, on the CPU; `rng` decides all of it."""

    @abstractmethod
    def loss(self, network: Callable[..., Any], batch: Batch) -> torch.Tensor:
        """The loss of a batch on the device; `network` is the training's, perhaps compiled."""

    @abstractmethod
    def scores(self, network: nn.Module) -> dict[str, float]:
        """Numbers for the log, of images that are not trained on."""

    @abstractmethod
    def save(self, out: Path, network: nn.Module, about: Mapping[str, Any]) -> None:
        """Write the network to its file in the folder `out`."""

    def autocast(self) -> torch.autocast:
        """The arithmetic that the settings name."""
        return torch.autocast(self.device, torch.bfloat16, enabled=self.settings.precision == "bfloat16")


AnyTraining = Training[Any, Any]


def device_of(settings: Settings) -> str:
    """The device on which to train.

    Raises
    ------
    BlindSRError
        If there is no GPU, and the settings name one.
    """
    if settings.device == "cuda" and not torch.cuda.is_available():
        raise BlindSRError("`device` cuda: torch finds no GPU; choose cpu or auto")
    return ("cuda" if torch.cuda.is_available() else "cpu") if settings.device == "auto" else settings.device


class _Data(Dataset[Any]):
    """The batch of each step, for `DataLoader`."""

    def __init__(self, training: AnyTraining) -> None:
        self.training = training

    def __getitem__(self, step: int) -> Any:
        return self.training.batch(np.random.default_rng((self.training.settings.seed, step)))


class Trainer:
    """A training under way.

    Parameters
    ----------
    out
        Folder for the state and the log.
    identity
        The settings that decide the result.
    state
        The state to go on from, as `load_state` found it.

    Raises
    ------
    BlindSRError
        If the state does not fit the network.
    """

    def __init__(
        self, training: AnyTraining, out: Path, identity: Mapping[str, Any], state: Mapping[str, Any] | None = None
    ) -> None:
        self.training = training
        self.out = out
        self.identity = identity
        self.step = 0
        self.seconds = 0.0
        self.log: list[dict[str, float]] = []
        self.recent: list[torch.Tensor] = []  # losses since the last line of the log
        averaging = training.settings.averaging
        self.average = copy.deepcopy(training.network).requires_grad_(False) if averaging else training.network
        if state:
            try:
                training.network.load_state_dict(state["network"])
                self.average.load_state_dict(state["average"] or state["network"])
                training.optimizer.restore(state["optimizer"])
                self.step, self.seconds, self.log = state["step"], state["seconds"], state["log"]
                self.recent = list(state["recent"].to(training.device))
            except (KeyError, ValueError, TypeError, AttributeError, RuntimeError) as error:
                raise damaged(out, type(error).__name__) from None
            self._write_log()

    def save(self) -> None:
        """Write the state, whole or not at all."""
        training = self.training
        state = {
            "network": training.network.state_dict(),
            "average": None if self.average is training.network else self.average.state_dict(),
            "optimizer": training.optimizer.state(), "constants": dict(training.constants),
            "step": self.step, "seconds": self.seconds, "log": self.log,
            "recent": torch.stack(self.recent).cpu() if self.recent else torch.empty(0),
        }  # fmt: skip
        save_state(self.out, self.identity, state)

    def losses(self) -> Iterator[torch.Tensor]:
        """Train to the last step, and give the loss of each."""
        training, settings = self.training, self.training.settings
        on_gpu = training.device == "cuda"
        network = torch.compile(training.network) if on_gpu and training.compiled else training.network
        start = time.perf_counter()
        steps = range(self.step, settings.steps)
        for batch in loaded(_Data(training), steps, workers=settings.workers, out=self.out, pinned=on_gpu):
            here = (x.to(training.device, non_blocking=True) if isinstance(x, torch.Tensor) else x for x in batch)
            loss = training.loss(network, type(batch)(*here))
            loss.backward()  # type: ignore[no-untyped-call]
            if training.max_gradient:
                nn.utils.clip_grad_norm_(training.network.parameters(), training.max_gradient)
            training.optimizer.step(rate_factor(self.step, settings.steps, settings.warm_up))
            if settings.averaging:
                with torch.no_grad():
                    for average, weight in zip(self.average.parameters(), training.network.parameters(), strict=True):
                        average.lerp_(weight, max(settings.averaging, 1 / (self.step + 1)))
            self.step += 1
            self.recent.append(loss.detach())
            self.seconds += time.perf_counter() - start
            yield loss.detach()
            start = time.perf_counter()

    def run(self) -> None:
        """Train to the end: save the state every two minutes, and every so many steps score, save and log."""
        settings, saved = self.training.settings, time.perf_counter()
        for _ in self.losses():
            scored = self.step % settings.every == 0 or self.step == settings.steps
            if not scored and time.perf_counter() - saved < SAVE_EVERY_SECONDS:
                continue
            losses = torch.stack(self.recent).tolist()
            if not np.isfinite(losses).all():
                raise BlindSRError(f"{self.out}: the loss is not finite at step {self.step}; start again with a lower `rate`")
            if scored:
                scores = {name: round(value, 3) for name, value in self.training.scores(self.average).items()}
                loss = round(float(np.mean(losses)), 6)
                self.log.append({"step": self.step, "seconds": round(self.seconds), "loss": loss} | scores)
                self.recent = []
            self.save()
            saved = time.perf_counter()
            if scored:
                self._write_log()
                click.echo(json.dumps(self.log[-1]))

    def _write_log(self) -> None:
        write_bytes(self.out / LOG_FILE, "".join(f"{json.dumps(line)}\n" for line in self.log).encode())


def train(kind: type[AnyTraining], settings: Settings, out: Path) -> None:
    """Begin a training in the folder `out`, or go on with it, to its end; the network lands there as well.

    Raises
    ------
    BlindSRError
        For whatever the user can put right: images, state, disk.
    """
    if settings.threads:
        torch.set_num_threads(settings.threads)
    trained_on, held_out = split(settings.hr)
    identity = settings.identity(trained_on)
    with locked(out):
        state = load_state(out, identity)
        training = kind(settings, trained_on, held_out, state["constants"] if state else {})
        trainer = Trainer(training, out, identity, state)
        trainer.run()
        about = {"trained_on": f"{len(trained_on)} images of {settings.hr.name}", "seconds": round(trainer.seconds)}
        training.save(out, trainer.average, {**about, "device": training.device, **identity, "steps": trainer.step})
