"""Bicubic resizing and downscaling by a kernel, compared with files from MATLAB and with scipy."""

from pathlib import Path

import numpy as np
import pytest
from pixels import read
from scipy import ndimage
from skimage.registration import phase_cross_correlation

from blindsr.errors import BlindSRError
from blindsr.imaging.downscaling import back_project, back_projection_reach_px, downscale
from blindsr.imaging.kernel import Kernel
from blindsr.imaging.reader import to_depth, to_float
from blindsr.imaging.resize import bicubic


def _gaussian(sigma: float, scale: int, size: int = 15) -> Kernel:
    offset = np.arange(size) - (size // 2 + (scale - 1) / 2)
    taps = np.exp(-0.5 * (offset / sigma) ** 2)
    array = np.outer(taps, taps)
    return Kernel(array / array.sum(), scale)


def _shift_px(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The sub-pixel shift between two images. The borders are faded out, because the method assumes periodic images."""
    window = np.outer(np.hanning(a.shape[0]), np.hanning(a.shape[1]))
    faded = ((image.mean(2) - image.mean()) * window for image in (a, b))
    return phase_cross_correlation(*faded, upsample_factor=100, normalization=None)[0]


def test_bicubic_reproduces_all_matlab_files_bit_for_bit(shared: Path) -> None:
    files = sorted((shared / "data/matlab_bicubic").glob("*/x*/*_HR.png"))
    assert len(files) == 57
    wrong = []
    for path in files:
        scale = int(path.parent.name[1:])
        lr = read(path.with_name(path.name.replace("_HR", "_LR")))
        if not np.array_equal(bicubic(read(path), scale=1 / scale), lr):
            wrong.append(path.name)
    assert wrong == []


def test_bicubic_enlarges_a_ramp_linearly_and_keeps_a_constant() -> None:
    ramp = np.repeat(np.arange(20.0)[:, None], 9, axis=1)
    large = bicubic(ramp, scale=2)
    assert large.shape == (40, 18)
    assert np.allclose(large[6:-6, 9], (np.arange(40)[6:-6] + 0.5) / 2 - 0.5)  # cubic convolution is exact on lines
    assert np.allclose(bicubic(np.full((7, 5, 3), 0.3, np.float32), shape=(11, 13)), 0.3)


def test_bicubic_wants_scale_or_shape() -> None:
    with pytest.raises(TypeError, match="either scale or shape"):
        bicubic(np.zeros((4, 4)))


@pytest.mark.parametrize(("scale", "sides"), [(2, (64, 70)), (3, (33, 40)), (4, (37, 65))])
def test_downscale_equals_scipy_correlation(scale: int, sides: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    image = rng.random((*sides, 3)).astype(np.float32)
    array = rng.random((13, 9))
    kernel = Kernel(array / array.sum(), scale)
    expected = np.stack([ndimage.correlate(image[..., c].astype(float), kernel.array, mode="reflect") for c in range(3)], -1)
    assert np.abs(downscale(image, kernel) - expected[::scale, ::scale]).max() < 1e-6


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_bicubic_kernel_downscales_as_matlab_away_from_the_border(scale: int) -> None:
    image = np.random.default_rng(1).random((72, 84, 3))
    difference = downscale(image, Kernel.bicubic(scale)) - bicubic(image, scale=1 / scale)
    assert np.abs(difference[4:-4, 4:-4]).max() < 1e-12


@pytest.mark.parametrize("scale", [2, 4])
def test_downscaling_then_upscaling_leaves_no_shift(scale: int, photo: np.ndarray) -> None:
    hr = to_float(photo[:296, :448])
    back = bicubic(downscale(hr, _gaussian(1.2 * scale / 2, scale)), scale=scale)
    assert np.abs(_shift_px(hr, back)).max() < 0.05


def test_a_kernel_in_the_middle_of_its_array_does_shift(photo: np.ndarray) -> None:
    centred = Kernel(_gaussian(1.2, 2).shifted(-0.5, -0.5).array, 2)
    hr = to_float(photo[:296, :448])
    back = bicubic(downscale(hr, centred), scale=2)
    assert np.abs(_shift_px(hr, back)) == pytest.approx([0.5, 0.5], abs=0.05)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int64])
def test_downscale_rounds_and_clips_integers(photo: np.ndarray, dtype: type) -> None:
    image = photo[:60, :60].astype(dtype)
    array = np.zeros((5, 5))
    array[2, 2], array[2, 3] = 2.5, -1.5  # sharpens, so it overshoots
    kernel = Kernel(array, 2)
    limits = np.iinfo(dtype)
    expected = np.clip(np.floor(downscale(image.astype(float), kernel) + 0.5), limits.min, limits.max)
    result = downscale(image, kernel)
    assert result.dtype == dtype
    assert np.array_equal(result, expected)


def test_back_projection_makes_the_lr_image_agree(photo: np.ndarray) -> None:
    hr, kernel = to_float(photo[:96, :96]), _gaussian(1.2, 2)
    lr = downscale(hr, kernel)
    sr = bicubic(lr, scale=2)
    misfits = [np.abs(downscale(back_project(sr, lr, kernel, times=n), kernel) - lr).mean() for n in (0, 2, 10)]
    assert misfits[1] < 0.4 * misfits[0]
    assert misfits[2] < 0.4 * misfits[1]
    rounded = back_project(to_depth(sr, np.uint8), to_depth(lr, np.uint8), kernel, times=2)
    assert rounded.dtype == np.uint8
    assert np.abs(to_float(rounded) - back_project(sr, lr, kernel, times=2)).max() < 0.02


def test_a_back_projection_changes_no_pixel_beyond_its_reach() -> None:
    kernel = _gaussian(1.5, 2, size=13)
    lr = np.full((41, 41), 0.5)
    dotted = lr.copy()
    dotted[20, 20] = 0.6
    sr = bicubic(lr, scale=2)
    changed = np.argwhere(back_project(sr, dotted, kernel) != back_project(sr, lr, kernel)) // 2
    assert np.abs(changed - 20).max() <= back_projection_reach_px(kernel)


@pytest.mark.parametrize("resize", [lambda image: bicubic(image, scale=2), lambda image: downscale(image, Kernel.bicubic(2))])
def test_what_is_no_image_is_refused(resize: object) -> None:
    for image, message in (
        ([[1.0, 2.0]], "numpy array of floats in .* not list"),
        (np.zeros((4, 4), bool), "not an array of bool"),
        (np.zeros(9), r"shape is \(9,\)"),
        (np.zeros((0, 4)), "not empty"),
    ):
        with pytest.raises(BlindSRError, match=message):
            resize(image)  # type: ignore[operator]
    with pytest.raises(BlindSRError, match="give a larger scale or shape"):
        bicubic(np.zeros((4, 4)), shape=(0, 3))
    with pytest.raises(BlindSRError, match="is not 2 times lr"):
        back_project(np.zeros((9, 8)), np.zeros((4, 4)), Kernel.bicubic(2))
