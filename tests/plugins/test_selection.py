"""best_of and refined: which kernel they choose, and parameters that are components."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from blindsr_selection import BestOf, Corrected, Refined
from blindsr_selection.evidence import CROP_PX, MAX_EXCESS, STEP, KernelTrial, textured_crop, widened
from blindsr_unfolding import Unfolding

from blindsr.api import BlindSRError, Kernel, KernelEstimator, kernel_errors
from blindsr.api.testing import run_context, samples
from blindsr.components.registry import Registry
from blindsr.pipeline.hashes import Hashes
from blindsr.pipeline.keys import StepMaker
from blindsr.pipeline.plan import make_plan
from pipelines import read, run


class Fixed(KernelEstimator):
    """Answers with a Gaussian, whatever the image."""

    name: ClassVar[str] = "fixed"
    typical_error: ClassVar[float | None] = 0.4

    variance: float = 1.0
    error: float | None = None
    fails: bool = False

    def estimate(self, lr: Any, scale: int, run: Any) -> Kernel:
        if self.fails:
            raise BlindSRError("the image is of no use")
        return Kernel(Kernel.gaussian(np.eye(2) * self.variance, scale).array, scale, expected_error=self.error)


def _widths(kernel: Kernel) -> float:
    return kernel.widths_px[0]


@pytest.mark.parametrize("factor", [0.9, 1.05, 1.2])
def test_a_widened_gaussian_is_the_wider_gaussian(factor: float) -> None:
    kernel = Kernel.gaussian(np.array([[3.0, 0.8], [0.8, 1.5]]), 2)
    expected = Kernel.gaussian(factor**2 * np.array([[3.0, 0.8], [0.8, 1.5]]), 2)
    assert kernel_errors(widened(kernel, factor), expected)["kernel_l2"] < 0.01


def _disk() -> Kernel:
    row, column = np.mgrid[:15, :15] - 7.5
    array = (row**2 + column**2 < 9).astype(float)
    return Kernel(array / array.sum(), 2)


def _line() -> Kernel:
    array = np.zeros((15, 15))
    array[7:9, 4:12] = 1 / 16
    return Kernel(array, 2)


@pytest.mark.parametrize("kernel", [_disk(), _line()], ids=["disk", "line"])
def test_a_kernel_with_zeros_gets_narrower_by_about_as_much_as_it_should(kernel: Kernel) -> None:
    narrower = widened(kernel, 1 / STEP).widths_px
    assert narrower[0] / kernel.widths_px[0] == pytest.approx(1 / STEP, abs=0.02)
    assert narrower[1] / kernel.widths_px[1] == pytest.approx(1 / STEP, abs=0.06)  # the line is two pixels thin


@pytest.mark.parametrize("shape", [(1, 30), (30, 1), (2, 2), (12, 40)])
def test_an_image_that_is_too_small_leaves_the_kernel_as_it_is(shape: tuple[int, int]) -> None:
    lr = np.random.default_rng(0).random((*shape, 3)).astype(np.float32)
    bicubic = Kernel.bicubic(2).align()
    assert textured_crop(lr, CROP_PX).shape == lr.shape
    for estimator in (Refined(start="bicubic"), Corrected(start="bicubic"), BestOf(of=["bicubic", "bicubic"])):
        assert np.array_equal(estimator.estimate(lr, 2, run_context()).array, bicubic.array)


def test_the_most_textured_part_is_looked_at() -> None:
    image = np.full((300, 260, 3), 0.5, np.float32)
    image[150 : 150 + CROP_PX, 100 : 100 + CROP_PX] += np.random.default_rng(0).uniform(-0.3, 0.3, (CROP_PX, CROP_PX, 3))
    view = textured_crop(image, CROP_PX)
    assert view.shape == (CROP_PX, CROP_PX, 3)
    top, left = np.array(np.nonzero(view[..., 0] != 0.5)).min(1)
    assert max(top, left) <= 1  # the step at the border of the texture counts, too
    assert (view[2:-2, 2:-2] != 0.5).mean() > 0.99
    assert textured_crop(image[:40, :50], CROP_PX).shape == (40, 50, 3)


def test_a_kernel_that_is_too_wide_gets_narrower() -> None:
    lr, _, true = samples(count=1, side_px=128)[0]
    trial = KernelTrial(lr, Unfolding(data_step=False), run_context())
    wide = widened(true, 1.25)
    assert trial.excess(wide, STEP) > MAX_EXCESS > trial.excess(true, STEP)
    refined = trial.narrowed(wide)
    assert kernel_errors(refined, true)["kernel_l2"] < 0.8 * kernel_errors(wide, true)["kernel_l2"]
    assert trial.narrowed(true) is true


def test_refined_is_its_starts_kernel_where_nothing_is_wrong() -> None:
    lr = samples(count=1, side_px=64)[0].lr
    kernel = Refined(start=Fixed(variance=0.5)).estimate(lr, 2, run_context())
    assert _widths(kernel) == pytest.approx(0.5**0.5, rel=0.01)
    assert kernel.expected_error == 0.4


def test_the_least_expected_error_is_chosen() -> None:
    lr = samples(count=1, side_px=64)[0].lr
    parts = [Fixed(variance=0.5, error=0.2), Fixed(variance=0.6, error=0.1), Fixed(variance=0.7)]
    kernel = BestOf(of=parts).estimate(lr, 2, run_context())
    assert kernel.expected_error == 0.1
    assert _widths(kernel) == pytest.approx(0.6**0.5, rel=0.01)


def test_a_kernel_that_the_image_contradicts_is_not_chosen() -> None:
    lr, _, true = samples(count=1, side_px=128)[0]
    far_too_wide = Fixed(variance=3 * max(true.widths_px) ** 2, error=0.05)
    kernel = BestOf(of=[far_too_wide, Fixed(variance=0.8, error=0.3)]).estimate(lr, 2, run_context())
    assert kernel.expected_error == 0.3


def test_an_estimator_that_fails_is_left_out() -> None:
    lr = samples(count=1, side_px=64)[0].lr
    context = run_context()
    kernel = BestOf(of=[Fixed(fails=True), Fixed(variance=0.5)]).estimate(lr, 2, context)
    assert kernel.expected_error == 0.4
    assert context.warnings == ["best_of: fixed is left out: the image is of no use"]
    with pytest.raises(BlindSRError, match=r"none of the estimators gave a kernel \(fixed: the image is of no use; "):
        BestOf(of=[Fixed(fails=True), Fixed(fails=True)]).estimate(lr, 2, context)


PIPELINE = """\
name: nested
scale: 2
data: {{lr: {photo}}}
methods:
  chosen: {{kernel: {{best_of: {{of: [bicubic, {{refined: {{start: kernelnet}}}}], sr: {{unfolding: {{noise: 1}}}}}}}}, sr: bicubic}}
