"""KernelGAN, compared with references that are written here with torch's modules, scipy and closed forms."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from blindsr_kernelgan import KernelGAN, blindsr_kernel_estimators
from blindsr_kernelgan.crops import crop_probability, draw_corners, draw_crops, gradient_map
from blindsr_kernelgan.discriminator import HIDDEN_LAYERS, Discriminator
from blindsr_kernelgan.generator import SIDES, LinearGenerator, windows
from blindsr_kernelgan.losses import BicubicSchedule, KernelLosses, bicubic_kernel, finished
from blindsr_kernelgan.train import Game
from kernelgan_inputs import assert_close, textured_image
from recording import Run
from scipy import ndimage
from scipy.signal import convolve2d
from torch import nn
from torch.nn.utils import spectral_norm

from blindsr.errors import BlindSRError
from blindsr.imaging.downscaling import downscale
from blindsr.imaging.kernel import Kernel
from blindsr.imaging.metrics import kernel_errors
from blindsr.pipeline.hashes import Hashes
from blindsr.pipeline.keys import StepMaker

SHARED = Path(__file__).parents[2].parent / "shared"
TAPS = np.array([-3, -9, 29, 111, 111, 29, -9, -3]) / 256  # the cubic with a = -0.5 at +-.25, .75, 1.25 and 1.75, halved


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def textured():
    return textured_image()


def six_layers(filters, x):
    for w in filters[:-1]:
        x = F.conv2d(x, w)
    return F.conv2d(x, filters[-1], stride=2)


def plain_discriminator(fast):
    """The paper's network built from torch's modules, with the parameters of `fast`, and random biases before batch norm."""
    layers = [nn.Conv2d(3, 64, 7)]
    for _ in range(HIDDEN_LAYERS):
        layers += [nn.Conv2d(64, 64, 1), nn.BatchNorm2d(64), nn.ReLU()]
    net = nn.Sequential(*layers, nn.Conv2d(64, 1, 1), nn.Sigmoid()).double()
    convolutions = [m for m in net if isinstance(m, nn.Conv2d)]
    norms = [m for m in net if isinstance(m, nn.BatchNorm2d)]
    weights = [fast.first.weight, *fast.hidden.weight, fast.last.weight]
    directions = [fast.first.u, *fast.hidden.u, fast.last.u]
    for m, w, u in zip(convolutions, weights, directions, strict=True):
        spectral_norm(m)
        m.weight_orig.data = w.double().clone().view_as(m.weight_orig)
        m.weight_u.copy_(u[:, 0])
    convolutions[-1].bias.data = fast.last_bias.double().clone()
    for m, gain, shift in zip(norms, fast.gains, fast.shifts, strict=True):
        m.weight.data, m.bias.data = gain[:, 0].double().clone(), shift[:, 0].double().clone()
    return net, convolutions, norms


def test_collapsed_generator_equals_its_six_layers():
    generator = LinearGenerator(torch.Generator().manual_seed(1), dtype=torch.float64)
    assert [tuple(w.shape[2:]) for w in generator.filters] == [(n, n) for n in SIDES]
    crop = torch.rand(3, 64, 64, dtype=torch.float64) * 2 - 1
    towards = torch.rand(3, 26, 26, dtype=torch.float64)
    expected = six_layers(generator.filters, crop[:, None])[:, 0]
    expected_gradients = torch.autograd.grad((expected * towards).sum(), generator.filters)

    actual = (windows(crop) @ generator.kernel().flatten()).view(3, 26, 26)

    assert_close(actual, expected)
    gradients = torch.autograd.grad((actual * towards).sum(), generator.filters)
    for gradient, expected_gradient in zip(gradients, expected_gradients, strict=True):
        assert_close(gradient, expected_gradient)


def test_generator_kernel_is_an_sr_kernel_of_the_project():
    """`downscale` with the generator's kernel gives the generator's output."""
    generator = LinearGenerator(torch.Generator().manual_seed(1), dtype=torch.float64)
    image = np.random.default_rng(0).random((64, 64, 3))
    kernel = generator.kernel().detach()

    by_core = downscale(image, Kernel((kernel / kernel.sum()).numpy(), 2))[3:-3, 3:-3]

    by_layers = six_layers(generator.filters, torch.from_numpy(image).permute(2, 0, 1)[:, None])[:, 0] / kernel.sum()
    np.testing.assert_allclose(by_core, by_layers.detach().permute(1, 2, 0).numpy(), rtol=1e-9)


def test_discriminator_equals_torch_modules():
    """Three passes in the order of training: values, gradients for the generator's crop, then for all weights."""
    torch.manual_seed(3)
    fast = Discriminator(torch.Generator().manual_seed(2), dtype=torch.float64)
    fast.shifts.normal_()
    fast.last_bias.normal_()
    net, convolutions, norms = plain_discriminator(fast)
    crops = torch.rand(3, 3, 26, 26, dtype=torch.float64).requires_grad_()
    towards = torch.rand(3, 400, dtype=torch.float64)
    expected = torch.cat([net(crop[None]).flatten(1) for crop in crops])

    alone, pair = fast.judge(crops[:1].detach()), fast.judge(crops[1:].detach())

    assert_close(torch.cat([alone.output, pair.output]), expected)
    (expected_for_crops,) = torch.autograd.grad((expected * towards).sum(), crops, retain_graph=True)
    assert_close(fast.crop_gradient(alone, towards[:1], 26), expected_for_crops[:1])
    assert_close(fast.crop_gradient(pair, towards[1:], 26), expected_for_crops[1:])
    parameters = [
        *(m.weight_orig for m in convolutions),
        convolutions[-1].bias,
        *(m.weight for m in norms),
        *(m.bias for m in norms),
    ]
    gradients = torch.autograd.grad((expected[1:] * towards[1:]).sum(), parameters)
    first, hidden, (last, last_bias) = gradients[0].flatten(1), torch.stack(gradients[1:6]).flatten(2), gradients[6:8]
    gains, shifts = torch.stack(gradients[8:13])[..., None], torch.stack(gradients[13:])[..., None]
    for actual, wanted in zip(
        fast.weight_gradients(pair, towards[1:]), [first, hidden, last.flatten(1), last_bias, gains, shifts], strict=True
    ):
        assert_close(actual, wanted)


