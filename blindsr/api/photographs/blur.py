"""The blur of a photograph: in words, and in a milder form."""

import math
from dataclasses import dataclass

import numpy as np

from blindsr.imaging.kernel import Kernel, in_one_frame

ROUND = 1.2
"""A kernel that is longer than wide by less than this has no direction."""
SLIGHT_MOTION = 1.6
SHARP, SLIGHT_DEFOCUS, DEFOCUS = 1.15, 1.7, 2.5
"""How many times as wide as bicubic's kernel a round one is, at most, for these words."""


@dataclass(frozen=True)
class Blur:
    """A kernel's standard deviations along its long and its short axis, in pixels of the SR image; the direction of the long one.

    `degrees` is from 0 (along rows) to below 180, anticlockwise as one sees the image.
    """

    long_px: float
    short_px: float
    degrees: float
    likeness: str

    @classmethod
    def of(cls, kernel: Kernel) -> "Blur":
        """The blur of a kernel."""
        long_, short = kernel.widths_px
        down, right = np.linalg.eigh(kernel.covariance)[1][:, -1]
        ratio, width = long_ / max(short, 1e-6), math.sqrt(long_ * short) / Kernel.bicubic(kernel.scale).widths_px[0]
        if ratio >= ROUND:
            likeness = "a slight motion" if ratio < SLIGHT_MOTION else "motion"
        elif width <= DEFOCUS:
            likeness = "none" if width <= SHARP else "a slight defocus" if width <= SLIGHT_DEFOCUS else "defocus"
        else:
            likeness = "a strong defocus"
        return cls(long_, short, math.degrees(math.atan2(-down, right)) % 180, likeness)

    def __str__(self) -> str:
        sizes = f"{self.long_px:.1f} x {self.short_px:.1f} px"
        if "motion" in self.likeness:
            return f"{sizes} at {self.degrees:.0f} degrees, like {self.likeness}"
        return f"{sizes}, {'hardly any' if self.likeness == 'none' else f'like {self.likeness}'}"


def milder(kernel: Kernel, strength: float) -> Kernel:
    """An aligned kernel between bicubic's, at `strength` 0, and an aligned one, at 1: their weighted mean.

    Both have one centre of mass, so the variance along any direction is the weighted mean of the two variances: the width
    grows with `strength` all the way. So does the error to expect, from bicubic's kernel's, which is 0 where nothing is undone.
    """
    if strength == 1:
        return kernel
    wide, narrow = in_one_frame([kernel.align().array, Kernel.bicubic(kernel.scale).array])
    error = None if kernel.expected_error is None else strength * kernel.expected_error
    return Kernel(strength * wide + (1 - strength) * narrow, kernel.scale, expected_error=error)
