"""KernelGAN's robust preset, compared with references that are written here with torch's modules, scipy and closed forms."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from blindsr_kernelgan import KernelGAN
from blindsr_kernelgan.robust import GaussianGenerators, PatchDiscriminators, PatchPlaces, gaussian, textured_area
from kernelgan_inputs import assert_close, textured_image
from recording import Run
from scipy import stats
from torch import nn

from blindsr.errors import BlindSRError
from blindsr.imaging.downscaling import downscale
from blindsr.imaging.kernel import Kernel
from blindsr.imaging.metrics import kernel_errors

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def textured():
    return textured_image()


def test_gaussian_generator_equals_the_density():
    """scipy's density at the taps, and the same kernel by the core, which takes a covariance."""
    generators = GaussianGenerators(2)
    generators.factors.data[1] = torch.tensor([0.2, -0.4, -0.1])
    root = np.array([[np.exp(0.2), 0], [-0.4, np.exp(-0.1)]])
    places = np.moveaxis(np.indices((13, 13)), 0, -1) - 6.5
    expected = stats.multivariate_normal(cov=root @ root.T).pdf(places)

    kernel = generators.kernels()[1].detach().numpy()

    np.testing.assert_allclose(kernel, expected / expected.sum(), atol=1e-6)
    own = gaussian(np.array([0.2, -0.4, -0.1]))
    assert kernel_errors(own, Kernel(kernel.astype(float), 2))["kernel_l2"] < 1e-3
    assert max(map(abs, own.misalignment_px)) < 1e-3


def test_the_prior_pulls_towards_its_gaussian():
    """Without any patches, descent on the prior ends at the Gaussian of variance 2.8."""
    generators = GaussianGenerators(1)
    generators.factors.data[0] = torch.tensor([-0.5, 0.8, 1.1])
    for _ in range(200):
        (gradient,) = torch.autograd.grad(generators.prior().sum(), generators.factors)
        generators.factors.data -= gradient
    kernel = gaussian(generators.factors[0].detach().double().numpy())
    np.testing.assert_allclose(kernel.widths_px, 2.8**0.5, rtol=0.01)


def test_patch_discriminators_equal_torch_modules():
    own = PatchDiscriminators([torch.Generator().manual_seed(seed) for seed in (0, 1)])
    patches = torch.randn(2, 20, 49, generator=torch.Generator().manual_seed(2))
    judged = own(patches)
    for n in range(2):
        layers = [nn.Linear(*sizes) for sizes in ((49, 48), (48, 48), (48, 48), (48, 1))]
        for layer, weight, bias in zip(layers, own.parameters[::2], own.parameters[1::2], strict=True):
            assert float(weight.detach().abs().max()) <= layer.in_features**-0.5
            layer.weight.data, layer.bias.data = weight[n].detach().mT, bias[n, 0].detach()
        act = nn.LeakyReLU(0.1)
        net = nn.Sequential(layers[0], act, layers[1], act, layers[2], act, layers[3])
        assert_close(judged[n], net(patches[n])[:, 0])


def test_patches_lie_where_gradients_are():
    gradients = np.zeros((30, 40), np.float32)
    gradients[12, 25] = 1
    picture = torch.arange(1200).view(30, 40)

    pixels = torch.from_numpy(PatchPlaces(gradients).draw(np.random.default_rng(0), 40))

    assert pixels.shape == (1024, 49)
    corners = set()
    for patch in picture.flatten()[pixels].view(-1, 7, 7):
        top, left = divmod(int(patch[0, 0]), 40)
        assert torch.equal(patch, picture[top : top + 7, left : left + 7])
        corners.add((top, left))
    assert corners == {(top, left) for top in range(6, 13) for left in range(19, 26)}  # all patches that hold the pixel


def test_large_images_are_looked_at_where_they_have_texture():
    image = np.full((1100, 600, 3), 0.5, np.float32)
    image[512:1024, :512] = np.random.default_rng(0).random((512, 512, 3))
    assert np.array_equal(textured_area(image), image[512:1024, :512])
    assert textured_area(image[:500, :300]).shape == (500, 300, 3)