def test_an_iteration_equals_plain_training():
    """The gradients of both optimisers, compared with autograd through the six layers and torch's modules."""
    torch.manual_seed(4)
    image = torch.rand(3, 90, 80) * 2 - 1
    noise = torch.randn(2, 3, 26, 26)
    game = Game(image, torch.Generator().manual_seed(0), "cpu", 2e-3)
    for _ in range(60):  # at first the generator's output is almost zero
        game.play([6, 2], [20, 40], *noise)
    game.schedule.weight = 5e-4  # as later in training: the discriminator's loss matters, and all losses on the kernel are active
    image = image.clone()
    filters = [w.detach().double().requires_grad_() for w in game.generator.filters]
    net, convolutions, _ = plain_discriminator(game.discriminator)

    generator_loss, discriminator_loss, bicubic_loss = game.play([6, 2], [20, 40], *noise).tolist()

    image, noise = image.double(), noise.double()
    crop = image[:, 6:70, 2:66]
    real = image[:, 20:46, 40:66] + 2 / 255 * noise[0]
    fake = six_layers(filters, crop[:, None]).transpose(0, 1)
    taps = torch.from_numpy(np.outer(TAPS, TAPS)).expand(3, 3, 8, 8)
    bicubic = F.mse_loss(fake, F.conv2d(crop[None], taps, stride=2, padding=3)[..., 3:-3, 3:-3])
    kernel = six_layers(
        filters, torch.eye(169, dtype=torch.float64).view(169, 1, 13, 13)
    ).flatten()  # the response to each pixel of a window
    loss = (net(fake) - 1).abs().mean() + 5e-4 * bicubic + KernelLosses(dtype=torch.float64)(kernel, constrain=True)
    gradients = torch.autograd.grad(loss, filters)
    assert generator_loss == pytest.approx(loss.item(), rel=1e-5)
    assert bicubic_loss == pytest.approx(bicubic.item(), rel=1e-5)
    for mine, expected in zip(game.generator.filters, gradients, strict=True):
        assert_close(mine.grad, expected, 1e-3)
    updated = six_layers([w.double() for w in game.generator.filters], crop[:, None]).transpose(0, 1).detach() + noise[1] / 255
    loss = ((net(real[None]) - 1).abs().mean() + net(updated).abs().mean()) / 2
    gradients = torch.autograd.grad(loss, [m.weight_orig for m in convolutions])
    assert discriminator_loss == pytest.approx(loss.item(), rel=1e-5)
    assert_close(game.discriminator.first.weight.grad, gradients[0].flatten(1), 1e-3)
    assert_close(game.discriminator.hidden.weight.grad, torch.stack(gradients[1:6]).flatten(2), 1e-3)
    assert_close(game.discriminator.last.weight.grad, gradients[6].flatten(1), 1e-3)


