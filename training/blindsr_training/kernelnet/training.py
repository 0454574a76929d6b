"""The training: ``python -m blindsr_training.kernelnet --hr FOLDER --out FOLDER``. Seeded; resumes where it was stopped."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from blindsr_kernelnet.files import Trained, load, save
from blindsr_kernelnet.network import KernelNet
from numpy.typing import NDArray
from torch import nn

from blindsr_training.kernelnet.calibrate import calibrated
from blindsr_training.kernelnet.crops import (
    HELD_OUT_CROPS,
    HELD_OUT_SIDE_PX,
    SCALES,
    SIDES_PX,
    Crops,
    gray_photographs,
    random_crops,
)  # fmt: skip
from blindsr_training.photographs import digest, split
from blindsr_training.resumable import follow, load_state, save_state, training_command

WIENER_WEIGHT, ERROR_WEIGHT = 0.8, 0.1
MAX_WIENER_LOSS = 3.0
WIENER_NOISE = 2 / 255
IMAGE_VARIANCE = 0.03
RATE = 1e-3
WARM_UP_STEPS = 300
AVERAGING = 0.002
"""Weight of a step's network in the exponential moving average, which is what is scored and shipped."""


def relative_errors(kernels: torch.Tensor, true: torch.Tensor) -> torch.Tensor:
    """Relative L2 errors (N,) of kernels (N, side, side)."""
    return (kernels - true).square().sum((1, 2)).sqrt() / true.square().sum((1, 2)).sqrt()


def wiener_costs(kernels: torch.Tensor, true: torch.Tensor, scale: int) -> torch.Tensor:
    """What an error of the kernels costs: log of the restoration error with them over that with the true ones (N,).

    Of a Wiener filter made for the estimate, on an image of a 1/f^2 spectrum that was blurred by the truth. Too wide a kernel costs
    several times as much as one that is as much too narrow, as in super-resolution.
    """
    grid = 64 if scale == 2 else 96
    squared = torch.fft.fftfreq(grid)[:, None].square() + torch.fft.rfftfreq(grid)[None].square()
    squared[0, 0] = 1 / grid**2
    spectrum = 1 / squared
    spectrum = (spectrum / spectrum.sum() * IMAGE_VARIANCE * grid**2).to(kernels.device)
    estimated, blur = (torch.fft.rfft2(array, s=(grid, grid)) for array in (kernels, true))

    def restoration_error(transfer: torch.Tensor) -> torch.Tensor:
        restored = transfer.conj() / (transfer.abs().square() + WIENER_NOISE**2 / spectrum)
        error: torch.Tensor = spectrum * (1 - restored * blur).abs().square() + WIENER_NOISE**2 * restored.abs().square()
        return error.sum((1, 2))

    return torch.log(restoration_error(estimated) / restoration_error(blur))


@dataclass(frozen=True)
class KernelNetSettings:
    """What a training is, as of `blindsr_training.srmd.Settings`."""

    images: str
    steps: int
    batch: int
    seed: int
    rate: float
    start: str


