"""ZSSR from pretrained weights: the planes that it starts from, its network at half the resolution, its keys and files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from blindsr_zssr import WEIGHTS, ZSSR
from blindsr_zssr.network import Network, initial
from blindsr_zssr.pairs import RestoredPair
from blindsr_zssr.pretrained import load
from blindsr_zssr.restoring import CHANGE_GAIN, PLANES, Restoring
from blindsr_zssr.upscaler import ZSSRUpscaler
from scipy.signal import correlate

from blindsr.api import IDENTITY, BlindSRError, Kernel, bicubic, downscale, gaussian_array, precision_of, psnr_y, to_depth, to_float
from blindsr.api.testing import run_context
from blindsr.pipeline.hashes import Hashes
from blindsr.pipeline.keys import StepMaker

pytestmark = pytest.mark.usefixtures("one_thread")


def kernel_of(scale: int, *variances: float) -> Kernel:
    """An aligned Gaussian with its axes on the pixels' diagonals."""
    array = gaussian_array(precision_of(np.array([variances]), np.array([0.8])), 21, center=np.full((1, 2), 10 + (scale - 1) / 2))[
        0
    ]
    return Kernel(array / array.sum(), scale)


def restoring(log_alpha: float = -9.0, noise: float = 0.0) -> Restoring:
    return Restoring(torch.tensor([log_alpha, 4.0, 3.0]), noise, "cpu")


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_the_restored_image_explains_the_lr_image(scale: int, photo: np.ndarray) -> None:
    kernel = kernel_of(scale, 2.5, 0.8)
    lr = np.float32(downscale(to_float(photo[: 48 * scale, : 36 * scale]), kernel)).clip(0, 1)
    planes = restoring()(lr, kernel, error=0)
    assert planes.shape == (48 * scale, 36 * scale, PLANES)
    inner = slice(8, -8)
    explained = downscale(planes[:, :, :3], kernel)[inner, inner]
    interpolated = downscale(bicubic(lr, scale=scale), kernel)[inner, inner]
    assert np.abs(explained - lr[inner, inner]).mean() < 0.1 * np.abs(interpolated - lr[inner, inner]).mean()
    change = planes[:, :, 3:6] / CHANGE_GAIN
    np.testing.assert_allclose((planes[:, :, :3] - change)[32:-32, 32:-32], bicubic(lr, scale=scale)[32:-32, 32:-32], atol=0.03)


def test_noise_and_the_kernels_error_are_told_and_lower_the_trust(photo: np.ndarray) -> None:
    kernel, lr = kernel_of(2, 2.5, 0.8), to_float(photo[:40, :40])
    exact, doubted, noisy = (restoring(-5, noise)(lr, kernel, error) for noise, error in ((0.0, 0.0), (0.0, 0.25), (0.05, 0.0)))
    assert np.ptp(exact[:, :, 6:]) == 0
    np.testing.assert_allclose(doubted[0, 0, 6:], [0, 1])
    np.testing.assert_allclose(noisy[0, 0, 6:], [1, 0])
    for distrusted in (doubted, noisy):
        assert np.abs(distrusted[:, :, 3:6]).mean() < 0.9 * np.abs(exact[:, :, 3:6]).mean()


def test_the_network_at_half_the_resolution_is_a_stack_of_convolutions() -> None:
    rng = np.random.default_rng(0)
    network = initial(torch.Generator().manual_seed(2), "cpu", planes=1, fold=2)
    assert (network.fold, network.reach_px) == (2, 16)
    image = rng.random((10, 14)).astype(np.float32)
    maps = [image[row::2, column::2] for row in (0, 1) for column in (0, 1)]
    hidden = [weight.permute(0, 3, 1, 2).numpy() for weight in network.hidden]
    weights = [network.first.numpy(), *hidden, network.last.numpy()]
    for number, weight in enumerate(weights):
        maps = [sum(correlate(m, w, "same") for m, w in zip(maps, each, strict=True)) for each in weight]
        maps = maps if number == len(weights) - 1 else [np.maximum(m, 0) for m in maps]
    expected = np.zeros((3, 10, 14))
    for channel in range(3):
        for number, (row, column) in enumerate(((0, 0), (0, 1), (1, 0), (1, 1))):
            expected[channel, row::2, column::2] = maps[4 * channel + number]
    found = network(torch.from_numpy(image)[None, None])[0].numpy()
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert network(torch.rand(1, 1, 9, 13)).shape == (1, 3, 9, 13)  # odd sides, as x3 has them


