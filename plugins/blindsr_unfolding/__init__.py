"""A deep unfolding network: the kernel enters as mathematics, so it takes any, motion and measured ones included."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field, ValidationError, ValidatorFunctionWrapHandler, WrapValidator, model_validator

from blindsr.api import InputFile, NonBlindSR, hookimpl

if TYPE_CHECKING:
    from blindsr.api import Image, Kernel, RunContext, Upscaler
    from blindsr_unfolding.network import UnfoldingNet

blindsr_api = 1

Size = Literal["small", "large"]

MAX_NOISE = 50


def _noise(value: Any, validate: ValidatorFunctionWrapHandler) -> Any:
    """One message for the two forms of a noise."""
    try:
        return validate(value)
    except ValidationError:
        raise ValueError(f"must be a number from 0 to {MAX_NOISE}, or 'estimated', not {value!r}") from None


Noise = Annotated[Annotated[float, Field(ge=0, le=MAX_NOISE)] | Literal["estimated"], WrapValidator(_noise)]


class Unfolding(NonBlindSR):
    """Half-quadratic splitting: a data step solved exactly with the kernel, then a small learned prior, four times over.

    In the manner of USRNet (Zhang, Van Gool, Timofte, CVPR 2020). Seconds an image on a CPU. MODEL_CARD.md beside the weights says
    how they were trained. The published networks of USRNet load too.
    """

    name: ClassVar[str] = "unfolding"
    version: ClassVar[int] = 3
    later_parameters: ClassVar[tuple[str, ...]] = ("precision", "weights", "size", "data_step")

    size: Size = "large"
    """Of the two shipped networks the better one, or the smaller one, which takes five sixths of the time."""
    weights: InputFile | None = None
    """A network that `python -m blindsr_training unfolding` wrote, in their place."""
    checkpoint: InputFile | None = None
    """A published USRNet in place of the plugin's own weights (usrnet.pth, usrnet_tiny.pth, ...). It takes the noise, but no
    kernel_error: with an estimated kernel, a noise of 3 or more makes it trust the kernel less."""
    noise: Noise = 0.0
    """Standard deviation of the LR image's noise in levels of 255. ``estimated`` measures it (`blindsr.api.noise_level`), which is
    right for photographs; fine texture of a noiseless image is taken for noise, too. Untold noise ruins the result."""
    kernel_error: float | None = Field(default=None, ge=0, le=1)
    """The relative L2 error to expect of the kernel: 0 for an exact one, 0.1 to 0.3 for an estimated one. A larger one makes the
    result softer, and safer. Without it the kernel's own, as its estimator expects it; 0 where that is unknown."""
    border: Literal["mirrored", "periodic"] | None = None
    """What continues the image beyond its sides, for computing: its mirror image, or what makes it a periodic image blurred by the
    kernel. By default periodic, and mirrored with a checkpoint, as its published figures were measured; periodic is better with
    kernels that are long or inexact. SR images of more than a million pixels come in tiles, which are always periodic."""

    precision: Literal["float32", "bfloat16"] = "float32"
    """The arithmetic of the priors. bfloat16 is nearly twice as fast on processors that have it, and 0.003 dB apart on average, but
    tiles then differ from the whole by up to 0.005 (in an image from 0 to 1) at single pixels."""

    data_step: bool = True
    """Whether one more data step follows the network, so that the result agrees with the LR image as far as the noise and the
    expected error of the kernel allow. Leave it out where kernels are judged by what the network does not explain. Never with a
    checkpoint, whose published figures were measured without."""

    @model_validator(mode="after")
    def _consistent(self) -> Unfolding:
        if self.checkpoint and self.weights:
            raise ValueError("weights and checkpoint are two networks; give one")
        if self.size == "small" and (self.checkpoint or self.weights):
            raise ValueError("size is of the shipped networks; leave it out")
        if self.checkpoint and self.kernel_error:
            raise ValueError("a checkpoint of USRNet takes no kernel_error; a noise of 3 or more makes it trust the kernel less")
        if self.checkpoint and self.precision != "float32":
            raise ValueError("a checkpoint of USRNet is computed in float32, as its published figures were; leave precision out")
        return self

    def shipped_weights(self, scale: int) -> Mapping[Path, str]:
        return {} if self.checkpoint or self.weights else {weights_file(scale, self.size): "Apache-2.0"}

    def fit(self, lr: Image, kernel: Kernel, run: RunContext) -> Upscaler:
        """Load the network and tell it the kernel."""
        import torch

        from blindsr.api import data_step_alpha, noise_level
        from blindsr_unfolding import usrnet
        from blindsr_unfolding.files import load
        from blindsr_unfolding.upscaler import UnfoldingUpscaler

        if self.checkpoint:
            network: usrnet.USRNet | UnfoldingNet = usrnet.load(self.checkpoint, kernel.scale)
        else:
            network = load(self.weights or weights_file(kernel.scale, self.size), kernel.scale)
        network = network.to(run.device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        error = min(kernel.expected_error or 0.0, 1.0) if self.kernel_error is None else self.kernel_error
        data_step = self.data_step and not self.checkpoint
        measured = noise_level(lr) if data_step or self.noise == "estimated" else 0.0
        noise = min(measured, MAX_NOISE) if self.noise == "estimated" else self.noise
        alpha = None
        if data_step:
            alpha = data_step_alpha(lr, error, noise=max(measured, noise), factor=ALPHA_FACTOR)
        mirrored = self.border == "mirrored" or (self.border is None and self.checkpoint is not None)
        return UnfoldingUpscaler(
            network, kernel, noise / 255, error, run.device, alpha=alpha,
            mirrored=mirrored and lr[..., 0].size * kernel.scale**2 <= MAX_MIRRORED_PX, bfloat16=self.precision == "bfloat16",
        )  # fmt: skip


ALPHA_FACTOR = 0.5
"""Of the data step behind the network. Chosen on set14rk and urban5rk at x2 and x4, with true and estimated kernels."""
MAX_MIRRORED_PX = 1_000_000
"""SR images of up to so many pixels may be mirrored at their sides: they come whole, which takes memory."""


def weights_file(scale: int, size: Size = "large") -> Path:
    """The file of a shipped network for a scale."""
    return Path(__file__).parent / "weights" / (f"x{scale}.safetensors" if size == "large" else f"x{scale}_{size}.safetensors")


@hookimpl
def blindsr_nonblind_sr() -> list[type[NonBlindSR]]:
    """The unfolding network."""
    return [Unfolding]
