"""Kernels: alignment, composition, conventions of other tools, files."""

import copy
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from blindsr.errors import BlindSRError
from blindsr.imaging.downscaling import downscale
from blindsr.imaging.kernel import Kernel, center_of_mass, compose, gaussian_array, in_one_frame, nonnegative_kernel, precision_of
from blindsr.imaging.metrics import kernel_errors


@pytest.fixture
def kernel(shared: Path) -> Kernel:
    return Kernel.load(shared / "data/urban5rk/gt_k_x2/kernel_3.mat", scale=2)


def _lopsided(size: int = 13, scale: int = 2) -> Kernel:
    """A Gaussian that is not centred, with a tail on one side."""
    y, x = np.mgrid[:size, :size] - (size // 2 - 0.3)
    array = np.exp(-0.5 * ((x / 1.3) ** 2 + (y / 0.9) ** 2)) + 0.3 * np.exp(-0.5 * ((x - 1) ** 2 + (y + 1) ** 2))
    return Kernel(array / array.sum(), scale)


def test_composition_equals_two_downscalings() -> None:
    kernel = _lopsided().align()
    image = np.random.default_rng(0).random((160, 176, 3))
    twice = downscale(downscale(image, kernel), kernel)
    once = downscale(image, kernel.composed())
    assert np.abs(twice - once)[8:-8, 8:-8].max() < 1e-6


def test_composition_stays_aligned_and_has_size_3n_minus_2() -> None:
    composed = _lopsided(11).align().composed()
    assert composed.scale == 4
    assert composed.shape[0] == 3 * composed.half.shape[0] - 2
    assert np.abs(composed.misalignment_px).max() < 1e-3


def test_many_arrays_are_composed_as_one_is() -> None:
    arrays = np.random.default_rng(0).random((3, 7, 5))
    assert np.allclose(compose(arrays, 2), [compose(array, 2) for array in arrays])


def test_composition_gives_the_stored_x4_kernels(shared: Path) -> None:
    for folder in ("set14rk", "urban5rk"):
        for path in (shared / "data" / folder / "gt_k_x2").glob("*.mat"):
            stored = Kernel.load(shared / "data" / folder / "gt_k_x4" / path.name, scale=4)
            assert np.abs(Kernel.load(path, scale=2).composed().array - stored.array).max() < 1e-12


def test_align_puts_the_mass_where_it_belongs() -> None:
    aligned = _lopsided().align()
    assert center_of_mass(aligned.array) == pytest.approx([aligned.shape[0] // 2 + 0.5] * 2, abs=1e-3)
    assert aligned.aligned
    assert not _lopsided().aligned


def test_the_release_s_kernels_are_aligned(shared: Path) -> None:
    for path in (shared / "reference").glob("*.mat"):
        kernel = Kernel.load(path, scale=2)
        assert kernel.shape == (17, 17)
        assert np.abs(kernel.misalignment_px).max() < 1e-4


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_bicubic_kernel_is_aligned_and_symmetric(scale: int) -> None:
    kernel = Kernel.bicubic(scale)
    assert np.abs(kernel.misalignment_px).max() < 1e-12
    assert np.array_equal(kernel.array, kernel.array.T)


def test_widths_of_a_gaussian_are_its_standard_deviations() -> None:
    y, x = np.mgrid[-20:21, -20:21]
    u, v = (x + y) / np.sqrt(2), (x - y) / np.sqrt(2)
    array = np.exp(-0.5 * (u**2 / 9 + v**2 / 2.25))
    assert Kernel(array / array.sum(), 2).widths_px == pytest.approx((3, 1.5), rel=1e-3)


def test_usrnet_s_convention_convolves(tmp_path: Path) -> None:
    kernel = _lopsided().align()
    kernel.save(tmp_path / "k.mat", convention="usrnet")
    foreign = Kernel.load(tmp_path / "k.mat", scale=2)
    assert foreign.center_of_mass == pytest.approx([foreign.shape[0] // 2 - 0.5] * 2, abs=1e-3)
    assert np.array_equal(foreign.array, kernel.array[::-1, ::-1])
    assert np.array_equal(Kernel.load(tmp_path / "k.mat", scale=2, convention="usrnet").array, kernel.array)


def test_fkp_s_convention_is_shifted_by_scale_minus_one(tmp_path: Path) -> None:
    kernel = Kernel(np.pad(_lopsided().align().array, 2), 2)
    kernel.save(tmp_path / "k.npy", convention="fkp")
    foreign = Kernel.load(tmp_path / "k.npy", scale=2)
    assert foreign.center_of_mass == pytest.approx([foreign.shape[0] // 2 - 0.5] * 2, abs=1e-3)
    assert Kernel.load(tmp_path / "k.npy", scale=2, convention="fkp").aligned


@pytest.mark.parametrize("suffix", [".mat", ".npy"])
def test_files_round_trip(tmp_path: Path, suffix: str) -> None:
    _lopsided().save(tmp_path / f"k{suffix}")
    assert np.array_equal(Kernel.load(tmp_path / f"k{suffix}", scale=2).array, _lopsided().array)


def test_the_notebook_s_variable_is_read(tmp_path: Path) -> None:
    savemat(tmp_path / "k.mat", {"ker": _lopsided().array, "other": np.eye(3)})
    assert np.array_equal(Kernel.load(tmp_path / "k.mat", scale=2).array, _lopsided().array)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.ones((4, 5)) / 20, "odd number of rows"),
        (np.ones(9) / 9, "2-D"),
        (np.full((3, 3), np.nan), "9 values that are NaN"),
        (np.ones((3, 3)), "sums to 9, not to 1"),
    ],
)
def test_what_is_no_kernel_is_refused(array: np.ndarray, message: str) -> None:
    with pytest.raises(BlindSRError, match=message):
        Kernel(array, 2)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("absent.mat", None, "no such file"),
        ("k.mat", b"not a mat file", "not a readable .mat file"),
        ("k.npy", b"\x93NUMPY", "not a readable .npy file"),
        ("k.txt", b"1 2", "read from .mat or .npy"),
    ],
)
def test_unreadable_kernel_files_are_named(tmp_path: Path, name: str, content: bytes | None, message: str) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(BlindSRError, match=f"{name}: .*{message}"):
        Kernel.load(tmp_path / name, scale=2)


def test_a_pickle_is_never_loaded(tmp_path: Path) -> None:
    np.save(tmp_path / "k.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(BlindSRError, match="pickle"):
        Kernel.load(tmp_path / "k.npy", scale=2)


def test_a_picture_of_a_kernel_shows_its_peak(tmp_path: Path) -> None:
    from PIL import Image

    kernel = _lopsided()
    kernel.save(tmp_path / "k.png")
    with Image.open(tmp_path / "k.png") as picture:
        pixels = np.asarray(picture)
    peak = np.unravel_index(kernel.array.argmax(), kernel.shape)
    assert pixels.shape == (13 * 16, 13 * 16)
    assert pixels[peak[0] * 16, peak[1] * 16] == 255


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_a_gaussian_is_aligned_and_as_wide_as_its_covariance(scale: int) -> None:
    covariance = np.array([[6.0, 2.0], [2.0, 3.0]])
    kernel = Kernel.gaussian(covariance, scale)
    assert np.abs(kernel.misalignment_px).max() < 1e-3
    assert kernel.widths_px == pytest.approx(np.sqrt(np.linalg.eigvalsh(covariance)[::-1]), rel=0.01)
    offset = np.indices(kernel.shape) - np.reshape(kernel.center_of_mass, (2, 1, 1))
    assert np.einsum("iyx,jyx,yx->ij", offset, offset, kernel.array) == pytest.approx(covariance, rel=0.02)
    assert kernel.covariance == pytest.approx(covariance, rel=0.02)
    assert Kernel.gaussian(2.0, scale, size=21).shape == (21, 21)


def test_precisions_of_axes_and_an_angle() -> None:
    variances, angle = np.array([4.0, 1.0]), 0.4
    axis = np.array([np.cos(angle), np.sin(angle)])
    precision = precision_of(variances, angle)
    assert np.allclose(precision @ axis, axis / 4)
    many = precision_of(np.stack([variances, variances[::-1]]), np.array([angle, angle + np.pi / 2]))
    assert np.allclose(many, precision)
    arrays = gaussian_array(many, 9, center=[[4, 4], [4, 4]])
    assert arrays.shape == (2, 9, 9)
    assert np.allclose(arrays[0], gaussian_array(precision, 9, center=(4, 4)))


def test_arrays_in_one_frame_keep_their_middles() -> None:
    middles = [np.zeros((3, 5)), np.zeros((7, 1))]
    for array in middles:
        array[array.shape[0] // 2, array.shape[1] // 2] = 1
    for side, shape in ((0, (7, 5)), (9, (9, 9))):
        expected = np.zeros(shape)
        expected[shape[0] // 2, shape[1] // 2] = 1
        for found in in_one_frame(middles, side):
            np.testing.assert_array_equal(found, expected)


def test_a_nonnegative_kernel_solves_its_normal_equations() -> None:
    rng = np.random.default_rng(0)
    matrix, true = rng.random((40, 9)), np.maximum(rng.normal(size=9), 0)
    factor = np.linalg.cholesky(matrix.T @ matrix)
    kernel = nonnegative_kernel(factor, np.linalg.solve(factor, matrix.T @ (matrix @ true)))
    assert np.allclose(kernel.ravel(), true / true.sum())


@pytest.mark.parametrize("covariance", [0, -1.0, [[1, 2], [2, 1]], [[1, 0.5], [0, 1]], [1, 2, 3]])
def test_what_is_no_covariance_is_refused(covariance: object) -> None:
    with pytest.raises(BlindSRError, match="covariance must be a positive number or"):
        Kernel.gaussian(covariance, 2)


def test_a_kernel_shows_itself_in_one_line_and_in_a_picture(tmp_path: Path) -> None:
    kernel = Kernel.bicubic(4)
    assert repr(kernel) == "Kernel(19 x 19, scale=4, aligned, widths 1.64 x 1.64 px)"
    assert "(+2.00, +0.00) px off alignment" in repr(kernel.shifted(2, 0))
    kernel.save(tmp_path / "k.png")
    assert kernel._repr_png_() == (tmp_path / "k.png").read_bytes()


@pytest.mark.parametrize(
    ("array", "scale", "message"), [("abc", 2, "must hold real numbers"), (np.eye(3) / 3, 2.5, "whole number")]
)
def test_what_is_no_kernel_s_argument_is_refused(array: object, scale: float, message: str) -> None:
    with pytest.raises(BlindSRError, match=message):
        Kernel(array, scale)


@pytest.mark.parametrize("error", [-0.1, float("nan"), float("inf")])
def test_what_is_no_expected_error_is_refused(error: float) -> None:
    with pytest.raises(BlindSRError, match=f"expected_error must be 0 or more, or None, not {error}"):
        Kernel(np.eye(3) / 3, 2, expected_error=error)


def test_an_expected_error_stays_with_its_kernel() -> None:
    kernel = replace(Kernel.gaussian([[1.2, 0.4], [0.4, 2.0]], 2), expected_error=0.13)
    made = [kernel.align(), kernel.shifted(1, 0.5), kernel.composed(), copy.deepcopy(kernel), pickle.loads(pickle.dumps(kernel))]
    assert [other.expected_error for other in made] == [0.13] * len(made)
    assert "expected error 0.13)" in repr(kernel)
    assert Kernel.bicubic(2).align().expected_error is None
    assert "expected" not in repr(Kernel.bicubic(2))


def test_gaussians_wrong_by_a_factor_are_as_wrong_once_they_are_composed() -> None:
    # |a - b|^2 / |b|^2 of isotropic Gaussians of variances s and r s is 1 + 1 / r - 4 / (1 + r), whatever s is.
    true, wide = (Kernel.gaussian(variance, 2, size=41) for variance in (2.0, 3.0))
    expected = np.sqrt(1 + 1 / 1.5 - 4 / 2.5)
    assert kernel_errors(wide, true)["kernel_l2"] == pytest.approx(expected, abs=2e-3)
    assert kernel_errors(wide.composed(), true.composed())["kernel_l2"] == pytest.approx(expected, abs=2e-3)


def test_a_file_name_in_capitals_names_the_same_formats(tmp_path: Path) -> None:
    kernel = Kernel.gaussian(2.0, 2)
    for name in ("K.MAT", "K.NPY"):
        kernel.save(tmp_path / name)
        np.testing.assert_array_equal(Kernel.load(tmp_path / name, scale=2).array, kernel.array)
