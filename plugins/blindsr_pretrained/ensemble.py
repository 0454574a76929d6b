"""The geometric self-ensemble, which the "+" in EDSR+ and RCAN+ stands for."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from itertools import product

import torch


def ensembled(network: Callable[[torch.Tensor], torch.Tensor], image: torch.Tensor) -> torch.Tensor:
    """The mean of what `network` makes of the eight flips and quarter turns of `image` (1, 3, H, W), each undone.

    One after another, so that it takes little more memory than one. The network may overwrite what it is given.

    Source: Lim et al., CVPR workshops 2017, section 4.3, after Timofte et al., CVPR 2016.
    """

    def through(mirrored: bool, turns: int) -> torch.Tensor:
        turned = torch.rot90(image.flip(-1) if mirrored else image, turns, (-2, -1))
        result = torch.rot90(network(turned.clone(memory_format=torch.contiguous_format)), -turns, (-2, -1))
        return result.flip(-1) if mirrored else result

    symmetries = product((False, True), range(4))
    return reduce(torch.Tensor.add_, (through(mirrored, turns) for mirrored, turns in symmetries)).div_(8)
