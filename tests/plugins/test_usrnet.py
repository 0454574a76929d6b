"""Published USRNet checkpoints: their layout, the iteration against dense least squares, and a published figure."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
from blindsr_unfolding import Unfolding
from blindsr_unfolding.upscaler import UnfoldingUpscaler
from blindsr_unfolding.usrnet import load
from pydantic import ValidationError
from scipy import ndimage

from blindsr.api import BlindSRError, Kernel, bicubic, downscale, psnr_y, read_image, ssim_y, to_depth, to_float, transfer_function
from blindsr.api.testing import run_context, samples
from blindsr.execution.tiling import upscale

FULL = (64, 128, 256, 512), 8, 64
TINY = (16, 32, 64, 64), 6, 32
ALPHA = 0.02


def _published_shapes(widths: tuple[int, ...], iterations: int, hidden: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Names and shapes of the entries of a published file."""
    yield "p.m_head.weight", (widths[0], 4, 3, 3)
    for level, (fine, coarse) in enumerate(pairwise(widths), 1):
        for block in (0, 1):
            for layer in (0, 2):
                yield f"p.m_down{level}.{block}.res.{layer}.weight", (fine, fine, 3, 3)
                yield f"p.m_up{level}.{block + 1}.res.{layer}.weight", (fine, fine, 3, 3)
        yield f"p.m_down{level}.2.weight", (coarse, fine, 2, 2)
        yield f"p.m_up{level}.0.weight", (coarse, fine, 2, 2)
    for block in (0, 1):
        for layer in (0, 2):
            yield f"p.m_body.{block}.res.{layer}.weight", (widths[-1], widths[-1], 3, 3)
    yield "p.m_tail.weight", (3, widths[0], 3, 3)
    for layer, inputs, outputs in ((0, 2, hidden), (2, hidden, hidden), (4, hidden, 2 * iterations)):
        yield f"h.mlp.{layer}.weight", (outputs, inputs, 1, 1)
        yield f"h.mlp.{layer}.bias", (outputs,)


