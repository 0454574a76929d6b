"""Self-ensemble: the mean of what an upscaler makes of an image and of its mirror image, turned by quarters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from blindsr.components.interfaces import NonBlindSR, RunContext, Upscaler
from blindsr.imaging.kernel import Kernel, centered_taps, from_centered_taps
from blindsr.imaging.reader import Image
from blindsr.imaging.symmetries import SYMMETRIES, Symmetry


@dataclass(frozen=True)
class SelfEnsemble:
    """Upscales a tile in eight ways, each with the kernel turned as the image is, and takes the mean.

    Attributes
    ----------
    members
        How the image is turned, and what upscales it then.
    """

    members: Sequence[tuple[Symmetry, Upscaler]]

    @classmethod
    def fit(cls, component: NonBlindSR, lr: Image, kernel: Kernel, run: RunContext) -> SelfEnsemble:
        """The ensemble of an SR method, which is fitted to each of the eight images."""
        return cls([(s, component.fit(s.apply(lr), turned(kernel, s), run)) for s in SYMMETRIES])

    @property
    def halo(self) -> int | None:
        """The members' largest."""
        halos = [upscaler.halo for _, upscaler in self.members]
        return None if None in halos else max(halo for halo in halos if halo is not None)

    def __call__(self, tile: Image) -> Image:
        """The tile (h, w, 3) at ``scale`` times its size."""
        total: Image = sum(s.undo(upscaler(np.ascontiguousarray(s.apply(tile)))) for s, upscaler in self.members)  # type: ignore[assignment]
        return total / np.float32(len(self.members))


def turned(kernel: Kernel, symmetry: Symmetry) -> Kernel:
    """The aligned kernel of an image that is turned, by the aligned kernel of the image."""
    taps = centered_taps(kernel, max(kernel.shape) + kernel.scale - 1)
    return from_centered_taps(symmetry.apply(taps), kernel.scale, kernel.expected_error)
