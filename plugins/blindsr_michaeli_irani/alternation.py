"""Neighbour search and kernel fit in turns.

Source: Michaeli and Irani (ICCV 2013), sections 4 and 5.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from blindsr.api import BlindSRError, Kernel
from blindsr_michaeli_irani.fit import gaussian_fit, normal_equations, smooth_kernel
from blindsr_michaeli_irani.neighbours import find, weights
from blindsr_michaeli_irani.patches import coarse, gray_levels, queries

if TYPE_CHECKING:
    from blindsr.api import Image, RunContext
    from blindsr_michaeli_irani import MichaeliIrani

SIZE_PER_SCALE = 6  # the kernel is 13 x 13 at x2, 19 x 19 at x3
NEGLIGIBLE = 1e-6  # weight of all patches together, as a fraction of their number
FALLING = 1e-3  # by how much the mean distance must fall for another round


def estimate(lr: Image, scale: int, settings: MichaeliIrani, run: RunContext) -> Kernel:
    """The aligned kernel of an LR image, (H, W, 3) in [0, 1], at whose scale its patches are looked for.

    The last kernel is fitted once more, with the smoothness of the Gaussian that fits best. With a flat kernel's smoothness,
    where patches merely look alike, the smoothness outweighs the patches, and narrow kernels come out far too wide.

    The curve ``nearest_neighbour_distance`` gets the mean squared distance per pixel, in gray levels of 255 squared.
    """
    size = SIZE_PER_SCALE * scale + 1
    gray = gray_levels(lr, scale, size)
    patches = queries(gray, settings.patches)
    kernel = np.zeros((size, size))
    kernel[size // 2, size // 2] = 1
    last = np.inf
    for i in range(settings.iterations):
        places, distances = find(patches, coarse(gray, kernel, scale), settings.neighbours, torch.get_num_threads())
        distance = float(distances[:, 0].mean() / patches.shape[1])
        run.log("nearest_neighbour_distance", i, distance)
        if distance > (1 - FALLING) * last:
            break
        last = distance
        pairs = weights(patches, distances, settings.sigma)
        if not pairs.sum() > NEGLIGIBLE * len(patches):
            raise BlindSRError(
                f"none of the LR image's patches recur when it is downscaled by {scale}, so its kernel cannot be estimated from "
                "them: take a larger image"
            )
        matrix, right = normal_equations(gray, patches, places, pairs, scale=scale, size=size)
        penalty = settings.smoothness * float((pairs * distances).sum())
        kernel = smooth_kernel(matrix, right, penalty)
        run.progress(i + 1, settings.iterations)
    run.progress(settings.iterations, settings.iterations)
    kernel = smooth_kernel(matrix, right, penalty, around=gaussian_fit(matrix, right, kernel))
    return Kernel(kernel, scale).align()
