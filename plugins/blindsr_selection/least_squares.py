"""What an SR image says of the kernel that it was made with: the taps that explain the LR image better, by least squares.

An SR image ``x`` that a network made of ``lr`` with a kernel ``k`` does not give ``lr`` back exactly: what the network knows of
images draws it away from where ``k`` would have it. The correction ``d`` that minimises ``|lr - correlate(x, k + d)[::s, ::s]|^2``
points from ``k`` to the true kernel, on average. How far it can be believed depends on the frequency and on the tap, so there are
several of them, `CHANNELS`, for a network to choose from.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from blindsr.api import Kernel, centered_taps, from_centered_taps

if TYPE_CHECKING:
    from blindsr.api import Image

Array = NDArray[np.float64]

SIDES_PX = {2: 22, 3: 33, 4: 44}
"""Side of the frame of taps at each scale; its parity is such that an aligned kernel's centre of mass can be in the middle."""
TAPER_PX = 8
"""LR pixels over which the weight of the residuals rises from 0 near the borders to 1."""
MIN_DAMPING = 1e-12
"""For images without any texture, whose equations have no solution."""
FLOORS = {0: 0.0, 0.5: 1e-3, 1: 1e-2}
"""Added to a tap, in units of the largest one, before its proportion is taken: small taps can be corrected, too."""


class Channel(NamedTuple):
    """A way of weighing: frequencies by a power of the Laplacian, taps by a power of their size; and how strongly it is damped."""

    laplacian: float
    proportion: float
    damping: float


CHANNELS = tuple(
    Channel(*each)
    for each in (
        (0, 0, 1e-2), (0, 1, 1e-3), (0, 1, 1e-2), (0, 1, 1e-1),
        (1, 1, 1e-2), (1, 1, 1e-1), (1, 1, 1), (1, 0.5, 1e-1), (1, 0.5, 1),
        (2, 1, 1e-1), (2, 1, 1), (2, 0.5, 1),
    )
)  # fmt: skip


class Corrections(NamedTuple):
    """Corrections of the taps, (channels, side, side), and the RMS residual of the kernel as it is."""

    taps: torch.Tensor
    residual: float


def framed(kernel: Kernel) -> Array:
    """The taps of a kernel, aligned, in the frame of its scale (side, side), with the centre of mass in the middle."""
    return centered_taps(kernel.align(), SIDES_PX[kernel.scale])


def unframed(frame: Array, scale: int, expected_error: float | None = None) -> Kernel:
    """The kernel with these taps, aligned; the inverse of `framed`."""
    taps = np.clip(frame, 0, None)
    return from_centered_taps(taps / taps.sum(), scale, expected_error).align()


def corrections(lr: Image, sr: Image, frame: Array, scale: int) -> Corrections:
    """The corrections of a kernel's taps by all `CHANNELS`.

    Parameters
    ----------
    lr, sr
        The LR image (h, w, 3) and the SR image (scale h, scale w, 3) that was made of it with the kernel.
    frame
        The kernel, as `framed` gives it.
    """
    equations = _Equations(lr, sr, frame, scale)
    return Corrections(torch.stack([equations.solved(channel) for channel in CHANNELS]), equations.residual)


