"""Unfolding: ``python -m blindsr_training.unfolding --hr FOLDER --scale 2 --out FOLDER``. Seeded; resumes where it was stopped."""

from __future__ import annotations

import io
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import click
import numpy as np
import torch
from blindsr_unfolding.data_step import transfer_function
from blindsr_unfolding.files import load, save
from blindsr_unfolding.network import UnfoldingNet
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage
from torch import nn

from blindsr.api import BlindSRError
from blindsr_training import kernel_families as families
from blindsr_training.estimated_kernels import EstimatedKernels
from blindsr_training.kernelnet.crops import SIDES_PX
from blindsr_training.optimizer import MUON_RATE, Optimizer, rate_factor
from blindsr_training.photographs import Photographs, digest, split
from blindsr_training.resumable import follow, load_state, save_state, training_command

Array = NDArray[np.float64]
Generator = np.random.Generator

BICUBIC_SHARE = 0.05
OTHER_SHARE = 0.07
"""Of motion and defocus."""
ESTIMATED_SHARE = 0.45
"""Of kernels of which the network is told an estimate."""
DISTURBED_SHARE = 0.15
"""Of kernels of which it is told a disturbed Gaussian, for other estimators; the rest of the estimates is kernelnet's."""
ESTIMATES = 4000
NOISY_SHARE = 0.2
MAX_NOISE = 15 / 255
JPEG_SHARE = 0.05
"""Of LR images that are compressed; the network is told what that changed as noise."""
JPEG_QUALITIES = (60, 99)
MAX_DISTURBANCE = 0.5
"""Standard deviation of the disturbance of an estimate's log covariance."""
NOISE_FLOOR = 0.1
ERROR_OF_DISTURBANCE = 0.7
"""An estimate lacks the kernel's own noise, a relative error of about the first; a disturbance of d adds about 0.7 d."""
LOG_ALPHA_GAIN = 10
"""How much faster than Adam's other parameters the few weights of the data steps learn."""
HELD_OUT_SIDE_PX = 144
SHAVE_PX = 4


class Example(NamedTuple):
    """A true kernel, the one that the network is told, the LR image's noise, the told kernel's expected error, JPEG's quality."""

    true: Array
    told: Array
    noise: float
    error: float
    jpeg: int | None = None


def random_example(rng: Generator, scale: int, estimates: EstimatedKernels | None = None) -> Example:
    """What one patch is degraded with, and what the network is told of it."""
    side = families.FRAME_PX[scale]
    place = rng.random()
    error = 0.0
    if place < BICUBIC_SHARE:
        true = told = families.bicubic(side, scale)
    elif place < BICUBIC_SHARE + OTHER_SHARE:
        size = families.growth(scale) ** 0.5
        shape = families.motion(rng, side, scale, size * rng.uniform(1, 12)) if rng.random() < 0.6 else None
        shape = families.disk(side, scale, size * rng.uniform(0.8, 4.5), 0.5) if shape is None else shape
        true = told = families.aligned(ndimage.gaussian_filter(shape, size * np.sqrt(rng.uniform(0.05, 0.8))), scale)
    else:
        covariance = families.random_covariance(rng)
        true = told = families.noisy_gaussian(rng, scale, covariance)
        if estimates and place > 1 - ESTIMATED_SHARE + DISTURBED_SHARE:
            true, told, error = estimates.draw(rng)
        elif place > 1 - ESTIMATED_SHARE:
            told, error = estimate_of(covariance, rng.uniform(0, MAX_DISTURBANCE), scale, rng)
    noise = rng.uniform(0, MAX_NOISE) if rng.random() < NOISY_SHARE else 0.0
    jpeg = int(rng.integers(*JPEG_QUALITIES)) if rng.random() < JPEG_SHARE else None
    return Example(true, told, noise, error, jpeg)


def estimate_of(covariance: Array, disturbance: float, scale: int, rng: Generator) -> tuple[Array, float]:
    """An estimator's answer for a kernel of this x2 covariance, a noise-free Gaussian of a disturbed one; its expected error."""
    values, vectors = np.linalg.eigh(covariance)
    first, mixed, second = rng.normal(0, disturbance, 3)
    logarithm = (vectors * np.log(values)) @ vectors.T + np.array([[first, 0.7 * mixed], [0.7 * mixed, second]])
    values, vectors = np.linalg.eigh(logarithm)
    disturbed = families.growth(scale) * (vectors * np.exp(values)) @ vectors.T
    error = float(np.hypot(NOISE_FLOOR, ERROR_OF_DISTURBANCE * disturbance))
    return families.gaussian(families.FRAME_PX[scale], scale, disturbed), error


