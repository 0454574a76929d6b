"""Estimators made of others: the best of several, and one whose answer is refined by what super-resolution makes of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from blindsr.api import AnyKernelEstimator, AnyNonBlindSR, KernelEstimator, hookimpl

if TYPE_CHECKING:
    from blindsr.api import Image, Kernel, RunContext

blindsr_api = 1


class BestOf(KernelEstimator):
    """Asks several estimators, and takes the kernel of the least expected error that the image does not contradict.

    A kernel is contradicted where a much narrower one agrees far better with the image.
    """

    name: ClassVar[str] = "best_of"

    of: list[AnyKernelEstimator] = Field(min_length=2)
    """The estimators, each a name or {name: {parameter: value}}."""
    sr: AnyNonBlindSR = Field(default="unfolding", validate_default=True)
    """The SR method that tries the kernels on the most textured part of the image: a fast one that trusts its kernel."""

    @property
    def stochastic(self) -> bool:  # type: ignore[override]  # a class attribute where it does not depend on the parameters
        return any(part.stochastic for part in (*self.of, self.sr))

    def shipped_weights(self, scale: int) -> Mapping[Path, str]:
        return {file: licence for part in (*self.of, self.sr) for file, licence in part.shipped_weights(scale).items()}

    def estimate(self, lr: Image, scale: int, run: RunContext) -> Kernel:
        """Estimate with each, and choose. An estimator that fails is left out with a warning.

        Raises
        ------
        BlindSRError
            If all of them fail.
        """
        from blindsr_selection.evidence import best

        return best(self.of, self.sr, lr, scale, run)


class Refined(KernelEstimator):
    """Another estimator's kernel, made narrower in steps of 5 % as long as the image agrees much better with that.

    Too wide a kernel costs several times as much as one that is as much too narrow, and it shows: the SR image that it leads to,
    downscaled again, is not the LR image.
    """

    name: ClassVar[str] = "refined"

    start: AnyKernelEstimator = Field(default="kernelnet", validate_default=True)
    """The estimator whose kernel is refined, a name or {name: {parameter: value}}."""
    sr: AnyNonBlindSR = Field(default="unfolding", validate_default=True)
    """The SR method that tries the kernels on the most textured part of the image: a fast one that trusts its kernel."""

    @property
    def stochastic(self) -> bool:  # type: ignore[override]
        return self.start.stochastic or self.sr.stochastic

    def shipped_weights(self, scale: int) -> Mapping[Path, str]:
        return {**self.start.shipped_weights(scale), **self.sr.shipped_weights(scale)}

    def estimate(self, lr: Image, scale: int, run: RunContext) -> Kernel:
        """Estimate, then refine."""
        from blindsr_selection.evidence import KernelTrial, estimate_with

        return KernelTrial(lr, self.sr, run).narrowed(estimate_with(self.start, lr, scale, run))


@hookimpl
def blindsr_kernel_estimators() -> list[type[KernelEstimator]]:
    """The two."""
    return [BestOf, Refined]
