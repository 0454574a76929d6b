"""The bicubic kernel as an estimator, and bicubic interpolation as an SR method."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from blindsr.api import KernelEstimator, NonBlindSR, RunContext, Upscaler, hookimpl

if TYPE_CHECKING:
    from blindsr.api import Image, Kernel

blindsr_api = 1


class BicubicKernel(KernelEstimator):
    """The kernel of MATLAB's antialiased bicubic downscaling, the same for every image; most SR methods assume it."""

    name: ClassVar[str] = "bicubic"

    def estimate(self, lr: Image, scale: int, run: RunContext) -> Kernel:
        from blindsr.api import Kernel

        return Kernel.bicubic(scale)


class BicubicInterpolation(NonBlindSR):
    """MATLAB's bicubic upscaling; of the kernel only the scale is used."""

    name: ClassVar[str] = "bicubic"

    def fit(self, lr: Image, kernel: Kernel, run: RunContext) -> Upscaler:
        return _Interpolation(kernel.scale)


@dataclass
class _Interpolation:
    scale: int
    halo: int | None = 3

    def __call__(self, tile: Image) -> Image:
        from blindsr.api import bicubic

        return bicubic(tile, scale=self.scale)


@hookimpl
def blindsr_kernel_estimators() -> list[type[KernelEstimator]]:
    """The bicubic kernel."""
    return [BicubicKernel]


@hookimpl
def blindsr_nonblind_sr() -> list[type[NonBlindSR]]:
    """Bicubic interpolation."""
    return [BicubicInterpolation]
