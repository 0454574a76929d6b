"""ZSSR: the training pairs, the receptive field, the back-projection, and the gain in PSNR."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import blindsr_zssr
import cv2
import numpy as np
import pytest
import torch
from blindsr_zssr import ZSSR, augmentation, pairs, scales, training
from blindsr_zssr.network import initial
from blindsr_zssr.upscaler import ZSSRUpscaler

from blindsr.errors import BlindSRError
from blindsr.imaging.downscaling import back_project, downscale
from blindsr.imaging.kernel import Kernel
from blindsr.imaging.metrics import psnr_y
from blindsr.imaging.resize import bicubic
from blindsr.imaging.symmetries import IDENTITY, SYMMETRIES, Symmetry, symmetries_of

SHARED = Path(__file__).parents[2].parent / "shared"
needs_data = pytest.mark.skipif(not SHARED.is_dir(), reason=f"needs the images of {SHARED}")


pytestmark = pytest.mark.usefixtures("one_thread")


class Run:
    def __init__(self, seed: int = 0) -> None:
        self.device = "cpu"
        self.rng = np.random.default_rng(seed)
        self.torch_rng = torch.Generator().manual_seed(seed)
        self.curves: dict[str, list[float]] = {}
        self.steps: list[tuple[int, int]] = []

    def progress(self, done: int, total: int) -> None:
        self.steps.append((done, total))

    def log(self, name: str, step: int, value: float) -> None:
        self.curves.setdefault(name, []).append(value)

    def warn(self, text: str) -> None:
        raise AssertionError(text)


def gaussian(scale: int, *, along: float = 2.0, across: float = 0.9, angle: float = 0.6, size: int = 11) -> Kernel:
    """An aligned anisotropic Gaussian (standard deviations in px)."""
    y, x = np.mgrid[:size, :size] - (size // 2 + (scale - 1) / 2)
    u, v = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    array = np.exp(-0.5 * ((u / along) ** 2 + (v / across) ** 2))
    return Kernel(array / array.sum(), scale)


def skewed(scale: int) -> Kernel:
    """A kernel without symmetries."""
    array = gaussian(scale).array * np.random.default_rng(3).uniform(0.75, 1.25, (11, 11))
    return Kernel(array / array.sum(), scale)


def picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Smooth blobs with sharp edges, in [0, 1]."""
    noise = np.random.default_rng(seed).random((height, width, 3)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), 2)
    return np.clip((smooth - 0.5) * 6 + 0.5, 0, 1).astype(np.float32)


def random_upscaler(kernel: Kernel, back_projections: int, symmetries: tuple[Symmetry, ...]) -> ZSSRUpscaler:
    network = initial(torch.Generator().manual_seed(1), "cpu")
    kernels = (kernel.half, kernel) if kernel.half else (kernel,)
    return ZSSRUpscaler(network, kernels, "cpu", back_projections, symmetries)


@pytest.mark.parametrize(
    ("kernel", "back_projections", "symmetries"),
    [
        pytest.param(skewed(2), 2, (IDENTITY,), id="x2"),
        pytest.param(skewed(2), 0, (IDENTITY,), id="x2-without-back-projection"),
        pytest.param(gaussian(3), 1, (IDENTITY,), id="x3"),
        pytest.param(skewed(2).composed(), 2, (IDENTITY,), id="x4"),
        pytest.param(Kernel.bicubic(2), 3, SYMMETRIES, id="x2-full"),
        pytest.param(Kernel.bicubic(4), 1, SYMMETRIES, id="x4-full"),
    ],
)
def test_a_tile_with_its_halo_equals_the_whole(kernel: Kernel, back_projections: int, symmetries: tuple[Symmetry, ...]) -> None:
    upscaler = random_upscaler(kernel, back_projections, symmetries)
    halo, s, kept = upscaler.halo, kernel.scale, 9
    assert halo is not None
    lr = picture(2 * halo + 23, 2 * halo + 17)
    # One tile in the middle, cut on every side, and one that the image's corner clips.
    middle = slice(halo + 7, halo + 7 + kept)
    whole = upscaler(lr)
    cut = upscaler(lr[middle.start - halo : middle.stop + halo, middle.start - halo : middle.stop + halo])
    corner = upscaler(lr[: kept + halo, : kept + halo])

    assert whole.shape == (lr.shape[0] * s, lr.shape[1] * s, 3)
    inner, outer = slice(halo * s, (halo + kept) * s), slice(middle.start * s, middle.stop * s)
    assert np.abs(cut[inner, inner] - whole[outer, outer]).max() < 1e-4
    assert np.abs(corner[: kept * s, : kept * s] - whole[: kept * s, : kept * s]).max() < 1e-4


