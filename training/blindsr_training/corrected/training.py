"""corrected: ``python -m blindsr_training corrected --config corrected_x2.yaml --hr PHOTOS --examples FOLDER --out FOLDER``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from blindsr_selection.files import FORMAT, load
from blindsr_selection.network import BLOCKS, WIDTH, CorrectionNet
from pydantic import Field, PositiveFloat
from torch import nn

from blindsr.api import BlindSRError, InputFolder
from blindsr_training.corrected.examples import Examples, read_examples
from blindsr_training.files import save_network
from blindsr_training.harness import Training
from blindsr_training.kernelnet.training import relative_errors, wiener_costs
from blindsr_training.optimizer import adamw
from blindsr_training.photographs import digest
from blindsr_training.settings import Settings

WIENER_WEIGHT, ERROR_WEIGHT = 0.3, 0.1
MAX_WIENER_LOSS = 3.0


class CorrectedSettings(Settings):
    """What a training of the correcting network is."""

    scale: int = Field(ge=2, le=4, description="Scale: 2, 3 or 4.")
    examples: InputFolder = Field(description="Folder of examples, which `python -m blindsr_training examples` made of `hr`.")
    batch: int = Field(32, ge=1, description="Kernels in a step.")
    width: int = Field(WIDTH, ge=8, description="Channels of the network.")
    blocks: int = Field(BLOCKS, ge=1, description="Residual blocks.")
    rate: PositiveFloat = Field(2e-3, description="AdamW's peak learning rate.")


class CorrectedTraining(Training[CorrectedSettings, Examples]):
    """Train the network of `corrected` for one scale, on examples that were made before."""

    Settings = CorrectedSettings
    compiled = False  # it is too small

    def __init__(
        self,
        settings: CorrectedSettings,
        trained_on: Sequence[Path],
        held_out: Sequence[Path],
        constants: Mapping[str, torch.Tensor],
    ) -> None:
        super().__init__(settings, trained_on, held_out, constants)
        self.examples, of = read_examples(settings.examples, settings.scale, held_out=False)
        self.held_out, _ = read_examples(settings.examples, settings.scale, held_out=True)
        if of["hr"] != digest(trained_on):
            raise BlindSRError(f"{settings.examples}: its examples are of other photographs than `hr`; name those, or make others")
        torch.manual_seed(settings.seed)
        network = CorrectionNet(width=settings.width, blocks=settings.blocks)
        if settings.start:
            _start(network, settings.start)
        self.network = network.to(self.device)
        self.optimizer = adamw(self.network.parameters(), settings.rate)

    def batch(self, rng: np.random.Generator) -> Examples:
        """Random examples, all flipped and turned in one way: the centre of mass is in the middle of the frame."""
        chosen = torch.from_numpy(rng.integers(len(self.examples.frames), size=self.settings.batch))
        turns, flip = int(rng.integers(4)), bool(rng.integers(2))

        def turned(planes: torch.Tensor) -> torch.Tensor:
            planes = torch.rot90(planes, turns, (-2, -1))
            return planes.flip(-1) if flip else planes

        batch = Examples(*(tensor[chosen] for tensor in self.examples))
        return batch._replace(frames=turned(batch.frames), corrections=turned(batch.corrections), true=turned(batch.true))

    def loss(self, network: Callable[..., Any], batch: Examples) -> torch.Tensor:
        with self.autocast():
            answer = network(*batch[:4])
        frames = answer.frames.float()
        errors = relative_errors(frames, batch.true)
        costs = wiener_costs(frames, batch.true, self.settings.scale).clamp_max(MAX_WIENER_LOSS)
        misjudged = (answer.log_error - errors.detach().log()).abs()
        loss: torch.Tensor = errors.mean() + WIENER_WEIGHT * costs.mean() + ERROR_WEIGHT * misjudged.mean()
        return loss

    def scores(self, network: nn.Module) -> dict[str, float]:
        """Mean relative errors before and after, and costs after, of Gaussians, other kernels, and images with noise or JPEG."""
        held_out = Examples(*(tensor.to(self.device) for tensor in self.held_out))
        with torch.inference_mode():
            frames = network(*held_out[:4]).frames.float()
        before, after = (relative_errors(kernels, held_out.true) for kernels in (held_out.frames, frames))
        costs = wiener_costs(frames, held_out.true, self.settings.scale)
        clean, gaussian = held_out.clean > 0, held_out.gaussian > 0
        kinds = {"gaussian": clean & gaussian, "other": clean & ~gaussian, "noisy": ~clean}
        return {
            f"{name}_{what}": float(values[chosen].mean())
            for name, chosen in kinds.items()
            for what, values in (("before", before), ("after", after), ("cost", costs))
        }

    def save(self, out: Path, network: nn.Module, about: Mapping[str, Any]) -> None:
        save_network(out / f"x{self.settings.scale}.safetensors", network, about, header={"format": FORMAT})


def _start(network: CorrectionNet, start: Path) -> None:
    """Give the network the weights in a file; an error for one of another size."""
    given = load(start)
    width, blocks = len(given.head.weight), len(given.blocks)
    if (width, blocks) != (len(network.head.weight), len(network.blocks)):
        raise BlindSRError(
            f"{start}: has {width} channels and {blocks} blocks; set `width` and `blocks` to these, or leave `start` out"
        )
    network.load_state_dict(given.state_dict())
