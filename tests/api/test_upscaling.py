"""What `blindsr.upscale` decides: the noise, the blur in words, milder kernels, the guard, the self-ensemble, and where files go."""

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import blindsr
from blindsr import BlindSRError, Kernel
from blindsr.api.ensemble import SelfEnsemble, turned
from blindsr.api.photographs.blur import Blur, milder
from blindsr.api.photographs.guard import MAX_OVERSHOOT, Evidence, judged
from blindsr.api.photographs.noise import noise_of
from blindsr.api.photographs.places import places
from blindsr.api.photographs.qualities import QUALITIES
from blindsr.api.photographs.reading import read_photograph
from blindsr.components.registry import Registry
from blindsr.execution import tiling
from blindsr.execution.tasks import Context
from blindsr.imaging.downscaling import downscale
from blindsr.imaging.noise import noise_level
from blindsr.imaging.reader import to_float
from blindsr.imaging.resize import bicubic
from blindsr.imaging.symmetries import SYMMETRIES, Symmetry


def _gaussian(long_px: float, short_px: float, degrees: float, scale: int = 2) -> Kernel:
    """A Gaussian whose long axis is at an angle, anticlockwise from the rows, as one sees it."""
    x, y = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    axis, across = np.array([-y, x]), np.array([x, y])  # (row, column); rows run downwards
    return Kernel.gaussian(long_px**2 * np.outer(axis, axis) + short_px**2 * np.outer(across, across), scale)


def _second_moments(kernel: Kernel) -> NDArray[np.float64]:
    """The covariance of a kernel, negative values included."""
    grid = np.indices(kernel.shape).reshape(2, -1) - np.array(kernel.center_of_mass)[:, None]
    moments: NDArray[np.float64] = (grid * kernel.array.ravel()) @ grid.T
    return moments


@pytest.mark.parametrize("level", [2, 5, 10])
def test_the_noise_level_is_that_of_the_noise(photo: NDArray[np.uint8], level: int) -> None:
    small = to_float(downscale(photo, Kernel.gaussian(1.0, 2)))
    noisy = small + np.random.default_rng(0).normal(0, level / 255, small.shape).astype(np.float32)
    assert noise_level(noisy) == pytest.approx(level, rel=0.1)
    assert noise_level(noisy[..., [1, 1, 1]]) == pytest.approx(level, rel=0.15)  # gray: a third of the values


def test_a_photograph_without_noise_has_next_to_none(photo: NDArray[np.uint8]) -> None:
    assert noise_level(downscale(photo, Kernel.gaussian(1.0, 2))) < 0.6  # rounding is 0.29
    assert noise_level(np.zeros((3, 1, 3), np.uint8)) == 0


@pytest.mark.parametrize("side", [12, 16, 24, 32, 48])
def test_the_noise_level_of_a_small_image_is_about_that_of_the_noise(photo: NDArray[np.uint8], side: int) -> None:
    smooth = downscale(to_float(photo), Kernel.gaussian(1.5, 2))[:100, :100]
    rng = np.random.default_rng(0)
    found = []
    for top in range(0, 100 - side, 10):
        part = smooth[top : top + side, top : top + side] + rng.normal(0, 10 / 255, (side, side, 3))
        found.append(noise_level((np.clip(part, 0, 1) * 255).round().astype(np.uint8)))
    assert np.mean(found) == pytest.approx(10, rel=0.25)


@pytest.mark.parametrize("quality", [95, 85, 50])
def test_the_compression_error_is_about_that_of_jpeg(photo: NDArray[np.uint8], quality: int, tmp_path: Path) -> None:
    small = downscale(photo, Kernel.gaussian(1.0, 2))
    Image.fromarray(small).save(tmp_path / "a.jpg", quality=quality)
    compressed = read_photograph(tmp_path / "a.jpg")
    luma = np.array([0.299, 0.587, 0.114])
    error = np.sqrt(np.mean(((compressed.pixels - small.astype(float)) @ luma) ** 2))
    assert compressed.compression_error == pytest.approx(error, rel=0.35)