class Batch(NamedTuple):
    """HR patches, LR patches with periodic borders and 8 bit, and what the network is told."""

    hr: torch.Tensor
    lr: torch.Tensor
    transfer: torch.Tensor
    noise: torch.Tensor
    error: torch.Tensor


def degraded(hr: torch.Tensor, examples: Sequence[Example], scale: int, rng: Generator) -> Batch:
    """HR patches (N, 3, H, W) degraded as the examples say."""
    shape = (hr.shape[2], hr.shape[3])

    def transfer(kernels: Sequence[Array]) -> torch.Tensor:
        return transfer_function(torch.from_numpy(np.array(kernels, np.float32)), shape)

    true, told = ([getattr(example, name) for example in examples] for name in ("true", "told"))
    noise, error = (torch.tensor([getattr(example, name) for example in examples]).float() for name in ("noise", "error"))
    lr = torch.fft.irfft2(torch.fft.rfft2(hr) * transfer(true), s=shape)[:, :, ::scale, ::scale]
    lr = lr + noise[:, None, None, None] * torch.from_numpy(rng.standard_normal(lr.shape, dtype=np.float32))
    lr = (lr.clamp(0, 1) * 255).round() / 255
    for image, example, level in zip(lr, examples, noise, strict=True):
        if example.jpeg:
            compressed = _compressed(image, example.jpeg)
            level.copy_(torch.hypot(level, (compressed - image).square().mean().sqrt()))
            image.copy_(compressed)
    return Batch(hr, lr, transfer(told), noise, error)


def _compressed(image: torch.Tensor, quality: int) -> torch.Tensor:
    file = io.BytesIO()
    Image.fromarray((image * 255).round().byte().permute(1, 2, 0).numpy()).save(file, "JPEG", quality=quality)
    return torch.from_numpy(np.array(Image.open(file))).permute(2, 0, 1).float() / 255


@dataclass(frozen=True)
class UnfoldingSettings:
    """What a training is, as of `blindsr_training.srmd.Settings`."""

    images: str
    scale: int
    steps: int
    batch: int
    patch: int
    width: int
    stages: int
    seed: int
    rate: float
    start: str
    estimator: str


class HeldOutPatches:
    """PSNR on the middles of images that are not trained on: exact kernels, estimated ones, noise."""

    def __init__(self, files: Sequence[Path], scale: int, estimates: EstimatedKernels | None = None) -> None:
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
                    true, told, error = estimates.draw(rng)
                examples.append(Example(true, told, noise, error))
            middles = [_middle(image, side) for image in photographs]
            hr = torch.from_numpy(np.stack(middles)).permute(0, 3, 1, 2).float().div(255)
            self.batches[name] = degraded(hr, examples, scale, rng)

    def scores(self, network: UnfoldingNet, device: str) -> dict[str, float]:
        """Mean PSNR of RGB (dB) for each kind."""
        return {name: self._psnr(network, batch, device) for name, batch in self.batches.items()}

    @staticmethod
    def _psnr(network: UnfoldingNet, batch: Batch, device: str) -> float:
        told = (value.to(device) for value in batch[1:])
        with torch.inference_mode(), torch.autocast(device, torch.bfloat16):
            sr = network(*told).float().cpu()
        difference = ((sr.clamp(0, 1) * 255).round() / 255 - batch.hr)[:, :, SHAVE_PX:-SHAVE_PX, SHAVE_PX:-SHAVE_PX]
        return float((-10 * difference.square().mean((1, 2, 3)).log10()).mean())


