"""kernelnet: ``python -m blindsr_training kernelnet --config kernelnet.yaml --hr FOLDER --out FOLDER``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from blindsr_kernelnet.files import load
from blindsr_kernelnet.network import KernelNet
from pydantic import Field, PositiveFloat, PositiveInt
from torch import nn

from blindsr_training.harness import Training
from blindsr_training.kernelnet.calibrate import calibrated, save_calibrated
from blindsr_training.kernelnet.crops import (
    HELD_OUT_CROPS,
    HELD_OUT_SIDE_PX,
    SCALES,
    SIDES_PX,
    Crops,
    gray_photographs,
    holding,
    random_crops,
)  # fmt: skip
from blindsr_training.optimizer import adamw
from blindsr_training.settings import Settings

WIENER_WEIGHT, ERROR_WEIGHT = 0.8, 0.1
MAX_WIENER_LOSS = 3.0
WIENER_NOISE = 2 / 255
IMAGE_VARIANCE = 0.03


class KernelNetSettings(Settings):
    """What a training of kernelnet is."""

    batch: PositiveInt = Field(32, description="Crops in a step.")
    rate: PositiveFloat = Field(1e-3, description="AdamW's peak learning rate.")
    warm_up: PositiveInt = Field(300, description="Steps in which the rate rises.")
    averaging: float = Field(
        0.002, ge=0, lt=1, description="Weight of each step in a moving average of the network, which is kept."
    )


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


def scores(network: nn.Module, held_out: Mapping[int, Crops], device: str) -> dict[str, float]:
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


class KernelNetTraining(Training[KernelNetSettings, Crops]):
    """Train the network for all scales, and calibrate the errors that it expects."""

    Settings = KernelNetSettings
    compiled = False  # the sides of the crops change from step to step

    def __init__(
        self,
        settings: KernelNetSettings,
        trained_on: Sequence[Path],
        held_out: Sequence[Path],
        constants: Mapping[str, torch.Tensor],
    ) -> None:
        super().__init__(settings, trained_on, held_out, constants)
        self.photographs, self.others = gray_photographs(trained_on), gray_photographs(held_out)
        for scale, sides in SIDES_PX.items():
            holding(self.photographs, scale, max(sides))  # images that are too small fail now, not at some step
        self.held_out = {
            scale: random_crops(self.others, scale, HELD_OUT_CROPS, side, np.random.default_rng(5))
            for scale, side in HELD_OUT_SIDE_PX.items()
        }
        start = load(settings.start).network.state_dict() if settings.start else None
        torch.manual_seed(settings.seed)
        self.network = KernelNet()
        if start:
            self.network.load_state_dict(start)
        self.network.to(self.device)
        self.optimizer = adamw(self.network.parameters(), settings.rate)

    def batch(self, rng: np.random.Generator) -> Crops:
        scale = int(rng.choice(SCALES))
        return random_crops(self.photographs, scale, self.settings.batch, int(rng.choice(SIDES_PX[scale])), rng)

    def loss(self, network: Callable[..., Any], batch: Crops) -> torch.Tensor:
        with self.autocast():
            found = network(batch.lr, batch.scale)
        errors = relative_errors(found.kernels, batch.kernels)
        cost = wiener_costs(found.kernels, batch.kernels, batch.scale).clamp_max(MAX_WIENER_LOSS).mean()
        calibration = (found.log_error - errors.detach().log()).abs().mean()
        loss: torch.Tensor = errors.mean() + WIENER_WEIGHT * cost + ERROR_WEIGHT * calibration
        return loss

    def scores(self, network: nn.Module) -> dict[str, float]:
        return scores(network, self.held_out, self.device)

    def save(self, out: Path, network: nn.Module, about: Mapping[str, Any]) -> None:
        assert isinstance(network, KernelNet)
        save_calibrated(out / "kernelnet.safetensors", network, calibrated(network, self.photographs, self.others), about)