def test_the_halo_is_no_larger_than_the_network_needs() -> None:
    upscaler = random_upscaler(skewed(2), 0, (IDENTITY,))
    lr = picture(41, 41)
    changed = lr.copy()
    changed[:, 20:] = 1 - changed[:, 20:]
    differs = np.abs(upscaler(changed) - upscaler(lr)).max(axis=(0, 2)) > 1e-7
    first = int(np.argmax(differs)) // 2
    assert upscaler.halo == 20 - first


@pytest.mark.parametrize("symmetry", SYMMETRIES)
def test_symmetries_of_tensors_are_those_of_arrays(symmetry: Symmetry) -> None:
    image = picture(5, 7)
    turned = symmetry.apply(torch.from_numpy(image).permute(2, 0, 1)[None], axes=(-2, -1))
    np.testing.assert_array_equal(turned[0].permute(1, 2, 0).numpy(), symmetry.apply(image))
    np.testing.assert_array_equal(symmetry.undo(turned, axes=(-2, -1))[0].permute(1, 2, 0).numpy(), image)


def test_the_kernels_symmetries() -> None:
    half_turn = Symmetry(False, 2)
    assert len(symmetries_of(Kernel.bicubic(2))) == 8
    assert len(symmetries_of(Kernel.bicubic(3))) == 8
    assert len(symmetries_of(Kernel.bicubic(4))) == 8
    # For an even scale the aligned Gaussian is not centred in its odd array; with a size of 41 the cut-off is negligible.
    assert set(symmetries_of(gaussian(2, size=41))) == {IDENTITY, half_turn}
    assert len(symmetries_of(gaussian(2, size=41, angle=0))) == 4
    assert symmetries_of(skewed(2)) == (IDENTITY,)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_downscaling_commutes_with_the_symmetries_that_are_found(scale: int) -> None:
    kernel, image = gaussian(scale, size=41), picture(24 * scale, 20 * scale)
    for each in symmetries_of(kernel):
        turned = each.undo(downscale(np.ascontiguousarray(each.apply(image)), kernel))
        assert np.abs(turned - downscale(image, kernel)).max() < 2e-3
    quarter_turn = Symmetry(False, 1)
    turned = quarter_turn.undo(downscale(np.ascontiguousarray(quarter_turn.apply(image)), kernel))
    assert np.abs(turned - downscale(image, kernel)).max() > 2e-2


def test_a_symmetry_is_undone() -> None:
    image = picture(5, 7)
    assert len({each.apply(image).tobytes() for each in SYMMETRIES}) == 8
    for each in SYMMETRIES:
        np.testing.assert_array_equal(each.undo(each.apply(image)), image)
        planes = torch.from_numpy(image).permute(2, 0, 1)[None]  # torch's usual layout
        turned = each.apply(planes, axes=(-2, -1))
        np.testing.assert_array_equal(turned[0].permute(1, 2, 0).numpy(), each.apply(image))
        assert torch.equal(each.undo(turned, axes=(-2, -1)), planes)


def test_back_projection_brings_the_result_closer_to_the_lr_image() -> None:
    kernel, hr = skewed(2), picture(96, 80)
    lr = downscale(hr, kernel)
    sr = bicubic(lr, scale=2)
    misses = [float(np.abs(downscale(back_project(sr, lr, kernel, times=n), kernel) - lr).mean()) for n in (0, 2, 10)]
    assert misses[1] < 0.5 * misses[0]
    assert misses[2] < 0.5 * misses[1]