def _middle(image: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    row, column = ((size - side) // 2 for size in image.shape[:2])
    return image[row : row + side, column : column + side]


class UnfoldingTraining:
    """A training under way: network, optimiser, step."""

    def __init__(self, settings: UnfoldingSettings, out: Path, device: str, start: Path | None = None) -> None:
        self.settings = settings
        self.out = out
        self.device = device
        torch.manual_seed(settings.seed)
        network = UnfoldingNet(settings.scale, width=settings.width, stages=settings.stages)
        state = load_state(out, asdict(settings))
        if start and not state:
            _transfer(load(start), network)
        network = network.to(device)
        self.network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's types lack it
        weights = dict(network.named_parameters())
        hidden = [name for name, weight in weights.items() if weight.ndim == 4 and "tail" not in name]
        others = [weight for name, weight in weights.items() if name not in hidden and name != "log_alpha"]
        groups = [(others, 1.0), ([network.log_alpha], LOG_ALPHA_GAIN)]
        self.optimizer = Optimizer([weights[name] for name in hidden], groups, settings.rate)
        self.step = 0
        self.seconds = 0.0
        if state:
            network.load_state_dict(state["network"])
            self.optimizer.restore(state["optimizer"])
            self.step, self.seconds = state["step"], state["seconds"]

    def save(self) -> None:
        """Write the state, whole or not at all."""
        state = {"network": self.network.state_dict(), "optimizer": self.optimizer.state()}
        save_state(self.out, asdict(self.settings), state | {"step": self.step, "seconds": self.seconds})

    def run(self, photographs: Photographs, estimates: EstimatedKernels | None = None) -> Iterator[float]:
        """Train to the end, and give the loss of each step."""
        settings = self.settings
        network = torch.compile(self.network) if self.device == "cuda" else self.network
        while self.step < settings.steps:
            start = time.perf_counter()
            rng = np.random.default_rng((settings.seed, self.step))
            examples = [random_example(rng, settings.scale, estimates) for _ in range(settings.batch)]
            batch = degraded(photographs.patches(settings.batch, settings.patch, rng), examples, settings.scale, rng)
            hr, *told = (value.to(self.device) for value in batch)
            with torch.autocast(self.device, torch.bfloat16):
                sr = network(*told)
            loss = (sr - hr).abs().mean()
            loss.backward()
            nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
            self.optimizer.step(rate_factor(self.step, settings.steps))
            self.step += 1
            self.seconds += time.perf_counter() - start
            yield loss.item()


def _transfer(source: UnfoldingNet, target: UnfoldingNet) -> None:
    """Start from another network: from one of another scale all weights whose shape does not depend on it."""
    shapes = {name: value.shape for name, value in target.state_dict().items()}
    same = {name: value for name, value in source.state_dict().items() if shapes.get(name) == value.shape}
    if not same:
        raise BlindSRError("the network to start from has other layers")
    target.load_state_dict(same, strict=False)


def train(
    *, hr: Path, scale: int, out: Path, steps: int, start: Path | None, estimator: Path | None, threads: int | None, every: int,
    **options: Any,
) -> None:  # fmt: skip
    """Train to the end, logging and saving; the network lands in ``OUT/xSCALE.safetensors``."""
    if threads:
        torch.set_num_threads(threads)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    trained_on, held_out_files = split(hr)
    start_digest, estimator_digest = (digest([file]) if file else "" for file in (start, estimator))
    settings = UnfoldingSettings(digest(trained_on), scale, steps, start=start_digest, estimator=estimator_digest, **options)
    if settings.patch % scale:
        raise BlindSRError(f"`patch` {settings.patch}: must be a multiple of the scale, {scale}")
    estimates = held_out_estimates = None
    if estimator:
        click.echo(f"estimating {ESTIMATES} kernels", err=True)
        images = Photographs(trained_on, min(SIDES_PX[scale]) * scale).images
        estimates = EstimatedKernels(estimator, images, scale, ESTIMATES, settings.seed)
        images = Photographs(held_out_files, min(SIDES_PX[scale]) * scale).images
        held_out_estimates = EstimatedKernels(estimator, images, scale, len(held_out_files), settings.seed)
    held_out = HeldOutPatches(held_out_files, scale, held_out_estimates)
    photographs = Photographs(trained_on, settings.patch)
    training = UnfoldingTraining(settings, out, device, start)
    losses = training.run(photographs, estimates)
    follow(training, losses, steps=steps, every=every, score=lambda: held_out.scores(training.network, device))
    about = {"images": len(trained_on), "steps": training.step, "seconds": round(training.seconds), "device": device}
    save(out / f"x{scale}.safetensors", training.network, about | options)


@click.command()
@click.option("--scale", type=click.IntRange(2, 4), required=True)
@click.option("--patch", type=click.IntRange(48), default=96, show_default=True, help="Side of a patch in HR pixels.")
@click.option("--width", type=click.IntRange(8), default=64, show_default=True, help="Channels of the priors.")
@click.option(
    "--estimator",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Weights of kernelnet: trains on its estimates as well.",
)
@click.option("--stages", type=click.IntRange(1), default=4, show_default=True)
@partial(training_command, batch=8, rate=MUON_RATE)
def main(**options: Any) -> None:
    """Train the network of one scale; run it again to go on after a stop."""
    train(**options)


if __name__ == "__main__":
    main()
