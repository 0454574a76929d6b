"""SRMD: the network against published weights, the kernel's way into it."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from blindsr_random_kernel import RandomKernel
from blindsr_srmd import SRMD, own_weights
from blindsr_srmd.checkpoints import load_own, load_published
from blindsr_srmd.network import SRMDNet
from blindsr_srmd.stretching import equivalent_blur, framed
from pydantic import ValidationError
from safetensors.torch import save_file
from scipy import ndimage
from scipy.signal import convolve2d

from blindsr.api import project
from blindsr.errors import BlindSRError
from blindsr.execution.tasks import Context
from blindsr.execution.tiling import upscale
from blindsr.imaging.downscaling import downscale
from blindsr.imaging.kernel import Kernel
from blindsr.imaging.metrics import psnr_y, ssim_y
from blindsr.imaging.reader import crop_to_multiple, read_image, to_depth, to_float
from blindsr.imaging.resize import bicubic

pytestmark = [pytest.mark.usefixtures("one_thread"), pytest.mark.filterwarnings("error::UserWarning:blindsr_srmd")]


def _context() -> Context:
    return Context("cpu", "5eed", lambda done, total: None)


def _super_resolved(component: SRMD, lr: np.ndarray, kernel: Kernel) -> np.ndarray:
    pixels = to_float(lr)
    pixels.flags.writeable = False  # as the core passes it
    return upscale(component.fit(pixels, kernel, _context()), pixels, kernel.scale)


def _gaussian(side: int, covariance: np.ndarray, center: float) -> np.ndarray:
    offset = np.arange(side) - center
    grid = np.stack(np.meshgrid(offset, offset, indexing="ij"), axis=-1)
    array = np.exp(-0.5 * np.einsum("...i,ij,...j", grid, np.linalg.inv(covariance), grid))
    return array / array.sum()


def _covariance(array: np.ndarray) -> np.ndarray:
    grid = np.indices(array.shape).reshape(2, -1)
    return np.cov(grid, aweights=np.clip(array, 0, None).ravel(), ddof=0)


# The published weights


@pytest.mark.slow
@pytest.mark.parametrize(("scale", "psnr", "ssim"), [(2, 37.69, 0.9595), (3, 34.08, 0.9248), (4, 31.93, 0.8918)])
def test_published_weights_give_their_figures_on_set5(shared: Path, scale: int, psnr: float, ssim: float) -> None:
    component = SRMD(checkpoint=shared / f"weights/srmdnf_x{scale}.pth")
    scores = []
    for path in sorted((shared / f"data/matlab_bicubic/Set5/x{scale}").glob("*_LR.png")):
        sr = _super_resolved(component, read_image(path).pixels, Kernel.bicubic(scale))
        hr = read_image(path.with_name(path.name.replace("_LR", "_HR"))).pixels[: sr.shape[0], : sr.shape[1]]
        scores.append((psnr_y(sr, hr, shave=scale), ssim_y(sr, hr, shave=scale)))
    assert len(scores) == 5
    assert np.mean(scores, axis=0) == pytest.approx([psnr, ssim], abs=0.05)
    assert np.mean(scores, axis=0)[1] == pytest.approx(ssim, abs=0.001)


def test_published_weights_use_the_noise_level(shared: Path) -> None:
    lr = read_image(shared / "data/matlab_bicubic/Set5/x2/img_003_SRF_2_LR.png").pixels
    hr = read_image(shared / "data/matlab_bicubic/Set5/x2/img_003_SRF_2_HR.png").pixels
    noisy = np.clip(lr + np.random.default_rng(0).normal(0, 15, lr.shape), 0, 255).round().astype(np.uint8)
    told, untold = (
        psnr_y(_super_resolved(SRMD(checkpoint=shared / "weights/srmd_x2.pth", noise=noise), noisy, Kernel.bicubic(2)), hr, shave=2)
        for noise in (15.0, 0.0)
    )
    assert told > untold + 2


def test_published_coefficients_are_matlabs_projection(shared: Path) -> None:
    from scipy.io import loadmat

    model = load_published(shared / "weights/srmdnf_x2.pth", shared / "weights/srmd_pca_matlab.mat", 2)
    kernel = np.random.default_rng(0).random((15, 15))
    kernel /= kernel.sum()
    expected = loadmat(shared / "weights/srmd_pca_matlab.mat")["P"] @ kernel.flatten(order="F")
    np.testing.assert_allclose(model.basis.coefficients(kernel), expected, atol=1e-12)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_the_bicubic_kernel_is_no_blur_before_bicubic_downscaling(scale: int) -> None:
    blur = equivalent_blur(Kernel.bicubic(scale), 15)
    assert blur[7, 7] > 0.97


@pytest.mark.parametrize("scale", [2, 3])
def test_a_blur_before_bicubic_downscaling_is_found_again(scale: int) -> None:
    covariance = np.array([[2.5, 0.8], [0.8, 1.6]])
    blur = _gaussian(15, covariance, 7)
    kernel = Kernel(convolve2d(blur, Kernel.bicubic(scale).array), scale)
    found = equivalent_blur(kernel, 15)
    np.testing.assert_allclose(_covariance(found), covariance, atol=0.1)
    again = convolve2d(found, Kernel.bicubic(scale).array)
    assert np.linalg.norm(again - kernel.array) < 0.01 * np.linalg.norm(kernel.array)


def _state(scale: int = 2, maps: int = 15) -> dict[str, torch.Tensor]:
    return {name: value.half() for name, value in SRMDNet(scale, maps, residual=False).state_dict().items()}


def _pca(folder: Path, shape: tuple[int, int] = (15, 225)) -> None:
    from scipy.io import savemat

    savemat(folder / "srmd_pca_matlab.mat", {"P": np.random.default_rng(0).random(shape)})


class _Evil:
    def __reduce__(self) -> tuple[object, ...]:
        return (Path.touch, (Path("evil"),))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"state_dict": _state(scale=4)}, r"x2\.pth: is for x4, not for x2"),
        ({"conv.weight": torch.zeros(3)}, r"x2\.pth: is no SRMD network: expected 12 convolutions of 128 channels"),
        (
            {**_state(), "model.0.bias": torch.full((128,), torch.nan)},
            r"x2\.pth: model\.0\.bias has values that are NaN or infinite",
        ),
        ({k: v for k, v in _state().items() if k != "model.4.bias"}, r"x2\.pth: is no SRMD network: .*model\.4\.bias"),
        ([1, 2], r"x2\.pth: holds no weights"),
        ({"model.0.weight": torch.zeros(1).expand(10**6, 10**6)}, r"x2\.pth: model\.0\.weight is not a plain tensor"),
    ],
)
def test_a_wrong_checkpoint_gets_a_line(tmp_path: Path, content: object, message: str) -> None:
    _pca(tmp_path)
    torch.save(content, tmp_path / "x2.pth")
    with pytest.raises(BlindSRError, match=message):
        SRMD(checkpoint=tmp_path / "x2.pth").fit(np.zeros((8, 8, 3), np.float32), Kernel.bicubic(2), _context())


def test_code_in_a_checkpoint_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x2.pth").write_bytes(pickle.dumps(_Evil(), protocol=2))
    with pytest.raises(BlindSRError, match="is refused: to load it would run Python code"):
        load_published(tmp_path / "x2.pth", tmp_path / "P.mat", 2)
    assert not (tmp_path / "evil").exists()


def test_a_cut_checkpoint_a_missing_and_a_wrong_pca_get_a_line(tmp_path: Path) -> None:
    weights, pca = tmp_path / "x2.safetensors", tmp_path / "srmd_pca_matlab.mat"
    save_file(_state(), weights)
    with pytest.raises(ValidationError, match=r"pca\n  no such file: .*srmd_pca_matlab\.mat"):
        SRMD(checkpoint=weights)
    _pca(tmp_path, (15, 100))
    assert SRMD(checkpoint=weights).pca == pca  # as if the parameter had been given, so that it is part of the step's key
    with pytest.raises(BlindSRError, match=r"'P' has shape \(15, 100\); expected \(15, 225\)"):
        load_published(weights, pca, 2)
    _pca(tmp_path)
    assert not load_published(weights, pca, 2).noise_map
    with pytest.raises(BlindSRError, match="takes no noise level"):
        load_published(weights, pca, 2, noise=5)
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(BlindSRError, match="is not a safetensors file, or damaged"):
        load_published(weights, pca, 2)


@pytest.mark.parametrize(
    ("fields", "message"), [({"noise": 10.0}, "own weights are for images without noise"), ({"pca": "x"}, "no such file")]
)
def test_settings_that_do_not_fit_are_refused(fields: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        SRMD.model_validate(fields)


# The project's own weights


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_the_card_is_of_these_weights(scale: int) -> None:
    from blindsr.imaging.files import sha256

    card = own_weights(scale).with_name("MODEL_CARD.md").read_text()
    assert sha256(own_weights(scale)) in card
    assert list(SRMD().shipped_weights(scale).values()) == ["Apache-2.0"]


@pytest.mark.parametrize(("scale", "gain"), [(2, 2.0), (3, 1.0), (4, 1.0)])
def test_the_true_kernel_gains_over_bicubic_interpolation(scale: int, gain: float) -> None:
    from skimage import data

    hr = crop_to_multiple(data.astronaut()[:252, 100:352], 12)
    if scale == 3:
        kernel = Kernel(framed(_gaussian(23, np.array([[6.0, 2.0], [2.0, 4.0]]), 12), 23), 3)
    else:
        kernel = RandomKernel().sample_kernel(scale, np.random.default_rng(3))
    lr = to_depth(downscale(to_float(hr), kernel), np.uint8)
    plain, sr = to_depth(bicubic(to_float(lr), scale=scale), np.uint8), _super_resolved(SRMD(), lr, kernel)
    assert psnr_y(sr, hr, shave=scale) > psnr_y(plain, hr, shave=scale) + gain


@pytest.mark.slow
@pytest.mark.parametrize(("data", "scale", "items", "gain"), [("set14rk", 2, (5, 6, 9, 13), 2.5), ("urban5rk", 4, (5,), 1.0)])
def test_no_reference_image_is_below_bicubic(shared: Path, data: str, scale: int, items: tuple[int, ...], gain: float) -> None:
    gains = []
    for n in items:
        lr = read_image(shared / f"data/{data}/lr_x{scale}/im_{n}.png").pixels
        kernel = Kernel.load(shared / f"data/{data}/gt_k_x{scale}/kernel_{n}.mat", scale=scale)
        sr, plain = _super_resolved(SRMD(), lr, kernel), to_depth(bicubic(to_float(lr), scale=scale), np.uint8)
        hr = read_image(shared / f"data/{data}/gt/img_{n}_gt.png").pixels[: sr.shape[0], : sr.shape[1]]
        gains.append(psnr_y(sr, hr, shave=scale) - psnr_y(plain, hr, shave=scale))
    assert min(gains) > 0
    assert np.mean(gains) > gain


@pytest.mark.parametrize("scale", [2, 4])
def test_the_image_follows_a_kernel_that_is_off_alignment(scale: int) -> None:
    from skimage import data

    hr = crop_to_multiple(data.astronaut()[:252, 100:352], 12)
    aligned = RandomKernel(noise=0.0).sample_kernel(scale, np.random.default_rng(3))
    scores = []
    for kernel in (aligned, aligned.shifted(0.4, -0.3)):
        lr = to_depth(downscale(to_float(hr), kernel), np.uint8)
        scores.append(psnr_y(_super_resolved(SRMD(), lr, kernel), hr, shave=scale))
    assert scores[1] > scores[0] - 0.3


def test_a_projection_is_the_least_squares_solution(photo: np.ndarray) -> None:
    hr, kernel, alpha = to_float(photo[:120, :140]), RandomKernel().sample_kernel(2, np.random.default_rng(1)), 0.01
    lr = downscale(hr, kernel)
    sr = np.clip(bicubic(lr, scale=2), 0.1, 0.9)
    found = project(sr, lr, kernel, alpha=alpha, device="cpu")
    # Where nothing is clipped the gradient is zero: alpha (found - sr) is what is unexplained, put on the HR grid and spread.
    unexplained = np.zeros_like(hr)
    unexplained[::2, ::2] = lr - downscale(found, kernel)
    spread = np.stack([ndimage.convolve(plane, kernel.array, mode="constant") for plane in unexplained.transpose(2, 0, 1)], 2)
    inside = (slice(30, -30), slice(30, -30))
    difference = (found - sr)[inside]
    assert np.abs(difference).max() > 0.01
    np.testing.assert_allclose(alpha * difference, spread[inside], atol=2e-3 * alpha)
    with pytest.raises(BlindSRError, match="is not 2 times lr"):
        project(sr[1:], lr, kernel, alpha=alpha, device="cpu")


def test_a_kernel_of_large_expected_error_changes_nothing(photo: np.ndarray) -> None:
    lr = to_float(photo[:60, :70])
    results = []
    for error in (0.0, 0.1, 0.3):
        kernel = Kernel(Kernel.bicubic(2).array, 2, expected_error=error)
        upscaled = [SRMD(back_projections=times).fit(lr, kernel, _context())(lr) for times in (0, None)]
        results.append(np.abs(upscaled[0] - upscaled[1]).mean())
    assert results[0] > results[1] > 10 * results[2]


@pytest.mark.parametrize("level", [0, 2])
def test_the_data_step_is_better_than_a_back_projection_with_noise_too(level: int, photo: np.ndarray) -> None:
    kernel = RandomKernel().sample_kernel(2, np.random.default_rng(2))
    lr = downscale(to_float(photo[:200, :240]), kernel)
    noisy = lr + np.random.default_rng(0).normal(0, level / 255, lr.shape)
    lr = to_float(to_depth(np.clip(noisy, 0, 1).astype(np.float32), np.uint8))
    scores = [
        psnr_y(to_depth(SRMD(back_projections=times).fit(lr, kernel, _context())(lr), np.uint8), photo[:200, :240], shave=2)
        for times in (1, None)
    ]
    assert scores[1] > scores[0]


def test_tiles_equal_the_whole(photo: np.ndarray) -> None:
    lr = to_float(photo[:60, :70])
    kernel = RandomKernel().sample_kernel(2, np.random.default_rng(0))
    for given in (kernel, kernel.shifted(0.5, 0.25)):
        upscaler = SRMD().fit(lr, given, _context())
        halo = upscaler.halo
        assert halo is not None
        whole, part = upscaler(lr), upscaler(np.ascontiguousarray(lr[10:, 20:]))
        np.testing.assert_allclose(part[2 * halo :, 2 * halo :], whole[2 * (10 + halo) :, 2 * (20 + halo) :], atol=1e-5)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_a_silent_network_enlarges_as_matlab(scale: int, photo: np.ndarray) -> None:
    network = SRMDNet(scale, 15, residual=True)
    for parameter in network.parameters():
        torch.nn.init.zeros_(parameter)
    lr = to_float(photo[:20, :31])
    with torch.inference_mode():
        sr = network(torch.from_numpy(lr).permute(2, 0, 1)[None], torch.zeros(1, 15))[0].permute(1, 2, 0).numpy()
    np.testing.assert_allclose(sr, bicubic(lr, scale=scale), atol=1e-5)


def test_weights_of_our_own_are_refused_where_they_are_something_else(tmp_path: Path) -> None:
    save_file(_state(), tmp_path / "x2.safetensors")
    with pytest.raises(BlindSRError, match="is not a network of blindsr's SRMD"):
        load_own(tmp_path / "x2.safetensors")
    with pytest.raises(BlindSRError, match="no such file"):
        load_own(tmp_path / "x3.safetensors")
