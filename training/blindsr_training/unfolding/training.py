"""Unfolding: ``python -m blindsr_training unfolding --config unfolding_x2.yaml --hr FOLDER --out FOLDER``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from blindsr_unfolding.files import FORMAT, load
from blindsr_unfolding.network import UnfoldingNet
from numpy.typing import NDArray
from pydantic import Field, PositiveFloat, ValidationInfo, field_validator
from torch import nn

from blindsr.api import BlindSRError, InputFolder
from blindsr_training import kernel_families as families
from blindsr_training.files import save_network
from blindsr_training.harness import Training
from blindsr_training.optimizer import MUON_RATE, Muon
from blindsr_training.photographs import Photographs
from blindsr_training.settings import Settings
from blindsr_training.unfolding.estimates import EstimatedKernel, read_estimates
from blindsr_training.unfolding.examples import Batch, Example, degraded, estimate_of, random_example

LOG_ALPHA_GAIN = 10
"""How much faster than Adam's other parameters the few weights of the data steps learn."""
SMALLEST_ERROR = 1e-4
HELD_OUT_SIDE_PX = 144
SHAVE_PX = 4


class UnfoldingSettings(Settings):
    """What a training of an unfolding network is."""

    scale: int = Field(ge=2, le=4, description="Scale: 2, 3 or 4.")
    patch: int = Field(96, ge=48, description="Side of a patch in HR pixels, a multiple of the scale.")
    fold: int = Field(2, ge=1, le=4, description="HR pixels a side that are one to the priors: fewer are better and slower.")
    width: int = Field(64, ge=8, description="Channels of the priors.")
    stages: int = Field(4, ge=1, description="Data steps, each with a prior.")
    coarse_blocks: int = Field(3, ge=0, description="Residual blocks of each prior at half its resolution.")
    kept_rate: PositiveFloat = Field(1.0, description="Factor of the rate for weights that `start` gave.")
    rate: PositiveFloat = Field(MUON_RATE, description="Muon's peak learning rate; Adam's is in proportion.")
    estimates: InputFolder | None = Field(
        None, description="Folder of kernels that `python -m blindsr_training estimates` made, to train on these as well."
    )

    @field_validator("patch")
    @classmethod
    def _multiple(cls, patch: int, info: ValidationInfo) -> int:
        scale = info.data.get("scale", 1)
        if patch % scale:
            raise ValueError(f"must be a multiple of the scale, {scale}, not {patch}")
        return patch


class HeldOutPatches:
    """PSNR on the middles of images that are not trained on: exact kernels, estimated ones, noise."""

    def __init__(self, files: Sequence[Path], scale: int, estimates: Sequence[EstimatedKernel] = ()) -> None:
        side = HELD_OUT_SIDE_PX // scale * scale
        photographs = Photographs(files, side, shrinks=(1.0,)).images
        self.batches: dict[str, Batch] = {}
        for name, noise, disturbance in (("exact_db", 0.0, 0.0), ("estimated_db", 0.0, 0.2), ("noisy_db", 5 / 255, 0.0)):
            rng = np.random.default_rng(1)
            examples = []
            for _ in photographs:
                covariance = families.random_covariance(rng)
                true = families.noisy_gaussian(rng, scale, covariance)
                told, error = estimate_of(covariance, disturbance, scale, rng) if disturbance else (true, 0.0)
                if disturbance and estimates:
                    true, told, error = estimates[int(rng.integers(len(estimates)))]
                examples.append(Example(true, told, noise, error))
            middles = [_middle(image, side) for image in photographs]
            hr = torch.from_numpy(np.stack(middles)).permute(0, 3, 1, 2).float().div(255)
            self.batches[name] = degraded(hr, examples, scale, rng)

    def scores(self, network: nn.Module, device: str) -> dict[str, float]:
        """Mean PSNR of RGB (dB) for each kind."""
        return {name: self._psnr(network, batch, device) for name, batch in self.batches.items()}

    @staticmethod
    def _psnr(network: nn.Module, batch: Batch, device: str) -> float:
        told = (value.to(device) for value in batch[1:])
        with torch.inference_mode():
            sr = network(*told).float().cpu()
        difference = ((sr.clamp(0, 1) * 255).round() / 255 - batch.hr)[:, :, SHAVE_PX:-SHAVE_PX, SHAVE_PX:-SHAVE_PX]
        return float((-10 * difference.square().mean((1, 2, 3)).log10()).mean())


