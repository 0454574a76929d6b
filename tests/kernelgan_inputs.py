"""What the tests of KernelGAN share: an image with edges everywhere, a comparison."""

import numpy as np

from blindsr.imaging.downscaling import downscale
from blindsr.imaging.kernel import Kernel


def textured_image():
    """An 8-bit image with edges everywhere, 120 x 100."""
    rng = np.random.default_rng(5)
    hr = (rng.random((60, 50, 3)).repeat(4, 0).repeat(4, 1)).astype(np.float32)
    return np.round(downscale(hr, Kernel.bicubic(2)).clip(0, 1) * 255).astype(np.float32) / 255


def assert_close(actual, expected, tolerance=1e-5):
    assert actual.shape == expected.shape
    assert float((actual - expected).detach().abs().max()) <= tolerance * float(expected.detach().abs().max())
