"""A blindsr plugin: the width of the blur from the image's gradients."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from blindsr.api import KernelEstimator, RunContext, hookimpl

if TYPE_CHECKING:
    from blindsr.api import Image, Kernel

blindsr_api = 1


class Spectrum(KernelEstimator):
    """An isotropic Gaussian under which the downscaled image has gradients as strong as the image's own."""

    name: ClassVar[str] = "spectrum"

    candidates: int = Field(16, ge=2)
    """How many widths are tried."""

    def estimate(self, lr: Image, scale: int, run: RunContext) -> Kernel:
        from .search import best_gaussian

        return best_gaussian(lr, scale, self.candidates, run)


@hookimpl
def blindsr_kernel_estimators() -> Iterable[type[KernelEstimator]]:
    return [Spectrum]
