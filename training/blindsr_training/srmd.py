"""SRMD: ``python -m blindsr_training.srmd --hr FOLDER --scale 2 --out FOLDER``. Seeded; resumes where it was stopped."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from blindsr_srmd.checkpoints import Model, load_own
from blindsr_srmd.network import SRMDNet
from blindsr_srmd.stretching import KernelBasis
from numpy.typing import NDArray

from blindsr.api import BlindSRError, psnr_y, read_image, to_depth, to_float
from blindsr.imaging.files import sha256
from blindsr_training.kernels import FRAME, as_tensor, degraded, sample_kernels
from blindsr_training.optimizer import MUON_RATE, Optimizer, rate_factor
from blindsr_training.photographs import Photographs, digest, split
from blindsr_training.resumable import follow, load_state, save_network, save_state, training_command

COEFFICIENTS = 15
BASIS_KERNELS = 20_000
HELD_OUT_SIDE_PX = 96
"""Side, in LR pixels, of the middle of each held-out image that is scored."""
MIN_SIDE_PX = 32


@dataclass(frozen=True)
class Settings:
    """What a training is. When it is resumed, all but `steps` must be the same; more steps make it longer.

    `images` and `start` stand for the bytes of the photographs and of the network to start from.
    """

    images: str
    scale: int
    steps: int
    batch: int
    patch: int
    seed: int
    rate: float
    start: str


def side_px(settings: Settings) -> int:
    """The side of an HR patch with what its kernels reach beyond it."""
    return settings.patch * settings.scale + 2 * (FRAME[settings.scale] // 2)


def fitted_basis(kernels: NDArray[np.float64], count: int) -> KernelBasis:
    """The principal components of kernels (N, side, side), scaled so that the first one's coefficients have variance 1."""
    flat = kernels.reshape(len(kernels), -1)
    mean = flat.mean(0)
    covariance = (flat - mean).T @ (flat - mean) / len(flat)
    variances, vectors = np.linalg.eigh(covariance)
    components = vectors[:, ::-1][:, :count].T / np.sqrt(variances[-1])
    largest = np.abs(components).argmax(1)
    components *= np.sign(components[np.arange(count), largest])[:, None]  # else the linear algebra library's choice
    side = kernels.shape[1]
    return KernelBasis(components.reshape(count, side, side), mean.reshape(side, side))


