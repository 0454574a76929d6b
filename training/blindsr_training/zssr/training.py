"""ZSSR's pretrained weights: ``python -m blindsr_training zssr --config zssr.yaml --hr FOLDER --out FOLDER``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from blindsr_zssr.network import Network, initial
from blindsr_zssr.pretrained import FORMAT, load
from blindsr_zssr.restoring import PLANES, restored
from pydantic import Field, PositiveFloat
from torch import nn

from blindsr_training.files import save_network
from blindsr_training.harness import Training
from blindsr_training.optimizer import MUON_RATE, Muon, log_l1
from blindsr_training.photographs import Photographs
from blindsr_training.settings import Settings
from blindsr_training.unfolding.examples import Batch, degraded, random_example
from blindsr_training.unfolding.training import LOG_ALPHA_GAIN, HeldOutPatches

SCALES = (2, 2, 2, 2, 3, 4, 4)
"""Drawn evenly, one for a batch."""
FOLD = 2
INITIAL_LOG_ALPHA = (-5.0, 4.0, 3.0)


class ZSSRSettings(Settings):
    """What a training of ZSSR's pretrained weights is."""

    patch: int = Field(96, ge=48, multiple_of=12, description="Side of a patch in HR pixels, a multiple of 12.")
    rate: PositiveFloat = Field(MUON_RATE, description="Muon's peak learning rate; Adam's is in proportion.")


class ZSSRNet(nn.Module):
    """ZSSR's network and the weights of its data step as a module, with copies of what it is given."""

    def __init__(self, network: Network, log_alpha: torch.Tensor) -> None:
        super().__init__()
        self.first = nn.Parameter(network.first.clone())
        self.hidden = nn.ParameterList(weight.permute(0, 3, 1, 2).clone() for weight in network.hidden)
        self.last = nn.Parameter(network.last.clone())
        self.log_alpha = nn.Parameter(log_alpha.clone())

    @property
    def network(self) -> Network:
        """As the plugin has it."""
        return Network(self.first, torch.stack([weight.permute(0, 2, 3, 1) for weight in self.hidden]), self.last)

    def forward(self, lr: torch.Tensor, transfer: torch.Tensor, noise: torch.Tensor, error: torch.Tensor) -> torch.Tensor:
        """SR images (N, 3, s h, s w) of LR images with periodic borders."""
        with torch.autocast(lr.device.type, enabled=False):
            planes = restored(lr, transfer, noise, error, self.log_alpha)
        return planes[:, :3] + self.network(planes)


class ZSSRTraining(Training[ZSSRSettings, Batch]):
    """Train the weights that ZSSR starts from, for all scales."""

    Settings = ZSSRSettings

    def __init__(
        self, settings: ZSSRSettings, trained_on: Sequence[Path], held_out: Sequence[Path], constants: Mapping[str, torch.Tensor]
    ) -> None:
        super().__init__(settings, trained_on, held_out, constants)
        self.photographs = Photographs(trained_on, settings.patch)
        self.held_out = {scale: HeldOutPatches(held_out, scale) for scale in sorted(set(SCALES))}
        if settings.start:
            module = ZSSRNet(*load(settings.start))
        else:
            network = initial(torch.Generator().manual_seed(settings.seed), "cpu", planes=PLANES, fold=FOLD)
            module = ZSSRNet(network, torch.tensor(INITIAL_LOG_ALPHA))
        self.network = module = module.to(self.device)
        others = [([module.first, module.last], 1.0), ([module.log_alpha], LOG_ALPHA_GAIN)]
        self.optimizer = Muon([(weight, 1.0) for weight in module.hidden], others, settings.rate)

    def batch(self, rng: np.random.Generator) -> Batch:
        settings, scale = self.settings, int(rng.choice(SCALES))
        examples = [random_example(rng, scale) for _ in range(settings.batch)]
        return degraded(self.photographs.patches(settings.batch, settings.patch, rng), examples, scale, rng)

    def loss(self, network: Callable[..., Any], batch: Batch) -> torch.Tensor:
        with self.autocast():
            sr: torch.Tensor = network(*batch[1:])
        return log_l1(sr, batch.hr)

    def scores(self, network: nn.Module) -> dict[str, float]:
        with self.autocast():
            found = {scale: held_out.scores(network, self.device) for scale, held_out in self.held_out.items()}
        return {f"x{scale}_{name}": value for scale, scores in found.items() for name, value in scores.items()}

    def save(self, out: Path, network: nn.Module, about: Mapping[str, Any]) -> None:
        assert isinstance(network, ZSSRNet)
        tensors = {**network.network._asdict(), "log_alpha": network.log_alpha}
        save_network(out / "pretrained.safetensors", tensors, about, header={"format": FORMAT})