class _Equations:
    """The normal equations of the taps, by FFTs of the `scale` x `scale` polyphase parts of the SR image."""

    def __init__(self, lr: Image, sr: Image, frame: Array, scale: int) -> None:
        height, width = lr.shape[:2]
        self._size = (height, width)
        y, x = (torch.from_numpy(np.moveaxis(image, 2, 0).astype(np.float64)) for image in (lr, sr))
        y, x = (image - image.mean((1, 2), keepdim=True) for image in (y, x))
        parts = x.view(3, height, scale, width, scale).permute(2, 4, 0, 1, 3)  # (phase, phase, channel, h, w)
        weight = _taper(height, scale)[:, None] * _taper(width, scale)[None]
        # Tap v looks at the HR pixel s i + v + (s - side) / 2, which is pixel i + lag of a phase.
        lag, phase = np.divmod(np.arange(len(frame)) + (scale - len(frame)) // 2, scale)
        self._lag, self._phase = torch.from_numpy(lag), torch.from_numpy(phase)
        whole, weighted = torch.fft.rfft2(parts), torch.fft.rfft2(parts * weight.sqrt()).flatten(0, 1)
        taps = torch.zeros(scale, scale, height, width, dtype=torch.float64)
        taps[self._place] = torch.from_numpy(frame)
        explained = torch.fft.irfft2((torch.fft.rfft2(taps).conj()[:, :, None] * whole).sum((0, 1)), s=self._size)
        # Cross spectra of the residual with the phases, and of the phases with one another.
        self._right = (torch.fft.rfft2((y - explained) * weight).conj() * whole).sum(2)
        self._products = torch.stack([(part.conj() * weighted).sum(1) for part in weighted])
        self.residual = float((y - explained)[:, weight > 0.5].square().mean().sqrt())
        self._envelope = (torch.from_numpy(frame) / frame.max()).clamp_min(0).flatten()
        rows, columns = (2 * torch.pi * f for f in (torch.fft.fftfreq(height).double(), torch.fft.rfftfreq(width).double()))
        self._laplacian = 4 - 2 * rows.cos()[:, None] - 2 * columns.cos()[None]
        self._made: dict[float, tuple[torch.Tensor, torch.Tensor]] = {}

    @property
    def _place(self) -> tuple[torch.Tensor, ...]:
        """Where each tap is in correlations (phase, phase, row, column)."""
        rows, columns = (self._lag % size for size in self._size)
        return self._phase[:, None], self._phase[None], rows[:, None], columns[None]

    def solved(self, channel: Channel) -> torch.Tensor:
        """The correction (side, side)."""
        matrix, right = self._normal(channel.laplacian)
        scales = (self._envelope + FLOORS[channel.proportion]) ** channel.proportion
        scaled = matrix * scales[:, None] * scales[None]
        damping = channel.damping * scaled.trace() / len(scales) + MIN_DAMPING
        lower = torch.linalg.cholesky(scaled + damping * torch.eye(len(scales)).double())
        correction: torch.Tensor = scales * torch.cholesky_solve((scales * right)[:, None], lower)[:, 0]
        return correction.view(len(self._lag), -1).float()

    def _normal(self, laplacian: float) -> tuple[torch.Tensor, torch.Tensor]:
        """Matrix and right side for residuals whose frequencies are weighed."""
        if laplacian not in self._made:
            power = self._laplacian**laplacian
            right = torch.fft.irfft2(power * self._right, s=self._size)[self._place].flatten()
            correlations = torch.fft.irfft2(power * self._products, s=self._size)
            self._made[laplacian] = correlations.flatten()[self._pairs], right
        return self._made[laplacian]

    @functools.cached_property
    def _pairs(self) -> torch.Tensor:
        """Where the correlation of each two taps is in correlations (phases, phases, row, column), flattened."""
        (height, width), count, scale = self._size, len(self._lag), len(self._right)
        of = (scale * self._phase[:, None] + self._phase[None]).flatten()
        rows, columns = (lag.expand(count, count).flatten() for lag in (self._lag[:, None], self._lag[None]))
        down, right = (rows[None] - rows[:, None]) % height, (columns[None] - columns[:, None]) % width
        pairs: torch.Tensor = ((scale**2 * of[:, None] + of[None]) * height + down) * width + right
        return pairs


def _taper(size: int, scale: int) -> torch.Tensor:
    """The weight of residuals along an axis: 0 where the kernel reaches beyond the image."""
    beyond = SIDES_PX[scale] // 2 // scale + 2
    inside = np.minimum(np.arange(size), np.arange(size)[::-1]) - beyond
    return torch.from_numpy(np.sin(np.clip(inside / TAPER_PX, 0, 1) * np.pi / 2) ** 2)