def test_initial_values_are_the_releases():
    generator = LinearGenerator(torch.Generator().manual_seed(0))
    for w in generator.filters[1:3]:  # the large ones, whose spread is measured well
        fan_in, fan_out = w[0].numel(), w[:, 0].numel()
        assert float(w.detach().std()) == pytest.approx(0.1 * (2 / (fan_in + fan_out)) ** 0.5, rel=0.02)
    net = Discriminator(torch.Generator().manual_seed(0))
    for weight, bound in ((net.first.weight, 147**-0.5), (net.hidden.weight, 64**-0.5)):
        assert 0.99 * bound < float(weight.abs().max()) <= bound  # PyTorch's default: uniform within 1 / sqrt(inputs)
    assert float(net.gains.mean()) == pytest.approx(1, abs=0.005)
    assert float(net.gains.std()) == pytest.approx(0.02, rel=0.15)
    assert not net.shifts.any()
    assert not net.last_bias.any()


def test_gradient_map_equals_its_formula(textured):
    gray = textured.astype(np.float64) @ [0.299, 0.587, 0.114]
    along, across = (np.abs(g) for g in np.gradient(gray))
    magnitude = np.hypot(along, across)
    expected = np.zeros_like(gray)
    for component in (along, across, magnitude):
        component[:5] = component[-5:] = component[:, :5] = component[:, -5:] = 0
        if component is not magnitude:
            ordered = np.sort(component, axis=None)
            low, high = ordered[int(0.97 * gray.size) :][:2]
            component[:] = np.clip(component, low, high) - low
        expected += component / component.sum()
    expected = convolve2d(expected, np.full((5, 5), 1 / 25), "same")
    expected /= expected.mean()

    # Which pixels are among the strongest can depend on rounding: compare only where it does not.
    error = np.abs(gradient_map(textured) - expected)

    assert np.median(error) < 1e-4 * expected.max()
    assert np.mean(error > 0.01 * expected.max()) < 0.01


def test_crop_probability_is_a_box_mean_inside_the_border():
    gradients = np.zeros((90, 100), np.float32)
    gradients[40, 50] = 7

    probability = crop_probability(gradients, 26)

    assert probability.sum() == pytest.approx(1, abs=1e-5)
    assert np.flatnonzero(probability.any(1)).tolist() == list(range(34, 47))
    assert np.flatnonzero(probability.any(0)).tolist() == list(range(44, 57))
    np.testing.assert_allclose(probability[34:47, 44:57], 1 / 169, rtol=1e-5)


