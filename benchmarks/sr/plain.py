"""The networks in plain form: contiguous tensors, the data step by complex FFTs as the paper writes it, the whole image at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from blindsr_srmd import SRMD
from blindsr_unfolding import Unfolding
from blindsr_unfolding.network import CORRECTION_GAIN, ERROR_UNIT, NOISE_UNIT
from numpy.typing import NDArray
from torch.nn import functional as F

from blindsr.api import Kernel, project, with_border

Image = NDArray[np.float32]


@dataclass(frozen=True)
class Whole:
    """An upscaler that takes the image whole."""

    call: Callable[[Image], Image]
    halo: None = None

    def __call__(self, tile: Image) -> Image:
        return self.call(tile)


class PlainSRMD:
    """SRMD's own network, then its data step."""

    def fit(self, lr: Image, kernel: Kernel, run: Any) -> Whole:
        upscaler: Any = SRMD().fit(lr, kernel, run)
        network = upscaler.network.to(memory_format=torch.contiguous_format)

        def call(tile: Image) -> Image:
            with torch.inference_mode():
                image = _tensor(tile, run.device)
                maps = upscaler.maps[:, :, None, None].expand(-1, -1, *image.shape[2:])
                sr = network.enlarged(image) + network.model(torch.cat([image, maps], 1).contiguous())
            return project(_array(sr), tile, kernel, alpha=upscaler.alpha, device=run.device)

        return Whole(call)


class PlainUnfolding:
    """The unfolding network, told an exact kernel and no noise.

    Its results are the plugin's, to 2e-6 in float64 and to 2e-4 in float32, for images from 0 to 1: it divides by a small alpha.
    """

    def fit(self, lr: Image, kernel: Kernel, run: Any) -> Whole:
        upscaler: Any = Unfolding().fit(lr, kernel, run)
        network = upscaler.network.to(memory_format=torch.contiguous_format)

        def restore(lr: torch.Tensor, _: torch.Tensor) -> torch.Tensor:
            return unfolded(network, lr, kernel, upscaler.alpha)

        return Whole(lambda tile: with_border(restore, tile, kernel, device=run.device))


def unfolded(network: Any, lr: torch.Tensor, kernel: Kernel, alpha: float) -> torch.Tensor:
    """What the network and a last data step make of an LR image (1, 3, h, w) with periodic borders."""
    lr, fold, scale = lr.contiguous(), network.fold, kernel.scale
    height, width = (scale * side for side in lr.shape[2:])
    placed = np.zeros((height, width))
    rows, columns = kernel.shape
    placed[:rows, :columns] = kernel.array
    placed = np.roll(placed, (-(rows // 2), -(columns // 2)), (0, 1))
    transfer = torch.fft.fft2(torch.from_numpy(placed).to(lr)[None, None]).conj()
    x = F.interpolate(lr, scale_factor=scale, mode="bicubic", align_corners=False)
    grid = 2 if network.coarse_blocks else 1
    size = [grid * -(-side // (grid * fold)) for side in (height, width)]
    beyond = (0, fold * size[1] - width, 0, fold * size[0] - height)
    features = lr.new_zeros(1, network.width, *size)
    told = torch.tensor([0 / NOISE_UNIT, 0 / ERROR_UNIT, 1], device=lr.device)[None, :, None, None].expand(-1, -1, *size)
    for prior, weights in zip(network.priors, network.log_alpha, strict=True):
        z = _data_step(lr, transfer, x, torch.exp(weights[0]), scale)
        planes = F.pad(torch.cat([z, CORRECTION_GAIN * (z - x)], 1), beyond, mode="replicate")
        features = F.relu(prior.head(torch.cat([F.pixel_unshuffle(planes, fold), features, told], 1)))
        for block in prior.blocks:
            features = block(features)
        if prior.coarse:
            features = prior.coarse(features)
        x = z + F.pixel_shuffle(prior.tail(features), fold)[:, :, :height, :width]
    return _data_step(lr, transfer, x, lr.new_tensor(alpha), scale)


def _data_step(lr: torch.Tensor, transfer: torch.Tensor, x: torch.Tensor, alpha: torch.Tensor, scale: int) -> torch.Tensor:
    """Equation (11) of the USRNet paper, as it stands there."""
    spread = torch.zeros_like(x)
    spread[:, :, ::scale, ::scale] = lr
    d = transfer.conj() * torch.fft.fft2(spread) + alpha * torch.fft.fft2(x)
    solved = _aliases(transfer * d, scale) / (_aliases(transfer.abs().square(), scale) + alpha)
    return torch.fft.ifft2((d - transfer.conj() * solved.repeat(1, 1, scale, scale)) / alpha).real


def _aliases(spectrum: torch.Tensor, scale: int) -> torch.Tensor:
    """The mean over the scale x scale frequencies that decimation makes one."""
    count, channels, height, width = spectrum.shape
    return spectrum.view(count, channels, scale, height // scale, scale, width // scale).mean((2, 4))


def _tensor(image: Image, device: str) -> torch.Tensor:
    return torch.from_numpy(image.copy()).to(device).permute(2, 0, 1)[None].contiguous()


def _array(image: torch.Tensor) -> Image:
    return image[0].permute(1, 2, 0).cpu().numpy()


FORMS = (PlainSRMD, PlainUnfolding)
