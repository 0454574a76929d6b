"""The training loop and its schedule."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from blindsr.api import RunContext
from blindsr_zssr.network import Network, training_dtype
from blindsr_zssr.optimizer import Optimizer

LOG_EVERY = 50


def train(
    network: Network, batches: Iterator[torch.Tensor], *, steps: range, total: int, muon_rate: float, run: RunContext
) -> None:
    """Train `network` in place on `batches` of crops (N, 6, c, c), in the given steps out of `total`.

    The loss is the mean absolute error (Shocher et al., CVPR 2018, section 3.3). The learning rate falls linearly from its
    peak to zero, where the original divides it by 10 whenever the error stalls. Curves: ``loss``, ``reconstruction_mse``
    (both means over the last 50 steps) and ``learning_rate_factor`` (of the peak).
    """
    optimizer = Optimizer(network, muon_rate)
    # bfloat16 computes what float32 remembers: the last steps are far smaller than bfloat16 resolves.
    working = network.copy(training_dtype(run.device))
    errors: list[torch.Tensor] = []
    for step, batch in zip(steps, batches, strict=False):
        factor = (steps.stop - step) / len(steps)
        error = working(batch[:, :3]) - batch[:, 3:]  # of the sons, from their residuals
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
