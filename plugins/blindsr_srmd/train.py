"""Training: ``python -m blindsr_srmd.train --hr FOLDER --scale 2 --out FOLDER``. Seeded; resumes where it was stopped."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from numpy.typing import NDArray

from blindsr.errors import BlindSRError
from blindsr.imaging.files import sha256, write_whole
from blindsr.imaging.metrics import psnr_y
from blindsr.imaging.reader import SUFFIXES, read_image, to_depth, to_float
from blindsr.imaging.resize import bicubic
from blindsr_srmd.checkpoints import Model, load_own, save
from blindsr_srmd.degradations import FRAME, as_tensor, degraded, sample_kernels
from blindsr_srmd.network import SRMDNet
from blindsr_srmd.stretching import KernelBasis

COEFFICIENTS = 15
BASIS_KERNELS = 20_000
HELD_OUT = 10
HELD_OUT_SIDE_PX = 96
"""Side, in LR pixels, of the middle of each held-out image that is scored."""
LEAST_SIDE_PX = 32
SHRINKS = (1.0, 1.0, 0.75, 0.6)
"""Every image serves at these sizes: smaller ones have more detail to a pixel, and less of the JPEG compression."""
WARM_UP_STEPS = 200
MUON_RATE = 2e-3
ADAM_RATE = 1e-3
SAVE_EVERY_SECONDS = 120


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


class Photographs:
    """HR images in memory, at all their sizes that hold a patch of `side` pixels; and random patches of them."""

    def __init__(self, files: Sequence[Path], side: int) -> None:
        self.images: list[NDArray[np.uint8]] = []
        for path in files:
            pixels = to_depth(to_float(read_image(path).pixels), np.uint8)
            versions = (pixels if shrink == 1 else bicubic(pixels, scale=shrink) for shrink in SHRINKS)
            self.images += [version for version in versions if min(version.shape[:2]) >= side]
        if not self.images:
            raise BlindSRError(f"no image is as large as a patch with its surroundings, {side} x {side} pixels; lower --patch")

    def patches(self, count: int, side: int, rng: np.random.Generator) -> torch.Tensor:
        """Patches (count, 3, side, side) in [0, 1], flipped and rotated at random."""
        out = np.empty((count, side, side, 3), np.float32)
        for patch in out:
            image = self.images[int(rng.integers(len(self.images)))]
            row, column = (int(rng.integers(size - side + 1)) for size in image.shape[:2])
            view = np.rot90(image[row : row + side, column : column + side], int(rng.integers(4)))
            patch[...] = view[:, ::-1] if rng.integers(2) else view
        return torch.from_numpy(out).permute(0, 3, 1, 2).div_(255)


def side_px(settings: Settings) -> int:
    """The side of an HR patch with what its kernels reach beyond it."""
    return settings.patch * settings.scale + 2 * (FRAME[settings.scale] // 2)


class Optimizer:
    """Muon (K. Jordan et al., 2024) on the hidden convolutions, Adam on the first, the last and the biases."""

    def __init__(self, network: SRMDNet, rate: float) -> None:
        convolutions = network.convolutions
        self.hidden = [convolution.weight for convolution in convolutions[1:-1]]
        # Muon takes matrices: a copy with one row for each output channel, written back after each step.
        self.matrices = [torch.nn.Parameter(weight.data.flatten(1)) for weight in self.hidden]
        others = [convolutions[0].weight, convolutions[-1].weight, *(c.bias for c in convolutions if c.bias is not None)]
        fused = others[0].device.type == "cuda"
        self.parts: list[torch.optim.Optimizer] = [
            torch.optim.Muon(self.matrices, lr=rate, weight_decay=0.0, adjust_lr_fn="match_rms_adamw"),
            torch.optim.Adam(others, lr=ADAM_RATE * rate / MUON_RATE, betas=(0.9, 0.99), fused=fused),
        ]
        self.peaks = [rate, ADAM_RATE * rate / MUON_RATE]

    def step(self, factor: float) -> None:
        """One step at `factor` times the peak rates."""
        for matrix, weight in zip(self.matrices, self.hidden, strict=True):
            assert weight.grad is not None
            matrix.grad = weight.grad.flatten(1)
        for part, peak in zip(self.parts, self.peaks, strict=True):
            part.param_groups[0]["lr"] = factor * peak
            part.step()
            part.zero_grad(set_to_none=True)
        for matrix, weight in zip(self.matrices, self.hidden, strict=True):
            with torch.no_grad():
                weight.copy_(matrix.view_as(weight))
            weight.grad = None


def files_of(folder: Path) -> tuple[list[Path], list[Path]]:
    """The images to train on and, every so manieth by name, those held out."""
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    if len(files) < 2 * HELD_OUT:
        raise BlindSRError(f"{folder}: holds {len(files)} images; training needs at least {2 * HELD_OUT}")
    held_out = files[:: len(files) // HELD_OUT][:HELD_OUT]
    return [path for path in files if path not in set(held_out)], held_out


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
            if high < LEAST_SIDE_PX:
                raise BlindSRError(f"{path}: is too small to be scored at x{scale}; take images of 150 pixels a side or more")
            top, left = ((size - high) // 2 for size in image.shape[:2])
            wide = image[top - reach : top + high + reach, left - reach : left + high + reach]
            planes = torch.from_numpy(np.ascontiguousarray(wide)).permute(2, 0, 1)[None]
            lr = degraded(planes, as_tensor(kernel[None]), scale)
            self.pairs.append((lr, to_depth(image[top : top + high, left : left + high], np.uint8)))

    def psnr(self, model: Model, device: str) -> tuple[float, float]:
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
        return float(bicubic_db), float(network_db)


def rate_factor(step: int, steps: int) -> float:
    """Of the peak rate: a short warm-up, then falling in a line to zero."""
    return min(1.0, (step + 1) / WARM_UP_STEPS) * (1 - step / steps)


class Training:
    """A training under way: network, optimiser, step; on disk as ``training.pt`` beside the log."""

    def __init__(self, settings: Settings, out: Path, device: str, start: Path | None = None) -> None:
        self.settings = settings
        self.out = out
        self.device = device
        state = self._saved()
        started = load_own(start) if start and not state else None
        if state:
            basis = KernelBasis(state["basis"].numpy(), state["mean"].numpy())
        elif started and started.network.scale == settings.scale:
            basis = started.basis
        else:
            basis = KernelBasis.fitted(sample_kernels(BASIS_KERNELS, settings.scale, np.random.default_rng(0)), COEFFICIENTS)
        torch.manual_seed(settings.seed)
        network = SRMDNet(settings.scale, COEFFICIENTS, residual=True)
        _initialize(network)
        if started:
            _transfer(started.network, network)
        self.model = Model(network.to(device, memory_format=torch.channels_last), basis)
        self.optimizer = Optimizer(network, settings.rate)
        self.step = 0
        self.seconds = 0.0
        if state:
            self._resume(state)

    @property
    def _file(self) -> Path:
        return self.out / "training.pt"

    def _saved(self) -> dict[str, Any] | None:
        if not self._file.is_file():
            return None
        try:
            state: dict[str, Any] = torch.load(self._file, weights_only=True, map_location="cpu")
            settings = dict(state["settings"])
        except Exception as error:  # a damaged file makes torch raise nearly anything
            raise BlindSRError(f"{self._file}: is no training that could go on ({type(error).__name__}); remove it") from None
        if settings | {"steps": 0} != self.settings.__dict__ | {"steps": 0}:
            changed = [name for name, value in self.settings.__dict__.items() if name != "steps" and settings.get(name) != value]
            raise BlindSRError(f"{self._file}: is a training with other settings ({', '.join(changed)}); choose another --out")
        return state

    def _resume(self, state: dict[str, Any]) -> None:
        self.model.network.load_state_dict(state["network"])
        for part, saved in zip(self.optimizer.parts, state["optimizer"], strict=True):
            part.load_state_dict(saved)
        for matrix, weight in zip(self.optimizer.matrices, self.optimizer.hidden, strict=True):
            matrix.data.copy_(weight.data.flatten(1))
        self.step, self.seconds = state["step"], state["seconds"]

    def save(self) -> None:
        """Write the state, whole or not at all."""
        state: dict[str, Any] = {
            "settings": self.settings.__dict__,
            "network": self.model.network.state_dict(),
            "optimizer": [part.state_dict() for part in self.optimizer.parts],
            "basis": torch.from_numpy(np.ascontiguousarray(self.model.basis.basis)),
            "mean": torch.from_numpy(np.ascontiguousarray(self.model.basis.mean)),
            "step": self.step,
            "seconds": self.seconds,
        }
        write_whole(self._file, lambda part: torch.save(state, part))

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
            loss.backward()  # type: ignore[no-untyped-call]
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


@click.command()
@click.option("--hr", type=click.Path(path_type=Path, exists=True, file_okay=False), required=True, help="Folder of HR images.")
@click.option("--scale", type=click.IntRange(2, 4), required=True)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder of the training: state, log, network.")
@click.option("--steps", type=click.IntRange(1), default=300_000, show_default=True)
@click.option("--batch", type=click.IntRange(1), default=16, show_default=True)
@click.option("--patch", type=click.IntRange(8), default=32, show_default=True, help="Side of a patch in LR pixels.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
@click.option("--rate", type=float, default=MUON_RATE, show_default=True)
@click.option(
    "--start",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="A network to start from, of this scale or another.",
)
@click.option("--threads", type=click.IntRange(1), help="Of torch on the CPU.")
@click.option("--every", type=click.IntRange(1), default=500, show_default=True, help="Steps between two scores.")
def main(**options: Any) -> None:
    """Train the network of one scale; run it again to go on after a stop."""
    try:
        train(**options)
    except BlindSRError as error:
        raise click.ClickException(str(error)) from error


def train(
    *, hr: Path, scale: int, out: Path, steps: int, batch: int, patch: int, seed: int, rate: float, start: Path | None,
    threads: int | None, every: int,
) -> None:  # fmt: skip
    """Train to the end, logging and saving; the network lands in ``OUT/xSCALE.safetensors``."""
    if threads:
        torch.set_num_threads(threads)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    trained_on, held_out_files = files_of(hr)
    images = hashlib.sha256("".join(sha256(path) for path in trained_on).encode()).hexdigest()
    settings = Settings(images, scale, steps, batch, patch, seed, rate, sha256(start) if start else "")
    held_out = HeldOut(held_out_files, scale)
    photographs = Photographs(trained_on, side_px(settings))
    training = Training(settings, out, device, start)
    saved, losses = time.perf_counter(), []
    for loss in training.run(photographs):
        losses.append(loss)
        if training.step % every == 0 or training.step == steps:
            bicubic_db, network_db = held_out.psnr(training.model, device)
            line = {
                "step": training.step, "seconds": round(training.seconds), "loss": round(float(np.mean(losses)), 6),
                "bicubic_db": round(bicubic_db, 3), "psnr_db": round(network_db, 3),
            }  # fmt: skip
            losses = []
            training.save()  # first, so that a training that goes on from it does not log this step again
            saved = time.perf_counter()
            with (out / "log.jsonl").open("a") as log:
                log.write(json.dumps(line) + "\n")
            click.echo(json.dumps(line))
        elif time.perf_counter() - saved > SAVE_EVERY_SECONDS:
            training.save()
            saved = time.perf_counter()
    about = {
        "trained_on": f"{len(trained_on)} images of {hr.name}", "steps": training.step, "batch": batch, "patch": patch,
        "seconds": round(training.seconds), "device": device,
    }  # fmt: skip
    save(out / f"x{scale}.safetensors", training.model, about)


if __name__ == "__main__":
    main()
