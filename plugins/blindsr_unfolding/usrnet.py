"""USRNet (Zhang, Van Gool, Timofte, CVPR 2020): the published networks, from their state dicts."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import torch
from torch import nn
from torch.nn import functional as F

from blindsr.api import DataStep, State, read_weights

LEVELS = 4
"""Resolutions of the prior, each half the one before."""
REACH_PX = 64
"""HR pixels around one that matter to it. Its theoretical reach is hundreds, of which those further away change next to nothing."""
MIN_PARAMETER = 1e-6
"""Added to what the network of the parameters gives: alpha and beta stay positive."""


class Shape(NamedTuple):
    """The sizes by which USRNet and USRNet-tiny differ, all of them found in the shapes of a state dict."""

    widths: tuple[int, ...]
    """Channels of the prior at each resolution: 64, 128, 256, 512; tiny: 16, 32, 64, 64."""
    blocks: int
    """Residual blocks at each resolution, on the way down and on the way up: 2."""
    iterations: int
    """8; tiny: 6."""
    hidden: int
    """Channels of the network of the parameters: 64; tiny: 32."""


class ResidualBlock(nn.Module):
    """Two convolutions with a ReLU between, added to the input."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.res = nn.Sequential(_convolution(width, width), nn.ReLU(inplace=True), _convolution(width, width))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = features + self.res(features)
        return result


def _convolution(channels_in: int, channels_out: int) -> nn.Conv2d:
    return nn.Conv2d(channels_in, channels_out, 3, padding=1, bias=False)


def _blocks(width: int, count: int) -> list[nn.Module]:
    return [ResidualBlock(width) for _ in range(count)]


class ResUNet(nn.Module):
    """The paper's prior module: a U-Net of residual blocks at HR resolution, told beta as a fourth channel."""

    def __init__(self, widths: tuple[int, ...], blocks: int) -> None:
        super().__init__()
        self.m_head = _convolution(4, widths[0])
        for level, (fine, coarse) in enumerate(pairwise(widths), 1):
            down = nn.Conv2d(fine, coarse, 2, stride=2, bias=False)
            up = nn.ConvTranspose2d(coarse, fine, 2, stride=2, bias=False)
            self.add_module(f"m_down{level}", nn.Sequential(*_blocks(fine, blocks), down))
            self.add_module(f"m_up{level}", nn.Sequential(up, *_blocks(fine, blocks)))
        self.m_body = nn.Sequential(*_blocks(widths[-1], blocks))
        self.m_tail = _convolution(widths[0], 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """An image (N, 3, H, W) of one and its beta (N, 4, H, W), of any size."""
        height, width = x.shape[2:]
        coarsest = 2 ** (LEVELS - 1)
        features = self.m_head(F.pad(x, (0, -width % coarsest, 0, -height % coarsest), mode="replicate"))
        skipped = []
        for level in range(1, LEVELS):
            skipped.append(features)
            features = self.get_submodule(f"m_down{level}")(features)
        skipped.append(features)
        features = self.m_body(features)
        for level in range(LEVELS - 1, 0, -1):
            features = self.get_submodule(f"m_up{level}")(features + skipped.pop())
        image: torch.Tensor = self.m_tail(features + skipped.pop())
        return image[:, :, :height, :width]


class Parameters(nn.Module):
    """The paper's hyper-parameter module: from the noise and the scale to the alphas and betas of all iterations."""

    def __init__(self, iterations: int, hidden: int) -> None:
        super().__init__()
        self.mlp = nn.Sequential(
            nn.Conv2d(2, hidden, 1),
            nn.ReLU(inplace=True),
            nn.Conv2d(hidden, hidden, 1),
            nn.ReLU(inplace=True),
            nn.Conv2d(hidden, 2 * iterations, 1),
            nn.Softplus(),
        )

    def forward(self, noise: torch.Tensor, scale: int) -> tuple[torch.Tensor, torch.Tensor]:
        """The alphas and the betas (iterations, N) for noise (N,)."""
        told = torch.stack([noise, torch.full_like(noise, scale)], 1)[:, :, None, None]
        alphas, betas = (self.mlp(told)[:, :, 0, 0] + MIN_PARAMETER).T.chunk(2)
        return alphas, betas


class USRNet(nn.Module):
    """The unfolded network for one scale; its weights are the same for all scales, and for all iterations.

    Its state dict has the names of the published files.
    """

    def __init__(self, scale: int, shape: Shape) -> None:
        super().__init__()
        self.scale = scale
        self.reach_px = REACH_PX
        self.p = ResUNet(shape.widths, shape.blocks)
        self.h = Parameters(shape.iterations, shape.hidden)

    def forward(self, lr: torch.Tensor, transfer: torch.Tensor, noise: torch.Tensor, kernel_error: torch.Tensor) -> torch.Tensor:
        """SR images (N, 3, s h, s w), as of `UnfoldingNet`; these networks know nothing of kernel errors."""
        data_step = DataStep(lr, transfer, self.scale)
        x = F.interpolate(lr, scale_factor=self.scale, mode="nearest")
        for alpha, beta in zip(*self.h(noise, self.scale), strict=True):
            z = data_step(x, alpha)
            told = beta[:, None, None, None].expand(-1, 1, *z.shape[2:])
            x = self.p(torch.cat([z, told], 1).contiguous(memory_format=torch.channels_last))
        return x


def load(path: Path, scale: int) -> USRNet:
    """The network of a published file (usrnet.pth, usrnet_tiny.pth, usrgan.pth, usrgan_tiny.pth), in float32.

    Raises
    ------
    BlindSRError
        If the file is missing, damaged, or something else.
    """

    def network(state: State) -> USRNet:
        with torch.device("meta"):
            made = USRNet(scale, _shape_of(state))
        made.load_state_dict(state, assign=True)
        return made.eval()

    return read_weights(path).build(network, "is no USRNet; expected a published one, such as usrnet.pth or usrnet_tiny.pth")


def _shape_of(state: State) -> Shape:
    blocks = sum(name.startswith("p.m_body.") for name in state) // 2  # two convolutions each
    widths = len(state["p.m_head.weight"]), *(len(state[f"p.m_down{level}.{blocks}.weight"]) for level in range(1, LEVELS))
    return Shape(widths, blocks, iterations=len(state["h.mlp.4.weight"]) // 2, hidden=len(state["h.mlp.0.weight"]))