def test_the_noise_of_a_gray_photograph_is_seen(photo: NDArray[np.uint8], tmp_path: Path) -> None:
    small = downscale(photo, Kernel.gaussian(1.0, 2))[..., 1]
    noisy = np.clip(np.rint(small + np.random.default_rng(0).normal(0, 5, small.shape)), 0, 255).astype(np.uint8)
    for mode in ("L", "RGB"):
        Image.fromarray(noisy).convert(mode).save(tmp_path / f"{mode}.png")
        assert noise_of(read_photograph(tmp_path / f"{mode}.png")) == pytest.approx(5, rel=0.1)


@pytest.mark.parametrize("degrees", [0, 30, 90, 150])
def test_a_blur_in_words_has_the_sizes_and_the_direction(degrees: float) -> None:
    blur = Blur.of(_gaussian(2.0, 1.0, degrees))
    assert (blur.long_px, blur.short_px) == pytest.approx((2.0, 1.0), abs=0.02)
    assert min(abs(blur.degrees - degrees), 180 - abs(blur.degrees - degrees)) < 1
    assert str(blur).startswith("2.0 x 1.0 px at ")
    assert str(blur).endswith("like motion")


def test_the_words_for_round_blurs() -> None:
    assert str(Blur.of(Kernel.bicubic(2))) == "0.8 x 0.8 px, hardly any"
    words = [Blur.of(Kernel.gaussian(width**2, 2)).likeness for width in (0.9, 1.3, 2.0, 3.0)]
    assert words == ["none", "a slight defocus", "defocus", "a strong defocus"]
    assert Blur.of(_gaussian(1.4, 1.0, 30)).likeness == "a slight motion"


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_milder_kernels_lie_between_bicubics_and_the_estimate(scale: int) -> None:
    kernel = _gaussian(0.9 * scale, 0.6 * scale, 30, scale)
    assert milder(kernel, 1) is kernel
    assert _centre(milder(kernel, 0)) == pytest.approx(_centre(Kernel.bicubic(scale)), abs=1e-12)
    ends = _second_moments(Kernel.bicubic(scale)), _second_moments(kernel)
    for strength in (0.25, 0.5, 0.75):
        mixed = milder(kernel, strength)
        assert mixed.aligned
        expected = (1 - strength) * ends[0] + strength * ends[1]
        assert _second_moments(mixed) == pytest.approx(expected, abs=0.02 * scale**2)


