"""KernelGAN: an image's own downscaling kernel, by internal adversarial learning.

Source: Bell-Kligler, Shocher and Irani, "Blind Super-Resolution Kernel Estimation using an Internal-GAN", NeurIPS 2019.
Where the paper and its authors' release differ, the release is followed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from blindsr.api import BlindSRError, KernelEstimator, hookimpl

if TYPE_CHECKING:
    from blindsr.api import Image, Kernel, RunContext

blindsr_api = 1

ROBUST_FEWER = 10  # times: iterations of the robust preset
MAX_TOGETHER = 100  # images whose networks are trained as one computation on a GPU
ROBUST_ERROR = 0.22  # its mean relative L2 error on set14rk and urban5rk (docs/results.md)


class KernelGAN(KernelEstimator):
    """Learns the kernel under which the downscaled image's patches look like the image's own (NeurIPS 2019)."""

    name: ClassVar[str] = "kernelgan"
    version: ClassVar[int] = 1
    stochastic: ClassVar[bool] = True
    scales: ClassVar[tuple[int, ...]] = (2, 4)
    typical_error: ClassVar[float | None] = 0.35
    later_parameters: ClassVar[tuple[str, ...]] = ("preset",)

    preset: Literal["faithful", "robust"] = "faithful"
    """``faithful`` is the paper's program; ``robust`` a Gaussian generator with a prior, more accurate on average and several times
    as fast."""

    iterations: int = Field(3000, ge=1)
    """Training steps of generator and discriminator; the robust preset takes a tenth as many."""

    edge_shave: int = Field(10, ge=0)
    """Pixels left out at each side of the LR image: 10 for synthetic data, whose borders are made up, 0 for photographs."""

    learning_rate: float = Field(2e-4, gt=0, le=0.1)
    """Of both networks, at the start; a tenth of it after every 750 iterations. The robust preset takes a constant rate, 10 times
    this for the discriminator and 50 times for the generator."""

    def estimate(self, lr: Image, scale: int, run: RunContext) -> Kernel:
        """The kernel of `lr` for scale 2, or for scale 4 the x2 kernel applied twice."""
        from blindsr_kernelgan.train import train

        if self.preset == "robust":
            (found,) = self.estimate_many([lr], scale, [run])
            if isinstance(found, Exception):
                raise found
            return found
        _check(scale)
        kernel = train(lr, run, iterations=self.iterations, edge_shave=self.edge_shave, learning_rate=self.learning_rate)
        return kernel if scale == 2 else kernel.composed()

    def estimate_many(self, lrs: Sequence[Image], scale: int, runs: Sequence[RunContext]) -> list[Kernel | Exception]:
        """The kernels of several images; the robust preset trains the networks of all of them as one computation."""
        if self.preset == "faithful":
            return super().estimate_many(lrs, scale, runs)
        from blindsr_kernelgan.robust import train

        _check(scale)
        fewer = math.ceil(self.iterations / ROBUST_FEWER)
        found = train(lrs, runs, iterations=fewer, edge_shave=self.edge_shave, learning_rate=self.learning_rate)
        return [kernel if scale == 2 or isinstance(kernel, Exception) else kernel.composed() for kernel in found]

    def batch_size(self, device: str) -> int:
        """Many on a GPU, which one image does not keep busy. On a CPU four together take as long for each as one alone."""
        return MAX_TOGETHER if self.preset == "robust" and device.startswith("cuda") else 1


def _check(scale: int) -> None:
    if scale not in (2, 4):
        raise BlindSRError(f"KernelGAN estimates kernels for scale 2 or 4, not {scale}")


@hookimpl
def blindsr_kernel_estimators() -> list[type[KernelEstimator]]:
    """KernelGAN."""
    return [KernelGAN]