"""


def test_estimators_are_named_in_a_pipeline_and_kept_in_its_result(tmp_path: Path, small_photo: Path) -> None:
    pipeline = read(tmp_path, PIPELINE.format(photo=small_photo))
    parts = pipeline.resolved()["methods"]["chosen"]["kernel"]["best_of"]
    assert [next(iter(part)) for part in parts["of"]] == ["bicubic", "refined"]
    assert list(parts["of"][1]["refined"]["start"]) == ["kernelnet"]
    assert parts["sr"]["unfolding"]["noise"] == 1
    plan = make_plan(pipeline, pipeline.dataset())
    assert {Path(entry["path"]).parent.parent.name for entry in plan.weights} == {"blindsr_kernelnet", "blindsr_unfolding"}
    assert run(plan, tmp_path / "out").failures == {}


@pytest.mark.parametrize(
    ("of", "message"),
    [
        ("[bicubic, kernelnett]", "unknown kernel estimator 'kernelnett'; did you mean 'kernelnet'?"),
        ("[bicubic, {michaeli_irani: {patchs: 5}}]", "patchs"),
        ("[bicubic, ground_truth]", "'ground_truth' cannot be used inside another component"),
        ("[bicubic]", "needs at least 2, not ["),
        ("[bicubic, 7]", "must be a name"),
    ],
)
def test_wrong_inner_components(tmp_path: Path, small_photo: Path, of: str, message: str) -> None:
    text = PIPELINE.format(photo=small_photo).replace("[bicubic, {refined: {start: kernelnet}}]", of)
    with pytest.raises(BlindSRError) as error:
        read(tmp_path, text)
    assert message in str(error.value)
    assert "quick.yaml:5" in str(error.value)


def test_a_steps_key_depends_on_the_inner_components() -> None:
    registry = Registry.discover()

    def key(**settings: Any) -> str:
        component = registry.build("kernel", "refined", settings, scale=2)
        return StepMaker(2, Hashes()).step("estimate", component, {}).key

    keys = [key(), key(start="kernelnet"), key(start="michaeli_irani"), key(start={"michaeli_irani": {}}), key(sr="srmd")]
    assert keys[0] == keys[1]
    assert keys[2] == keys[3]
    assert len(set(keys)) == 3


def test_it_depends_on_the_seed_if_a_part_does() -> None:
    assert not Refined().stochastic
    assert not BestOf(of=["kernelnet", "michaeli_irani"]).stochastic  # type: ignore[list-item]
    assert BestOf(of=["kernelnet", "kernelgan"]).stochastic  # type: ignore[list-item]
    assert Refined(sr="zssr").stochastic  # type: ignore[arg-type]