def _middle(image: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    row, column = ((size - side) // 2 for size in image.shape[:2])
    return image[row : row + side, column : column + side]


class UnfoldingTraining(Training[UnfoldingSettings, Batch]):
    """Train the network of one scale."""

    Settings = UnfoldingSettings

    def __init__(
        self,
        settings: UnfoldingSettings,
        trained_on: Sequence[Path],
        held_out: Sequence[Path],
        constants: Mapping[str, torch.Tensor],
    ) -> None:
        super().__init__(settings, trained_on, held_out, constants)
        self.photographs = Photographs(trained_on, settings.patch)
        self.estimates = self._estimates(held_out=False)
        self.held_out = HeldOutPatches(held_out, settings.scale, self._estimates(held_out=True))
        start = _loaded(settings.start, settings.width) if settings.start else None
        torch.manual_seed(settings.seed)
        network = UnfoldingNet(settings.fold, width=settings.width, stages=settings.stages, coarse_blocks=settings.coarse_blocks)
        kept = _transfer(start, network) if start else set()
        network = network.to(self.device)
        self.network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's types lack it
        weights = dict(network.named_parameters())
        hidden = [name for name, weight in weights.items() if weight.ndim == 4 and "tail" not in name]
        factors = {name: settings.kept_rate if name in kept else 1.0 for name in weights}
        factors["log_alpha"] *= LOG_ALPHA_GAIN
        groups: dict[float, list[nn.Parameter]] = {}
        for name, weight in weights.items():
            if name not in hidden:
                groups.setdefault(factors[name], []).append(weight)
        others = [(group, factor) for factor, group in groups.items()]
        self.optimizer = Muon([(weights[name], factors[name]) for name in hidden], others, settings.rate)

    def _estimates(self, *, held_out: bool) -> list[EstimatedKernel]:
        folder = self.settings.estimates
        return read_estimates(folder, self.settings.scale, held_out=held_out) if folder else []

    def batch(self, rng: np.random.Generator) -> Batch:
        settings = self.settings
        examples = [random_example(rng, settings.scale, self.estimates) for _ in range(settings.batch)]
        return degraded(self.photographs.patches(settings.batch, settings.patch, rng), examples, settings.scale, rng)

    def loss(self, network: Callable[..., Any], batch: Batch) -> torch.Tensor:
        """The mean of the patches' RMS errors: within a patch large errors count as in PSNR, but no patch outweighs the others."""
        with self.autocast():
            sr: torch.Tensor = network(*batch[1:])
        return ((sr - batch.hr).square().mean((1, 2, 3)) + SMALLEST_ERROR**2).sqrt().mean()

    def scores(self, network: nn.Module) -> dict[str, float]:
        with self.autocast():
            return self.held_out.scores(network, self.device)

    def save(self, out: Path, network: nn.Module, about: Mapping[str, Any]) -> None:
        save_network(out / f"x{self.settings.scale}.safetensors", network, about, header={"format": FORMAT})


def _loaded(start: Path, width: int) -> UnfoldingNet:
    """The network to start from; one of another width has no layer that fits."""
    network = load(start)
    if network.width != width:
        remedy = f"set `width` to {network.width}, or leave `start` out"
        raise BlindSRError(f"{start}: its priors have {network.width} channels, those to train {width}; {remedy}")
    return network


def _transfer(source: UnfoldingNet, target: UnfoldingNet) -> set[str]:
    """Copy all weights that both have in one shape: not those of other stages, or at the ends of priors of another fold.

    Returns their names.
    """
    shapes = {name: value.shape for name, value in target.state_dict().items()}
    same = {name: value for name, value in source.state_dict().items() if shapes.get(name) == value.shape}
    target.load_state_dict(same, strict=False)
    return set(same)
