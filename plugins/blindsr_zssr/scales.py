"""From the image and its kernel to an upscaler: what to train on, and the scales on the way to the result."""

from collections.abc import Iterator
from itertools import cycle

import torch

from blindsr.api import IDENTITY, SYMMETRIES, BlindSRError, Image, Kernel, RunContext, symmetries_of
from blindsr_zssr import ZSSR
from blindsr_zssr.augmentation import Fathers
from blindsr_zssr.network import initial
from blindsr_zssr.pairs import Pair, batch_of
from blindsr_zssr.training import train
from blindsr_zssr.upscaler import ZSSRUpscaler

MIN_SIDE_PX = 16
CROPS = 2
POOL = 32
MUON_RATE = 1e-3
MUON_RATE_AUGMENTED = 2e-3
"""Ever new fathers gain from larger steps (0.1 dB, two images of Set5); on one fixed pair they can break a training."""


def fit(lr: Image, kernel: Kernel, settings: ZSSR, run: RunContext) -> ZSSRUpscaler:
    """Train on `lr` (H, W, 3), float32, in [0, 1], as the component's parameters say.

    For x4 the weights of the training with the x2 kernel carry over to one with the x4 kernel, and with augmentation the x2 result
    joins the fathers (Shocher et al., CVPR 2018, section 3.2). The cascade leaves the second training out and applies the
    network twice instead. With true kernels that gained 1.3 and 0.6 dB (two images); with estimated ones, whose error it
    applies twice, it lost 0.9 and 0.2 dB.
    """
    height, width = lr.shape[:2]
    if min(height, width) < MIN_SIDE_PX:
        raise BlindSRError(
            f"zssr learns from the image itself and needs at least {MIN_SIDE_PX} pixels a side, not {width} x {height}; "
            "use sr: bicubic for an image this small"
        )
    half = kernel.half if kernel.scale == 4 and settings.x4 != "direct" else None
    taught = [half] if half and settings.x4 == "cascade" else [half, kernel] if half else [kernel]
    applied = (half, kernel) if half and settings.x4 == "cascade" else (kernel,)
    symmetries = tuple(each for each in SYMMETRIES if all(each in symmetries_of(k) for k in (*taught, kernel)))
    if settings.self_ensemble and len(symmetries) == 1:
        run.warn("zssr: self_ensemble changes nothing here: no flip or quarter turn leaves the kernel as it is")
    ensemble = symmetries if settings.self_ensemble else (IDENTITY,)
    network = initial(run.torch_rng, run.device)
    fathers = [lr]
    rate = MUON_RATE_AUGMENTED if settings.augment else MUON_RATE
    for number, each in enumerate(taught):
        if settings.augment:
            batches = _augmented(Fathers(fathers, symmetries), each, settings.noise, run)
        else:
            batches = _fixed(Pair(lr, each, settings.noise), run)
        steps = range(number * settings.iterations, (number + 1) * settings.iterations)
        train(network, batches, steps=steps, total=len(taught) * settings.iterations, muon_rate=rate, run=run)
        if settings.augment and each is not taught[-1]:
            fathers.append(ZSSRUpscaler(network, (each,), run.device, settings.back_projections, ensemble)(lr))
    return ZSSRUpscaler(network, applied, run.device, settings.back_projections, ensemble)


def _fixed(pair: Pair, run: RunContext) -> Iterator[torch.Tensor]:
    """Batches of crops of the one pair that the image makes with its own downscaling."""
    while True:
        yield batch_of([pair.crop(run.rng) for _ in range(CROPS)], run.device)


def _augmented(fathers: Fathers, kernel: Kernel, noise: float, run: RunContext) -> Iterator[torch.Tensor]:
    """Batches of crops of a pool of pairs, the oldest of which is replaced at every batch."""
    pool = [Pair(fathers.draw(run.rng), kernel, noise) for _ in range(POOL)]
    for oldest in cycle(range(POOL)):
        pool[oldest] = Pair(fathers.draw(run.rng), kernel, noise)
        yield batch_of([pool[int(i)].crop(run.rng) for i in run.rng.integers(POOL, size=CROPS)], run.device)
