"""The optimisers of the trainings, the schedule of their rates, and a loss."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import nn

MUON_RATE = 2e-3
ADAM_RATE = 1e-3
"""Adam's peak rate where Muon's is `MUON_RATE`; the two keep their ratio."""

ADAM_BETAS = (0.9, 0.99)
WEIGHT_DECAY = 1e-4
LOSS_FLOOR = 0.01
"""Added to a patch's mean absolute error before its logarithm, so that flat patches do not count for more than detail."""


class Optimizer:
    """Optimisers of torch, whose present rates are the peaks of a schedule."""

    def __init__(self, *parts: torch.optim.Optimizer) -> None:
        self.parts = parts
        self.peaks = [[group["lr"] for group in part.param_groups] for part in parts]

    def step(self, factor: float) -> None:
        """One step against the gradients, which are then cleared, at `factor` times the peak rates."""
        for part, peaks in zip(self.parts, self.peaks, strict=True):
            for group, peak in zip(part.param_groups, peaks, strict=True):
                group["lr"] = factor * peak
            part.step()
            part.zero_grad(set_to_none=True)

    def state(self) -> list[dict[str, Any]]:
        """What `restore` takes, beside the network's weights."""
        return [part.state_dict() for part in self.parts]

    def restore(self, state: Sequence[dict[str, Any]]) -> None:
        """Go on from a state; the network must have its weights already."""
        for part, saved in zip(self.parts, state, strict=True):
            part.load_state_dict(saved)


class Muon(Optimizer):
    """Muon (K. Jordan et al., 2024) on the hidden convolutions, Adam on all else.

    Parameters
    ----------
    hidden
        Weights of convolutions, each with a factor for Muon's rate.
    others
        Groups of the other parameters, each with a factor for Adam's rate.
    rate
        Muon's peak rate.
    """

    def __init__(
        self, hidden: Sequence[tuple[torch.Tensor, float]], others: Sequence[tuple[Sequence[torch.Tensor], float]], rate: float
    ) -> None:
        self.hidden = [weight for weight, _ in hidden]
        # Muon takes matrices: a copy with one row for each output channel, written back after each step.
        self.matrices = [nn.Parameter(weight.data.flatten(1)) for weight in self.hidden]
        rates = [{"params": [matrix], "lr": rate * factor} for matrix, (_, factor) in zip(self.matrices, hidden, strict=True)]
        groups = [{"params": list(group), "lr": ADAM_RATE * rate / MUON_RATE * factor} for group, factor in others]
        super().__init__(
            torch.optim.Muon(rates, lr=rate, weight_decay=0.0, adjust_lr_fn="match_rms_adamw"),
            torch.optim.Adam(groups, betas=ADAM_BETAS, fused=others[0][0][0].is_cuda),
        )

    @classmethod
    def of_stack(cls, convolutions: Sequence[nn.Conv2d], rate: float) -> Muon:
        """For a plain stack of convolutions: Adam for the first, the last, and the biases."""
        others = [convolutions[0].weight, convolutions[-1].weight, *(c.bias for c in convolutions if c.bias is not None)]
        return cls([(convolution.weight, 1.0) for convolution in convolutions[1:-1]], [(others, 1.0)], rate)

    def step(self, factor: float) -> None:
        for matrix, weight in zip(self.matrices, self.hidden, strict=True):
            assert weight.grad is not None
            matrix.grad = weight.grad.flatten(1)
        super().step(factor)
        for matrix, weight in zip(self.matrices, self.hidden, strict=True):
            with torch.no_grad():
                weight.copy_(matrix.view_as(weight))
            weight.grad = None

    def restore(self, state: Sequence[dict[str, Any]]) -> None:
        super().restore(state)
        for matrix, weight in zip(self.matrices, self.hidden, strict=True):
            matrix.data.copy_(weight.data.flatten(1))


def adamw(parameters: Iterable[torch.Tensor], rate: float) -> Optimizer:
    """AdamW on all parameters."""
    return Optimizer(torch.optim.AdamW(parameters, lr=rate, weight_decay=WEIGHT_DECAY, betas=ADAM_BETAS))


def rate_factor(step: int, steps: int, warm_up: int) -> float:
    """The fraction of the peak rate: a warm-up of so many steps, then a linear fall to zero."""
    return min(1.0, (step + 1) / warm_up) * (1 - step / steps)


def log_l1(sr: torch.Tensor, hr: torch.Tensor) -> torch.Tensor:
    """The mean logarithm of the patches' mean absolute errors, (N, C, H, W) in [0, 1].

    It counts as PSNR does: the small error of a narrow kernel as much as that of a wide one.
    """
    return ((sr.float() - hr).abs().mean((1, 2, 3)) + LOSS_FLOOR).log().mean()
