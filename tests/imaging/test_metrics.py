"""Metrics, compared with scikit-image and with numbers from KernelGAN's release."""

import csv
from pathlib import Path

import numpy as np
import pytest
from pixels import read
from skimage.color import rgb2ycbcr
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from blindsr.errors import BlindSRError
from blindsr.execution.perform import perform
from blindsr.execution.tasks import Task
from blindsr.imaging.kernel import Kernel
from blindsr.imaging.metrics import METRICS, Metric, kernel_errors, psnr_y, ssim_y
from blindsr.imaging.resize import bicubic
from blindsr.pipeline.outcome import StepInputs


def test_psnr_and_ssim_equal_scikit_image_on_the_protocol(photo: np.ndarray) -> None:
    sr = np.clip(photo.astype(int) + np.random.default_rng(0).integers(-20, 20, photo.shape), 0, 255).astype(np.uint8)
    y_sr, y_hr = (rgb2ycbcr(image)[3:-3, 3:-3, 0] for image in (sr, photo))
    assert psnr_y(sr, photo, shave=3) == pytest.approx(peak_signal_noise_ratio(y_hr, y_sr, data_range=255), abs=1e-3)
    reference = structural_similarity(y_sr, y_hr, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=255)
    assert ssim_y(sr, photo, shave=3) == pytest.approx(reference, abs=1e-6)


@pytest.mark.parametrize(("number", "psnr"), [(2, 25.39), (10, 27.65), (13, 23.03)])
def test_bicubic_interpolation_scores_as_known(shared: Path, number: int, psnr: float) -> None:
    folder = shared / "data/set14rk"
    sr = bicubic(read(folder / f"lr_x2/im_{number}.png"), scale=2)
    assert psnr_y(sr, read(folder / f"gt/img_{number}_gt.png"), shave=2) == pytest.approx(psnr, abs=0.006)


def test_kernel_errors_are_those_of_the_release(shared: Path) -> None:
    with (shared / "reference/release.tsv").open() as file:
        rows = [row for row in csv.DictReader(file, delimiter="\t") if row["kernel_relative_l2"]]
    assert len(rows) == 4
    for row in rows:
        folder, number = row["image"].split("/")
        estimated = Kernel.load(shared / f"reference/{folder}_{number}_kernelgan_x2.mat", scale=2)
        true = Kernel.load(shared / f"data/{folder}/gt_k_x2/kernel_{number}.mat", scale=2)
        assert kernel_errors(estimated, true)["kernel_l2"] == pytest.approx(float(row["kernel_relative_l2"]), abs=6e-4)


def test_kernel_errors_do_not_see_a_shift() -> None:
    kernel = Kernel.bicubic(2)
    errors = kernel_errors(kernel.shifted(0.4, -1.3), kernel)
    assert errors["kernel_l2"] < 0.02
    assert errors["kernel_correlation"] > 0.999


def test_correlation_is_over_shifts_that_do_not_wrap_around() -> None:
    """Points 16 apart never lie on points 9 apart, though they would in a frame of 25 that wraps around."""
    estimated, true = np.zeros((21, 21)), np.zeros((21, 21))
    estimated[10, [2, 18]] = 0.5
    true[10, [7, 16]] = 2 / 3, 1 / 3
    errors = kernel_errors(Kernel(estimated, 2), Kernel(true, 2))
    assert errors["kernel_correlation"] == pytest.approx(2 / np.sqrt(10), abs=1e-9)


def test_equal_images_have_no_finite_psnr(photo: np.ndarray) -> None:
    assert psnr_y(photo, photo, shave=2) == float("inf")


def test_16_bit_images_score_as_their_8_bit_equals(photo: np.ndarray) -> None:
    other = photo[::-1].copy()
    deep = [image.astype(np.uint16) * 257 for image in (photo, other)]
    assert psnr_y(deep[0], deep[1], shave=2) == pytest.approx(psnr_y(photo, other, shave=2), abs=1e-9)


def test_other_sizes_are_refused(photo: np.ndarray) -> None:
    with pytest.raises(BlindSRError, match="of one size"):
        psnr_y(photo, photo[1:], shave=2)
    with pytest.raises(BlindSRError, match="nothing left after shaving"):
        psnr_y(photo[:8, :8], photo[:8, :8], shave=4)
    with pytest.raises(BlindSRError, match="at least 11 pixels"):
        ssim_y(photo[:12, :12], photo[:12, :12], shave=2)


def test_floats_score_as_the_integers_that_they_stand_for(photo: np.ndarray) -> None:
    other = photo[::-1].copy()
    for metric in (psnr_y, ssim_y):
        assert metric(photo / 255, other / 255, shave=2) == pytest.approx(metric(photo, other, shave=2), abs=1e-9)
        assert metric(photo / 255, other, shave=2) == pytest.approx(metric(photo, other, shave=2), abs=1e-9)


def test_images_of_another_range_are_refused(photo: np.ndarray) -> None:
    with pytest.raises(BlindSRError, match=r"must lie in \[0, 1\], not .* to 2\d\d; scale or clip"):
        psnr_y(photo.astype(float), photo, shave=2)
    with pytest.raises(BlindSRError, match="uint8, uint16, or floats in .* not int64"):
        ssim_y(photo.astype(int), photo, shave=2)


def test_the_table_of_metrics_names_each_once_with_its_direction() -> None:
    errors = kernel_errors(Kernel.bicubic(2), Kernel.gaussian(1.0, scale=2))
    assert set(errors) < set(METRICS)
    assert [name for name, metric in METRICS.items() if metric.higher_is_better is not None] == ["psnr", "ssim", *errors]
    assert [metric.name for metric in METRICS.values() if metric.higher_is_better is False] == ["kernel_l2"]
    assert f"{27.654321:{METRICS['psnr'].format}} {METRICS['psnr'].unit}" == "27.65 dB"


def test_a_new_entry_of_the_table_is_scored(photo: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    def largest_error(sr: np.ndarray, hr: np.ndarray, *, shave: int) -> float:
        return float(np.abs(sr.astype(int) - hr).max()) + shave

    monkeypatch.setitem(METRICS, "largest_error", Metric("largest_error", "error", "1", False, ".1f", of_images=largest_error))
    sr, hr = photo[:64, :64], photo[:64, 64:128]
    outcome = perform(Task("score", None, 2, StepInputs(sr=sr, hr=hr), "ab", "cd"))
    assert list(outcome.values) == ["psnr", "ssim", "largest_error"]
    assert outcome.values["largest_error"] == np.abs(sr.astype(int) - hr).max() + 2
