"""The data step of half-quadratic splitting, solved in closed form: blur and decimation together."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy import ndimage
from torch.nn import functional as F

from blindsr.imaging.downscaling import check_sizes, downscale
from blindsr.imaging.noise import ROUNDING

if TYPE_CHECKING:
    from blindsr.imaging.kernel import Kernel
    from blindsr.imaging.reader import Image

UNMASKED_STEPS, MASKED_STEPS = 4, 20
STEP_ALPHA = 0.01
"""Of the iteration that changes an image's border; chosen on images with Gaussian kernels and streaks."""
MIN_PERIODIC_PX, MIN_MIRRORED_PX = 24, 16
"""LR pixels that are added beyond each side, at least, for the border to become periodic, or where it stays a mirror image."""
SMALL_ALPHA = 0.001
"""Of data steps with kernels that are known well. What they make of a border reaches the farther the smaller alpha is."""
DECAYED = 0.01
MIN_DECAY_PX, MAX_DECAY_PX = 8, 128
TRUSTED_ERROR = 0.11
"""See `data_step_alpha`. Chosen for SRMD on set14rk and urban5rk at x2, with true and estimated kernels."""


def transfer_function(kernels: torch.Tensor, shape: tuple[int, int]) -> torch.Tensor:
    """The transfer functions (N, 1, H, W // 2 + 1) of kernels (N, k, l), applied as correlations, on a periodic H x W grid.

    A kernel that is larger than the grid is wrapped around it.
    """
    count, rows, columns = kernels.shape
    row = (torch.arange(rows, device=kernels.device) - rows // 2) % shape[0]
    column = (torch.arange(columns, device=kernels.device) - columns // 2) % shape[1]
    place = (row[:, None] * shape[1] + column[None]).flatten()
    grid = kernels.new_zeros(count, shape[0] * shape[1])
    grid.index_add_(1, place, kernels.flatten(1))
    transfer: torch.Tensor = torch.fft.rfft2(grid.view(count, 1, *shape)).conj()
    return transfer


class DataStep:
    """Finds ``argmin_z |y - D K z|^2 + alpha |z - x|^2`` for LR images y, where K blurs and D keeps each s-th pixel.

    With periodic borders, ``z = x + K' D' (D K K' D' + alpha)^-1 (y - D K x)``, and the matrix to invert is diagonal in the Fourier
    domain of the LR grid: it is the decimated autocorrelation of the kernel. Equal to equation (11) of Zhang, Van Gool, Timofte,
    *Deep Unfolding Network for Image Super-Resolution* (CVPR 2020), without its division by alpha.

    Parameters
    ----------
    lr
        (N, C, h, w).
    transfer
        Of the kernels on the HR grid (N, 1, s h, s w // 2 + 1), from `transfer_function`.
    scale
        s.
    """

    def __init__(self, lr: torch.Tensor, transfer: torch.Tensor, scale: int) -> None:
        self._lr = lr
        self._transfer = transfer
        self._scale = scale
        self._lr_shape = (lr.shape[2], lr.shape[3])
        self._hr_shape = (scale * lr.shape[2], scale * lr.shape[3])
        autocorrelation = torch.fft.irfft2(transfer.abs().square(), s=self._hr_shape)
        self._power = torch.fft.rfft2(self._decimated(autocorrelation)).real.clamp_min(0)

    def __call__(self, x: torch.Tensor, alpha: torch.Tensor) -> torch.Tensor:
        """z for an estimate x (N, C, s h, s w) and its weights alpha (N,)."""
        residual = self._lr - self._decimated(torch.fft.irfft2(self._transfer * torch.fft.rfft2(x), s=self._hr_shape))
        solved = torch.fft.rfft2(residual) / (self._power + alpha[:, None, None, None])
        spread = torch.zeros_like(x)
        spread[:, :, :: self._scale, :: self._scale] = torch.fft.irfft2(solved, s=self._lr_shape)
        z: torch.Tensor = x + torch.fft.irfft2(torch.fft.rfft2(spread) * self._transfer.conj(), s=self._hr_shape)
        return z

    def _decimated(self, image: torch.Tensor) -> torch.Tensor:
        return image[:, :, :: self._scale, :: self._scale]


def border_decay_px(kernel: Kernel, alpha: float | None = None) -> int:
    """LR pixels over which what a data step makes of the border of an image, or of a tile of one, dies away.

    That is the reach of the inverse that it applies to the LR image, but for 1 % of its absolute sum: 8 (the least) for Gaussians
    as in DIV2KRK, 30 to 128 for kernels that some frequencies do not pass, as those of motion and defocus. `alpha`, the smallest
    one of the data steps, counts where it is below 0.001.
    """
    alpha = SMALL_ALPHA if alpha is None else min(alpha, SMALL_ALPHA)
    side, scale = 2 * MAX_DECAY_PX, kernel.scale
    transfer = transfer_function(torch.tensor(kernel.array)[None], (scale * side, scale * side))
    power = torch.fft.rfft2(torch.fft.irfft2(transfer.abs().square())[:, :, ::scale, ::scale]).real.clamp_min(0)
    inverse = torch.fft.irfft2(1 / (power + alpha))[0, 0].abs()
    offset = torch.arange(side).minimum(side - torch.arange(side))
    shares = torch.bincount(torch.maximum(offset[:, None], offset).flatten(), inverse.flatten()).cumsum(0) / inverse.sum()
    return max(MIN_DECAY_PX, int((shares < 1 - DECAYED).sum()))


def periodic_border(lr: torch.Tensor, transfer: torch.Tensor, border: int, scale: int) -> torch.Tensor:
    """An LR image whose outermost `border` pixels are replaced, so that it is a periodic HR image, blurred by the kernel.

    A mirrored border is no such thing; the data step would amplify the difference all over the image, the more the less of some
    frequency the kernel lets through. The replacement is fitted by data steps that change an HR image until it explains the
    inside; only its blurred and decimated form is needed, so all of it is computed at LR size. The first steps fit the mirrored
    border, too, so that it stays where the kernel allows it.
    """
    hr_shape, lr_shape = (scale * lr.shape[2], scale * lr.shape[3]), (lr.shape[2], lr.shape[3])
    enlarged = F.interpolate(lr, scale_factor=scale, mode="bicubic", align_corners=False)
    explained = torch.fft.irfft2(transfer * torch.fft.rfft2(enlarged), s=hr_shape)[:, :, ::scale, ::scale]
    power = torch.fft.rfft2(torch.fft.irfft2(transfer.abs().square(), s=hr_shape)[:, :, ::scale, ::scale]).real.clamp_min(0)
    inside = F.pad(lr.new_ones(lr.shape[2] - 2 * border, lr.shape[3] - 2 * border), (border, border, border, border))
    for step in range(UNMASKED_STEPS + MASKED_STEPS):
        residual = lr - explained if step < UNMASKED_STEPS else inside * (lr - explained)
        explained = explained + torch.fft.irfft2(power / (power + STEP_ALPHA) * torch.fft.rfft2(residual), s=lr_shape)
    return torch.where(inside > 0, lr, explained)


def with_border(
    restore: Callable[[torch.Tensor, torch.Tensor], torch.Tensor], lr: Image, kernel: Kernel, *, device: str, periodic: bool = True
) -> Image:
    """What data steps make of an image that has borders like any other, (s h, s w, C) of (h, w, 3).

    Parameters
    ----------
    restore
        Makes an HR image (1, C, s h', s w') of an LR image (1, 3, h', w') with periodic borders and of the transfer function.
    lr
        The image. For the computation it is continued by its mirror image, by as much as the kernel is large, or more.
    periodic
        Whether `periodic_border` changes the outermost pixels of that.
    """
    height, width = lr.shape[:2]
    scale = kernel.scale
    border = max(MIN_PERIODIC_PX if periodic else MIN_MIRRORED_PX, -(-max(kernel.shape) // scale))
    bordered = np.pad(lr, ((border, border), (border, border), (0, 0)), mode="symmetric")
    with torch.inference_mode():
        image = torch.from_numpy(bordered).to(device).permute(2, 0, 1)[None]
        array = torch.from_numpy(kernel.array.astype(np.float32))[None].to(device)
        transfer = transfer_function(array, (scale * image.shape[2], scale * image.shape[3]))
        image = periodic_border(image, transfer, border, scale) if periodic else image
        hr: Image = restore(image, transfer)[0].permute(1, 2, 0).cpu().numpy()
    return hr[scale * border : scale * (border + height), scale * border : scale * (border + width)]


def project(sr: Image, lr: Image, kernel: Kernel, *, alpha: float, device: str) -> Image:
    """An SR image (s h, s w, 3), made to agree with the LR image (h, w, 3): at once what back-projections only approach.

    That is a data step, ``argmin_z |lr - downscale(z, kernel)|^2 + alpha |z - sr|^2``, clipped to [0, 1]. The images are float32 in
    [0, 1]. The kernel should be known well: what an error of it leaves unexplained is amplified, by up to 1 / (2 sqrt(alpha)).
    Raises `BlindSRError` if the sizes do not fit the kernel's scale.
    """
    check_sizes(sr, lr, kernel)
    unexplained = lr - downscale(sr, kernel)
    weight = torch.tensor([alpha], dtype=torch.float32, device=device)

    def corrected(unexplained: torch.Tensor, transfer: torch.Tensor) -> torch.Tensor:
        height, width = unexplained.shape[2:]
        nothing = unexplained.new_zeros(1, 3, kernel.scale * height, kernel.scale * width)
        return DataStep(unexplained, transfer, kernel.scale)(nothing, weight)

    found: Image = np.clip(sr + with_border(corrected, unexplained, kernel, device=device, periodic=False), 0, 1)
    return found


def data_step_alpha(lr: Image, kernel_error: float, *, noise: float, factor: float) -> float:
    """The alpha of a data step (`project`) for an LR image (H, W, 3) and a kernel of this expected relative error.

    In theory it is the noise of the LR image over the error of the SR method's result, both variances: here over the image's finest
    detail, times a factor, which is the larger the better the method is. The larger the expected error, the less is the kernel
    trusted; from about 0.25 on nothing changes. The noise is in levels of 255 (see `noise_level`), that of rounding at least.
    """
    gray = lr.mean(2)
    detail = float(np.mean((gray - ndimage.gaussian_filter(gray, 1)) ** 2))
    least = (ROUNDING / 255) ** 2
    return factor * max((noise / 255) ** 2, least) / max(detail, least) * math.exp((kernel_error / TRUSTED_ERROR) ** 2)
