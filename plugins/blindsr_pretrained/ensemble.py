"""The geometric self-ensemble, which the "+" in EDSR+ and RCAN+ stands for."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce

import torch

from blindsr.api import SYMMETRIES, Symmetry


def ensembled(network: Callable[[torch.Tensor], torch.Tensor], image: torch.Tensor) -> torch.Tensor:
    """The mean of what `network` makes of the eight flips and quarter turns of `image` (1, 3, H, W), each undone.

    One after another, so that it takes little more memory than one. The network may overwrite what it is given.

    Source: Lim et al., CVPR workshops 2017, section 4.3, after Timofte et al., CVPR 2016.
    """

    def through(symmetry: Symmetry) -> torch.Tensor:
        turned = symmetry.apply(image, axes=(-2, -1)).clone(memory_format=torch.contiguous_format)
        return symmetry.undo(network(turned), axes=(-2, -1))

    return reduce(torch.Tensor.add_, map(through, SYMMETRIES)).div_(len(SYMMETRIES))
