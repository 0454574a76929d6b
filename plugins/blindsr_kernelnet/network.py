"""From an LR image to its kernel: power spectra and a convolutional encoder, pooled over the image, then a head for each scale."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import nn
from torch.nn import functional as F

WINDOW_PX = 32
STRIDE_PX = WINDOW_PX // 2
BINS = WINDOW_PX // 2 + 1
SHARES = (1.0, 0.5, 0.125)
"""The spectra are averaged over all windows, over the more textured half, and over the most textured eighth."""
WIDTH = 512
"""Of the fully connected layers, and of the features."""
HEADS = 4
"""Poolings of the encoder's features, each with weights of its own."""
FRAME_PX = {2: 21, 3: 33, 4: 45}
"""Side of the kernel at each scale."""
SATURATED = 0.004
"""Pixels this near to 0 or 1 are clipped; a window with more than a tenth of them counts as flat."""


class Estimate(NamedTuple):
    """Kernels (N, side, side) that sum to 1, the logarithm of their expected relative L2 error (N,), and features (N, width)."""

    kernels: torch.Tensor
    log_error: torch.Tensor
    features: torch.Tensor


class Head(nn.Module):
    """A kernel: the exponential of a Gaussian's exponent plus a combination of learned patterns, normalised."""

    axis: torch.Tensor

    def __init__(self, scale: int, width: int, patterns: int) -> None:
        super().__init__()
        self.side = FRAME_PX[scale]
        self.gaussian = nn.Linear(width, 3)
        self.coefficients = nn.Linear(width, patterns)
        self.patterns = nn.Linear(patterns, self.side**2)
        self.log_error = nn.Linear(width, 1)
        # In units in which DIV2KRK's kernels are as wide at every scale; the middle is where an aligned kernel's mass lies.
        axis = (torch.arange(self.side) - (self.side // 2 + (scale - 1) / 2)) / ((scale**2 - 1) / 3) ** 0.5
        self.register_buffer("axis", axis, persistent=False)
        nn.init.zeros_(self.gaussian.weight)
        self.gaussian.bias.data.copy_(torch.tensor([-0.5, -0.5, 0.0]))
        self.patterns.weight.data.mul_(0.1)
        nn.init.zeros_(self.log_error.weight)
        self.log_error.bias.data.fill_(-1.5)

    def forward(self, features: torch.Tensor) -> Estimate:
        # The inverse covariance by its Cholesky factor.
        first, second, mixed = self.gaussian(features).unbind(1)
        y, x = self.axis[:, None], self.axis[None]
        rows = first.exp()[:, None, None] * y
        columns = mixed[:, None, None] * y + second.exp()[:, None, None] * x
        exponent = -0.5 * (rows.square() + columns.square())
        exponent = exponent.flatten(1) + self.patterns(self.coefficients(features))
        return Estimate(exponent.softmax(1).view(-1, self.side, self.side), self.log_error(features)[:, 0], features)


class KernelNet(nn.Module):
    """The network for all scales.

    Parameters
    ----------
    width
        Of the fully connected layers.
    channels
        Of the encoder.
    patterns
        Learned patterns of each scale's head.
    """

    window: torch.Tensor

    def __init__(self, *, width: int = WIDTH, channels: int = 64, patterns: int = 96, scales: tuple[int, ...] = (2, 3, 4)) -> None:
        super().__init__()
        hann = torch.hann_window(WINDOW_PX, periodic=False)
        self.register_buffer("window", hann[:, None] * hann[None], persistent=False)
        self.encoder = nn.ModuleList(
            [
                nn.Conv2d(1, 32, 7, stride=2),
                nn.Conv2d(32, channels, 3),
                nn.Conv2d(channels, channels, 3, stride=2),
                nn.Conv2d(channels, channels, 3),
                nn.Conv2d(channels, channels + HEADS, 3),
            ]
        )
        for layer in self.encoder:
            nn.init.kaiming_normal_(layer.weight)  # type: ignore[arg-type]
            layer.bias.data.zero_()  # type: ignore[operator]
        self.from_spectra = nn.Linear(len(SHARES) * WINDOW_PX * BINS, width)
        self.from_encoder = nn.Linear(2 * HEADS * channels + HEADS, width)
        self.body = nn.ModuleList(nn.Linear(width, width) for _ in range(3))
        self.heads = nn.ModuleDict({str(scale): Head(scale, width, patterns) for scale in scales})

    def forward(self, crops: torch.Tensor, scale: int) -> Estimate:
        """The kernels of gray images in [0, 1].

        Parameters
        ----------
        crops
            (N, M, H, W): M crops of each of N images, of 64 pixels a side or more.
        """
        with torch.autocast(crops.device.type, enabled=False):
            spectra = self._spectra(crops.float())
        features = F.gelu(self.from_spectra(spectra) + self.from_encoder(self._encoded(crops)))
        for layer in self.body:
            features = features + F.gelu(layer(features))
        with torch.autocast(crops.device.type, enabled=False):
            estimate: Estimate = self.heads[str(scale)](features.float())
        return estimate

    def _spectra(self, crops: torch.Tensor) -> torch.Tensor:
        """Log power spectra of windows, averaged over shares of them."""
        windows = F.unfold(crops.flatten(0, 1)[:, None], WINDOW_PX, stride=STRIDE_PX).transpose(1, 2)
        windows = windows.reshape(len(crops), -1, WINDOW_PX, WINDOW_PX)
        sound = ((windows > SATURATED) & (windows < 1 - SATURATED)).float().mean((2, 3)) > 0.9
        windows = (windows - windows.mean((2, 3), keepdim=True)) * self.window
        power = torch.fft.rfft2(windows).abs().square()
        order = (power[:, :, 2:-1, 2:].mean((2, 3)) * sound).argsort(1, descending=True)
        averages = []
        for share in SHARES:
            chosen = order[:, : max(1, round(order.shape[1] * share)), None, None].expand(-1, -1, WINDOW_PX, BINS)
            of = torch.gather(power, 1, chosen)
            averages.append((of + 1e-6).log().mean(1) if share == 1 else (of.mean(1) + 1e-6).log())
        spectra = torch.stack(averages, 1)
        return ((spectra - spectra.mean((2, 3), keepdim=True)) / 3).flatten(1)

    def _encoded(self, crops: torch.Tensor) -> torch.Tensor:
        """Mean and variance of the encoder's features, pooled with learned weights."""
        count, many = crops.shape[:2]
        mean = crops.mean((1, 2, 3), keepdim=True)
        deviation = (crops - mean).square().mean((1, 2, 3), keepdim=True).sqrt()
        features = ((crops - mean) / (deviation + 0.02)).flatten(0, 1)[:, None].contiguous(memory_format=torch.channels_last)
        for number, layer in enumerate(self.encoder):
            features = layer(features)
            if number < len(self.encoder) - 1:
                features = F.relu(features)
        features = features.float().flatten(2)
        features = features.view(count, many, *features.shape[1:]).transpose(1, 2).flatten(2)
        weights = features[:, :HEADS].softmax(2)
        features = F.relu(features[:, HEADS:])
        mean = torch.einsum("nkp,ncp->nkc", weights, features)
        variance = (torch.einsum("nkp,ncp->nkc", weights, features.square()) - mean.square()).clamp_min(0)
        contrast = (deviation.flatten(1) + 1e-3).log().expand(-1, HEADS)
        return torch.cat([mean.flatten(1).log1p(), variance.flatten(1).log1p(), contrast], 1)