class KernelNetTraining:
    """A training under way: network, its moving average, optimiser, step."""

    def __init__(self, settings: KernelNetSettings, out: Path, device: str, start: Path | None = None) -> None:
        self.settings = settings
        self.out = out
        self.device = device
        torch.manual_seed(settings.seed)
        state = load_state(out, asdict(settings))
        self.network = KernelNet()
        if start and not state:
            self.network.load_state_dict(load(start).network.state_dict())
        self.network.to(device)
        self.average = KernelNet().to(device)
        self.average.load_state_dict(self.network.state_dict())
        self.optimizer = torch.optim.AdamW(self.network.parameters(), lr=settings.rate, weight_decay=1e-4, betas=(0.9, 0.99))
        self.step = 0
        self.seconds = 0.0
        if state:
            self.network.load_state_dict(state["network"])
            self.average.load_state_dict(state["average"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.step, self.seconds = state["step"], state["seconds"]

    def save(self) -> None:
        """Write the state, whole or not at all."""
        state: dict[str, Any] = {name: getattr(self, name).state_dict() for name in ("network", "average", "optimizer")}
        save_state(self.out, asdict(self.settings), state | {"step": self.step, "seconds": self.seconds})

    def run(self, photographs: Sequence[NDArray[np.uint8]]) -> Iterator[float]:
        """Train to the end, and give the loss of each step."""
        settings = self.settings
        while self.step < settings.steps:
            start = time.perf_counter()
            rng = np.random.default_rng((settings.seed, self.step))
            scale = int(rng.choice(SCALES))
            crops = random_crops(photographs, scale, settings.batch, int(rng.choice(SIDES_PX[scale])), rng)
            true = crops.kernels.to(self.device)
            with torch.autocast(self.device, torch.bfloat16):
                found = self.network(crops.lr.to(self.device), scale)
            errors = relative_errors(found.kernels, true)
            cost = wiener_costs(found.kernels, true, scale).clamp_max(MAX_WIENER_LOSS).mean()
            calibration = (found.log_error - errors.detach().log()).abs().mean()
            loss = errors.mean() + WIENER_WEIGHT * cost + ERROR_WEIGHT * calibration
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
            fraction = min(1.0, (self.step + 1) / WARM_UP_STEPS) * (1 - self.step / settings.steps)
            self.optimizer.param_groups[0]["lr"] = settings.rate * fraction
            self.optimizer.step()
            with torch.no_grad():
                for average, weight in zip(self.average.parameters(), self.network.parameters(), strict=True):
                    average.lerp_(weight, max(AVERAGING, 1 / (self.step + 1)))
            self.step += 1
            self.seconds += time.perf_counter() - start
            yield loss.item()


def scores(network: KernelNet, held_out: Mapping[int, Crops], device: str) -> dict[str, float]:
    """For each scale, on crops that are not trained on: mean relative error of plain ones and of all, mean Wiener cost, and the
    rank correlation of the expected and the real error."""
    found: dict[str, float] = {}
    for scale, crops in held_out.items():
        with torch.inference_mode():
            kernels, log_error, _ = network(crops.lr.to(device), scale)
        errors = relative_errors(kernels.cpu(), crops.kernels)
        ranks = torch.stack([values.argsort().argsort().float() for values in (errors, log_error.cpu())])
        found |= {
            f"x{scale}_plain": float(errors[crops.plain].mean()), f"x{scale}_all": float(errors.mean()),
            f"x{scale}_cost": float(wiener_costs(kernels.cpu(), crops.kernels, scale).mean()),
            f"x{scale}_confidence": float(torch.corrcoef(ranks)[0, 1]),
        }  # fmt: skip
    return found


def train(*, hr: Path, out: Path, steps: int, start: Path | None, threads: int | None, every: int, **options: Any) -> None:
    """Train to the end, logging and saving; the network lands in ``OUT/kernelnet.safetensors``."""
    if threads:
        torch.set_num_threads(threads)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    trained_on, _ = split(hr)
    settings = KernelNetSettings(digest(trained_on), steps, start=digest([start]) if start else "", **options)
    photographs, held_out_images = gray_photographs(hr)
    held_out = {
        scale: random_crops(held_out_images, scale, HELD_OUT_CROPS, side, np.random.default_rng(5))
        for scale, side in HELD_OUT_SIDE_PX.items()
    }
    training = KernelNetTraining(settings, out, device, start)
    losses = training.run(photographs)
    follow(training, losses, steps=steps, every=every, score=lambda: scores(training.average, held_out, device))
    about = {"images": len(trained_on), "steps": training.step, "seconds": round(training.seconds), "device": device}
    trained = Trained(training.average, calibrated(training.average, photographs, held_out_images))
    save(out / "kernelnet.safetensors", trained, about | options)


@click.command()
@partial(training_command, batch=32, rate=RATE)
def main(**options: Any) -> None:
    """Train the network for all scales; run it again to go on after a stop."""
    train(**options)