def test_a_crop_holds_what_the_network_sees_and_what_it_must_add(photo: np.ndarray) -> None:
    father, kernel = to_float(photo[:91, :101]), kernel_of(2, 2.0, 1.0)
    pair = RestoredPair(father, kernel, restoring(), np.random.default_rng(0), 2)
    crop = pair.crop(np.random.default_rng(1)).numpy()
    assert crop.shape == (64, 64, PLANES + 3)
    total = crop[:, :, :3] + crop[:, :, PLANES:]
    places = [
        (row, column)
        for row in range(91 - 63)
        for column in range(101 - 63)
        if np.allclose(father[row : row + 64, column : column + 64], total, atol=1e-6)
    ]
    assert len(places) == 1
    assert {side % 2 for side in places[0]} == {0}
    noisy = RestoredPair(father, kernel, restoring(noise=0.05), np.random.default_rng(0), 2)
    assert noisy.crop(np.random.default_rng(1))[:, :, PLANES:].std() > 1.5 * crop[:, :, PLANES:].std()


@pytest.mark.parametrize("kernel", [kernel_of(2, 2.5, 0.8), kernel_of(3, 4.0, 1.5)])
def test_a_tile_with_its_halo_is_nearly_the_whole(kernel: Kernel, photo: np.ndarray) -> None:
    pretrained = load(WEIGHTS)
    upscaler = ZSSRUpscaler(pretrained.network, (kernel,), "cpu", 2, (IDENTITY,), Restoring(pretrained.log_alpha, 0.0, "cpu"))
    lr, s = to_float(photo[:60, :180]), kernel.scale
    whole, tile = upscaler(lr), upscaler(lr[:, : 48 + upscaler.halo])
    assert np.abs(tile[:, : 48 * s] - whole[:, : 48 * s]).max() < 2e-3


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_it_starts_far_above_interpolation_and_its_training_keeps_that(scale: int, photo: np.ndarray) -> None:
    kernel = kernel_of(scale, *((scale**2 - 1) / 3 * np.array([3.0, 1.0])))
    hr = photo[: 72 * scale, : 72 * scale] if scale < 4 else photo[:288, :288]
    lr = to_float(to_depth(downscale(to_float(hr), kernel), np.uint8))

    def score(image: np.ndarray) -> float:
        return psnr_y(to_depth(image, np.uint8), hr, shave=2 * scale)

    start, trained = (score(ZSSR(init="pretrained", iterations=n).fit(lr, kernel, run_context())(lr)) for n in (1, 120))
    assert start > score(bicubic(lr, scale=scale)) + 1
    assert trained > start - 0.1


def test_equal_seeds_give_equal_results(photo: np.ndarray) -> None:
    lr, kernel = to_float(photo[:80, :80]), kernel_of(2, 2.0, 1.0)
    results = [ZSSR(init="pretrained", iterations=5).fit(lr, kernel, run_context(seed=seed))(lr) for seed in (1, 1, 2)]
    assert np.array_equal(results[0], results[1])
    assert not np.array_equal(results[0], results[2])
    before = load(WEIGHTS).network.first.clone()
    assert torch.equal(before, load(WEIGHTS).network.first)


def test_pretrained_weights_need_fewer_iterations_and_make_other_keys() -> None:
    assert ZSSR().iterations == 2000
    assert ZSSR.model_validate({"init": "pretrained"}).iterations < 500
    assert ZSSR.model_validate({"init": "pretrained", "iterations": 7}).iterations == 7
    maker = StepMaker(2, Hashes())
    keys = [
        maker.step("upscale", ZSSR.model_validate(given), {}, seed=3).key
        for given in ({}, {"init": "random"}, {"init": "pretrained"})
    ]
    assert keys[0] == keys[1] != keys[2]
    assert (ZSSR().shipped_weights(2), list(ZSSR.model_validate({"init": "pretrained"}).shipped_weights(4))) == ({}, [WEIGHTS])


def test_another_file_is_refused(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    net = initial(torch.Generator(), "cpu")
    save_file(
        {**{k: v.contiguous() for k, v in net._asdict().items()}, "log_alpha": torch.zeros(3)}, tmp_path / "plain.safetensors"
    )
    with pytest.raises(BlindSRError, match=r"plain.safetensors: holds no pretrained weights of ZSSR"):
        load(tmp_path / "plain.safetensors")


def test_the_network_is_the_size_of_the_papers() -> None:
    network = load(WEIGHTS).network
    assert Network(*network).hidden.shape == (6, 64, 3, 3, 64)
    assert F.pixel_unshuffle(torch.zeros(1, PLANES, 4, 4), 2).shape[1] == network.first.shape[1]
