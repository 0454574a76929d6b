"""Michaeli and Irani's method, compared with closed forms, brute force, and direct evaluations of its sums."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from blindsr_michaeli_irani import MichaeliIrani, blindsr_kernel_estimators, patches
from blindsr_michaeli_irani.fit import gaussian_fit, normal_equations, roughness, smooth_kernel
from blindsr_michaeli_irani.neighbours import find, weights
from blindsr_michaeli_irani.patches import coarse, queries
from recording import Run
from scipy import ndimage
from scipy.optimize import minimize

from blindsr.errors import BlindSRError
from blindsr.imaging.kernel import Kernel
from blindsr.imaging.metrics import kernel_errors
from blindsr.imaging.reader import read_image

pytestmark = pytest.mark.usefixtures("one_thread")


def with_its_own_reduction(kernel, side=180, seed=0):
    """Overlapping rectangles of random grays, and beside them the same picture downscaled by the kernel, repeatedly while there is room.

    When the kernel downscales this image, the large picture becomes exactly the small one. So a part of the image recurs at a
    coarser scale under this kernel, and under no other.
    """
    rng = np.random.default_rng(seed)
    large = np.full((side, side), 0.5)
    for top, left, height, width in rng.integers([-8, -8, 6, 6], [side, side, 30, 30], (400, 4)):
        large[max(top, 0) : top + height, max(left, 0) : left + width] = rng.random()
    large = ndimage.gaussian_filter(large, 0.5)
    small = ndimage.correlate(large, kernel.array)[:: kernel.scale, :: kernel.scale]
    return np.hstack([large, np.vstack([small] * kernel.scale)])[..., None].repeat(3, 2).astype(np.float32)


def gaussian(covariance, size, scale):
    grid = np.indices((size, size)).reshape(2, -1) - (size // 2 + (scale - 1) / 2)
    values = np.exp(-(grid * np.linalg.solve(covariance, grid)).sum(0) / 2).reshape(size, size)
    return Kernel(values / values.sum(), scale)


@pytest.fixture(scope="module")
def texture():
    """A small image without its mean, (45, 51), and a kernel of 5 x 5 whose taps are all different."""
    rng = np.random.default_rng(1)
    kernel = rng.random((5, 5))
    return rng.normal(0, 40, (45, 51)), kernel / kernel.sum()


@pytest.fixture(scope="module")
def similar():
    """A kernel, and an image that is self-similar under it."""
    kernel = gaussian(np.array([[2.0, 0.8], [0.8, 1.2]]), 13, 2)
    return kernel, with_its_own_reduction(kernel)


@pytest.fixture(scope="module")
def estimated(similar):
    """The estimator's result for that image, and its reports."""
    run = Run()
    return MichaeliIrani().estimate(similar[1], 2, run), run


def test_recovers_the_kernel_of_an_image_that_is_similar_to_itself(similar, estimated):
    errors = kernel_errors(estimated[0], similar[0])
    assert errors["kernel_l2"] < 0.2
    assert errors["kernel_correlation"] > 0.98


def test_recovers_an_x3_kernel():
    true = gaussian(np.array([[2.8, -1.0], [-1.0, 4.0]]), 19, 3)
    kernel = MichaeliIrani(smoothness=5).estimate(with_its_own_reduction(true), 3, Run())
    assert kernel.scale == 3
    assert kernel_errors(kernel, true)["kernel_l2"] < 0.2


def test_its_kernel_is_aligned_and_non_negative(estimated):
    kernel, _ = estimated
    assert kernel.shape == (17, 17)
    assert max(map(abs, kernel.misalignment_px)) < 0.02
    assert kernel.array.min() > -0.05 * kernel.array.max()  # the spline of the sub-pixel shift may undershoot


def test_neighbours_come_closer_and_are_reported(estimated):
    _, run = estimated
    distances = [value for _, value in run.curves["nearest_neighbour_distance"]]
    assert [step for step, _ in run.curves["nearest_neighbour_distance"]] == list(range(len(distances)))
    assert distances[-1] < 0.8 * distances[0]
    assert run.done[-1] == (15, 15)


def test_contrast_does_not_matter(similar):
    """The smoothness is relative; only `sigma` is in gray levels."""
    image = similar[1]
    strong = MichaeliIrani(patches=1000, neighbours=1).estimate(image, 2, Run())
    weak = MichaeliIrani(patches=1000, neighbours=1).estimate(0.4 + 0.1 * image, 2, Run())
    assert kernel_errors(weak, strong)["kernel_l2"] < 0.02


