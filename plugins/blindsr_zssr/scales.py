"""From the image and its kernel to an upscaler: one training for each scale on the way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from blindsr.errors import BlindSRError
from blindsr.kernel import Kernel
from blindsr_zssr import symmetry
from blindsr_zssr.augmentation import Fathers
from blindsr_zssr.network import initial
from blindsr_zssr.pairs import Batch, Pair, batch_of
from blindsr_zssr.training import Curves, train
from blindsr_zssr.upscaler import ZSSRUpscaler

if TYPE_CHECKING:
    from blindsr.interfaces import Image, RunContext

SMALLEST_PX = 16
CROPS = 2
POOL = 32
RENEW_EVERY = 4


@dataclass(frozen=True)
class Settings:
    """The parameters of the ``zssr`` component, documented there."""

    iterations: int
    noise: float
    back_projections: int
    augment: bool
    self_ensemble: bool
    gradual: bool


def fit(lr: Image, kernel: Kernel, settings: Settings, run: RunContext) -> ZSSRUpscaler:
    """Train on `lr` (H, W, 3), float32, in [0, 1], for one or two scales; the weights carry over from one to the next."""
    height, width = lr.shape[:2]
    if min(height, width) < SMALLEST_PX:
        raise BlindSRError(
            f"zssr learns from the image itself and needs at least {SMALLEST_PX} pixels a side, not {width} x {height}; "
            "use sr: bicubic for an image this small"
        )
    kernels = [kernel.half, kernel] if settings.gradual and kernel.scale == 4 and kernel.half else [kernel]
    network = initial(run.torch_rng, run.device)
    curves = Curves(run, settings.iterations * len(kernels))
    sources = [lr]
    for step_kernel in kernels:
        symmetries = symmetry.of_kernel(step_kernel)
        batches = _augmented(sources, step_kernel, symmetries, run) if settings.augment else _fixed(lr, step_kernel, run)
        train(network, batches, iterations=settings.iterations, noise=settings.noise, curves=curves, run=run)
        upscaler = ZSSRUpscaler(
            network=network,
            kernel=step_kernel,
            device=run.device,
            back_projections=settings.back_projections,
            symmetries=symmetries if settings.self_ensemble else (symmetry.IDENTITY,),
        )
        if settings.augment and step_kernel is not kernel:
            sources = [lr, upscaler(lr)]
    return upscaler


def _fixed(lr: Image, kernel: Kernel, run: RunContext) -> Callable[[], Batch]:
    """Batches of crops of the one pair that the image makes with its own downscaling."""
    pair = Pair(lr, kernel)
    return lambda: batch_of([pair.crop(run.rng) for _ in range(CROPS)], run.device)


def _augmented(
    sources: list[Image], kernel: Kernel, symmetries: tuple[symmetry.Symmetry, ...], run: RunContext
) -> Callable[[], Batch]:
    """Batches of crops of a pool of pairs, one of which is replaced at every few batches."""
    fathers = Fathers(sources, symmetries)
    pool = [Pair(fathers.draw(run.rng), kernel) for _ in range(POOL)]
    drawn = 0

    def batch() -> Batch:
        nonlocal drawn
        drawn += 1
        if drawn % RENEW_EVERY == 0:
            pool[drawn // RENEW_EVERY % POOL] = Pair(fathers.draw(run.rng), kernel)
        chosen = run.rng.integers(POOL, size=CROPS)
        pairs = [pool[int(i)] for i in chosen]
        side = min(pair.crop_px for pair in pairs)
        return batch_of([pair.crop(run.rng)[:side, :side] for pair in pairs], run.device)

    return batch