class HeldOut:
    """PSNR on images that are not trained on, with one fixed kernel each."""

    def __init__(self, files: Sequence[Path], scale: int) -> None:
        kernels = sample_kernels(len(files), scale, np.random.default_rng(1))
        reach, side = FRAME[scale] // 2, HELD_OUT_SIDE_PX
        self.scale = scale
        self.kernels = kernels
        self.pairs = []
        for path, kernel in zip(files, kernels, strict=True):
            image = to_float(read_image(path).pixels)
            high = min(side * scale, *((size - 2 * reach) // scale * scale for size in image.shape[:2]))
            if high < MIN_SIDE_PX:
                raise BlindSRError(f"{path}: is too small to be scored at x{scale}; take images of 150 pixels a side or more")
            top, left = ((size - high) // 2 for size in image.shape[:2])
            wide = image[top - reach : top + high + reach, left - reach : left + high + reach]
            planes = torch.from_numpy(np.ascontiguousarray(wide)).permute(2, 0, 1)[None]
            lr = degraded(planes, as_tensor(kernel[None]), scale)
            self.pairs.append((lr, to_depth(image[top : top + high, left : left + high], np.uint8)))

    def scores(self, model: Model, device: str) -> dict[str, float]:
        """Mean PSNR (dB) of bicubic interpolation and of the network."""
        scores = []
        for kernel, (lr, hr) in zip(self.kernels, self.pairs, strict=True):
            coefficients = torch.from_numpy(model.basis.coefficients(kernel).astype(np.float32))[None]
            with torch.inference_mode(), torch.autocast(device, torch.bfloat16):
                sr = model.network(lr.to(device), coefficients.to(device))
                plain = model.network.enlarged(lr.to(device))
            images = [to_depth(x[0].float().permute(1, 2, 0).cpu().numpy(), np.uint8) for x in (plain, sr)]
            scores.append([psnr_y(x, hr, shave=self.scale) for x in images])
        bicubic_db, network_db = np.mean(scores, axis=0)
        return {"bicubic_db": float(bicubic_db), "psnr_db": float(network_db)}


class Training:
    """A training under way: network, optimiser, step."""

    def __init__(self, settings: Settings, out: Path, device: str, start: Path | None = None) -> None:
        self.settings = settings
        self.out = out
        self.device = device
        state = load_state(out, asdict(settings))
        started = load_own(start) if start and not state else None
        if state:
            basis = KernelBasis(state["basis"].numpy(), state["mean"].numpy())
        elif started and started.network.scale == settings.scale:
            basis = started.basis
        else:
            basis = fitted_basis(sample_kernels(BASIS_KERNELS, settings.scale, np.random.default_rng(0)), COEFFICIENTS)
        torch.manual_seed(settings.seed)
        network = SRMDNet(settings.scale, COEFFICIENTS, residual=True)
        _initialize(network)
        if started:
            _transfer(started.network, network)
        network = network.to(device)
        network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's types lack it
        self.model = Model(network, basis)
        self.optimizer = Optimizer.of_stack(network.convolutions, settings.rate)
        self.step = 0
        self.seconds = 0.0
        if state:
            network.load_state_dict(state["network"])
            self.optimizer.restore(state["optimizer"])
            self.step, self.seconds = state["step"], state["seconds"]

    def save(self) -> None:
        """Write the state, whole or not at all."""
        state = {
            "network": self.model.network.state_dict(),
            "optimizer": self.optimizer.state(),
            "basis": torch.from_numpy(np.ascontiguousarray(self.model.basis.basis)),
            "mean": torch.from_numpy(np.ascontiguousarray(self.model.basis.mean)),
            "step": self.step,
            "seconds": self.seconds,
        }
        save_state(self.out, asdict(self.settings), state)

    def run(self, photographs: Photographs) -> Iterator[float]:
        """Train to the end, and give the loss of each step."""
        basis, settings = self.model.basis, self.settings
        network = torch.compile(self.model.network) if self.device == "cuda" else self.model.network
        reach = FRAME[settings.scale] // 2
        side = settings.patch * settings.scale
        flat = torch.from_numpy(basis.basis.reshape(COEFFICIENTS, -1).astype(np.float32))
        mean = torch.from_numpy(basis.mean.ravel().astype(np.float32))
        while self.step < settings.steps:
            start = time.perf_counter()
            rng = np.random.default_rng((settings.seed, self.step))
            kernels = as_tensor(sample_kernels(settings.batch, settings.scale, rng))
            # The outermost HR pixels beyond the LR grid are never read: the last LR pixel sits scale - 1 before the edge.
            wide = photographs.patches(settings.batch, side + 2 * reach, rng)
            lr = degraded(wide, kernels, settings.scale).to(self.device)
            hr = wide[:, :, reach : reach + side, reach : reach + side].to(self.device)
            coefficients = ((kernels.flatten(1) - mean) @ flat.T).to(self.device)
            with torch.autocast(self.device, torch.bfloat16):
                sr = network(lr, coefficients)
            loss = (sr.float() - hr).abs().mean()
            loss.backward()
            self.optimizer.step(rate_factor(self.step, settings.steps))
            self.step += 1
            self.seconds += time.perf_counter() - start
            yield loss.item()


def _initialize(network: SRMDNet) -> None:
    """Weights that keep the signal's size through the layers (He et al., 2015); PyTorch's own let it die out in twelve of them."""
    with torch.no_grad():
        for convolution in network.convolutions:
            torch.nn.init.kaiming_normal_(convolution.weight)
            assert convolution.bias is not None
            convolution.bias.zero_()
        network.convolutions[-1].weight.mul_(0.1)


def _transfer(source: SRMDNet, target: SRMDNet) -> None:
    """Start from another network: from one of another scale all but the last layer, which has another shape there."""
    with torch.no_grad():
        for number, (a, b) in enumerate(zip(source.convolutions, target.convolutions, strict=True)):
            if a.weight.shape == b.weight.shape:
                b.weight.copy_(a.weight)
                assert a.bias is not None
                assert b.bias is not None
                b.bias.copy_(a.bias)
            elif number == 0:
                raise BlindSRError("the network to start from has other input channels")


def train(
    *, hr: Path, scale: int, out: Path, steps: int, batch: int, patch: int, seed: int, rate: float, start: Path | None,
    threads: int | None, every: int,
) -> None:  # fmt: skip
    """Train to the end, logging and saving; the network lands in ``OUT/xSCALE.safetensors``."""
    if threads:
        torch.set_num_threads(threads)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    trained_on, held_out_files = split(hr)
    settings = Settings(digest(trained_on), scale, steps, batch, patch, seed, rate, sha256(start) if start else "")
    held_out = HeldOut(held_out_files, scale)
    photographs = Photographs(trained_on, side_px(settings))
    training = Training(settings, out, device, start)
    losses = training.run(photographs)
    follow(training, losses, steps=steps, every=every, score=lambda: held_out.scores(training.model, device))
    about = {
        "trained_on": f"{len(trained_on)} images of {hr.name}", "steps": training.step, "batch": batch, "patch": patch,
        "seconds": round(training.seconds), "device": device,
    }  # fmt: skip
    network, basis = training.model.network, training.model.basis
    extra = {name: torch.from_numpy(np.ascontiguousarray(array, np.float32)) for name, array in basis._asdict().items()}
    header = {"format": "blindsr-srmd-1", "scale": str(scale)}
    save_network(out / f"x{scale}.safetensors", network, about, header=header, extra=extra)


@click.command()
@click.option("--scale", type=click.IntRange(2, 4), required=True)
@click.option("--patch", type=click.IntRange(8), default=32, show_default=True, help="Side of a patch in LR pixels.")
@partial(training_command, batch=16, rate=MUON_RATE)
def main(**options: Any) -> None:
    """Train the network of one scale; run it again to go on after a stop."""
    train(**options)


if __name__ == "__main__":
    main()
