"""The discriminator: how likely each 7 x 7 patch is to come from the image itself.

Source: KernelGAN, section 3 and figure 3; initialisation as in the release.

One 7 x 7 convolution (no activation), five times (1 x 1 convolution, batch norm, ReLU), a 1 x 1 convolution and a sigmoid, spectral
norm on every convolution. On crops this small, calls and bookkeeping cost more than arithmetic. So it is written as products of
matrices, and differentiated by hand:

- a crop is the matrix of its 7 x 7 patches, one column a position, and a 1 x 1 convolution a 64 x 64 matrix in front of it;
- nothing non-linear stands between the first two convolutions, so they are multiplied together first;
- batch norm takes each crop's own statistics, so the real and the fake crop go through side by side;
- biases in front of batch norm are left out. It takes them away again, whatever they are, so their gradient is zero.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from blindsr_kernelgan.spectral import Normalized, SpectralWeight

PATCH_SIDE = 7
CHANNELS = 64
HIDDEN_LAYERS = 5
PATCH_SIZE = 3 * PATCH_SIDE**2
GAIN_SPREAD = 0.02
BATCH_NORM_EPS = 1e-5  # PyTorch's


class Pass(NamedTuple):
    """The discriminator's output for n crops, and what its gradients need. Lists have an item for each hidden layer."""

    output: Tensor
    """(n, positions), in 0..1: how real each patch looks."""
    first: Normalized
    hidden: Normalized
    last: Normalized
    layers: list[Tensor]
    """The matrices: (n, 64, 147), then (n, 64, 64)."""
    inputs: list[Tensor]
    """What each is applied to, and the last one's output: (n, 147, positions), then (n, 64, positions)."""
    standard: list[Tensor]
    """Batch norm's result before gain and shift: (n, 64, positions)."""
    slopes: list[Tensor]
    """Gain over standard deviation: (n, 64, 1)."""


class Discriminator:
    """Its parameters, without autograd.

    `rng`, a CPU generator, draws the initial values: PyTorch's default for weights (uniform within 1 / sqrt(inputs): under
    spectral norm the weights' size sets the effective learning rate), N(1, 0.02) for batch norm's gains, zero for biases.
    """

    def __init__(self, rng: torch.Generator, device: str = "cpu", dtype: torch.dtype = torch.float32) -> None:
        def spectral(*shape: int) -> SpectralWeight:
            bound = 1 / math.sqrt(shape[-1])
            weight = torch.empty(shape, dtype=dtype).uniform_(-bound, bound, generator=rng)
            u = F.normalize(torch.randn(*shape[:-1], 1, dtype=dtype, generator=rng), dim=-2)
            return SpectralWeight(weight.to(device), u.to(device))

        self.first = spectral(CHANNELS, PATCH_SIZE)
        self.hidden = spectral(HIDDEN_LAYERS, CHANNELS, CHANNELS)
        self.last = spectral(1, CHANNELS)
        self.last_bias = torch.zeros(1, dtype=dtype, device=device)
        self.gains = torch.empty(HIDDEN_LAYERS, CHANNELS, 1, dtype=dtype).normal_(1, GAIN_SPREAD, generator=rng).to(device)
        self.shifts = torch.zeros(HIDDEN_LAYERS, CHANNELS, 1, dtype=dtype, device=device)

    def parameters(self) -> list[Tensor]:
        """All that is learned, in the order of `weight_gradients`."""
        return [self.first.weight, self.hidden.weight, self.last.weight, self.last_bias, self.gains, self.shifts]

    def judge(self, crops: Tensor) -> Pass:
        """Judge n crops side by side, as if one pass came after the other: (n, 3, h, w) in [-1, 1]."""
        first, hidden, last = (w.normalize(len(crops)) for w in (self.first, self.hidden, self.last))
        layers = [hidden.matrix[0] @ first.matrix, *hidden.matrix[1:]]
        inputs, standard, slopes = [patches(crops)], [], []
        for layer, gain, shift in zip(layers, self.gains, self.shifts, strict=True):
            x = torch.bmm(layer, inputs[-1])
            x -= x.mean(-1, keepdim=True)
            variance = torch.linalg.vector_norm(x, dim=-1, keepdim=True).square_() / x.shape[-1]
            precision = variance.add_(BATCH_NORM_EPS).rsqrt_()
            standard.append(x.mul_(precision))
            slopes.append(precision * gain)
            inputs.append((x * gain).add_(shift).relu_())
        output = torch.sigmoid(torch.bmm(last.matrix, inputs[-1])[:, 0] + self.last_bias)
        return Pass(output, first, hidden, last, layers, inputs, standard, slopes)

    def crop_gradient(self, judged: Pass, of_output: Tensor, side: int) -> Tensor:
        """A loss's gradient for the crops that were judged, (n, 3, side, side), from that for the output."""
        of_layers = _backward(judged, of_output).layers
        return F.fold(torch.bmm(judged.layers[0].mT, of_layers[0]), side, PATCH_SIDE)

    def weight_gradients(self, judged: Pass, of_output: Tensor) -> list[Tensor]:
        """A loss's gradients for the parameters, summed over the crops, from that for the output."""
        gradients = _backward(judged, of_output)
        of_matrices = [torch.bmm(y, x.mT) for y, x in zip(gradients.layers, judged.inputs[:-1], strict=True)]
        product, *others = of_matrices  # the first is that of two layers' product
        first = judged.hidden.matrix[0].mT @ product
        hidden = torch.stack([product @ judged.first.matrix.mT, *others])
        last = torch.bmm(gradients.logits, judged.inputs[-1].mT)
        return [
            judged.first.gradient(first),
            judged.hidden.gradient(hidden),
            judged.last.gradient(last),
            gradients.logits.sum().view(1),
            torch.stack(gradients.gains).sum(1),
            torch.stack(gradients.shifts).sum(1),
        ]


