"""SRMD: ``python -m blindsr_training srmd --config srmd_x2.yaml --hr FOLDER --out FOLDER``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from blindsr_srmd.checkpoints import load_own
from blindsr_srmd.network import SRMDNet
from blindsr_srmd.stretching import KernelBasis
from numpy.typing import NDArray
from pydantic import Field, PositiveFloat
from torch import nn

from blindsr.api import BlindSRError, psnr_y, read_image, to_depth, to_float
from blindsr_training.files import save_network
from blindsr_training.harness import Training
from blindsr_training.optimizer import MUON_RATE, Muon, log_l1
from blindsr_training.photographs import Photographs
from blindsr_training.settings import Settings
from blindsr_training.srmd.kernels import FRAME, as_tensor, degraded, sample_kernels

BASIS_KERNELS = 20_000
HELD_OUT_SIDE_PX = 96
"""Side, in LR pixels, of the middle of each held-out image that is scored."""
MIN_SIDE_PX = 32


class SRMDSettings(Settings):
    """What a training of an SRMD network is."""

    scale: int = Field(ge=2, le=4, description="Scale: 2, 3 or 4.")
    coefficients: int = Field(15, ge=1, le=100, description="Numbers that tell the network a kernel: more suit exact ones.")
    patch: int = Field(32, ge=8, description="Side of a patch in LR pixels.")
    batch: int = Field(16, ge=1, description="Patches in a step.")
    rate: PositiveFloat = Field(MUON_RATE, description="Muon's peak learning rate; Adam's is in proportion.")


class Batch(NamedTuple):
    """LR and HR patches, and the coefficients of their kernels."""

    lr: torch.Tensor
    hr: torch.Tensor
    coefficients: torch.Tensor


def fitted_basis(kernels: NDArray[np.float64], count: int, start: KernelBasis | None = None) -> KernelBasis:
    """The principal components of kernels (N, side, side), scaled so that the first one's coefficients have variance 1.

    With `start`, its components come first, and the others are those of what it leaves of the kernels.
    """
    side = kernels.shape[1]
    flat = kernels.reshape(len(kernels), -1)
    mean, begun = flat.mean(0), np.empty((0, side * side))
    if start:
        mean, begun = start.mean.ravel(), start.basis.reshape(len(start.basis), -1)[:count]
    flat = flat - mean
    if len(begun):
        flat = flat - flat @ np.linalg.pinv(begun) @ begun
    variances, vectors = np.linalg.eigh(flat.T @ flat / len(flat))
    size = np.linalg.norm(begun[0]) if len(begun) else 1 / np.sqrt(variances[-1])
    components = vectors[:, ::-1][:, : count - len(begun)].T * size
    largest = np.abs(components).argmax(1)
    components *= np.sign(components[np.arange(len(components)), largest])[:, None]  # else the linear algebra library's choice
    return KernelBasis(np.concatenate([begun, components]).reshape(count, side, side), mean.reshape(side, side))


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

    def scores(self, network: SRMDNet, basis: KernelBasis, device: str) -> dict[str, float]:
        """Mean PSNR (dB) of bicubic interpolation and of the network."""
        scores = []
        for kernel, (lr, hr) in zip(self.kernels, self.pairs, strict=True):
            coefficients = torch.from_numpy(basis.coefficients(kernel).astype(np.float32))[None]
            with torch.inference_mode():
                sr = network(lr.to(device), coefficients.to(device))
                plain = network.enlarged(lr.to(device))
            images = [to_depth(x[0].float().permute(1, 2, 0).cpu().numpy(), np.uint8) for x in (plain, sr)]
            scores.append([psnr_y(x, hr, shave=self.scale) for x in images])
        bicubic_db, network_db = np.mean(scores, axis=0)
        return {"bicubic_db": float(bicubic_db), "psnr_db": float(network_db)}


class SRMDTraining(Training[SRMDSettings, Batch]):
    """Train the network of one scale."""

    Settings = SRMDSettings
    max_gradient = None

    def __init__(
        self, settings: SRMDSettings, trained_on: Sequence[Path], held_out: Sequence[Path], constants: Mapping[str, torch.Tensor]
    ) -> None:
        super().__init__(settings, trained_on, held_out, constants)
        scale = settings.scale
        self.held_out = HeldOut(held_out, scale)
        self.photographs = Photographs(trained_on, settings.patch * scale + 2 * (FRAME[scale] // 2))
        started = load_own(settings.start) if settings.start else None
        if constants:
            self.basis = KernelBasis(constants["basis"].numpy(), constants["mean"].numpy())
        else:
            first = started.basis if started and started.network.scale == scale else None
            self.basis = fitted_basis(sample_kernels(BASIS_KERNELS, scale, np.random.default_rng(0)), settings.coefficients, first)
        self.constants = {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in self.basis._asdict().items()}
        self._flat = torch.from_numpy(self.basis.basis.reshape(settings.coefficients, -1).astype(np.float32))
        self._mean = torch.from_numpy(self.basis.mean.ravel().astype(np.float32))
        torch.manual_seed(settings.seed)
        network = SRMDNet(scale, settings.coefficients, residual=True)
        _initialize(network)
        if started:
            _transfer(started.network, network)
        network = network.to(self.device)
        self.network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's types lack it
        self.optimizer = Muon.of_stack(network.convolutions, settings.rate)

    def batch(self, rng: np.random.Generator) -> Batch:
        settings = self.settings
        reach, side = FRAME[settings.scale] // 2, settings.patch * settings.scale
        kernels = as_tensor(sample_kernels(settings.batch, settings.scale, rng))
        # The outermost HR pixels beyond the LR grid are never read: the last LR pixel sits scale - 1 before the edge.
        wide = self.photographs.patches(settings.batch, side + 2 * reach, rng)
        hr = wide[:, :, reach : reach + side, reach : reach + side]
        return Batch(degraded(wide, kernels, settings.scale), hr, (kernels.flatten(1) - self._mean) @ self._flat.T)

    def loss(self, network: Callable[..., Any], batch: Batch) -> torch.Tensor:
        with self.autocast():
            sr: torch.Tensor = network(batch.lr, batch.coefficients)
        return log_l1(sr, batch.hr)

    def scores(self, network: nn.Module) -> dict[str, float]:
        assert isinstance(network, SRMDNet)
        with self.autocast():
            return self.held_out.scores(network, self.basis, self.device)

    def save(self, out: Path, network: nn.Module, about: Mapping[str, Any]) -> None:
        scale = self.settings.scale
        extra = {name: tensor.float() for name, tensor in self.constants.items()}
        header = {"format": "blindsr-srmd-1", "scale": str(scale)}
        save_network(out / f"x{scale}.safetensors", network, about, header=header, extra=extra)


def _initialize(network: SRMDNet) -> None:
    """Weights that keep the signal's size through the layers (He et al., 2015); PyTorch's own let it die out in twelve of them."""
    with torch.no_grad():
        for convolution in network.convolutions:
            torch.nn.init.kaiming_normal_(convolution.weight)
            assert convolution.bias is not None
            convolution.bias.zero_()
        network.convolutions[-1].weight.mul_(0.1)


def _transfer(source: SRMDNet, target: SRMDNet) -> None:
    """Start from another network; one of another scale has another last layer, and one with fewer coefficients other inputs."""
    with torch.no_grad():
        for number, (a, b) in enumerate(zip(source.convolutions, target.convolutions, strict=True)):
            if number and a.weight.shape != b.weight.shape:
                continue
            known = min(a.weight.shape[1], b.weight.shape[1])
            b.weight.zero_()
            b.weight[:, :known] = a.weight[:, :known]
            assert a.bias is not None
            assert b.bias is not None
            b.bias.copy_(a.bias)
