"""What the pretrained network starts from: the image restored in closed form, with the kernel."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import torch
from torch.nn import functional as F

from blindsr.api import DataStep, Image, Kernel, with_border

PLANES = 8
"""The restored image, its change from the interpolated one, the noise, and the expected error of the kernel."""
NOISE_UNIT = 0.05
ERROR_UNIT = 0.25
CHANGE_GAIN = 8.0
"""The change is small beside the image; the network sees it this much larger."""


def restored(
    lr: torch.Tensor, transfer: torch.Tensor, noise: torch.Tensor, error: torch.Tensor, log_alpha: torch.Tensor
) -> torch.Tensor:
    """The planes (N, 8, s h, s w) that the network sees of LR images (N, 3, h, w) in [0, 1] with periodic borders.

    Parameters
    ----------
    transfer
        Of the kernels on the HR grid, see `DataStep`.
    noise
        (N,) standard deviations of the noise, where the image runs from 0 to 1.
    error
        (N,) expected relative L2 errors of the kernels; 0 for exact ones.
    log_alpha
        (3,): the logarithm of the data step's weight is ``a + b noise / NOISE_UNIT + c error``.
    """
    scale = transfer.shape[2] // lr.shape[2]
    a, b, c = log_alpha.unbind()
    start = F.interpolate(lr, scale_factor=scale, mode="bicubic", align_corners=False)
    image = DataStep(lr, transfer, scale)(start, torch.exp(a + b * noise / NOISE_UNIT + c * error))
    told = torch.stack([noise / NOISE_UNIT, error / ERROR_UNIT], 1)[:, :, None, None].expand(-1, -1, *image.shape[2:])
    return torch.cat([image, CHANGE_GAIN * (image - start), told], 1)


@dataclass(frozen=True)
class Restoring:
    """Makes the planes of one image.

    Attributes
    ----------
    log_alpha
        See `restored`.
    noise
        Standard deviation of the image's noise, where the image runs from 0 to 1.
    """

    log_alpha: torch.Tensor
    noise: float
    device: str

    def __call__(self, lr: Image, kernel: Kernel, error: float) -> Image:
        """The planes (s h, s w, 8) of an image (h, w, 3), whose kernel has this expected error."""
        noise, errors = (torch.tensor([value], dtype=torch.float32, device=self.device) for value in (self.noise, error))
        log_alpha = self.log_alpha.to(self.device)
        return with_border(partial(restored, noise=noise, error=errors, log_alpha=log_alpha), lr, kernel, device=self.device)
