"""Michaeli and Irani's estimator: the kernel under which an image's patches recur in its own downscaled version.

Source: Michaeli and Irani, "Nonparametric Blind Super-Resolution", ICCV 2013. Their program was never published.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from blindsr.api import KernelEstimator, hookimpl

if TYPE_CHECKING:
    from blindsr.api import Image, Kernel, RunContext

blindsr_api = 1


class MichaeliIrani(KernelEstimator):
    """Finds the kernel under which the image's small patches recur in its downscaled version (ICCV 2013).

    Beyond the paper, whose kernels come out far too wide on small images, the kernel is kept non-negative, patches count by
    how well they recur, and the smoothness is weighed by how well they do on the whole. In the end, it is that of a Gaussian.
    """

    name: ClassVar[str] = "michaeli_irani"
    version: ClassVar[int] = 2
    scales: ClassVar[tuple[int, ...]] = (2, 3, 4)
    typical_error: ClassVar[float | None] = 0.25
    """Mean over images blurred as in DIV2KRK: set14rk, urban5rk and BSD100 at x2 have 0.21 to 0.28."""

    iterations: int = Field(default=15, ge=1, le=1000)
    """Rounds of neighbour search and kernel fit, at most; it ends sooner where the neighbours come no closer."""

    patches: int = Field(default=5000, ge=100, le=1_000_000)
    """5 x 5 patches of the image whose neighbours are searched, at most, spread evenly over those with contrast."""

    neighbours: int = Field(default=5, ge=1, le=100)
    """Nearest patches of the downscaled image that each patch is compared with."""

    sigma: float = Field(default=10.0, gt=0, le=255)
    """How fast a neighbour's weight falls with its distance, in gray levels of 255 (the paper's noise level)."""

    smoothness: float = Field(default=2.5, gt=0, le=1e6)
    """Weight of the kernel's squared differences, in units of what the neighbours leave unexplained; 1 to 5 suits most images."""

    def estimate(self, lr: Image, scale: int, run: RunContext) -> Kernel:
        """The kernel of `lr` for scale 2 or 3, or for scale 4 the x2 kernel applied twice, since patches recur less at x4."""
        from blindsr.api import BlindSRError
        from blindsr_michaeli_irani.alternation import estimate

        if scale not in self.scales:
            raise BlindSRError(f"Michaeli and Irani's method estimates kernels for scale 2, 3 or 4, not {scale}")
        return estimate(lr, 2, self, run).composed() if scale == 4 else estimate(lr, scale, self, run)


@hookimpl
def blindsr_kernel_estimators() -> list[type[KernelEstimator]]:
    """Michaeli and Irani's method."""
    return [MichaeliIrani]