def test_a_crop_of_a_pair_adds_up_to_the_father() -> None:
    father, rng = picture(45, 51), np.random.default_rng(0)
    for noise in (0.0, 0.1):
        crop = pairs.Pair(father, skewed(2), noise).crop(rng).numpy()
        windows = np.lib.stride_tricks.sliding_window_view(father, (32, 32), axis=(0, 1)).transpose(0, 1, 3, 4, 2)
        assert np.abs(windows - (crop[..., :3] + crop[..., 3:])).max((2, 3, 4)).min() < 1e-6


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_noise_lies_on_the_sons_own_pixels(scale: int) -> None:
    flat = np.full((64, 64, 3), 0.5, np.float32)
    pair, rng = pairs.Pair(flat, gaussian(scale), 0.1), np.random.default_rng(0)
    crops = np.stack([pair.crop(rng).numpy()[..., :3] - 0.5 for _ in range(200)])
    # Interpolated white noise is weaker than the noise itself, and correlated between neighbours.
    reference = bicubic(np.random.default_rng(1).normal(0, 0.1, (400, 400)), scale=scale)
    assert crops.std() == pytest.approx(reference.std(), rel=0.03)
    correlation = np.mean(crops[:, 1:] * crops[:, :-1]) / crops.var()
    assert correlation == pytest.approx(np.mean(reference[1:] * reference[:-1]) / reference.var(), abs=0.03)


def test_orthogonalisation_levels_the_singular_values() -> None:
    matrices = torch.randn(3, 16, 40, generator=torch.Generator().manual_seed(0))
    u, _, v = torch.linalg.svd(matrices, full_matrices=False)
    result = training.orthogonalized(1e-4 * matrices)
    assert float(torch.linalg.svdvals(result).min()) > 0.6
    assert float(torch.linalg.svdvals(result).max()) < 1.3
    # The singular vectors are unchanged: the result is u v^T up to those values.
    assert float(((u @ v) * result).sum() / (result.norm() * (u @ v).norm())) > 0.97


