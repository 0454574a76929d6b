"""Networks that spandrel knows: https://github.com/chaiNNer-org/spandrel."""

from typing import Any

from blindsr.api import BlindSRError, Image, RunContext, Weights
from blindsr_pretrained.upscaler import halo_unless_small

MAX_WHOLE_PX = 1 << 19
"""LR images of up to so many pixels come whole: as many as a large tile has, and transformers take about 10 kB for each."""

TILE_HALO_PX = 32
"""LR pixels that tiles overlap by on each side; spandrel does not say how far a network looks."""


def network(weights: Weights, scale: int, device: str) -> Any:
    """The ``spandrel.ImageModelDescriptor`` of a checkpoint: a function of images (1, 3, H, W) in [0, 1].

    The file is read by `read_weights`, so spandrel gets nothing but tensors, and no TorchScript is run.
    """
    try:
        import spandrel
    except (ImportError, RuntimeError, OSError) as error:  # the latter two from a torchvision of another torch
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        need = "`spandrel` needs the package of that name, and a torchvision that fits torch"
        raise BlindSRError(f"{need}: install blindsr[pretrained] ({reason})") from error
    try:
        model = spandrel.ModelLoader(device=device).load_from_state_dict(dict(weights.state))
    except spandrel.UnsupportedModelError as error:
        entries = ", ".join(list(weights.state)[:2])
        raise weights.error(f"spandrel {spandrel.__version__} knows no network with such entries ({entries}, ...)") from error
    except MemoryError:
        raise
    except Exception as error:  # it trusts the entries to have the shapes that their names promise
        reason = str(error).strip().splitlines()[-1].strip() if str(error).strip() else type(error).__name__
        raise weights.error(f"spandrel cannot load it ({reason}); expected an unaltered checkpoint") from error
    what = model.architecture.name
    if not isinstance(model, spandrel.ImageModelDescriptor) or (model.input_channels, model.output_channels) != (3, 3):
        raise weights.error(f"this {what} does not make RGB images of RGB images; expected an SR network that does")
    if model.scale != scale:
        raise weights.error(f"this {what} is for x{model.scale}, and asked for is x{scale}: take a checkpoint for x{scale}")
    return model.eval().float()


def halo(model: Any, lr: Image, run: RunContext) -> int | None:
    """The halo for an image: None where it comes whole, because it is small or spandrel says that the network cuts it itself."""
    if model.tiling.name == "DISCOURAGED":
        return halo_unless_small(lr, max_whole_px=MAX_WHOLE_PX, halo=TILE_HALO_PX, what=model.architecture.name, run=run)
    whole = model.tiling.name == "INTERNAL" or lr.shape[0] * lr.shape[1] <= MAX_WHOLE_PX
    return None if whole else TILE_HALO_PX
