"""Steps: the checks of their outputs, and the registration of stored kernels."""

from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from blindsr_random_kernel import RandomKernel
from pixels import read

from blindsr.components.interfaces import KernelEstimator
from blindsr.errors import BlindSRError
from blindsr.execution.perform import perform
from blindsr.execution.tasks import Task, generator
from blindsr.imaging.downscaling import downscale
from blindsr.imaging.kernel import Kernel
from blindsr.imaging.reader import to_depth, to_float
from blindsr.pipeline.outcome import StepInputs

SEED = "ab" * 32


def _register(hr: np.ndarray, lr: np.ndarray, kernel: Kernel) -> tuple[Kernel, dict[str, float]]:
    outcome = perform(Task("register", None, kernel.scale, StepInputs(hr=hr, lr=lr, kernel=kernel), SEED, SEED))
    assert outcome.kernel is not None
    return outcome.kernel, outcome.values


@pytest.fixture
def kernel() -> Kernel:
    return RandomKernel().sample_kernel(2, generator(SEED))


def test_a_true_kernel_is_used_as_stored(photo: np.ndarray, kernel: Kernel) -> None:
    hr = photo[:296, :448]
    lr = to_depth(downscale(to_float(hr), kernel), np.uint8)
    used, values = _register(hr, lr, kernel)
    assert np.array_equal(used.array, kernel.array)
    assert values["moved"] == 0
    assert values["residual_stored"] == pytest.approx(1 / np.sqrt(12), abs=0.01)  # only the rounding to 8 bits


@pytest.mark.parametrize("scale", [2, 4])
def test_a_kernel_half_a_pixel_off_is_moved_back(photo: np.ndarray, kernel: Kernel, scale: int) -> None:
    true = kernel if scale == 2 else kernel.composed()
    hr = photo[:296, :448]
    lr = to_depth(downscale(to_float(hr), true), np.uint8)
    wrong = kernel.shifted(0.5, -0.5)
    wrong = wrong if scale == 2 else wrong.composed()
    used, values = _register(hr, lr, wrong)
    assert values["moved"] == 1
    assert values["residual_moved"] < 0.5 * values["residual_stored"]
    assert used.misalignment_px == pytest.approx(true.misalignment_px, abs=0.05)
    factor = 1 if scale == 2 else 3
    assert (values["shift_rows_px"], values["shift_columns_px"]) == pytest.approx((-0.5 * factor, 0.5 * factor), abs=0.05)


def test_the_reference_sets_regenerate_their_lr_images(shared: Path) -> None:
    folder = shared / "data/set14rk"
    for number in (2, 10):
        kernel = Kernel.load(folder / f"gt_k_x2/kernel_{number}.mat", scale=2)
        used, values = _register(read(folder / f"gt/img_{number}_gt.png"), read(folder / f"lr_x2/im_{number}.png"), kernel)
        assert values["residual_stored"] < 0.3
        assert np.array_equal(used.array, kernel.array)


def test_the_x4_kernel_of_an_item_is_its_x2_kernel_composed() -> None:
    two, four = (RandomKernel().sample_kernel(scale, generator(SEED)) for scale in (2, 4))
    assert np.array_equal(two.array, four.half.array)
    assert np.abs(four.misalignment_px).max() < 0.25


def test_random_kernels_have_the_spectrum_asked_for() -> None:
    settings = RandomKernel(size=31, min_variance=1.0, max_variance=4.0, noise=0.0)
    for number in range(20):
        kernel = settings.sample_kernel(2, np.random.default_rng(number))
        assert np.abs(kernel.misalignment_px).max() < 0.01
        assert all(0.98 < width < 2.03 for width in kernel.widths_px)
    differing = {RandomKernel().sample_kernel(2, np.random.default_rng(n)).array.tobytes() for n in range(5)}
    assert len(differing) == 5


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("return np.ones((3, 3)) / 9", "gave ndarray, not a Kernel"),
        ("return Kernel.bicubic(4)", "for scale 4, not 2"),
        ("return Kernel(np.full((3, 3), np.nan), 2)", "NaN"),
        ("lr[0] = 0; return Kernel.bicubic(2)", "read-only"),
    ],
)
def test_an_estimator_is_held_to_its_contract(photo: np.ndarray, body: str, message: str) -> None:
    scope = {"np": np, "Kernel": Kernel}
    exec(f"def estimate(self, lr, scale, run):\n    {body}", scope)

    class Wrong(KernelEstimator):
        name: ClassVar[str] = "wrong"
        estimate = scope["estimate"]

    with pytest.raises((BlindSRError, ValueError), match=message):
        perform(Task("estimate", Wrong(), 2, StepInputs(lr=photo), SEED, SEED))


def test_a_misaligned_estimate_is_remarked(photo: np.ndarray) -> None:
    class Centred(KernelEstimator):
        name: ClassVar[str] = "centred"

        def estimate(self, lr, scale, run):
            run.log("loss", 0, 1.0)
            run.log("loss", 1, 0.5)
            return Kernel(np.ones((5, 5)) / 25, scale)

    outcome = perform(Task("estimate", Centred(), 2, StepInputs(lr=photo), SEED, SEED))
    assert outcome.warnings == ["centred: the kernel is (-0.50, -0.50) px off alignment; the SR image will be shifted by as much"]
    assert outcome.curves["loss"].tolist() == [[0, 1], [1, 0.5]]


def test_sizes_that_do_not_fit_are_named(photo: np.ndarray) -> None:
    with pytest.raises(BlindSRError, match="the HR image has 450 x 300 pixels; for this LR image it should have 200 x 100"):
        perform(Task("score", None, 2, StepInputs(sr=photo[:100, :200], hr=photo), SEED, SEED))
