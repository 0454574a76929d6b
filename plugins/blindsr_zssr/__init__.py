"""ZSSR: a small network trained on the image itself, by "Zero-Shot" Super-Resolution (Shocher et al., CVPR 2018)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field, model_validator

from blindsr.api import InputFile, NonBlindSR, hookimpl

if TYPE_CHECKING:
    from blindsr.api import Image, Kernel, RunContext, Upscaler

blindsr_api = 1
PRETRAINED_ITERATIONS = 120
WEIGHTS = Path(__file__).parent / "weights/pretrained.safetensors"


class ZSSR(NonBlindSR):
    """A CNN that learns to undo the image's own downscaling by the kernel, and is then applied to the image itself.

    The defaults are the reduced variant that the release of KernelGAN bundles: no augmentation, no self-ensemble, two
    back-projections. The configuration of ZSSR's paper is ``{augment: true, self_ensemble: true, back_projections: 10}``,
    and gains most with a symmetric kernel such as the bicubic one.
    """

    name: ClassVar[str] = "zssr"
    stochastic: ClassVar[bool] = True
    later_parameters: ClassVar[tuple[str, ...]] = ("init", "weights")

    init: Literal["random", "pretrained"] = "random"
    """Where the training starts. random: as in the paper; pretrained: from a network that was trained on many images and kernels,
    which takes the image as the kernel restores it in closed form, and needs far fewer steps. x4 is then reached directly, unless
    it is `cascade`."""
    weights: InputFile | None = None
    """For `init: pretrained`, a network that `python -m blindsr_training zssr` wrote, in place of the shipped one."""
    iterations: int = Field(default=2000, ge=1, le=1_000_000)
    """Training steps, for each scale that is trained for; by default 120 with `init: pretrained`."""
    noise: float = Field(default=0.0, ge=0, le=0.5)
    """Standard deviation, on images in [0, 1], of the noise added to the training inputs; 0.0125 suits real photographs."""
    back_projections: int = Field(default=2, ge=0, le=100)
    """How often the result is corrected by what its own downscaling lacks; 0 suits real photographs."""
    augment: bool = False
    """Train also on flipped, rotated and affinely warped copies of the image, as far as the kernel's symmetries allow."""
    self_ensemble: bool = False
    """Take the median over the flips and rotations under which the kernel is symmetric."""
    x4: Literal["gradual", "cascade", "direct"] = "gradual"
    """How x4 is reached where the kernel's x2 half is known. gradual: train for x2, then go on for x4, as in the paper; cascade:
    train for x2, and apply that twice, which is better with an exact kernel and worse with an estimated one; direct: x4 alone."""

    @model_validator(mode="before")
    @classmethod
    def _few_iterations(cls, given: Any) -> Any:
        if isinstance(given, dict) and given.get("init") == "pretrained":
            return {"iterations": PRETRAINED_ITERATIONS} | given
        return given

    @model_validator(mode="after")
    def _of_pretrained(self) -> ZSSR:
        if self.weights and self.init != "pretrained":
            raise ValueError("weights go with `init: pretrained`; set that, or leave weights out")
        return self

    def shipped_weights(self, scale: int) -> Mapping[Path, str]:
        return {WEIGHTS: "Apache-2.0"} if self.init == "pretrained" and not self.weights else {}

    def fit(self, lr: Image, kernel: Kernel, run: RunContext) -> Upscaler:
        from blindsr_zssr.scales import fit

        return fit(lr, kernel, self, run)


@hookimpl
def blindsr_nonblind_sr() -> list[type[NonBlindSR]]:
    """ZSSR."""
    return [ZSSR]
