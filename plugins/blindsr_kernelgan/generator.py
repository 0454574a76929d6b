"""The generator: six linear convolutions, kept as the one 13 x 13 kernel that they amount to.

Source: KernelGAN, section 4.1 and figure 4. Convolutions without activations between them are one convolution, so the network
is never run on an image. Its six filters are still what is learned: the paper found that one layer alone does not converge.
"""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor

SIDES = (7, 5, 3, 1, 1, 1)
CHANNELS = 64
KERNEL_SIDE = 13
STRIDE = 2
XAVIER_GAIN = 0.1


class LinearGenerator:
    """Six filters without biases, in the layout of ``torch.nn.functional.conv2d``, the last one with stride 2.

    `rng`, a CPU generator, draws the initial filters (Xavier normal, gain 0.1).
    """

    def __init__(self, rng: torch.Generator, device: str = "cpu", dtype: torch.dtype = torch.float32) -> None:
        self.filters: list[Tensor] = []
        for side, (inputs, outputs) in zip(SIDES, pairwise((1, *[CHANNELS] * (len(SIDES) - 1), 1)), strict=True):
            drawn = torch.nn.init.xavier_normal_(torch.empty(outputs, inputs, side, side, dtype=dtype), XAVIER_GAIN, generator=rng)
            self.filters.append(drawn.to(device).requires_grad_())

    def kernel(self) -> Tensor:
        """The kernel that the filters amount to: (13, 13), a correlation, differentiable.

        Offsets of taps add up from layer to layer. So, going back from the single output channel, the 1 x 1 layers and the third
        are vector-matrix products; the other two are matrix products whose results are put down, overlapping, at each tap so far.
        (Not conv_transpose2d, which does the same as fast, but on a GPU in TF32.)
        """
        first, second, third, fourth, fifth, sixth = (w.flatten(1) for w in self.filters)
        tail = (sixth @ fifth @ fourth @ third).view(CHANNELS, -1)
        taps = F.fold((second.mT @ tail)[None], SIDES[1] + SIDES[2] - 1, SIDES[1])
        return F.fold((first.mT @ taps.view(CHANNELS, -1))[None], KERNEL_SIDE, SIDES[0])[0, 0]


def windows(crop: Tensor) -> Tensor:
    """All that a 13 x 13 kernel with stride 2 sees: (3, h, w) to (3 * ((h - 11) // 2) * ((w - 11) // 2), 169).

    Its product with a flattened kernel is each channel of the crop, downscaled, without padding.
    """
    return crop.unfold(1, KERNEL_SIDE, STRIDE).unfold(2, KERNEL_SIDE, STRIDE).reshape(-1, KERNEL_SIDE**2)
