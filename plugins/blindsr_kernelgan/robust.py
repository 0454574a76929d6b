"""The robust preset: the same game on patches, with a generator of three free numbers and a prior.

The game of the release has hundreds of thousands of free numbers for one small kernel. It ends where its learning rate does,
and that place differs from seed to seed. Here the generator is a Gaussian, which comes within 10 % of the kernels of DIV2KRK's
recipe. The discriminator sees patches from all over the image at each step. As the image alone says too little
to settle the game (a discriminator always finds something else to object to), the generator's numbers are drawn towards those of
a Gaussian of medium width, and the answer is their mean over the last part of the game.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from blindsr.api import BlindSRError, Kernel, bicubic
from blindsr_kernelgan.crops import GRAY, box_mean, gradient_map, training_area
from blindsr_kernelgan.discriminator import PATCH_SIDE
from blindsr_kernelgan.generator import KERNEL_SIDE, STRIDE

if TYPE_CHECKING:
    from blindsr.api import Image, RunContext

PRIOR_VARIANCE = 2.8  # square HR pixels: the mean of DIV2KRK's range
PRIOR_WEIGHT = 0.1
AVERAGED = 1 / 3  # of the iterations, the last ones
PATCHES = 1024  # of each kind in an iteration
WIDTHS = (PATCH_SIDE**2, 48, 48, 48, 1)
LEAK = 0.1
NOISE = 1 / 255  # standard deviation, of the range [0, 1], on both kinds of patches: they differ by rounding otherwise
GENERATOR_RATE, DISCRIMINATOR_RATE = 50, 10  # times the learning rate
BETAS = (0.5, 0.99)
MAX_SIDE_PX = 512  # of what is looked at: the most textured part of a larger image
LOG_EVERY = 10


class GaussianGenerator:
    """A Gaussian in the 13 x 13 frame, given by its covariance's Cholesky factor [[exp a, 0], [b, exp c]]."""

    def __init__(self, device: str = "cpu") -> None:
        deviation = math.log(PRIOR_VARIANCE) / 2
        self.start = torch.tensor([deviation, 0.0, deviation], device=device)
        self.factor = self.start.clone().requires_grad_()
        position = torch.arange(KERNEL_SIDE, device=device) - (KERNEL_SIDE // 2 + 0.5)
        self._rows, self._columns = torch.meshgrid(position, position, indexing="ij")

    def kernel(self) -> Tensor:
        """The kernel (13, 13), aligned, summing to 1, differentiable."""
        a, b, c = self.factor
        across = self._rows / a.exp()
        along = (self._columns - b * across) / c.exp()
        return torch.softmax(-(across**2 + along**2).flatten() / 2, 0).view(KERNEL_SIDE, KERNEL_SIDE)

    def prior(self) -> Tensor:
        """The loss that draws it towards the Gaussian of medium width."""
        return PRIOR_WEIGHT * (self.factor - self.start).square().sum()


class PatchDiscriminator:
    """A small network that tells patches (n, 49) of the image (towards 1) from those of its downscaled version (towards -1).

    `rng`, a CPU generator, draws the initial parameters, uniformly within 1 / sqrt(inputs).
    """

    def __init__(self, rng: torch.Generator, device: str = "cpu") -> None:
        self.parameters: list[Tensor] = []
        for inputs, outputs in pairwise(WIDTHS):
            for shape in ((outputs, inputs), (outputs,)):
                drawn = torch.empty(shape).uniform_(-1, 1, generator=rng) / math.sqrt(inputs)
                self.parameters.append(drawn.to(device).requires_grad_())

    def __call__(self, patches: Tensor) -> Tensor:
        """How real each patch looks: (n, 1)."""
        x = patches
        for weight, bias in zip(self.parameters[:-2:2], self.parameters[1:-2:2], strict=True):
            x = F.leaky_relu(F.linear(x, weight, bias), LEAK)
        return F.linear(x, *self.parameters[-2:])


class PatchPlaces:
    """Random places of patches in a picture, as often as `gradients` (H, W), its gradient map, is large around them."""

    def __init__(self, gradients: NDArray[np.float32]) -> None:
        reach = PATCH_SIDE // 2
        weight = box_mean(gradients, PATCH_SIDE)[reach:-reach, reach:-reach]
        self._cumulative = np.cumsum(weight, dtype=np.float64)
        self._columns, self._width = weight.shape[1], gradients.shape[1]
        pixels = np.arange(PATCH_SIDE)
        self._offsets = (pixels[:, None] * self._width + pixels).ravel()

    def draw(self, rng: np.random.Generator) -> Tensor:
        """The numbers of the patches' pixels in the flattened picture: (PATCHES, 49)."""
        drawn = np.searchsorted(self._cumulative, rng.random(PATCHES) * self._cumulative[-1], side="right")
        row, column = np.divmod(np.minimum(drawn, len(self._cumulative) - 1), self._columns)
        return torch.from_numpy((row * self._width + column)[:, None] + self._offsets)


def train(lr: Image, run: RunContext, *, iterations: int, edge_shave: int, learning_rate: float) -> Kernel:
    """The aligned x2 kernel of an LR image. The run's `rng` draws places, its `torch_rng` initial parameters and noise."""
    area = most_textured(training_area(lr, edge_shave))
    real_places, fake_places = PatchPlaces(gradient_map(area)), PatchPlaces(_gradients_of_output(area))
    gray = area @ GRAY
    contrast = float(gray.std())
    image = torch.from_numpy((gray - gray.mean()) / contrast).to(run.device)
    generator, discriminator = GaussianGenerator(run.device), PatchDiscriminator(run.torch_rng, run.device)
    of_generator = torch.optim.Adam([generator.factor], GENERATOR_RATE * learning_rate, betas=BETAS)
    of_discriminator = torch.optim.Adam(discriminator.parameters, DISCRIMINATOR_RATE * learning_rate, betas=BETAS)
    factors = torch.empty(iterations, 3)
    for i in range(iterations):
        output = F.conv2d(image[None, None], generator.kernel()[None, None], stride=STRIDE)
        noise = NOISE / contrast * torch.randn(2, PATCHES, PATCH_SIDE**2, generator=run.torch_rng).to(run.device)
        real = image.flatten()[real_places.draw(run.rng).to(run.device)] + noise[0]
        fake = output.flatten()[fake_places.draw(run.rng).to(run.device)] + noise[1]
        # Least squares: unlike the release's absolute differences, they say less and less as the two kinds become alike.
        difference = (discriminator(real) - 1).square().mean() + (discriminator(fake.detach()) + 1).square().mean()
        _step(of_discriminator, difference)
        deception = -discriminator(fake).mean()
        _step(of_generator, deception + generator.prior())
        factors[i] = generator.factor.detach()
        if i % LOG_EVERY == 0:
            _report(i, {"generator_loss": float(deception.detach()), "discriminator_loss": float(difference.detach())}, run)
        run.progress(i + 1, iterations)
    return gaussian(factors[-max(1, round(AVERAGED * iterations)) :].double().mean(0).numpy())


def most_textured(area: Image) -> Image:
    """The part of at most 512 x 512 pixels, of those on a grid, with the strongest gradients; all of a small image (a view)."""
    height, width = (min(MAX_SIDE_PX, size) for size in area.shape[:2])
    gray = area @ GRAY
    parts = [
        np.s_[top : top + height, left : left + width]
        for top in range(0, area.shape[0] - height + 1, height)
        for left in range(0, area.shape[1] - width + 1, width)
    ]
    return area[max(parts, key=lambda part: np.abs(np.diff(gray[part])).mean() + np.abs(np.diff(gray[part], axis=0)).mean())]


def gaussian(factor: NDArray[np.float64]) -> Kernel:
    """The kernel that a generator's three numbers stand for, in a frame that holds all of it."""
    if not np.isfinite(factor).all():
        raise BlindSRError("KernelGAN's training left no usable kernel; try a lower learning_rate or another seed")
    a, b, c = factor
    root = np.array([[math.exp(a), 0], [b, math.exp(c)]])
    return Kernel.gaussian(root @ root.T, 2)


def _gradients_of_output(area: Image) -> NDArray[np.float32]:
    """The gradient map of the image at half its size, cut to the pixels that a 13 x 13 kernel reaches from inside."""
    rows, columns = ((size - KERNEL_SIDE) // STRIDE + 1 for size in area.shape[:2])
    first = KERNEL_SIDE // 2 // STRIDE
    return gradient_map(bicubic(area, scale=1 / STRIDE))[first : first + rows, first : first + columns]


def _step(optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    parameters = optimizer.param_groups[0]["params"]
    for parameter, gradient in zip(parameters, torch.autograd.grad(loss, parameters), strict=True):
        parameter.grad = gradient
    optimizer.step()


def _report(iteration: int, losses: dict[str, float], run: RunContext) -> None:
    if not all(map(math.isfinite, losses.values())):
        raise BlindSRError(f"KernelGAN's training diverged at iteration {iteration}; try a lower learning_rate or another seed")
    for name, value in losses.items():
        run.log(name, iteration, value)