def _state_of_an_identity(widths: tuple[int, ...], iterations: int, hidden: int) -> dict[str, torch.Tensor]:
    """A network whose prior changes nothing, and whose alphas are all `ALPHA`."""
    state = {name: torch.zeros(shape, dtype=torch.float16) for name, shape in _published_shapes(widths, iterations, hidden)}
    for channel in range(3):
        state["p.m_head.weight"][channel, channel, 1, 1] = 1
        state["p.m_tail.weight"][channel, channel, 1, 1] = 1
    state["h.mlp.4.bias"].fill_(math.log(math.expm1(ALPHA)))  # the inverse of softplus
    return state


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    """The checkpoint of such a network, of the tiny one's sizes."""
    torch.save(_state_of_an_identity(*TINY), tmp_path / "tiny.pth")
    return tmp_path / "tiny.pth"


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_with_an_idle_prior_the_iterations_are_proximal_steps(tiny: Path, scale: int) -> None:
    rng = np.random.default_rng(scale)
    side = 12
    kernel, lr = rng.random((5, 7)), rng.random((side // scale, side // scale))
    kernel /= kernel.sum()
    units = np.eye(side**2).reshape(-1, side, side)
    matrix = np.stack([ndimage.correlate(unit, kernel, mode="wrap")[::scale, ::scale].ravel() for unit in units], axis=1)
    expected = lr.repeat(scale, 0).repeat(scale, 1).ravel()
    for _ in range(6):
        expected = np.linalg.solve(matrix.T @ matrix + ALPHA * np.eye(side**2), matrix.T @ lr.ravel() + ALPHA * expected)
    network = load(tiny, scale)
    transfer = transfer_function(torch.from_numpy(kernel.astype(np.float32))[None], (side, side))
    stacked = torch.from_numpy(lr.astype(np.float32)).expand(1, 3, -1, -1)
    with torch.inference_mode():
        found = network(stacked, transfer, torch.zeros(1), torch.zeros(1))
    np.testing.assert_allclose(found[0, 1].numpy().ravel(), expected, atol=2e-4)  # the alphas went through half precision


@pytest.mark.parametrize(("sizes", "million"), [pytest.param(FULL, 17.02, marks=pytest.mark.slow), (TINY, 0.59)])
def test_the_published_sizes_are_recognised(tmp_path: Path, sizes: tuple[tuple[int, ...], int, int], million: float) -> None:
    torch.save(_state_of_an_identity(*sizes), tmp_path / "usrnet.pth")
    network = load(tmp_path / "usrnet.pth", 3)
    assert sum(parameter.numel() for parameter in network.parameters()) / 1e6 == pytest.approx(million, abs=0.005)
    lr, _, kernel = samples(scale=3, count=1, side_px=12)[0]
    sr = Unfolding(checkpoint=tmp_path / "usrnet.pth").fit(lr, kernel, run_context())(lr)
    assert sr.shape == (36, 36, 3)


def test_the_published_figure_of_an_image(shared: Path) -> None:
    folder = shared / "data/set14rk"
    lr = to_float(read_image(folder / "lr_x2/im_8.png").pixels)
    hr = read_image(folder / "gt/img_8_gt.png").pixels
    kernel = Kernel.load(folder / "gt_k_x2/kernel_8.mat", scale=2)
    upscaler = Unfolding(checkpoint=_published(shared)).fit(lr, kernel, run_context())
    sr = upscale(upscaler, lr, 2)
    assert psnr_y(sr, hr[: sr.shape[0], : sr.shape[1]], shave=2) == pytest.approx(36.29, abs=0.01)


def test_a_periodic_border_bears_a_long_kernel(shared: Path) -> None:
    hr = samples(scale=2, count=1, side_px=64)[0].hr
    streak = np.zeros((21, 21))
    streak[10, 3:18] = 1
    kernel = Kernel(ndimage.gaussian_filter(streak, 0.6) / ndimage.gaussian_filter(streak, 0.6).sum(), 2).align()
    lr = to_float(to_depth(downscale(hr, kernel)[8:-8, 8:-8], np.uint8))
    inner = hr[16:-16, 16:-16]
    borders: tuple[Literal["periodic", "mirrored"], ...] = ("periodic", "mirrored")
    sr = [Unfolding(checkpoint=_published(shared), border=border).fit(lr, kernel, run_context())(lr) for border in borders]
    scores = [psnr_y(np.clip(image, 0, 1), inner, shave=2) for image in sr]
    assert scores[0] > scores[1] + 3


@pytest.mark.slow
def test_the_published_figures_of_a_set(shared: Path) -> None:
    folder, scores = shared / "data/urban5rk", []
    for number in range(1, 6):
        lr = to_float(read_image(folder / f"lr_x4/im_{number}.png").pixels)
        kernel = Kernel.load(folder / f"gt_k_x4/kernel_{number}.mat", scale=4)
        sr = upscale(Unfolding(checkpoint=_published(shared)).fit(lr, kernel, run_context()), lr, 4)
        hr = read_image(folder / f"gt/img_{number}_gt.png").pixels[: sr.shape[0], : sr.shape[1]]
        scores.append((psnr_y(sr, hr, shave=4), ssim_y(sr, hr, shave=4)))
    psnr, ssim = np.mean(scores, axis=0)
    assert psnr == pytest.approx(26.18, abs=0.05)
    assert ssim == pytest.approx(0.7573, abs=0.001)


def test_one_file_is_for_every_scale(shared: Path) -> None:
    for scale in (2, 3, 4):
        lr, hr, kernel = samples(scale=scale, count=1, side_px=120 // scale)[0]
        sr = Unfolding(checkpoint=_published(shared)).fit(lr, kernel, run_context())(lr)
        plain = np.clip(bicubic(lr, scale=scale), 0, 1)
        assert psnr_y(np.clip(sr, 0, 1), hr, shave=scale) > psnr_y(plain, hr, shave=scale) + 2


def test_tiles_differ_from_the_whole_by_little(shared: Path) -> None:
    lr, _, kernel = samples(scale=2, count=1, side_px=128)[0]
    upscaler = Unfolding(checkpoint=_published(shared), border="periodic").fit(lr, kernel, run_context())
    assert isinstance(upscaler, UnfoldingUpscaler)
    assert upscaler.halo
    whole = upscaler(lr)
    tile = upscaler(lr[:, : 64 + upscaler.halo])[:, :128]
    assert np.abs(to_depth(tile, np.uint8).astype(int) - to_depth(whole[:, :128], np.uint8)).max() <= 1


def test_mirrored_images_come_whole_and_large_ones_are_periodic(tiny: Path) -> None:
    halos = []
    for side in (400, 600):
        lr = np.zeros((side, side, 3), np.float32)
        halos.append(Unfolding(checkpoint=tiny).fit(lr, Kernel.bicubic(2), run_context()).halo)
    assert halos[0] is None
    assert halos[1]


def test_a_noise_that_is_told_makes_it_softer(shared: Path) -> None:
    lr, _, kernel = samples(scale=2, count=1, side_px=48)[0]
    component = Unfolding(checkpoint=_published(shared))
    sharp, soft = (component.model_copy(update={"noise": noise}).fit(lr, kernel, run_context())(lr) for noise in (0.0, 10.0))
    assert np.abs(np.diff(soft, axis=0)).mean() < 0.9 * np.abs(np.diff(sharp, axis=0)).mean()


def test_other_files_get_one_line(tmp_path: Path, tiny: Path) -> None:
    state = torch.load(tiny, weights_only=True)
    torch.save({name: state[name] for name in list(state)[1:]}, tmp_path / "cut.pth")
    torch.save(state | {"p.m_tail.weight": torch.zeros(3, 8, 3, 3)}, tmp_path / "misshapen.pth")
    torch.save(state | {"p.m_head.weight": torch.zeros(())}, tmp_path / "scalar.pth")
    torch.save({"model.0.weight": torch.zeros(128, 18, 3, 3)}, tmp_path / "srmd.pth")
    (tmp_path / "broken.pth").write_bytes(tiny.read_bytes()[:1000])
    for name in ("cut", "misshapen", "scalar", "srmd", "broken", "absent"):
        with pytest.raises(BlindSRError, match=rf"{name}\.pth: (is no USRNet|is not a PyTorch checkpoint|no such file)") as caught:
            load(tmp_path / f"{name}.pth", 2)
        assert "\n" not in str(caught.value)


def test_what_does_not_go_with_a_checkpoint(tiny: Path) -> None:
    with pytest.raises(ValidationError, match="takes no kernel_error; a noise of 3"):
        Unfolding(checkpoint=tiny, kernel_error=0.2)
    assert not Unfolding(checkpoint=tiny).shipped_weights(2)
    assert Unfolding().shipped_weights(2)


def _published(shared: Path) -> Path:
    path = shared / "weights/usrnet_tiny.pth"
    if not path.is_file():
        pytest.skip(f"published weights absent: {path}")
    return path
