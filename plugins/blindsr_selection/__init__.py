"""Estimators made of others: the best of several, and those whose answer is mended by what super-resolution makes of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from blindsr.api import AnyKernelEstimator, AnyNonBlindSR, Composite, InputFile, KernelEstimator, hookimpl

if TYPE_CHECKING:
    from blindsr.api import Image, Kernel, RunContext

blindsr_api = 1

_TRUSTING: Mapping[str, Any] = {"size": "small", "data_step": False}
"""Parameters of `unfolding`: the network with which limits were set and the correcting network was trained, and no last data step,
which would hide what the network leaves unexplained."""
_UNSURE = {**_TRUSTING, "kernel_error": 0.35}
_NOISY = {**_TRUSTING, "noise": 6, "kernel_error": 0.1}


class BestOf(Composite, KernelEstimator):
    """Asks several estimators, and takes the kernel of the least expected error that the image does not contradict.

    A kernel is contradicted where a much narrower one agrees far better with the image.
    """

    name: ClassVar[str] = "best_of"
    version: ClassVar[int] = 2

    of: list[AnyKernelEstimator] = Field(min_length=2)
    """The estimators, each a name or {name: {parameter: value}}."""
    sr: AnyNonBlindSR = Field(default_factory=lambda: {"unfolding": _TRUSTING}, validate_default=True)
    """The SR method that tries the kernels on the most textured part of the image: a fast one that trusts its kernel,
    and does not make its result agree with the image."""

    def estimate(self, lr: Image, scale: int, run: RunContext) -> Kernel:
        """Estimate with each, and choose. An estimator that fails is left out with a warning.

        Raises
        ------
        BlindSRError
            If all of them fail.
        """
        from blindsr_selection.evidence import best

        return best(self.of, self.sr, lr, scale, run)


class Refined(Composite, KernelEstimator):
    """Another estimator's kernel, made narrower in steps of 5 % as long as the image agrees much better with that.

    Too wide a kernel costs several times as much as one that is as much too narrow, and it shows: the SR image that it leads to,
    downscaled again, is not the LR image.
    """

    name: ClassVar[str] = "refined"
    version: ClassVar[int] = 2

    start: AnyKernelEstimator = Field(default="kernelnet", validate_default=True)
    """The estimator whose kernel is refined, a name or {name: {parameter: value}}."""
    sr: AnyNonBlindSR = Field(default_factory=lambda: {"unfolding": _TRUSTING}, validate_default=True)
    """The SR method that tries the kernels on the most textured part of the image: a fast one that trusts its kernel,
    and does not make its result agree with the image."""

    def estimate(self, lr: Image, scale: int, run: RunContext) -> Kernel:
        """Estimate, then refine."""
        from blindsr_selection.evidence import KernelTrial, estimate_with

        return KernelTrial(lr, self.sr, run).narrowed(estimate_with(self.start, lr, scale, run))


class Corrected(Composite, KernelEstimator):
    """Another estimator's kernel, its taps corrected one by one by what super-resolution with it leaves unexplained.

    The SR image of a textured part does not give the LR image back exactly. Least squares tell which taps would, and a small
    trained network how far to believe that, for two SR images: one made with a wider kernel that the method is told to distrust,
    one by a method that expects noise. It finds some of what no Gaussian has: the unevenness of real kernels.
    """

    name: ClassVar[str] = "corrected"
    scales: ClassVar[tuple[int, ...]] = (2,)
    version: ClassVar[int] = 2
    later_parameters: ClassVar[tuple[str, ...]] = ("weights",)

    start: AnyKernelEstimator = Field(default="refined", validate_default=True)
    """The estimator whose kernel is corrected, a name or {name: {parameter: value}}. The network was trained on those of kernelnet,
    which `refined` changes where they are clearly too wide."""
    sr: AnyNonBlindSR = Field(default_factory=lambda: {"unfolding": _UNSURE}, validate_default=True)
    """The SR method that makes the first SR image. The network was trained with these two, and knows no others."""
    noisy_sr: AnyNonBlindSR = Field(default_factory=lambda: {"unfolding": _NOISY}, validate_default=True)
    """The SR method that makes the second: the same one, told of noise of six levels."""

    weights: InputFile | None = None
    """A network that `python -m blindsr_training corrected` wrote, in place of the shipped one."""

    def shipped_weights(self, scale: int) -> Mapping[Path, str]:
        own: Mapping[Path, str] = {} if self.weights else {weights_file(scale): "Apache-2.0"}
        return {**super().shipped_weights(scale), **own}

    def estimate(self, lr: Image, scale: int, run: RunContext) -> Kernel:
        """Estimate, then correct."""
        from blindsr_selection.correction import corrected
        from blindsr_selection.evidence import estimate_with

        kernel = estimate_with(self.start, lr, scale, run)
        return corrected(kernel, (self.sr, self.noisy_sr), lr, self.weights or weights_file(scale), run)


def weights_file(scale: int) -> Path:
    """The file of the correcting network for a scale."""
    return Path(__file__).parent / "weights" / f"x{scale}.safetensors"


@hookimpl
def blindsr_kernel_estimators() -> list[type[KernelEstimator]]:
    """The three."""
    return [BestOf, Refined, Corrected]
