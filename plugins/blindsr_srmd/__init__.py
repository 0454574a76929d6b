"""SRMD: one network for many kernels, conditioned on its PCA coefficients (Zhang et al., CVPR 2018)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import BeforeValidator, Field, ValidationInfo, model_validator

from blindsr.api import InputFile, NonBlindSR, hookimpl

if TYPE_CHECKING:
    from blindsr.api import Image, Kernel, RunContext, Upscaler

blindsr_api = 1

PCA_FILE = "srmd_pca_matlab.mat"
ALPHA_FACTOR = 0.16
"""Of the data step behind the network. Chosen on set14rk and urban5rk at x2, with true and estimated kernels."""


def _beside(value: Any, info: ValidationInfo) -> Any:
    """By default, the PCA matrix beside the checkpoint."""
    checkpoint = info.data.get("checkpoint")
    return checkpoint.with_name(PCA_FILE) if value is None and checkpoint else value


class SRMD(NonBlindSR):
    """A trained network that takes the LR image and its kernel: seconds an image, where ZSSR trains for each.

    Its own weights are for SR kernels as blindsr defines them (MODEL_CARD.md beside them says how they were trained, and
    how good they are). The published weights load too; they expect a blur before a bicubic downscaling, so the kernel is
    converted to the nearest such blur, and kernels wider than they know lose quality.
    """

    name: ClassVar[str] = "srmd"
    version: ClassVar[int] = 2

    checkpoint: InputFile | None = None
    """Published weights in KAIR's layout (srmd_xS.pth, srmdnf_xS.pth, or .safetensors) in place of the plugin's own."""
    weights: InputFile | None = None
    """A network that `python -m blindsr_training srmd` wrote, in place of the plugin's own."""
    pca: Annotated[InputFile | None, BeforeValidator(_beside)] = Field(default=None, validate_default=True)
    """The published weights' PCA matrix. By default srmd_pca_matlab.mat beside the checkpoint."""
    noise: float = Field(default=0.0, ge=0, le=75)
    """Standard deviation of the LR image's noise in levels of 255, for published weights that take it (srmd_xS, not srmdnf_xS)."""
    back_projections: int | None = Field(default=None, ge=0, le=100)
    """How often the result is corrected by what its own downscaling by the kernel lacks. By default not with published weights;
    with others a data step in closed form corrects it at once, the less the larger the error is that is expected of the kernel."""

    @model_validator(mode="after")
    def _consistent(self) -> SRMD:
        if self.checkpoint and self.weights:
            raise ValueError("weights and checkpoint are two networks; give one")
        if self.checkpoint is None and self.pca is not None:
            raise ValueError("pca goes with a checkpoint; the plugin's own weights have their own")
        if self.checkpoint is None and self.noise:
            raise ValueError("the plugin's own weights are for images without noise; give a checkpoint that takes it (srmd_xS.pth)")
        return self

    def shipped_weights(self, scale: int) -> Mapping[Path, str]:
        return {} if self.checkpoint or self.weights else {own_weights(scale): "Apache-2.0"}

    def fit(self, lr: Image, kernel: Kernel, run: RunContext) -> Upscaler:
        from blindsr.api import data_step_alpha, noise_level
        from blindsr_srmd.checkpoints import load_own, load_published
        from blindsr_srmd.upscaler import SRMDUpscaler

        if self.checkpoint and self.pca:
            model = load_published(self.checkpoint, self.pca, kernel.scale, noise=self.noise)
        else:
            model = load_own(self.weights or own_weights(kernel.scale), kernel.scale)
        alpha = None
        if self.back_projections is None and not self.checkpoint:
            alpha = data_step_alpha(lr, kernel.expected_error or 0.0, noise=noise_level(lr), factor=ALPHA_FACTOR)
        times = self.back_projections or 0
        return SRMDUpscaler.told(model, kernel, noise=self.noise, back_projections=times, alpha=alpha, device=run.device)


def own_weights(scale: int) -> Path:
    """The file of the plugin's own network for a scale."""
    return Path(__file__).parent / "weights" / f"x{scale}.safetensors"


@hookimpl
def blindsr_nonblind_sr() -> list[type[NonBlindSR]]:
    """SRMD."""
    return [SRMD]