def test_coarse_image_equals_its_sum(texture, monkeypatch):
    image, kernel = texture
    expected = [[(kernel * image[y : y + 5, x : x + 5]).sum() for x in range(0, 47, 2)] for y in range(0, 41, 2)]
    np.testing.assert_allclose(coarse(image, kernel, 2), expected, rtol=1e-12)
    monkeypatch.setattr(patches, "CHUNK", 1)
    np.testing.assert_allclose(coarse(image, kernel, 2), expected, rtol=1e-12)


def test_queries_are_the_patches_with_contrast():
    image = np.zeros((30, 40))
    image[10:13, 20:22] = 50
    expected = [image[y : y + 5, x : x + 5].ravel() for y in range(26) for x in range(36) if image[y : y + 5, x : x + 5].any()]
    np.testing.assert_array_equal(queries(image, 10_000), expected)
    np.testing.assert_array_equal(queries(image, 2), [expected[0], expected[-1]])


@pytest.mark.parametrize("count", [1, 4])
def test_neighbours_equal_brute_force(texture, count):
    image, kernel = texture
    smaller = coarse(image, kernel, 2)
    looked_for = queries(image, 150)
    candidates = np.array([smaller[y : y + 5, x : x + 5].ravel() for y in range(17) for x in range(20)])
    distances = ((looked_for[:, None] - candidates) ** 2).sum(2)

    places, found = find(looked_for, smaller, count)

    np.testing.assert_array_equal(places, distances.argsort(1)[:, :count])
    np.testing.assert_allclose(found, np.sort(distances, 1)[:, :count], rtol=1e-9)


def test_weights_equal_their_formula():
    looked_for = np.array([[0.0, 20.0] * 12 + [10.0], [0.0, 4.0] * 12 + [2.0]])  # variances 96 and 3.84
    distances = np.array([[24.0, 224.0], [9.6, 1e6]])
    inner = np.exp(-1.0)  # (224 - 24) / (2 * 10^2)
    first, second = np.exp(-24 / (25 * 96) / 0.03), np.exp(-9.6 / (25 * 3.84) / 0.03)
    np.testing.assert_allclose(
        weights(looked_for, distances, 10), [[first / (1 + inner), first * inner / (1 + inner)], [second, 0]], rtol=1e-12
    )


