"""Published networks that learned to undo bicubic downscaling, run from checkpoint files that the user has."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from blindsr.api import InputFile, NonBlindSR, hookimpl

if TYPE_CHECKING:
    from blindsr.api import Image, Kernel, RunContext, Upscaler

blindsr_api = 1

ABOUT_CHECKPOINT = "The network's weights, for the scale of the pipeline: .pt or .pth of PyTorch, or .safetensors."
Checkpoint = Annotated[InputFile, Field(description=ABOUT_CHECKPOINT)]


class EDSR(NonBlindSR):
    """EDSR (Lim et al., CVPR workshops 2017), with the self-ensemble "EDSR+". Assumes a bicubic kernel: the given one is ignored.

    Reads the official files of EDSR-PyTorch (edsr_x2-0edfb8a3.pt, edsr_baseline_x2-1bc95232.pt, ...), BasicSR's, and
    others of the same layout; the number of blocks and of channels comes from the file.

    Tiles overlap by as far as the network looks around a pixel, 68 LR pixels for the full network and 36 for the baseline, so
    that they give what the whole image would; the full network takes up to 2 GB for a tile.
    """

    name: ClassVar[str] = "edsr"

    checkpoint: Checkpoint
    self_ensemble: bool = True
    """Take the mean over the eight flips and quarter turns of the image: the "+", at eight times the cost."""
    residual_scaling: float | None = Field(default=None, gt=0, le=1)
    """What a block's residual is multiplied by, which the file does not say. By default that of the official networks: 0.1
    for 256 channels or more, 1 for fewer."""

    def fit(self, lr: Image, kernel: Kernel, run: RunContext) -> Upscaler:
        from blindsr.api import read_weights
        from blindsr_pretrained.official import edsr, placed
        from blindsr_pretrained.upscaler import NetworkUpscaler

        network = edsr(read_weights(self.checkpoint), kernel.scale, residual_scaling=self.residual_scaling)
        return NetworkUpscaler(placed(network, run.device), run.device, self.self_ensemble, halo=network.reach_px)


class RCAN(NonBlindSR):
    """RCAN (Zhang et al., ECCV 2018), with the self-ensemble "RCAN+". Assumes a bicubic kernel: the given one is ignored.

    Reads the official files (RCAN_BIX2.pt, ...), BasicSR's, and others of the same layout; the number of groups, blocks
    and channels comes from the file.

    Each of its blocks weighs its channels by their means over the whole image, so the image comes whole where it has at
    most 2 million pixels, which takes 2 to 3 GB. A larger one comes in tiles, each with means of its own, and the result
    carries a warning.
    """

    name: ClassVar[str] = "rcan"

    checkpoint: Checkpoint
    self_ensemble: bool = True
    """Take the mean over the eight flips and quarter turns of the image: the "+", at eight times the cost."""

    def fit(self, lr: Image, kernel: Kernel, run: RunContext) -> Upscaler:
        from blindsr.api import read_weights
        from blindsr_pretrained import official
        from blindsr_pretrained.upscaler import NetworkUpscaler, halo_unless_small

        network = official.rcan(read_weights(self.checkpoint), kernel.scale)
        halo = halo_unless_small(lr, max_whole_px=official.MAX_WHOLE_PX, halo=official.TILE_HALO_PX, what="RCAN", run=run)
        return NetworkUpscaler(official.placed(network, run.device), run.device, self.self_ensemble, halo)


class Spandrel(NonBlindSR):
    """Any SR network that spandrel knows (SwinIR, HAT, ESRGAN, ...). The given kernel is ignored.

    Needs ``pip install blindsr[pretrained]``. Images of up to half a million pixels come whole; larger ones come in tiles
    that overlap by 64 pixels, which changes the result a little where the network looks further than that.
    """

    name: ClassVar[str] = "spandrel"

    checkpoint: Checkpoint
    self_ensemble: bool = False
    """Take the mean over the eight flips and quarter turns of the image, at eight times the cost."""

    def fit(self, lr: Image, kernel: Kernel, run: RunContext) -> Upscaler:
        from blindsr.api import read_weights
        from blindsr_pretrained import foreign
        from blindsr_pretrained.upscaler import NetworkUpscaler

        network = foreign.network(read_weights(self.checkpoint), kernel.scale, run.device)
        return NetworkUpscaler(network, run.device, self.self_ensemble, foreign.halo(network, lr, run))


@hookimpl
def blindsr_nonblind_sr() -> list[type[NonBlindSR]]:
    """EDSR, RCAN, and whatever spandrel loads."""
    return [EDSR, RCAN, Spandrel]
