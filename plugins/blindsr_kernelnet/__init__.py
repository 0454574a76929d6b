"""A network that was trained to see the kernel in the LR image: tens of milliseconds, no training at the user's."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from blindsr.api import InputFile, KernelEstimator, hookimpl

if TYPE_CHECKING:
    from blindsr.api import Image, Kernel, RunContext

blindsr_api = 1


class KernelNetEstimator(KernelEstimator):
    """A trained network: spectra and edges of the most textured parts of the image to its kernel, in one pass.

    Trained on photographs blurred by Gaussians, motion, defocus and others, with and without noise and JPEG compression.
    MODEL_CARD.md beside the weights says how, and how good it is.
    """

    name: ClassVar[str] = "kernelnet"
    version: ClassVar[int] = 2
    later_parameters: ClassVar[tuple[str, ...]] = ("weights",)

    weights: InputFile | None = None
    """A network that `python -m blindsr_training kernelnet` wrote, in place of the shipped one."""

    def shipped_weights(self, scale: int) -> Mapping[Path, str]:
        return {} if self.weights else {WEIGHTS: "Apache-2.0"}

    def estimate(self, lr: Image, scale: int, run: RunContext) -> Kernel:
        """Estimate the kernel, and the error to expect of it.

        Raises
        ------
        BlindSRError
            If the image is smaller than 32 pixels a side, or flat.
        """
        from blindsr_kernelnet.estimation import estimate

        kernel, strangeness = estimate(lr, scale, self.weights or WEIGHTS, run.device)
        if strangeness > 1:
            run.warn(
                "kernelnet: the image is unlike those that it was trained on (very noisy, computer-made, or enlarged?); "
                "do not rely on its kernel, nor on the error that it expects"
            )
        elif kernel.expected_error and kernel.expected_error > DOUBTFUL:
            run.warn(
                f"kernelnet: expects an error of {kernel.expected_error:.2f} of its kernel; the image says little about its blur"
            )
        return kernel


WEIGHTS = Path(__file__).parent / "weights" / "kernelnet.safetensors"
DOUBTFUL = 0.35
"""Expected relative L2 error above which the user is warned."""


@hookimpl
def blindsr_kernel_estimators() -> list[type[KernelEstimator]]:
    """The trained estimator."""
    return [KernelNetEstimator]
