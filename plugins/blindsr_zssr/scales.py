"""From the image and its kernel to an upscaler: what to train on, and the scales on the way to the result."""

from collections.abc import Callable, Iterator
from itertools import cycle

import torch

from blindsr.api import IDENTITY, SYMMETRIES, BlindSRError, Image, Kernel, RunContext, symmetries_of
from blindsr_zssr import WEIGHTS, ZSSR
from blindsr_zssr.augmentation import Fathers
from blindsr_zssr.network import Network, initial
from blindsr_zssr.pairs import Pair, RestoredPair, batch_of
from blindsr_zssr.pretrained import load
from blindsr_zssr.restoring import Restoring
from blindsr_zssr.training import Rates, train
from blindsr_zssr.upscaler import ZSSRUpscaler

MIN_SIDE_PX = 16
CROPS = 2
POOL = 32
RATES = Rates(muon=1e-3, adam=1e-3)
RATES_AUGMENTED = Rates(muon=2e-3, adam=1e-3)
"""Ever new fathers gain from larger steps (0.1 dB, two images of Set5); on one fixed pair they can break a training."""
RATES_PRETRAINED = Rates(muon=7e-4, adam=5e-4)
SON_PX = 10_000
"""Sons with fewer pixels teach little that the weights do not know, and lower the rate in proportion: at full rate, LR images of 72
pixels a side lost 0.1 dB by their training, at x4 0.4 dB; of 160 pixels or more, images gained 0.1 dB."""


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
    by_halves = settings.x4 == "cascade" or (settings.x4 == "gradual" and settings.init == "random")
    half = kernel.half if kernel.scale == 4 and by_halves else None
    taught = [half] if half and settings.x4 == "cascade" else [half, kernel] if half else [kernel]
    applied = (half, kernel) if half and settings.x4 == "cascade" else (kernel,)
    symmetries = tuple(each for each in SYMMETRIES if all(each in symmetries_of(k) for k in (*taught, kernel)))
    if settings.self_ensemble and len(symmetries) == 1:
        run.warn("zssr: self_ensemble changes nothing here: no flip or quarter turn leaves the kernel as it is")
    ensemble = symmetries if settings.self_ensemble else (IDENTITY,)
    if settings.init == "pretrained":
        pretrained = load(settings.weights or WEIGHTS)
        network = Network(*(weight.to(run.device, copy=True) for weight in pretrained.network))
        trust = min(1.0, height * width / kernel.scale**2 / SON_PX)
        rates = Rates(muon=trust * RATES_PRETRAINED.muon, adam=trust * RATES_PRETRAINED.adam)
        restoring = Restoring(pretrained.log_alpha, settings.noise, run.device)
    else:
        network, restoring = initial(run.torch_rng, run.device), None
        rates = RATES_AUGMENTED if settings.augment else RATES

    def upscaler(kernels: tuple[Kernel, ...]) -> ZSSRUpscaler:
        return ZSSRUpscaler(network, kernels, run.device, settings.back_projections, ensemble, restoring)

    fathers = [lr]
    for number, each in enumerate(taught):

        def paired(father: Image, kernel: Kernel = each) -> Pair | RestoredPair:
            if restoring is None:
                return Pair(father, kernel, settings.noise)
            return RestoredPair(father, kernel, restoring, run.rng, network.fold)

        batches = _augmented(Fathers(fathers, symmetries), paired, run) if settings.augment else _fixed(paired(lr), run)
        steps = range(number * settings.iterations, (number + 1) * settings.iterations)
        train(network, batches, steps=steps, total=len(taught) * settings.iterations, rates=rates, run=run)
        if settings.augment and each is not taught[-1]:
            fathers.append(upscaler((each,))(lr))
    return upscaler(applied)


def _fixed(pair: Pair | RestoredPair, run: RunContext) -> Iterator[torch.Tensor]:
    """Batches of crops of the one pair that the image makes with its own downscaling."""
    while True:
        yield batch_of([pair.crop(run.rng) for _ in range(CROPS)], run.device)


def _augmented(fathers: Fathers, paired: Callable[[Image], Pair | RestoredPair], run: RunContext) -> Iterator[torch.Tensor]:
    """Batches of crops of a pool of pairs, the oldest of which is replaced at every batch."""
    pool = [paired(fathers.draw(run.rng)) for _ in range(POOL)]
    for oldest in cycle(range(POOL)):
        pool[oldest] = paired(fathers.draw(run.rng))
        yield batch_of([pool[int(i)].crop(run.rng) for i in run.rng.integers(POOL, size=CROPS)], run.device)
