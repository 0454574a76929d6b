"""What the tests of KernelGAN share: a run context that records, an image with edges everywhere, a comparison."""

import numpy as np
import torch

from blindsr.imaging.downscaling import downscale
from blindsr.imaging.kernel import Kernel


class Run:
    """A run context that records warnings, curves and progress."""

    device = "cpu"

    def __init__(self, seed=0):
        self.rng = np.random.default_rng(seed)
        self.torch_rng = torch.Generator().manual_seed(seed)
        self.done, self.curves = [], {}

    def progress(self, done, total):
        self.done.append((done, total))

    def log(self, name, step, value):
        self.curves.setdefault(name, []).append((step, value))

    def warn(self, text):
        raise AssertionError(text)


def textured_image():
    """An 8-bit image with edges everywhere, 120 x 100."""
    rng = np.random.default_rng(5)
    hr = (rng.random((60, 50, 3)).repeat(4, 0).repeat(4, 1)).astype(np.float32)
    return np.round(downscale(hr, Kernel.bicubic(2)).clip(0, 1) * 255).astype(np.float32) / 255


def assert_close(actual, expected, tolerance=1e-5):
    assert actual.shape == expected.shape
    assert float((actual - expected).detach().abs().max()) <= tolerance * float(expected.detach().abs().max())
