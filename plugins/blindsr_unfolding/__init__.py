"""A deep unfolding network: the kernel enters as mathematics, so it takes any, motion and measured ones included."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from blindsr.api import NonBlindSR, hookimpl

if TYPE_CHECKING:
    from blindsr.api import Image, Kernel, RunContext, Upscaler

blindsr_api = 1


class Unfolding(NonBlindSR):
    """Half-quadratic splitting: a data step solved exactly with the kernel, then a small learned prior, four times over.

    In the manner of USRNet (Zhang, Van Gool, Timofte, CVPR 2020). Seconds an image on a CPU. MODEL_CARD.md beside the weights says
    how they were trained.
    """

    name: ClassVar[str] = "unfolding"
    scales: ClassVar[tuple[int, ...]] = (2, 4)

    noise: float = Field(default=0.0, ge=0, le=50)
    """Standard deviation of the LR image's noise in levels of 255."""
    kernel_error: float | None = Field(default=None, ge=0, le=1)
    """The relative L2 error to expect of the kernel: 0 for an exact one, 0.1 to 0.3 for an estimated one. A larger one makes the
    result softer, and safer. Without it the kernel's own, as its estimator expects it; 0 where that is unknown."""

    def shipped_weights(self, scale: int) -> Mapping[Path, str]:
        return {weights_file(scale): "Apache-2.0"}

    def fit(self, lr: Image, kernel: Kernel, run: RunContext) -> Upscaler:
        """Load the network and tell it the kernel."""
        import torch

        from blindsr_unfolding.files import load
        from blindsr_unfolding.upscaler import UnfoldingUpscaler

        network = load(weights_file(kernel.scale)).to(run.device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        error = min(kernel.expected_error or 0.0, 1.0) if self.kernel_error is None else self.kernel_error
        return UnfoldingUpscaler(network, kernel, self.noise / 255, error, run.device)


def weights_file(scale: int) -> Path:
    """The file of the network for a scale."""
    return Path(__file__).parent / "weights" / f"x{scale}.safetensors"


@hookimpl
def blindsr_nonblind_sr() -> list[type[NonBlindSR]]:
    """The unfolding network."""
    return [Unfolding]