@pytest.mark.slow
@pytest.mark.parametrize("variances", [(1.2, 4.0), (4.0, 1.2)])
def test_robust_tells_long_from_short_axis(variances):
    """A picture of rectangles of all sizes, which looks alike at all scales, blurred by a known kernel."""
    rng = np.random.default_rng(1)
    hr = np.full((480, 480, 3), 0.5, np.float32)
    for side in np.sort(rng.pareto(1.5, 6000) * 4 + 3)[::-1]:
        top, left = rng.integers(-20, 480, 2)
        height, width = (int(side * f) for f in rng.uniform(0.5, 1.5, 2))
        hr[max(top, 0) : max(top + height, 0), max(left, 0) : max(left + width, 0)] = rng.random(3)
    true = Kernel.gaussian(np.diag(variances), 2)
    lr = (np.round(downscale(hr, true).clip(0, 1) * 255) / 255).astype(np.float32)

    kernel = KernelGAN(preset="robust").estimate(lr, 2, Run())

    middle = Kernel.gaussian(2.8, 2)
    error, without = (kernel_errors(k, true)["kernel_l2"] for k in (kernel, middle))
    assert error < 0.25
    assert error < 0.8 * without


def test_robust_same_seed_same_kernel(textured):
    np_state, torch_state = np.random.get_state()[1].copy(), torch.get_rng_state()  # noqa: NPY002
    estimator = KernelGAN(preset="robust", iterations=60)
    run = Run()

    first, second, other = (estimator.estimate(textured, 2, r) for r in (run, Run(), Run(1)))

    assert np.array_equal(first.array, second.array)
    assert not np.array_equal(first.array, other.array)
    assert np.array_equal(np_state, np.random.get_state()[1])  # noqa: NPY002
    assert torch.equal(torch_state, torch.get_rng_state())
    assert run.done == [(i, 6) for i in range(1, 7)]
    assert set(run.curves) == {"generator_loss", "discriminator_loss"}
    assert np.array_equal(estimator.estimate(textured, 4, Run()).array, first.composed().array)


def test_robust_divergence_is_an_error(textured, monkeypatch):
    judge = PatchDiscriminators.__call__
    monkeypatch.setattr(PatchDiscriminators, "__call__", lambda self, patches: judge(self, patches) * torch.nan)
    with pytest.raises(BlindSRError, match="diverged at iteration 0; try a lower learning_rate"):
        KernelGAN(preset="robust", iterations=10).estimate(textured, 2, Run())


def test_many_images_at_once_equal_single_ones(textured):
    """Of different sizes; one is too small and one is flat, which costs only these."""
    images = [textured, textured[:90, :, ::-1].copy(), textured[:50], textured[4:], np.full((90, 90, 3), 0.5, np.float32)]
    estimator = KernelGAN(preset="robust", iterations=200)

    runs = [Run(seed) for seed in range(5)]
    together = estimator.estimate_many(images, 2, runs)

    for i in (0, 1, 3):
        run = Run(i)
        alone = estimator.estimate(images[i], 2, run)
        assert kernel_errors(together[i], alone)["kernel_l2"] < 0.002
        assert runs[i].done == run.done
        expected = run.curves["discriminator_loss"]
        assert runs[i].curves["discriminator_loss"] == [(step, pytest.approx(value, rel=1e-3)) for step, value in expected]
    assert kernel_errors(together[0], together[1])["kernel_l2"] > 0.01
    assert "at least 64 x 64" in str(together[2]) or "leaves" in str(together[2])
    assert "is flat" in str(together[4])
    x4 = estimator.estimate_many(images[:1], 4, [Run(0)])
    assert np.array_equal(x4[0].array, estimator.estimate(images[0], 4, Run(0)).array)


def test_divergence_of_one_image_leaves_the_others(textured):
    odd = textured[:, ::-1].copy()
    odd[50, 50] = np.nan
    good, bad = KernelGAN(preset="robust", iterations=30).estimate_many([textured, odd], 2, [Run(0), Run(1)])
    assert isinstance(good, Kernel)
    assert isinstance(bad, BlindSRError)
