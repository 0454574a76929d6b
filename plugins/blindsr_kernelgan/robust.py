"""The robust preset: the same game on patches, with a generator of three free numbers and a prior.

The game of the release has hundreds of thousands of free numbers for one small kernel. It ends where its learning rate does,
and that place differs from seed to seed. Here the generator is a Gaussian, which comes within 10 % of the kernels of DIV2KRK's
recipe. The discriminator sees patches from all over the image at each step. As the image alone says too little
to settle the game (a discriminator always finds something else to object to), the generator's numbers are drawn towards those of
a Gaussian of medium width, and the answer is their mean over the last part of the game.

The games of several images are played as one computation. Their numbers, images and patches are stacked; only losses are summed
over images, so that all gradients are each image's own.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

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


class GaussianGenerators:
    """Gaussians in the 13 x 13 frame, each given by its covariance's Cholesky factor [[exp a, 0], [b, exp c]]: (count, 3)."""

    def __init__(self, count: int, device: str = "cpu") -> None:
        deviation = math.log(PRIOR_VARIANCE) / 2
        self.start = torch.tensor([deviation, 0.0, deviation], device=device)
        self.factors = self.start.repeat(count, 1).requires_grad_()
        position = torch.arange(KERNEL_SIDE, device=device) - (KERNEL_SIDE // 2 + 0.5)
        self._rows, self._columns = torch.meshgrid(position, position, indexing="ij")

    def kernels(self) -> Tensor:
        """The kernels (count, 13, 13), aligned, summing to 1, differentiable."""
        a, b, c = self.factors.T[..., None, None]
        across = self._rows / a.exp()
        along = (self._columns - b * across) / c.exp()
        return torch.softmax(-(across**2 + along**2).flatten(1) / 2, 1).view(-1, KERNEL_SIDE, KERNEL_SIDE)

    def prior(self) -> Tensor:
        """The losses (count,) that draw them towards the Gaussian of medium width."""
        return PRIOR_WEIGHT * (self.factors - self.start).square().sum(1)


class PatchDiscriminators:
    """Small networks, one an image, that tell its patches (towards 1) from those of its downscaled version (towards -1).

    `rngs`, CPU generators, draw the initial parameters, uniformly within 1 / sqrt(inputs).
    """

    def __init__(self, rngs: Sequence[torch.Generator], device: str = "cpu") -> None:
        shapes = [shape for inputs, outputs in pairwise(WIDTHS) for shape in ((inputs, outputs), (1, outputs))]
        bounds = [1 / math.sqrt(inputs) for inputs in WIDTHS[:-1] for _ in range(2)]
        drawn = [
            [torch.empty(shape).uniform_(-b, b, generator=rng) for shape, b in zip(shapes, bounds, strict=True)] for rng in rngs
        ]
        self.parameters = [torch.stack(each).to(device).requires_grad_() for each in zip(*drawn, strict=True)]
        """Weights (count, inputs, outputs) and biases (count, 1, outputs) in turns."""

    def __call__(self, patches: Tensor) -> Tensor:
        """How real each patch looks: (count, n, 49) to (count, n)."""
        x = patches
        for weight, bias in zip(self.parameters[:-2:2], self.parameters[1:-2:2], strict=True):
            x = F.leaky_relu(torch.baddbmm(bias, x, weight), LEAK)
        return torch.baddbmm(self.parameters[-1], x, self.parameters[-2])[..., 0]


class PatchPlaces:
    """Random places of patches in a picture, as often as `gradients` (H, W), its gradient map, is large around them."""

    def __init__(self, gradients: NDArray[np.float32]) -> None:
        reach = PATCH_SIDE // 2
        weight = box_mean(gradients, PATCH_SIDE)[reach:-reach, reach:-reach]
        self._cumulative = np.cumsum(weight, dtype=np.float64)
        self._columns = weight.shape[1]

    def draw(self, rng: np.random.Generator, width: int) -> NDArray[np.int64]:
        """The numbers of the patches' pixels in the flattened picture, whose rows are `width` pixels apart: (PATCHES, 49)."""
        drawn = np.searchsorted(self._cumulative, rng.random(PATCHES) * self._cumulative[-1], side="right")
        row, column = np.divmod(np.minimum(drawn, len(self._cumulative) - 1), self._columns)
        pixels = np.arange(PATCH_SIDE)
        numbers: NDArray[np.int64] = (row * width + column)[:, None] + (pixels[:, None] * width + pixels).ravel()
        return numbers


class Picture(NamedTuple):
    """What a game is played on."""

    gray: NDArray[np.float32]
    """(H, W), of mean 0 and deviation 1."""
    contrast: float
    """Its deviation before, of the range [0, 1]."""
    real: PatchPlaces
    fake: PatchPlaces

    @classmethod
    def of(cls, lr: Image, edge_shave: int) -> Picture:
        """That of an LR image; one that is too small or flat is refused."""
        area = textured_area(training_area(lr, edge_shave))
        real, fake = PatchPlaces(gradient_map(area)), PatchPlaces(_gradients_of_output(area))
        gray = area @ GRAY
        contrast = float(gray.std())
        return cls((gray - gray.mean()) / contrast, contrast, real, fake)


def train(
    lrs: Sequence[Image], runs: Sequence[RunContext], *, iterations: int, edge_shave: int, learning_rate: float
) -> list[Kernel | Exception]:
    """The aligned x2 kernels of LR images, or why there is none.

    A run's `rng` draws places, its `torch_rng` initial parameters and noise.
    """
    found: list[Kernel | Exception | None] = []
    pictures = []
    for lr in lrs:
        try:
            pictures.append(Picture.of(lr, edge_shave))
            found.append(None)
        except BlindSRError as error:
            found.append(error)
    players = [run for run, failed in zip(runs, found, strict=True) if failed is None]
    kernels = iter(_play(pictures, players, iterations, learning_rate) if pictures else [])
    return [next(kernels) if failed is None else failed for failed in found]


def textured_area(area: Image) -> Image:
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
    a, b, c = factor
    root = np.array([[math.exp(a), 0], [b, math.exp(c)]])
    return Kernel.gaussian(root @ root.T, 2)


def _play(pictures: list[Picture], runs: list[RunContext], iterations: int, learning_rate: float) -> list[Kernel | Exception]:
    count, device = len(pictures), runs[0].device
    shape = np.max([picture.gray.shape for picture in pictures], axis=0)
    stacked = np.zeros((count, *shape), np.float32)  # smaller images end in zeros, of which no patch is taken
    for frame, picture in zip(stacked, pictures, strict=True):
        frame[: picture.gray.shape[0], : picture.gray.shape[1]] = picture.gray
    images = torch.from_numpy(stacked).to(device)
    noise_scale = torch.tensor([NOISE / picture.contrast for picture in pictures], device=device)[:, None, None]
    generators = GaussianGenerators(count, device)
    discriminators = PatchDiscriminators([run.torch_rng for run in runs], device)
    of_generators = torch.optim.Adam([generators.factors], GENERATOR_RATE * learning_rate, betas=BETAS)
    of_discriminators = torch.optim.Adam(discriminators.parameters, DISCRIMINATOR_RATE * learning_rate, betas=BETAS)
    factors = torch.empty(iterations, count, 3, device=device)
    failed: dict[int, Exception] = {}
    for i in range(iterations):
        outputs = F.conv2d(images[None], generators.kernels()[:, None], stride=STRIDE, groups=count)[0]
        noise = torch.stack([torch.randn(2, PATCHES, PATCH_SIDE**2, generator=run.torch_rng) for run in runs], 1).to(device)
        drawn = [
            np.stack([places.draw(run.rng, width) for places, run in zip(kind, runs, strict=True)])
            for kind, width in (([p.real for p in pictures], images.shape[2]), ([p.fake for p in pictures], outputs.shape[2]))
        ]
        real, fake = (
            taken + noise_scale * added
            for taken, added in zip((_take(images, drawn[0]), _take(outputs, drawn[1])), noise, strict=True)
        )
        # Least squares: unlike the release's absolute differences, they say less and less as the two kinds become alike.
        differences = (discriminators(real) - 1).square().mean(1) + (discriminators(fake.detach()) + 1).square().mean(1)
        _step(of_discriminators, differences)
        deceptions = -discriminators(fake).mean(1)
        _step(of_generators, deceptions + generators.prior())
        factors[i] = generators.factors.detach()
        if i % LOG_EVERY == 0 or i + 1 == iterations:
            _report(i, {"generator_loss": deceptions, "discriminator_loss": differences}, runs, failed)
        for run in runs:
            run.progress(i + 1, iterations)
    means = factors[-max(1, round(AVERAGED * iterations)) :].double().mean(0).cpu().numpy()
    return [failed[n] if n in failed else gaussian(mean) for n, mean in enumerate(means)]


def _take(pictures: Tensor, pixels: NDArray[np.int64]) -> Tensor:
    return pictures.flatten(1).gather(1, torch.from_numpy(pixels).to(pictures.device).flatten(1)).view(pixels.shape)


def _gradients_of_output(area: Image) -> NDArray[np.float32]:
    """The gradient map of the image at half its size, cut to the pixels that a 13 x 13 kernel reaches from inside."""
    rows, columns = ((size - KERNEL_SIDE) // STRIDE + 1 for size in area.shape[:2])
    first = KERNEL_SIDE // 2 // STRIDE
    return gradient_map(bicubic(area, scale=1 / STRIDE))[first : first + rows, first : first + columns]


def _step(optimizer: torch.optim.Optimizer, losses: Tensor) -> None:
    parameters = optimizer.param_groups[0]["params"]
    for parameter, gradient in zip(parameters, torch.autograd.grad(losses.sum(), parameters), strict=True):
        parameter.grad = gradient
    optimizer.step()


def _report(iteration: int, losses: dict[str, Tensor], runs: list[RunContext], failed: dict[int, Exception]) -> None:
    """Hand on each image's losses; note the images whose training went astray."""
    for name, values in losses.items():
        for n, (value, run) in enumerate(zip(values.tolist(), runs, strict=True)):
            if math.isfinite(value):
                run.log(name, iteration, value)
            elif n not in failed:
                remedy = "try a lower learning_rate or another seed"
                failed[n] = BlindSRError(f"KernelGAN's training diverged at iteration {iteration}; {remedy}")
