"""The training loop, its schedule and its optimiser: Muon for the hidden layers, Adam for the first and the last."""

import math
from collections.abc import Iterator
from typing import NamedTuple

import torch

from blindsr.api import RunContext, fast_dtype
from blindsr_zssr.network import Network

LOG_EVERY = 50
MUON_MOMENTUM = 0.95
ADAM_BETAS = (0.9, 0.99)
"""Adam's usual 0.999 is slow to notice that the gradients have grown: a training was seen to break in its first steps."""
NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
NEWTON_SCHULZ_STEPS = 5
EPSILON = 1e-8


class Rates(NamedTuple):
    """Peak learning rates."""

    muon: float
    adam: float


def train(network: Network, batches: Iterator[torch.Tensor], *, steps: range, total: int, rates: Rates, run: RunContext) -> None:
    """Train `network` in place on `batches` of crops (N, p + 3, c, c), in the given steps out of `total`.

    The loss is the mean absolute error (Shocher et al., CVPR 2018, section 3.3). The learning rate falls linearly from its
    peak to zero, where the original divides it by 10 whenever the error stalls. Curves: ``loss``, ``reconstruction_mse``
    (both means over the last 50 steps) and ``learning_rate_factor`` (of the peak).
    """
    optimizer = Optimizer(network, rates)
    # bfloat16 computes what float32 remembers: the last steps are far smaller than bfloat16 resolves.
    working = network.copy(fast_dtype(run.device))
    errors: list[torch.Tensor] = []
    for step, batch in zip(steps, batches, strict=False):
        factor = (steps.stop - step) / len(steps)
        error = working(batch[:, :-3]) - batch[:, -3:]  # of what is seen of the sons, from their residuals
        loss = error.abs().mean()
        with torch.backends.cudnn.flags(enabled=True, deterministic=True):  # a seed's result is the same on a GPU, too
            gradients = torch.autograd.grad(loss, list(working))
        optimizer.step(Network(*(gradient.float() for gradient in gradients)), factor)
        with torch.no_grad():
            for target, source in zip(working, network, strict=True):
                target.copy_(source)
            errors.append(torch.stack([loss, error.square().mean()]))
        done = step + 1
        if done % LOG_EVERY == 0 or done == steps.stop:
            # Only here are the values read: a GPU would have to be waited for.
            curves = (*torch.stack(errors).mean(0).tolist(), factor)
            errors.clear()
            for name, value in zip(("loss", "reconstruction_mse", "learning_rate_factor"), curves, strict=True):
                run.log(name, done, value)
        run.progress(done, total)


class Optimizer:
    """Updates a `Network` in place.

    With Muon (K. Jordan et al., 2024) in place of Adam, a few hundred steps train this network further than thousands:
    the step of a hidden layer is its momentum with all singular values made nearly equal, so the rare directions that
    restore fine detail move as fast as the common ones. Its size is 0.2 sqrt(inputs) times the rate, that is, a root mean
    square like Adam's (Liu et al., arXiv:2502.16982, section 2.2) at the same rate. ``benchmarks/zssr_optimizer.py`` compares it
    with ``torch.optim.Muon``, which takes one matrix at a time and computes in bfloat16, so its results differ.
    """

    def __init__(self, network: Network, rates: Rates) -> None:
        self.network, self.rates = network, rates
        self.adam = torch.optim.Adam([network.first, network.last], betas=ADAM_BETAS)
        self.momentum = torch.zeros_like(network.hidden)

    @torch.no_grad()
    def step(self, gradient: Network, factor: float) -> None:
        """Move against `gradient` (float32), at `factor` times the peak rates."""
        self.network.first.grad, self.network.last.grad = gradient.first, gradient.last
        self.adam.param_groups[0]["lr"] = factor * self.rates.adam
        self.adam.step()
        self._muon(gradient.hidden, factor * self.rates.muon)

    def _muon(self, gradient: torch.Tensor, rate: float) -> None:
        self.momentum.lerp_(gradient, 1 - MUON_MOMENTUM)
        direction = orthogonalized(gradient.lerp(self.momentum, MUON_MOMENTUM).flatten(2))
        self.network.hidden.sub_(direction.view_as(gradient), alpha=rate * 0.2 * math.sqrt(direction.shape[2]))


def orthogonalized(matrices: torch.Tensor) -> torch.Tensor:
    """The matrices (..., m, n), m <= n, with their singular values brought near 1 (0.7 to 1.2) by Newton-Schulz iteration.

    Only the small Gram matrices (m, m) go through the iteration: every step multiplies from the left by a polynomial in
    them, so the products are gathered and applied once.
    """
    a, b, c = NEWTON_SCHULZ
    start = matrices / (matrices.norm(dim=(-2, -1), keepdim=True) + EPSILON)
    gram = start @ start.mT
    identity = torch.eye(gram.shape[-1], device=gram.device)
    product = identity
    for _ in range(NEWTON_SCHULZ_STEPS):
        polynomial = a * identity + b * gram + c * (gram @ gram)
        product = polynomial @ product
        gram = polynomial @ gram @ polynomial
    result: torch.Tensor = product @ start
    return result
