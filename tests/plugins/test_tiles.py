"""Tiles of SR methods with data steps, against the whole image, for kernels that some frequencies do not pass."""

from typing import Any

import numpy as np
import pytest
from scipy import ndimage
from skimage import data

from blindsr.api import Kernel, NonBlindSR, border_decay_px, downscale, to_depth, to_float
from blindsr.api.testing import run_context
from blindsr.components.registry import Registry


def _streak() -> Kernel:
    array = np.zeros((15, 15))
    array[7, :] = 1 / 15
    return Kernel(array, 2).align()


def _defocus() -> Kernel:
    row, column = np.mgrid[:15, :15] - 7.5
    array = ndimage.gaussian_filter((row**2 + column**2 < 4**2).astype(float), 0.4)
    return Kernel(array / array.sum(), 2).align()


@pytest.mark.parametrize("method", ["unfolding", "srmd", "zssr"])
@pytest.mark.parametrize(("kernel", "most"), [(_streak(), 0.02), (_defocus(), 0.002)], ids=["streak", "defocus"])
def test_tiles_of_kernels_with_zeros_have_no_seams(method: str, kernel: Kernel, most: float) -> None:
    parameters: dict[str, Any] = {
        "unfolding": {"size": "small"}, "srmd": {}, "zssr": {"init": "pretrained", "iterations": 2},
    }  # fmt: skip
    hr = data.astronaut()[:160, :500] / np.float32(255)
    lr = to_float(to_depth(np.clip(downscale(hr, kernel), 0, 1), np.uint8))
    method_of = Registry.discover().build("sr", method, parameters[method], scale=2)
    assert isinstance(method_of, NonBlindSR)
    upscaler = method_of.fit(lr, kernel, run_context())
    assert upscaler.halo
    assert upscaler.halo < 120
    stop = 124
    whole = upscaler(lr)[:, : 2 * stop]
    tile = upscaler(lr[:, : stop + upscaler.halo])[:, : 2 * stop]
    seam = (slice(40, -40), slice(2 * stop - 40, None))
    assert np.abs(tile - whole)[seam].max() < most


def test_the_border_decays_over_as_many_pixels_as_a_kernel_needs() -> None:
    for variances in ((0.6, 0.6), (2.0, 0.6), (5.0, 5.0)):
        assert border_decay_px(Kernel.gaussian(np.diag(variances), 2)) == 8
    assert border_decay_px(Kernel.bicubic(3)) == 8
    assert 20 < border_decay_px(_defocus()) < border_decay_px(_streak()) <= 128
    assert border_decay_px(_streak(), alpha=1e-4) > border_decay_px(_streak())
    assert border_decay_px(_streak(), alpha=0.1) == border_decay_px(_streak())
