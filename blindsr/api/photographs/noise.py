"""The noise of a photograph."""

import math

from blindsr.api.photographs.reading import Photograph
from blindsr.imaging.noise import noise_level

COMPRESSION_WEIGHT = 2.0
"""Errors of JPEG compression disturb super-resolution as white noise does that is twice as strong: on 5 photographs at quality 95
and 85, `unfolding` was best when it was told about this much."""


def noise_of(photograph: Photograph) -> float:
    """The standard deviation of the white noise, in levels of 255, that a photograph's noise and compression amount to."""
    pixels = photograph.pixels
    # Noise that is alike in all channels after JPEG's colours were thinned out shows in one of them.
    seen = pixels[..., 1:2] if photograph.compression_error > 0 else pixels
    return math.hypot(noise_level(seen), COMPRESSION_WEIGHT * photograph.compression_error)