def _centre(kernel: Kernel, side: int = 5) -> NDArray[np.float64]:
    """The values around the middle, in which kernels of different frames can be compared."""
    row, column = (size // 2 for size in kernel.shape)
    middle: NDArray[np.float64] = kernel.array[row - side // 2 : row + side // 2 + 1, column - side // 2 : column + side // 2 + 1]
    return middle


def test_the_residual_is_the_difference_of_the_downscaled_result(photo: NDArray[np.uint8]) -> None:
    kernel, hr = Kernel.gaussian(1.5, 2), to_float(photo[:96, :128])
    lr = downscale(hr, kernel)
    assert Evidence.of(lr, hr, kernel).residual == pytest.approx(0, abs=1e-4)
    assert Evidence.of(lr, hr + np.float32(3 / 255), kernel).residual == pytest.approx(3, rel=1e-3)


def test_the_overshoot_is_that_beyond_the_range_of_the_neighbours() -> None:
    lr = np.full((40, 40, 3), 0.25, np.float32)
    lr[::3, ::3] = 0.75  # every 3 x 3 neighbourhood has both
    sr = lr.repeat(2, 0).repeat(2, 1)
    assert Evidence.of(lr, sr, Kernel.bicubic(2)).overshoot == 0
    sr[::2, ::2] = 0.95  # a quarter of the pixels, 0.2 beyond a range of 0.5
    assert Evidence.of(lr, sr, Kernel.bicubic(2)).overshoot == pytest.approx(math.sqrt(0.25) * 0.2 / 0.5, rel=1e-3)


def test_contradictions_depend_on_the_noise() -> None:
    assert Evidence(4.9, 0.1).contradiction(noise=5) == ""
    assert "disagrees" in Evidence(4.9, 0.1).contradiction(noise=2)
    assert "overshoots" in Evidence(0.1, MAX_OVERSHOOT * 1.1).contradiction(noise=5)


def _sr_for_kernels_up_to(width_px: float, hr: NDArray[np.float32]) -> Callable[[NDArray[np.float32], Kernel], NDArray[np.float32]]:
    """Super-resolution that is flawless for narrow kernels, and falls apart for wide ones."""

    def super_resolve(lr: NDArray[np.float32], kernel: Kernel) -> NDArray[np.float32]:
        flawless: NDArray[np.float32] = np.zeros((2 * lr.shape[0], 2 * lr.shape[1], 3), np.float32) + hr
        return flawless if kernel.widths_px[0] <= width_px else 1 - flawless

    return super_resolve


@pytest.mark.parametrize(("limit_px", "strength"), [(9, 0.8), (1.8, 0.6), (1.0, 0.0), (0.1, None)])
def test_the_guard_takes_the_strongest_kernel_that_is_not_contradicted(limit_px: float, strength: float | None) -> None:
    pixels = np.full((64, 64, 3), 51, np.uint8)
    kernel = Kernel.gaussian(4.0, 2)
    widths = {share: milder(kernel, share * 0.8).widths_px[0] for share in (1.0, 0.75, 0.5, 0.25, 0.0)}
    limit_px = {1.8: (widths[0.75] + widths[1.0]) / 2, 1.0: (widths[0.0] + widths[0.25]) / 2}.get(limit_px, limit_px)
    found = judged(pixels, kernel, _sr_for_kernels_up_to(limit_px, np.float32(0.2)), noise=1, strength=0.8)
    if strength is None:
        assert found.kernel is None
    else:
        assert found.kernel
        assert found.strength == pytest.approx(strength)
    assert ("disagrees" in found.reason) == (strength != 0.8)


@pytest.mark.parametrize(("expected_error", "doubt"), [(0.9, ""), (None, "an image unlike others")])
def test_of_a_doubtful_kernel_half_is_undone_and_the_reason_is_told(expected_error: float | None, doubt: str) -> None:
    kernel = Kernel(Kernel.gaussian(4.0, 2).array, 2, expected_error=expected_error)
    pixels = np.full((64, 64, 3), 51, np.uint8)
    found = judged(pixels, kernel, _sr_for_kernels_up_to(9, np.float32(0.2)), noise=1, strength=1.0, doubt=doubt)
    assert found.strength == 0.5
    assert (doubt or "doubtful (expected error 0.90)") in found.reason


@pytest.mark.slow
def test_too_wide_a_kernel_leaves_a_photograph_no_worse_than_bicubic_interpolation(
    photo: NDArray[np.uint8], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from blindsr.api.photographs import upscaling
    from blindsr.imaging.writer import write_png

    hr = photo[60:220, 100:292]
    lr = blindsr.degrade(hr, Kernel.gaussian(1.0, 2)).lr
    write_png(tmp_path / "photo.png", lr)
    monkeypatch.setattr(upscaling, "_estimated", lambda *rest: (Kernel.gaussian(6.0, 2), ""))
    [result] = blindsr.upscale(tmp_path / "photo.png", quality="fast", device="cpu")
    assert (result.status, result.error) == ("done", "")
    assert result.strength < 1
    assert "of the estimated blur is undone" in result.notes[0] or "bicubic interpolation" in result.notes[0]
    plain = blindsr.psnr_y(bicubic(lr, scale=2), hr, shave=2)
    assert blindsr.psnr_y(blindsr.read_image(result.output).pixels, hr, shave=2) > plain - 0.2


@pytest.mark.parametrize("symmetry", SYMMETRIES)
@pytest.mark.parametrize("scale", [2, 3, 4])
def test_a_turned_kernel_is_that_of_the_turned_image(scale: int, symmetry: Symmetry) -> None:
    random = np.random.default_rng(0)
    hr, array = random.random((12 * scale, 10 * scale, 3)), random.random((5, 9))
    kernel = Kernel(array / array.sum(), scale)
    expected = symmetry.apply(downscale(hr, kernel))
    assert downscale(np.ascontiguousarray(symmetry.apply(hr)), turned(kernel, symmetry)) == pytest.approx(expected, abs=1e-12)


def test_the_ensemble_of_bicubic_interpolation_is_bicubic_interpolation(photo: NDArray[np.uint8]) -> None:
    lr = to_float(photo[:20, :30])
    component = Registry.discover().build("sr", "bicubic", scale=2)
    ensemble = SelfEnsemble.fit(component, lr, Kernel.bicubic(2), Context("cpu", "0", lambda done, total: None))
    assert ensemble(lr) == pytest.approx(bicubic(lr, scale=2), abs=1e-5)


def test_tiles_equal_the_whole(photo: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch) -> None:
    """To less than the rounding of 8 bits, for the methods of all qualities."""
    lr, scale = to_float(photo[:70, 100:200]), 2
    component = Registry.discover().build("sr", QUALITIES["good"].sr, {"noise": 2.0}, scale=scale)
    upscaler = component.fit(lr, _gaussian(2.0, 1.2, 30), Context("cpu", "0", lambda done, total: None))
    whole = tiling.upscale(upscaler, lr, scale, np.uint16)
    monkeypatch.setattr(tiling, "TILE_SR_PX", 100)
    assert np.abs(to_float(tiling.upscale(upscaler, lr, scale, np.uint16)) - to_float(whole)).max() < 1e-3


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for name in ("b.png", "a.JPG", "a_x2.JPG", "lone_x2.png", ".hidden.png", "text.txt"):
        (tmp_path / name).touch()
    return tmp_path


def test_folders_and_patterns_are_photographs_less_earlier_results(photos: Path) -> None:
    assert [place.photo.name for place in places([photos], None, 2)] == ["a.JPG", "b.png", "lone_x2.png"]
    found = places([photos / "*.png", photos / "b.png"], photos / "out", 3)
    assert [place.output.name for place in found] == ["b_x3.png", "lone_x2_x3.png"]
    assert places([photos / "c.webp"], None, 4)[0].output == photos / "c_x4.png"


def test_wrong_places_are_lines(photos: Path) -> None:
    (photos / "empty").mkdir()
    (photos / "other").mkdir()
    with pytest.raises(BlindSRError, match="holds no photographs"):
        places([photos / "empty"], None, 2)
    with pytest.raises(BlindSRError, match=r"matches no file"):
        places([photos / "*.tif"], None, 2)
    with pytest.raises(BlindSRError, match="is a file, not a folder"):
        places([photos], photos / "text.txt", 2)
    with pytest.raises(BlindSRError, match="both would become"):
        places([photos / "b.png", photos / "other" / "b.png"], photos / "out", 2)
    with pytest.raises(BlindSRError, match="no photographs were named"):
        blindsr.upscale([])


def test_a_photograph_is_one_however_it_is_named_and_is_never_written_over(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(photos)
    assert [place.photo for place in places([Path("b.png"), photos / "b.png"], photos / "out", 2)] == [Path("b.png")]
    assert [place.photo for place in places([Path("a.JPG"), photos / "a_x2.JPG"], None, 2)] == [Path("a.JPG")]  # its result
    (photos / "sub").mkdir()
    (photos / "sub/b_x2.png").touch()
    with pytest.raises(
        BlindSRError, match=r"b.png: would become .*sub/b_x2.png, which is to be upscaled, too; name another folder"
    ):
        places([photos / "b.png", photos / "sub/b_x2.png"], Path("sub"), 2)


@pytest.mark.parametrize(
    ("argument", "line"),
    [
        ({"quality": "god"}, "did you mean 'good'"),
        ({"strength": 1.5}, "must be from 0 to 1"),
        ({"scale": 5}, "scales 2, 3 and 4"),
        ({"kernel": "kernelgam"}, "did you mean 'kernelgan'"),
        ({"sr": "external"}, "external"),
        ({"device": "cuda"}, "cuda"),
    ],
)
def test_wrong_arguments_are_lines(argument: dict[str, object], line: str, small_photo: Path) -> None:
    import torch

    if "device" in argument and torch.cuda.is_available():
        pytest.skip("a GPU is there")
    with pytest.raises(BlindSRError, match=line):
        blindsr.upscale(small_photo, **argument)
