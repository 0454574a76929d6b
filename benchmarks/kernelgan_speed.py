"""Time per iteration of KernelGAN, beside the same training as plain PyTorch modules.

    python benchmarks/kernelgan_speed.py --rounds 9 --iterations 20 --threads 1

The plain one runs the six-layer generator on the crop, torch's spectral norm and batch norm, real and fake crop one after the
other. Both train in turns within one run, so that what else the machine does hits both; medians of the rounds are printed.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from blindsr_kernelgan.crops import draw_crops
from blindsr_kernelgan.losses import KernelLosses
from blindsr_kernelgan.train import NOISE, Game
from torch import Tensor, nn
from torch.nn.utils import spectral_norm

RATE = 2e-4
BETAS = (0.5, 0.999)
WARM_UP = 5


class PlainGame:
    """One iteration of KernelGAN as one would write it down first."""

    def __init__(self, image: Tensor) -> None:
        self.image = image
        convolutions = [nn.Conv2d(1, 64, 7, bias=False), nn.Conv2d(64, 64, 5, bias=False), nn.Conv2d(64, 64, 3, bias=False)]
        convolutions += [nn.Conv2d(64, 64, 1, bias=False) for _ in range(2)]
        self.generator = nn.Sequential(*convolutions, nn.Conv2d(64, 1, 1, stride=2, bias=False))
        for layer in self.generator:
            nn.init.xavier_normal_(layer.weight, 0.1)
        layers: list[nn.Module] = [spectral_norm(nn.Conv2d(3, 64, 7))]
        for _ in range(5):
            layers += [spectral_norm(nn.Conv2d(64, 64, 1)), nn.BatchNorm2d(64), nn.ReLU()]
        self.discriminator = nn.Sequential(*layers, spectral_norm(nn.Conv2d(64, 1, 1)), nn.Sigmoid())
        self.optimizers = [torch.optim.Adam(net.parameters(), RATE, betas=BETAS) for net in (self.generator, self.discriminator)]
        self.kernel_losses = KernelLosses()
        taps = torch.tensor([-3.0, -9, 29, 111, 111, 29, -9, -3]) / 256
        self.bicubic = torch.outer(taps, taps).expand(3, 3, 8, 8)
        self.impulse = F.pad(torch.ones(1, 1, 1, 1), [12] * 4)

    def kernel(self) -> Tensor:
        """The generator's response to an impulse: its kernel."""
        x = self.impulse
        for layer in self.generator:
            x = F.conv2d(x, layer.weight)
        return x.flip(2, 3)

    def play(self, generator_corner: list[int], discriminator_corner: list[int], image_noise: Tensor, fake_noise: Tensor) -> None:
        """A step of the generator, then one of the discriminator."""
        (top, left), (y, x) = generator_corner, discriminator_corner
        crop = self.image[:, top : top + 64, left : left + 64][:, None].clone()
        self.image[:, y : y + 26, x : x + 26] += 2 * NOISE * image_noise
        real = self.image[:, y : y + 26, x : x + 26][None].clone()

        self.optimizers[0].zero_grad()
        fake = self.generator(crop).transpose(0, 1)
        target = F.conv2d(crop.transpose(0, 1), self.bicubic, stride=2, padding=3)[..., 3:-3, 3:-3]
        loss = (self.discriminator(fake) - 1).abs().mean() + 5 * F.mse_loss(fake, target)
        (loss + self.kernel_losses(self.kernel().flatten(), constrain=False)).backward()
        self.optimizers[0].step()

        self.optimizers[1].zero_grad()
        fake = self.generator(crop).transpose(0, 1).detach() + NOISE * fake_noise
        (((self.discriminator(real) - 1).abs().mean() + self.discriminator(fake).abs().mean()) / 2).backward()
        self.optimizers[1].step()


def milliseconds(play: Callable[..., object], corners: list[tuple[list[int], list[int]]]) -> float:
    """Milliseconds an iteration, noise included."""
    start = time.perf_counter()
    for generator_corner, discriminator_corner in corners:
        play(generator_corner, discriminator_corner, *torch.randn(2, 3, 26, 26))
    return (time.perf_counter() - start) / len(corners) * 1e3


def main() -> None:
    """Print both times and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--iterations", type=int, default=20, help="per round")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--height", type=int, default=340)
    parser.add_argument("--width", type=int, default=512)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    imported_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    photograph = rng.random((args.height, args.width, 3), np.float32)
    image = torch.from_numpy(photograph.transpose(2, 0, 1) * 2 - 1).contiguous()
    corners = list(zip(*(c.tolist() for c in draw_crops(photograph, args.iterations, rng)), strict=True))
    fast, plain = Game(image, torch.Generator().manual_seed(0), "cpu", RATE), None
    fast_times = [milliseconds(fast.play, corners) for _ in range(WARM_UP)]
    memory_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024 - imported_mib
    plain = PlainGame(image.clone())
    milliseconds(plain.play, corners[:WARM_UP])
    plain_times: list[float] = []
    fast_times.clear()
    for _ in range(args.rounds):
        fast_times.append(milliseconds(fast.play, corners))
        plain_times.append(milliseconds(plain.play, corners))
    fast_ms, plain_ms = statistics.median(fast_times), statistics.median(plain_times)
    ratio = statistics.median(p / f for p, f in zip(plain_times, fast_times, strict=True))
    print(f"image {args.width} x {args.height}, {args.threads} thread(s), {args.rounds} rounds of {args.iterations} iterations")
    print(f"plain PyTorch      {plain_ms:7.2f} ms an iteration (least {min(plain_times):.2f})")
    print(f"blindsr_kernelgan  {fast_ms:7.2f} ms an iteration (least {min(fast_times):.2f})")
    print(f"ratio              {ratio:7.1f}")
    print(f"peak memory        {memory_mib:7.0f} MiB beyond the imports (the fast one)")


if __name__ == "__main__":
    main()
