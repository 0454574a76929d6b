"""From the image and its kernel to an upscaler: what to train on, and the scales on the way to the result."""

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
from blindsr_zssr.training import train
from blindsr_zssr.upscaler import ZSSRUpscaler

if TYPE_CHECKING:
    from blindsr.interfaces import Image, RunContext

SMALLEST_PX = 16
CROPS = 2
POOL = 32
MUON_RATE = 1e-3
MUON_RATE_AUGMENTED = 2e-3
"""Ever new fathers gain from larger steps (0.1 dB, two images of Set5); on one fixed pair they can break a training."""


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
    """Train on `lr` (H, W, 3), float32, in [0, 1].

    For x4 the network trains with the x2 kernel and is applied twice. ZSSR trains anew with the x4 kernel instead; but an image a
    quarter of this one's size has little to teach: on two images that took twice the time and lost 0.3 and 0.6 dB.
    """
    height, width = lr.shape[:2]
    if min(height, width) < SMALLEST_PX:
        raise BlindSRError(
            f"zssr learns from the image itself and needs at least {SMALLEST_PX} pixels a side, not {width} x {height}; "
            "use sr: bicubic for an image this small"
        )
    half = kernel.half if settings.gradual and kernel.scale == 4 else None
    kernels = (half, kernel) if half else (kernel,)
    symmetries = tuple(each for each in symmetry.ALL if all(each in symmetry.of_kernel(k) for k in kernels))
    if settings.self_ensemble and len(symmetries) == 1:
        run.warn("zssr: self_ensemble changes nothing here: no flip or quarter turn leaves the kernel as it is")
    if settings.augment:
        batches = _augmented(Fathers(lr, symmetries), kernels[0], settings.noise, run)
    else:
        batches = _fixed(Pair(lr, kernels[0], settings.noise), run)
    network = initial(run.torch_rng, run.device)
    rate = MUON_RATE_AUGMENTED if settings.augment else MUON_RATE
    train(network, batches, iterations=settings.iterations, muon_rate=rate, run=run)
    return ZSSRUpscaler(
        network=network,
        kernels=kernels,
        device=run.device,
        back_projections=settings.back_projections,
        symmetries=symmetries if settings.self_ensemble else (symmetry.IDENTITY,),
    )


def _fixed(pair: Pair, run: RunContext) -> Callable[[], Batch]:
    """Batches of crops of the one pair that the image makes with its own downscaling."""
    return lambda: batch_of([pair.crop(run.rng) for _ in range(CROPS)], run.device)


def _augmented(fathers: Fathers, kernel: Kernel, noise: float, run: RunContext) -> Callable[[], Batch]:
    """Batches of crops of a pool of pairs, the oldest of which is replaced at every batch."""
    pool = [Pair(fathers.draw(run.rng), kernel, noise) for _ in range(POOL)]
    drawn = 0

    def batch() -> Batch:
        nonlocal drawn
        pool[drawn % POOL] = Pair(fathers.draw(run.rng), kernel, noise)
        drawn += 1
        chosen = run.rng.integers(POOL, size=CROPS)
        return batch_of([pool[int(i)].crop(run.rng) for i in chosen], run.device)

    return batch
