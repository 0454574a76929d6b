"""The game of generator and discriminator on one image.

Source: KernelGAN, sections 2 to 4; optimiser, schedule and noise as in the release.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from blindsr.api import BlindSRError, Kernel
from blindsr_kernelgan.crops import DISCRIMINATOR_CROP_PX, GENERATOR_CROP_PX, draw_crops, training_area
from blindsr_kernelgan.discriminator import Discriminator
from blindsr_kernelgan.generator import LinearGenerator, windows
from blindsr_kernelgan.losses import BICUBIC_EVERY, BicubicSchedule, KernelLosses, bicubic_kernel, finished

if TYPE_CHECKING:
    from blindsr.api import Image, RunContext

BETAS = (0.5, 0.999)
RATE_EVERY = 750
RATE_DROP = 10
NOISE = 1 / 255  # standard deviation on the generator's output, of the range [-1, 1]; on the image, of [0, 1]
BLOCK = 50  # iterations whose noise is drawn at once, and whose losses are read at once (on a GPU, reading one waits for it)
LOG_EVERY = 10
CURVES = ("generator_loss", "discriminator_loss", "bicubic_loss")


def train(lr: Image, run: RunContext, *, iterations: int, edge_shave: int, learning_rate: float) -> Kernel:
    """The aligned x2 kernel of an LR image. The run's `rng` draws crops, its `torch_rng` initial parameters and noise."""
    area = training_area(lr, edge_shave)
    corners = [c.tolist() for c in draw_crops(area, iterations, run.rng)]
    planes = np.array(area.transpose(2, 0, 1), np.float32, order="C")
    planes *= 2
    planes -= 1
    game = Game(torch.from_numpy(planes).to(run.device), run.torch_rng, run.device, learning_rate)
    history = torch.zeros(iterations, len(CURVES), device=run.device)
    for i, (generator_corner, discriminator_corner) in enumerate(zip(*corners, strict=True)):
        if i % BLOCK == 0:
            noise = torch.randn(BLOCK, 2, 3, DISCRIMINATOR_CROP_PX, DISCRIMINATOR_CROP_PX, generator=run.torch_rng).to(run.device)
        history[i] = game.play(generator_corner, discriminator_corner, *noise[i % BLOCK])
        if i and i % BICUBIC_EVERY == 0:
            game.schedule.relax(history[1:i, CURVES.index("bicubic_loss")])
        if i and i % RATE_EVERY == 0:
            game.lower_rate()
        if (i + 1) % BLOCK == 0 or i + 1 == iterations:
            _report(history, i // BLOCK * BLOCK, i + 1, run)
        run.progress(i + 1, iterations)
    return finished(game.generator.kernel().detach().cpu().double().numpy())


class Game:
    """Both networks, their optimisers, and the image that they play on: (3, H, W) in [-1, 1], changed by `play`.

    `rng`, a CPU generator, draws the initial parameters.
    """

    def __init__(self, image: Tensor, rng: torch.Generator, device: str, learning_rate: float) -> None:
        self.image = image
        self.generator = LinearGenerator(rng, device)
        self.discriminator = Discriminator(rng, device)
        self.kernel_losses = KernelLosses(device)
        self.schedule = BicubicSchedule()
        self._bicubic = torch.from_numpy(bicubic_kernel()).flatten().to(device, torch.float32)
        self._towards = torch.tensor([[-1.0], [1.0]], device=device)
        self._kernel = self.generator.kernel()
        self._optimizers = [
            torch.optim.Adam(network, learning_rate, betas=BETAS, fused=True)
            for network in (self.generator.filters, self.discriminator.parameters())
        ]

    def lower_rate(self) -> None:
        """Divide both learning rates by 10."""
        for optimizer in self._optimizers:
            for group in optimizer.param_groups:
                group["lr"] /= RATE_DROP

    def play(self, generator_corner: list[int], discriminator_corner: list[int], image_noise: Tensor, fake_noise: Tensor) -> Tensor:
        """One iteration: a step of the generator, then one of the discriminator against the generator's new output.

        The corners are top row and left column of crops of 64 x 64 and 26 x 26; noise is (3, 26, 26), of standard deviation 1.
        Gives the generator's loss, the discriminator's and the (unweighted) bicubic loss.
        """
        seen = windows(self._crop(generator_corner, GENERATOR_CROP_PX))
        losses = self._generator_step(seen)
        fake = self._output(seen, self._kernel.detach()) + NOISE * fake_noise
        real = self._crop(discriminator_corner, DISCRIMINATOR_CROP_PX)
        # The release adds this noise to the image itself, not to a copy, so that it piles up. Kernels are better for it.
        real += 2 * NOISE * image_noise
        return torch.stack([losses[0], self._discriminator_step(real, fake), losses[1]])

    def _crop(self, corner: list[int], side: int) -> Tensor:
        top, left = corner
        return self.image[:, top : top + side, left : left + side]

    def _output(self, seen: Tensor, kernel: Tensor) -> Tensor:
        return (seen @ kernel.flatten()).view(3, DISCRIMINATOR_CROP_PX, DISCRIMINATOR_CROP_PX)

    def _generator_step(self, seen: Tensor) -> tuple[Tensor, Tensor]:
        fake = self._output(seen, self._kernel.detach())
        target = self._output(seen, self._bicubic).sum(0)  # of all three colours, for each of them: so does the release
        error = fake - target
        bicubic_loss = error.square().mean()
        judged = self.discriminator.judge(fake[None])
        deception = 1 - judged.output.mean()  # |D - 1|, as D is at most 1
        of_output = torch.full_like(judged.output, -1 / judged.output.numel())
        of_fake = self.discriminator.crop_gradient(judged, of_output, DISCRIMINATOR_CROP_PX)[0]
        of_fake.add_(error, alpha=2 * self.schedule.weight / error.numel())
        of_kernel = (of_fake.flatten() @ seen).view_as(self._kernel)
        regularization = self.kernel_losses(self._kernel.flatten(), constrain=self.schedule.constrain)
        losses, of_losses = (self._kernel, regularization), (of_kernel, torch.ones_like(regularization))
        _step(self._optimizers[0], torch.autograd.grad(losses, self.generator.filters, of_losses))
        self._kernel = self.generator.kernel()
        return deception + self.schedule.weight * bicubic_loss + regularization.detach(), bicubic_loss

    def _discriminator_step(self, real: Tensor, fake: Tensor) -> Tensor:
        judged = self.discriminator.judge(torch.stack([real, fake]))
        of_real, of_fake = judged.output.mean(1)
        # |D - 1| of the real patches and |D| of the fake ones, each halved: D lies between 0 and 1.
        gradient = self._towards.expand_as(judged.output) / (2 * judged.output.shape[1])
        _step(self._optimizers[1], self.discriminator.weight_gradients(judged, gradient))
        loss: Tensor = (1 - of_real + of_fake) / 2
        return loss


def _step(optimizer: torch.optim.Optimizer, gradients: Iterable[Tensor]) -> None:
    for parameter, gradient in zip(optimizer.param_groups[0]["params"], gradients, strict=True):
        parameter.grad = gradient
    optimizer.step()


def _report(history: Tensor, start: int, stop: int, run: RunContext) -> None:
    """Hand on the losses of these iterations; stop a training that went astray."""
    losses = history[start:stop].cpu()
    if not bool(losses.isfinite().all()):
        at = start + int((~losses.isfinite().all(1)).nonzero()[0])
        raise BlindSRError(f"KernelGAN's training diverged at iteration {at}; try a lower learning_rate or another seed")
    for i in range(-start % LOG_EVERY, stop - start, LOG_EVERY):
        for name, value in zip(CURVES, losses[i].tolist(), strict=True):
            run.log(name, start + i, value)