def test_fathers_of_an_unsymmetric_kernel_are_neither_flipped_nor_turned() -> None:
    ramp = np.broadcast_to(np.linspace(0, 1, 64, dtype=np.float32)[None, :, None], (64, 64, 3)).copy()
    fathers = augmentation.Fathers([ramp], (IDENTITY,))
    rng = np.random.default_rng(0)
    drawn = [fathers.draw(rng) for _ in range(60)]
    middles = [father[len(father) // 4 : -len(father) // 4] for father in drawn]
    slopes = [float(np.median(np.diff(middle.mean((0, 2))))) for middle in middles]
    # A crop at the border is mirrored there; all other crops rise from left to right.
    assert np.mean(np.array(slopes) > 0) > 0.7
    free = augmentation.Fathers([ramp], SYMMETRIES)
    slopes = [float(np.median(np.diff(free.draw(rng).mean((0, 2))))) for _ in range(60)]
    assert np.mean(np.array(slopes) > 1e-3) < 0.6


@pytest.mark.parametrize("full", [False, True])
def test_equal_seeds_give_equal_results_and_leave_the_global_generators_alone(full: bool) -> None:
    method = ZSSR(iterations=3, augment=full, self_ensemble=full, noise=0.01)
    lr, kernel = picture(40, 36), Kernel.bicubic(2)
    before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    results = [method.fit(lr, kernel, Run(seed))(lr) for seed in (5, 5, 6)]
    np.testing.assert_array_equal(results[0], results[1])
    assert np.abs(results[0] - results[2]).max() > 1e-4
    assert torch.equal(torch.get_rng_state(), before[0])
    np.testing.assert_array_equal(np.random.get_state()[1], before[1])  # noqa: NPY002


def test_noise_changes_the_training() -> None:
    lr, kernel = picture(40, 36), skewed(2)
    quiet, noisy = (ZSSR(iterations=3, noise=noise).fit(lr, kernel, Run())(lr) for noise in (0.0, 0.05))
    assert np.abs(quiet - noisy).max() > 1e-4


@pytest.mark.parametrize("augment", [False, True])
@pytest.mark.parametrize("x4", ["gradual", "cascade"])
def test_x4_trains_with_the_x2_kernel_first(monkeypatch: pytest.MonkeyPatch, augment: bool, x4: str) -> None:
    trained: list[tuple[int, int]] = []

    class Spy(pairs.Pair):
        def __init__(self, father: np.ndarray, kernel: Kernel, noise: float) -> None:
            trained.append((kernel.scale, father.shape[0]))
            super().__init__(father, kernel, noise)

    monkeypatch.setattr(scales, "Pair", Spy)
    kernel, lr, run = skewed(2).composed(), picture(37, 33), Run()
    upscaler = ZSSR(iterations=4, augment=augment, x4=x4).fit(lr, kernel, run)
    orders = [scale for scale, _ in trained]
    assert orders == sorted(orders)
    assert set(orders) == ({2, 4} if x4 == "gradual" else {2})
    if augment and x4 == "gradual":  # the x2 result is one of the fathers
        assert max(side for scale, side in trained if scale == 4) > max(side for scale, side in trained if scale == 2)
    assert isinstance(upscaler, ZSSRUpscaler)
    assert upscaler.kernels == ((kernel,) if x4 == "gradual" else (kernel.half, kernel))
    assert upscaler(lr).shape == (148, 132, 3)
    total = 8 if x4 == "gradual" else 4
    assert run.steps == [(step, total) for step in range(1, total + 1)]


@pytest.mark.parametrize("x4", ["direct", "gradual"])
def test_x4_without_a_half_goes_in_one_step(x4: str) -> None:
    lr, composed = picture(33, 40), skewed(2).composed()
    kernel = Kernel(composed.array, 4) if x4 == "gradual" else composed
    upscaler = ZSSR(iterations=2, x4=x4).fit(lr, kernel, Run())
    assert isinstance(upscaler, ZSSRUpscaler)
    assert upscaler.kernels == (kernel,)
    assert upscaler(lr).shape == (132, 160, 3)


def test_a_self_ensemble_without_symmetries_is_warned_of() -> None:
    warnings: list[str] = []
    run = Run()
    run.warn = warnings.append  # type: ignore[method-assign]
    upscaler = ZSSR(iterations=1, self_ensemble=True).fit(picture(20, 20), skewed(2), run)
    assert isinstance(upscaler, ZSSRUpscaler)
    assert upscaler.symmetries == (IDENTITY,)
    assert len(warnings) == 1
    assert "self_ensemble changes nothing" in warnings[0]


def test_curves_are_logged() -> None:
    run = Run()
    ZSSR(iterations=60).fit(picture(33, 40), skewed(2), run)
    assert {name: len(values) for name, values in run.curves.items()} == {
        "loss": 2,
        "reconstruction_mse": 2,
        "learning_rate_factor": 2,
    }
    assert run.curves["loss"][1] < run.curves["loss"][0]


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("level", [0.0, 0.4, 1.0])
def test_a_flat_image_stays_flat(level: float, full: bool) -> None:
    lr = np.full((24, 20, 3), level, np.float32)
    sr = ZSSR(iterations=100, augment=full, self_ensemble=full).fit(lr, Kernel.bicubic(2), Run())(lr)
    assert np.abs(sr - level).max() < 0.5 / 255


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_the_smallest_image_works(scale: int) -> None:
    lr = picture(16, 17)
    for augment in (False, True):
        sr = ZSSR(iterations=5, augment=augment).fit(lr, gaussian(scale), Run())(lr)
        assert sr.shape == (16 * scale, 17 * scale, 3)
        assert np.isfinite(sr).all()


def test_a_tiny_image_is_refused_with_advice() -> None:
    with pytest.raises(BlindSRError, match=r"at least 16 pixels a side, not 40 x 15.*bicubic"):
        ZSSR().fit(picture(15, 40), skewed(2), Run())


def test_the_declaration_loads_nothing_heavy() -> None:
    code = "import sys, blindsr_zssr; sys.exit(', '.join({'numpy', 'torch', 'scipy', 'cv2'} & set(sys.modules)) or 0)"
    folder = Path(blindsr_zssr.__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONPATH": f"{folder}:{folder.parent}"}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@needs_data
@pytest.mark.slow
def test_a_short_training_beats_interpolation_by_far() -> None:
    folder = SHARED / "data/set14rk"
    lr = cv2.imread(str(folder / "lr_x2/im_10.png"))[64:192, 64:192, ::-1]
    hr = cv2.imread(str(folder / "gt/img_10_gt.png"))[128:384, 128:384, ::-1]
    kernel = Kernel.load(folder / "gt_k_x2/kernel_10.mat", scale=2)
    image = lr.astype(np.float32) / 255

    sr = ZSSR(iterations=200).fit(image, kernel, Run())(image)

    ours, interpolated = (psnr_y(np.round(255 * x.clip(0, 1)).astype(np.uint8), hr, shave=2) for x in (sr, bicubic(image, scale=2)))
    assert ours > interpolated + 1.5