@pytest.mark.parametrize("scale", [2, 3])
@pytest.mark.parametrize("chunk", [1, 50, 10**6])
def test_normal_equations_equal_a_literal_sum(texture, monkeypatch, scale, chunk):
    monkeypatch.setattr(patches, "CHUNK", chunk)
    image, _ = texture
    rng = np.random.default_rng(0)
    rows, columns = ((n - 5) // scale + 1 - 4 for n in image.shape)
    looked_for = rng.normal(0, 30, (12, 25))
    places = rng.integers(0, rows * columns, (12, 3))
    pairs = rng.random((12, 3))
    expected_matrix, expected_right = np.zeros((25, 25)), np.zeros(25)
    for patch, at, share in zip(looked_for, places, pairs, strict=True):
        for place, weight in zip(at, share, strict=True):
            top, left = divmod(place, columns)
            parents = np.array(
                [image[scale * (top + i) :, scale * (left + j) :][:5, :5].ravel() for i in range(5) for j in range(5)]
            )
            expected_matrix += weight * parents.T @ parents
            expected_right += weight * parents.T @ patch

    matrix, right = normal_equations(image, looked_for, places, pairs, scale=scale, size=5)

    np.testing.assert_allclose(matrix, expected_matrix, rtol=1e-9)
    np.testing.assert_allclose(right, expected_right, rtol=1e-9)


def test_roughness_is_the_sum_of_squared_differences():
    kernel = np.random.default_rng(0).random((7, 7))
    expected = (np.diff(kernel, axis=0) ** 2).sum() + (np.diff(kernel, axis=1) ** 2).sum()
    assert kernel.ravel() @ roughness(7) @ kernel.ravel() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("covariance", [[[0.4, 0.1], [0.1, 0.3]], [[2.0, -0.8], [-0.8, 1.2]]])
def test_gaussian_fit_finds_the_gaussian_that_made_the_data(covariance):
    rng = np.random.default_rng(4)
    true = gaussian(np.array(covariance), 9, 2).array
    parents = rng.normal(0, 1, (300, 81))
    start = np.full((9, 9), 1 / 81)

    found = gaussian_fit(parents.T @ parents, parents.T @ (parents @ true.ravel()), start)

    np.testing.assert_allclose(found, true, atol=2e-3)


def test_smoothness_around_a_kernel_keeps_to_it():
    """Where the data say nothing, the result is that kernel, and not a flat one."""
    around = gaussian(np.array([[0.4, 0.1], [0.1, 0.3]]), 9, 2).array
    kernel = smooth_kernel(1e-9 * np.eye(81), np.zeros(81), 1.0, around)
    np.testing.assert_allclose(kernel, around, atol=1e-3)


@pytest.mark.parametrize("around", [None, np.eye(3) / 3])
def test_kernel_fit_equals_a_general_minimiser(around):
    """For a right side whose unconstrained solution has negative values."""
    rng = np.random.default_rng(3)
    parents = rng.normal(0, 1, (60, 9))
    wanted = np.array([-0.2, 0.1, 0.1, 0, 0.8, 0.3, -0.1, 0, 0.1])
    matrix, right = parents.T @ parents, parents.T @ (parents @ wanted + rng.normal(0, 0.1, 60))

    kernel = smooth_kernel(matrix, right, 5.0, around)

    def objective(taps):
        k = taps.reshape(3, 3) - (0 if around is None else around)
        rough = (np.diff(k, axis=0) ** 2).sum() + (np.diff(k, axis=1) ** 2).sum()
        return taps @ matrix @ taps - 2 * taps @ right + 5.0 * rough

    best = minimize(
        objective,
        np.full(9, 1 / 9),
        method="SLSQP",
        bounds=[(0, None)] * 9,
        constraints={"type": "eq", "fun": lambda taps: taps.sum() - 1},
        options={"ftol": 1e-12, "maxiter": 500},
    )
    np.testing.assert_allclose(kernel.ravel(), best.x, atol=2e-3)
    assert kernel.min() >= 0
    assert kernel.sum() == pytest.approx(1, abs=1e-12)


@pytest.mark.slow
def test_beats_the_bicubic_kernel_and_a_delta(shared):
    data = shared / "data" / "set14rk"
    errors = []
    for number in (6, 8):
        lr = read_image(data / "lr_x2" / f"im_{number}.png").pixels.astype(np.float32) / 255
        true = Kernel.load(data / "gt_k_x2" / f"kernel_{number}.mat", scale=2)
        point = Kernel(np.pad([[1.0]], 6), 2).align()
        kernels = MichaeliIrani().estimate(lr, 2, Run()), Kernel.bicubic(2), point
        errors.append([kernel_errors(kernel, true)["kernel_l2"] for kernel in kernels])
    own, bicubic, delta = np.mean(errors, axis=0)
    assert own < 0.4
    assert own < 0.5 * bicubic
    assert own < 0.5 * delta


def test_x4_is_the_x2_kernel_composed(similar):
    _, image = similar
    component = MichaeliIrani(patches=500, iterations=3)
    whole, half = component.estimate(image, 4, Run()), component.estimate(image, 2, Run())
    assert whole.scale == 4
    assert whole.half is not None
    np.testing.assert_array_equal(whole.half.array, half.array)
    np.testing.assert_array_equal(whole.array, half.composed().array)


@pytest.mark.parametrize(
    ("image", "scale", "message"),
    [
        (np.full((80, 80, 3), 0.3, np.float32), 2, "is flat"),
        (np.full((80, 80, 3), np.nan, np.float32), 2, "NaN"),
        (np.zeros((58, 200, 3), np.float32), 2, "200 x 58 pixels is too small: at least 59 x 59"),
        (np.zeros((200, 80, 3), np.float32), 3, "too small: at least 88 x 88"),
        (np.zeros((200, 58, 3), np.float32), 4, "too small: at least 59 x 59"),
        (np.zeros((200, 200, 3), np.float32), 5, "scale 2, 3 or 4, not 5"),
        (np.linspace(0, 1, 240, dtype=np.float32)[:, None, None].repeat(200, 1).repeat(3, 2), 2, "smooth everywhere"),
        (np.random.default_rng(0).random((80, 80, 3), np.float32), 2, "none of the LR image's patches recur"),
    ],
)
def test_says_what_an_image_lacks(image, scale, message):
    with pytest.raises(BlindSRError, match=message):
        MichaeliIrani().estimate(image, scale, Run())


def test_declares_itself_without_loading_torch():
    code = "import sys, blindsr_michaeli_irani; print({'torch', 'numpy', 'scipy'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"
    assert blindsr_kernel_estimators() == [MichaeliIrani]
    assert not MichaeliIrani.stochastic
