"""kernelnet: ``python -m blindsr_training.kernelnet --hr FOLDER --out FOLDER``. Seeded; resumes where it was stopped."""

from __future__ import annotations

import io
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import click
import numpy as np
import torch
from blindsr_kernelnet.estimation import LUMA
from blindsr_kernelnet.files import load, save
from blindsr_kernelnet.network import KernelNet
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage
from torch import nn

from blindsr.api import BlindSRError
from blindsr_training.kernel_families import FRAME_PX, random_kernel
from blindsr_training.photographs import Photographs, digest, split
from blindsr_training.resumable import follow, load_state, save_state, training_command

Gray = NDArray[np.float32]
Generator = np.random.Generator

SCALES = (2, 2, 2, 3, 4)
"""Drawn evenly: x2 is the scale that matters most."""
SIDES_PX = {2: (64, 96, 128, 136), 3: (64, 88), 4: (64, 68)}
"""Sides of the LR crops; all crops of a step have one."""
HELD_OUT_SIDE_PX = {2: 128, 3: 88, 4: 64}
HELD_OUT_CROPS = 120
GAMMA_SHARE = 0.3
NOISE_SHARE, JPEG_SHARE, BOTH_SHARE, DEMOSAICED_SHARE, SHARPENED_SHARE, SATURATED_SHARE = 0.20, 0.13, 0.03, 0.02, 0.02, 0.05
"""Of crops with white noise, JPEG compression, both, noise that is correlated as by demosaicing, sharpening, clipped highlights
and shadows. The others are rounded to 8 bit and nothing else."""
MAX_NOISE = 7 * 0.67 / 255
"""White noise of a RGB image is about 0.67 as strong in its luma."""
WIENER_WEIGHT, ERROR_WEIGHT = 0.5, 0.1
MAX_WIENER_LOSS = 3.0
WIENER_NOISE = 2 / 255
IMAGE_VARIANCE = 0.03
RATE = 1e-3
WARM_UP_STEPS = 300
AVERAGING = 0.002
"""Weight of a step's network in the exponential moving average, which is what is scored and shipped."""


class Crops(NamedTuple):
    """LR crops (N, 1, h, w) in [0, 1], their kernels (N, side, side), and whether each is of a clean image and a Gaussian."""

    lr: torch.Tensor
    kernels: torch.Tensor
    plain: torch.Tensor


def random_crops(photographs: Sequence[NDArray[np.uint8]], scale: int, count: int, side: int, rng: Generator) -> Crops:
    """Random crops of gray photographs, degraded."""
    reach = FRAME_PX[scale] // 2
    needed = side * scale + 2 * reach
    large = [image for image in photographs if min(image.shape) >= needed]
    if not large:
        raise BlindSRError(f"no image is as large as {needed} pixels a side, which x{scale} needs")
    crops, kernels, plain = [], [], []
    for _ in range(count):
        image = large[int(rng.integers(len(large)))]
        row, column = (int(rng.integers(size - needed + 1)) for size in image.shape)
        patch = np.rot90(image[row : row + needed, column : column + needed], int(rng.integers(4)))
        kernel, family = random_kernel(rng, scale)
        lr, clean = _degraded(_unit(patch[:, ::-1] if rng.integers(2) else patch), kernel, scale, side, rng)
        crops.append(lr)
        kernels.append(kernel)
        plain.append(clean and family == "gaussian")
    return Crops(torch.from_numpy(np.stack(crops))[:, None], torch.from_numpy(np.array(kernels, np.float32)), torch.tensor(plain))


def _degraded(hr: Gray, kernel: NDArray[np.float64], scale: int, side: int, rng: Generator) -> tuple[Gray, bool]:
    if rng.random() < GAMMA_SHARE:
        hr = hr ** np.float32(rng.uniform(0.7, 1.4))
    kind = _drawn(
        rng, noise=NOISE_SHARE, jpeg=JPEG_SHARE, both=BOTH_SHARE, demosaiced=DEMOSAICED_SHARE, sharpened=SHARPENED_SHARE,
        saturated=SATURATED_SHARE,
    )  # fmt: skip
    if kind == "saturated":
        hr = np.clip((hr - 0.5) * rng.uniform(1.2, 2) + 0.5 + rng.uniform(-0.2, 0.2), 0, 1).astype(np.float32)
    blurred = nn.functional.conv2d(torch.from_numpy(np.ascontiguousarray(hr))[None, None], _weight(kernel), stride=scale)
    lr: Gray = blurred[0, 0, :side, :side].numpy()
    if kind in ("noise", "both"):
        lr = lr + np.float32(rng.uniform(0, MAX_NOISE)) * rng.standard_normal(lr.shape, dtype=np.float32)
    elif kind == "demosaiced":
        noise = ndimage.gaussian_filter(rng.standard_normal(lr.shape, dtype=np.float32), rng.uniform(0.4, 1))
        lr = lr + np.float32(rng.uniform(1, 6) / 255) * noise / noise.std()
    elif kind == "sharpened":
        lr = lr + np.float32(rng.uniform(0.2, 1)) * (lr - ndimage.gaussian_filter(lr, rng.uniform(0.6, 1.5)))
    levels = np.rint(np.clip(lr, 0, 1) * 255).astype(np.uint8)
    if kind in ("jpeg", "both"):
        file = io.BytesIO()
        Image.fromarray(levels).save(file, "JPEG", quality=int(rng.integers(65, 99)))
        levels = np.asarray(Image.open(file))
    return _unit(levels), kind in ("", "saturated")


def _unit(levels: NDArray[np.uint8]) -> Gray:
    return levels.astype(np.float32) / np.float32(255)


def _drawn(rng: Generator, **shares: float) -> str:
    place = rng.random()
    for name, share in shares.items():
        if place < share:
            return name
        place -= share
    return ""


def _weight(kernel: NDArray[np.float64]) -> torch.Tensor:
    return torch.from_numpy(kernel.astype(np.float32))[None, None]


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
            self.network.load_state_dict(load(start).state_dict())
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
    trained_on, held_out_files = split(hr)
    settings = KernelNetSettings(digest(trained_on), steps, start=digest([start]) if start else "", **options)
    photographs, held_out_images = (
        [np.rint(image @ LUMA).astype(np.uint8) for image in Photographs(files, min(SIDES_PX[2]) * 2).images]
        for files in (trained_on, held_out_files)
    )
    held_out = {
        scale: random_crops(held_out_images, scale, HELD_OUT_CROPS, side, np.random.default_rng(5))
        for scale, side in HELD_OUT_SIDE_PX.items()
    }
    training = KernelNetTraining(settings, out, device, start)
    losses = training.run(photographs)
    follow(training, losses, steps=steps, every=every, score=lambda: scores(training.average, held_out, device))
    about = {"images": len(trained_on), "steps": training.step, "seconds": round(training.seconds), "device": device}
    save(out / "kernelnet.safetensors", training.average, about | options)


@click.command()
@partial(training_command, batch=32, rate=RATE)
def main(**options: Any) -> None:
    """Train the network for all scales; run it again to go on after a stop."""
    train(**options)


if __name__ == "__main__":
    main()
