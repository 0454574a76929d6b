"""Degradation by a random anisotropic Gaussian with multiplicative noise, as DIV2KRK was made."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field, model_validator

from blindsr.api import BlindSRError, Degradation, hookimpl

if TYPE_CHECKING:
    import numpy as np

    from blindsr.api import Kernel

blindsr_api = 1


class RandomKernel(Degradation):
    """Draws a kernel for each image; the x4 kernel is the x2 kernel applied twice.

    Source: Bell-Kligler et al., KernelGAN (NeurIPS 2019), section 5.1, with the settings of the published DIV2KRK.
    """

    name: ClassVar[str] = "random_kernel"
    stochastic: ClassVar[bool] = True
    scales: ClassVar[tuple[int, ...]] = (2, 4)

    size: int = Field(11, ge=5, le=31)
    """Side of the x2 kernel in pixels, odd. Wide Gaussians are cut by it."""
    min_variance: float = Field(0.6, gt=0, le=50)
    """Least variance along an axis of the Gaussian, in square pixels at x2."""
    max_variance: float = Field(5.0, gt=0, le=50)
    """Greatest variance along an axis."""
    noise: float = Field(0.25, ge=0, lt=1)
    """Each pixel of the kernel is multiplied by 1 + U(-noise, noise)."""

    @model_validator(mode="after")
    def _consistent(self) -> RandomKernel:
        if self.size % 2 == 0:
            raise ValueError(f"size must be odd, not {self.size}")
        if self.min_variance > self.max_variance:
            raise ValueError(f"min_variance ({self.min_variance}) must not exceed max_variance ({self.max_variance})")
        return self

    def sample_kernel(self, scale: int, rng: np.random.Generator) -> Kernel:
        import numpy as np
        from scipy import ndimage

        from blindsr.api import Kernel, gaussian_array, precision_of

        if scale not in (2, 4):
            raise BlindSRError(f"random_kernel makes kernels for scales 2 and 4, not {scale}")
        variances = rng.uniform(self.min_variance, self.max_variance, 2)
        angle = rng.uniform(-np.pi, np.pi)
        factors = 1 + rng.uniform(-self.noise, self.noise, (self.size, self.size))
        aligned = self.size // 2 + 0.5  # for x2
        array = gaussian_array(precision_of(variances, angle), self.size, center=(aligned, aligned)) * factors
        array /= array.sum()
        # Undo the shift of the centre of mass by the noise. The size stays, and what leaves the frame is cut, as in DIV2KRK.
        rows_px, columns_px = Kernel(array, 2).misalignment_px
        moved = np.clip(ndimage.shift(array, (-rows_px, -columns_px), order=3, mode="constant"), 0, None)
        kernel = Kernel(moved / moved.sum(), 2)
        return kernel if scale == 2 else kernel.composed()


@hookimpl
def blindsr_degradations() -> list[type[Degradation]]:
    """The random kernel."""
    return [RandomKernel]
