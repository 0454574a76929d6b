"""The training loop and its schedule."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch

from blindsr_zssr.network import Network, training_dtype
from blindsr_zssr.optimizer import Optimizer
from blindsr_zssr.pairs import Batch

if TYPE_CHECKING:
    from blindsr.interfaces import RunContext

LOG_EVERY = 50


class Curves:
    """Reports a training to the run: progress at every step, its curves at every 50th, on over the scales."""

    def __init__(self, run: RunContext, total: int) -> None:
        self.run = run
        self.total = total
        self.done = 0
        self._errors: list[torch.Tensor] = []

    def add(self, loss: torch.Tensor, squared_error: torch.Tensor, factor: float) -> None:
        """Report a step: its loss and squared error (scalars on any device), and the learning rate's factor."""
        self.done += 1
        self._errors.append(torch.stack([loss, squared_error]).detach())
        if self.done % LOG_EVERY == 0 or self.done == self.total:
            # Only here are the values read: a GPU would have to be waited for.
            mean_loss, mean_square = torch.stack(self._errors).mean(0).tolist()
            self._errors.clear()
            self.run.log("loss", self.done, mean_loss)
            self.run.log("reconstruction_mse", self.done, mean_square)
            self.run.log("learning_rate_factor", self.done, factor)
        self.run.progress(self.done, self.total)


def train(
    network: Network, batches: Callable[[], Batch], *, iterations: int, noise: float, curves: Curves, run: RunContext
) -> None:
    """Train `network` in place on what `batches` gives.

    The loss is the weighted mean absolute error (Shocher et al., CVPR 2018, section 3.3). The learning rate falls
    linearly from its peak to zero, where the original divides it by 10 on plateaus.
    """
    optimizer = Optimizer(network)
    # Computing in bfloat16 what float32 weights remember: the steps at the end are far smaller than bfloat16 resolves.
    working = network.copy(training_dtype(run.device))
    for step in range(iterations):
        factor = 1 - step / iterations
        batch = batches()
        son = batch.son
        if noise:
            son = son + noise * torch.randn(son.shape, generator=run.torch_rng).to(run.device)
        error = working(son) - batch.residual
        loss = (error.abs() * batch.weight).mean()
        gradients = torch.autograd.grad(loss, list(working))
        optimizer.step(Network(*(gradient.float() for gradient in gradients)), factor)
        with torch.no_grad():
            for target, source in zip(working, network, strict=True):
                target.copy_(source)
            curves.add(loss, error.square().mean(), factor)