@pytest.mark.parametrize("crop_px", [26, 64])
def test_crop_probability_is_zero_at_the_border(textured, crop_px):
    probability = crop_probability(gradient_map(textured), crop_px)
    inside = probability[crop_px // 2 : -crop_px // 2, crop_px // 2 : -crop_px // 2]
    assert probability.sum() == pytest.approx(1, abs=1e-5)
    assert probability.min() >= 0
    assert inside.sum() == pytest.approx(1, abs=1e-5)


def test_crops_lie_inside_and_at_even_places(textured):
    generator, discriminator = draw_crops(textured, 500, np.random.default_rng(0))
    for corners, crop_px in ((generator, 64), (discriminator, 26)):
        assert corners.shape == (500, 2)
        assert not (corners % 2).any()
        assert corners.min() >= 0
        assert (corners + crop_px <= textured.shape[:2]).all()


def test_crops_follow_the_probability():
    probability = np.zeros((100, 100), np.float32)
    probability[40, 60], probability[99, 0] = 0.75, 0.25
    corners = draw_corners(probability, 26, 4000, np.random.default_rng(0))
    first = (corners == [26, 46]).all(1)  # 40 - 13 = 27, rounded down to even
    second = (corners == [74, 0]).all(1)  # clamped
    assert (first | second).all()
    assert first.mean() == pytest.approx(0.75, abs=0.03)


def test_crops_prefer_edges():
    image = np.zeros((200, 200, 3), np.float32)
    image[:, 120:] = 1  # one upright edge: the other direction has no gradients at all
    for corners, crop_px in zip(draw_crops(image, 200, np.random.default_rng(0)), (64, 26), strict=True):
        assert (corners[:, 1] <= 120).all()
        assert (corners[:, 1] + crop_px >= 120).all()


def test_bicubic_target_equals_padded_strided_convolution():
    np.testing.assert_allclose(bicubic_kernel()[3:11, 3:11], np.outer(TAPS, TAPS), atol=1e-15)
    crop = torch.rand(3, 64, 64, dtype=torch.float64)
    taps = torch.from_numpy(np.outer(TAPS, TAPS)).expand(1, 3, 8, 8)
    expected = F.conv2d(crop[None], taps, stride=2, padding=3)[0, 0, 3:-3, 3:-3]

    actual = (windows(crop) @ torch.from_numpy(bicubic_kernel()).flatten()).view(3, 26, 26).sum(0)

    assert_close(actual, expected)


@pytest.mark.parametrize("constrain", [False, True])
def test_kernel_losses_equal_their_formulas(constrain):
    k = np.random.default_rng(0).normal(0.01, 0.05, (13, 13))
    y, x = np.mgrid[-6:7, -6:7]
    mask = 30 * (1 - np.exp(-(x**2 + y**2) / 338))
    mask[2:-2, 2:-2] = 0
    expected = 0.5 * abs(1 - k.sum()) + 0.5 * np.mean(np.abs(k * mask))
    if constrain:
        off = [(k * (axis + 6)).sum() / k.sum() - 6.5 for axis in (y, x)]
        expected += np.mean(np.square(off)) + 5 * np.mean(np.abs(k) ** 0.2)

    loss = KernelLosses(dtype=torch.float64)(torch.from_numpy(k).flatten(), constrain=constrain)

    assert float(loss) == pytest.approx(expected, rel=1e-12)


def test_kernel_losses_have_finite_gradients_at_zero_taps():
    kernel = torch.zeros(169).index_fill(0, torch.tensor([84]), 1.0).requires_grad_()
    KernelLosses()(kernel, constrain=True).backward()
    assert kernel.grad.isfinite().all()


def test_bicubic_schedule():
    schedule = BicubicSchedule()
    schedule.relax(torch.tensor([0.3, 0.3, 0.5, 0.39, 0.39, 0.4, 0.1]))  # never three in a row
    assert schedule.weight == 5
    weights = []
    for _ in range(4):
        schedule.relax(torch.tensor([0.5, 0.39, 0.39, 0.39, 0.9]))  # once reached, it stays so
        weights.append((schedule.weight, schedule.constrain))
    assert weights == [(pytest.approx(0.05), False), (pytest.approx(5e-4), True), *[(pytest.approx(5e-6), True)] * 2]


def test_finished_kernel_drops_negligible_values_and_is_aligned():
    y, x = np.mgrid[-6:7, -6:7]
    raw = np.exp(-(x**2) / 12 - y**2 / 6) - 0.02
    limit = 0.75 * sorted(raw.flat)[-41]
    kept = np.clip(raw - limit, 0, None)

    kernel = finished(raw)

    assert kernel.scale == 2
    assert kernel.shape == (17, 17)  # as the release saves them
    assert kernel.array.sum() == pytest.approx(1, abs=1e-9)
    np.testing.assert_allclose(kernel.misalignment_px, 0, atol=1e-3)
    expected = ndimage.shift(np.pad(kept / kept.sum(), 2), 0.5)  # from the centre of the array to the aligned position
    np.testing.assert_allclose(kernel.array, expected, atol=1e-3)


@pytest.mark.parametrize("raw", [np.zeros((13, 13)), np.full((13, 13), np.nan)])
def test_no_kernel_is_an_error(raw):
    with pytest.raises(BlindSRError, match="learning_rate"):
        finished(raw)


def test_noise_piles_up_in_the_image():
    """A peculiarity of the release that is kept, because kernels are worse without it."""
    image = torch.zeros(3, 80, 80)
    noise = torch.ones(3, 26, 26)
    game = Game(image, torch.Generator().manual_seed(0), "cpu", 2e-4)
    for _ in range(2):
        game.play([0, 0], [10, 40], noise, torch.zeros_like(noise))
    assert_close(image[:, 10:36, 40:66], noise * 4 / 255)  # std 1/255 of [0, 1] is 2/255 of [-1, 1]
    assert int((image != 0).sum()) == noise.numel()


def test_same_seed_same_kernel(textured):
    np_state, torch_state = np.random.get_state()[1].copy(), torch.get_rng_state()  # noqa: NPY002
    estimator = KernelGAN(iterations=12)

    kernels = [estimator.estimate(textured, 2, Run(seed)).array for seed in (0, 0, 1)]

    assert np.array_equal(kernels[0], kernels[1])
    assert not np.array_equal(kernels[0], kernels[2])
    assert np.array_equal(np_state, np.random.get_state()[1])  # noqa: NPY002
    assert torch.equal(torch_state, torch.get_rng_state())


def test_reports_progress_and_curves(textured):
    run = Run()
    original = textured.copy()
    KernelGAN(iterations=61).estimate(textured, 2, run)
    assert run.done == [(i, 61) for i in range(1, 62)]
    assert set(run.curves) == {"generator_loss", "discriminator_loss", "bicubic_loss"}
    assert [step for step, _ in run.curves["bicubic_loss"]] == [0, 10, 20, 30, 40, 50, 60]
    assert np.array_equal(textured, original)


def test_x4_is_the_x2_kernel_composed(textured):
    estimator = KernelGAN(iterations=5)
    x2, x4 = (estimator.estimate(textured, scale, Run()) for scale in (2, 4))
    assert x4.scale == 4
    assert np.array_equal(x4.half.array, x2.array)
    assert np.array_equal(x4.array, x2.composed().array)


def test_other_scales_are_refused(textured):
    with pytest.raises(BlindSRError, match="scale 2 or 4, not 3"):
        KernelGAN().estimate(textured, 3, Run())


def test_small_images_are_refused(textured):
    with pytest.raises(BlindSRError, match=r"100 x 70 .* 80 x 50 after edge_shave=10.* edge_shave to 3 or less"):
        KernelGAN(iterations=1).estimate(textured[:70], 2, Run())
    with pytest.raises(BlindSRError, match=r"at least 64 x 64"):
        KernelGAN(iterations=1, edge_shave=0).estimate(textured[:63], 2, Run())
    assert KernelGAN(iterations=1, edge_shave=0).estimate(textured[:65, :64], 2, Run()).aligned


def test_flat_images_are_refused():
    flat = np.full((100, 100, 3), 0.3, np.float32)
    with pytest.raises(BlindSRError, match="flat"):
        KernelGAN(iterations=1).estimate(flat, 2, Run())


def test_divergence_is_an_error(textured, monkeypatch):
    losses = iter([torch.zeros(3)] * 55 + [torch.tensor([0, torch.nan, 0])] * 45)
    monkeypatch.setattr(Game, "play", lambda *_: next(losses))
    with pytest.raises(BlindSRError, match="diverged at iteration 55; try a lower learning_rate"):
        KernelGAN(iterations=500).estimate(textured, 2, Run())


def test_the_faithful_preset_takes_many_images_one_by_one(textured):
    estimator = KernelGAN(iterations=3)
    many = estimator.estimate_many([textured, textured[:50]], 2, [Run(0), Run(1)])
    assert np.array_equal(many[0].array, estimator.estimate(textured, 2, Run(0)).array)
    assert isinstance(many[1], BlindSRError)


def test_the_default_preset_is_not_part_of_the_key():
    """The keys that version 0.2 made, before there were presets."""
    maker = StepMaker(2, Hashes())
    keys = [
        maker.step("estimate", KernelGAN(**fields), {}, seed=3).key for fields in ({}, {"preset": "faithful"}, {"preset": "robust"})
    ]
    assert keys[0] == keys[1] == "bc02e8bc89c8764298d0c92c6dc9f3508da8cd1e2bd14a2f0b235a91474b59bb"
    assert keys[2] != keys[0]


def test_declaration_is_light():
    code = "import sys, blindsr_kernelgan; print(*{'numpy', 'scipy', 'torch'} & set(sys.modules))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == ""
    assert blindsr_kernel_estimators() == [KernelGAN]
    assert all(field.description for field in KernelGAN.model_fields.values())


@pytest.mark.slow
@pytest.mark.skipif(not SHARED.is_dir(), reason=f"needs the reference images in {SHARED}")
def test_learns_a_real_kernel():
    import cv2

    lr = cv2.imread(str(SHARED / "data/urban5rk/lr_x2/im_1.png"))[..., ::-1].astype(np.float32) / 255
    true = Kernel.load(SHARED / "data/urban5rk/gt_k_x2/kernel_1.mat", scale=2)
    before = kernel_errors(Kernel.bicubic(2), true)["kernel_l2"]

    kernel = KernelGAN(iterations=1000).estimate(lr, 2, Run())

    assert kernel.aligned
    assert kernel_errors(kernel, true)["kernel_l2"] < 0.5 * before
