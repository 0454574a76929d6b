"""KernelGAN: an image's own downscaling kernel, by internal adversarial learning.

Source: Bell-Kligler, Shocher and Irani, "Blind Super-Resolution Kernel Estimation using an Internal-GAN", NeurIPS 2019.
Where the paper and its authors' release differ, the release is followed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from blindsr.api import KernelEstimator, hookimpl

if TYPE_CHECKING:
    from blindsr.api import Image, Kernel, RunContext

blindsr_api = 1


class KernelGAN(KernelEstimator):
    """Learns the kernel under which the downscaled image's patches look like the image's own (NeurIPS 2019)."""

    name: ClassVar[str] = "kernelgan"
    version: ClassVar[int] = 1
    stochastic: ClassVar[bool] = True
    scales: ClassVar[tuple[int, ...]] = (2, 4)

    iterations: int = Field(3000, ge=1)
    """Training steps of generator and discriminator."""

    edge_shave: int = Field(10, ge=0)
    """Pixels left out at each side of the LR image: 10 for synthetic data, whose borders are made up, 0 for photographs."""

    learning_rate: float = Field(2e-4, gt=0, le=0.1)
    """Of both networks, at the start; a tenth of it after every 750 iterations."""

    def estimate(self, lr: Image, scale: int, run: RunContext) -> Kernel:
        """The kernel of `lr` for scale 2, or for scale 4 the x2 kernel applied twice."""
        from blindsr.api import BlindSRError
        from blindsr_kernelgan.train import train

        if scale not in (2, 4):
            raise BlindSRError(f"KernelGAN estimates kernels for scale 2 or 4, not {scale}")
        kernel = train(lr, run, iterations=self.iterations, edge_shave=self.edge_shave, learning_rate=self.learning_rate)
        return kernel if scale == 2 else kernel.composed()


@hookimpl
def blindsr_kernel_estimators() -> list[type[KernelEstimator]]:
    """KernelGAN."""
    return [KernelGAN]