class _Gradients(NamedTuple):
    """Lists hold an item a hidden layer."""

    logits: Tensor
    """Before the sigmoid: (n, 1, positions)."""
    layers: list[Tensor]
    """Of the matrices' outputs: (n, 64, positions)."""
    gains: list[Tensor]
    """(n, 64, 1)"""
    shifts: list[Tensor]
    """(n, 64, 1)"""


def patches(crops: Tensor) -> Tensor:
    """Every 7 x 7 patch of each crop: (n, 3, h, w) to (n, 147, (h - 6) (w - 6))."""
    height, width = (size - PATCH_SIDE + 1 for size in crops.shape[-2:])
    return crops.unfold(2, height, 1).unfold(3, width, 1).reshape(len(crops), PATCH_SIZE, height * width)


def _backward(judged: Pass, of_output: Tensor) -> _Gradients:
    """The gradients on the way back from the output, down to the first hidden layer's."""
    logits = (of_output * judged.output * (1 - judged.output))[:, None]
    of_layers, of_gains, of_shifts = [], [], []
    x = torch.bmm(judged.last.matrix.mT, logits)
    for i in reversed(range(HIDDEN_LAYERS)):
        x = torch.ops.aten.threshold_backward(x, judged.inputs[i + 1], 0)  # ReLU's own, by its output
        shift = x.sum(-1, keepdim=True)
        gain = torch.linalg.vecdot(x, judged.standard[i])[..., None]
        # Batch norm: y = slope (x - mean x - standard mean(x standard)), since mean and deviation are of x's own positions.
        x -= shift / x.shape[-1]
        x = x.addcmul_(judged.standard[i], gain / -x.shape[-1]).mul_(judged.slopes[i])
        of_layers.append(x)
        of_gains.append(gain)
        of_shifts.append(shift)
        if i:
            x = torch.bmm(judged.layers[i].mT, x)
    return _Gradients(logits, of_layers[::-1], of_gains[::-1], of_shifts[::-1])
