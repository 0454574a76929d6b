"""kernelnet's calibration: ``python -m blindsr_training.kernelnet.calibrate --hr FOLDER WEIGHTS`` renews that of a network's file.

The errors to expect and the limit of strangeness come from the photographs that the training holds out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from blindsr_kernelnet.calibration import Calibration, flat_noise
from blindsr_kernelnet.files import FORMAT, PREFIX, load
from blindsr_kernelnet.network import KernelNet

from blindsr.api import BlindSRError, Kernel, kernel_errors
from blindsr_training.files import network_about, save_network
from blindsr_training.kernelnet.crops import SIDES_PX, Levels, gray_photographs, random_crops
from blindsr_training.photographs import split

BATCH = 16
CROPS = 800
"""At each scale, of the training's photographs and of those that are held out."""
SEED = 11
EXCEEDED_BY = 0.005
"""The share of held-out crops that count as strange by their features; as many do by their noise. Crops are small: of whole
images, far fewer do."""
MIN_SLOPE, MAX_SLOPE = 0.1, 3.0
LEAST_VARIANCE = 0.1
"""Added to the variances of all features, as a share of their mean: most directions have next to none."""

Grays = Sequence[Levels]


def calibrated(network: KernelNet, trained_on: Grays, held_out: Grays) -> Calibration:
    """The calibration of a network, on random crops of gray photographs that it was trained on, and of others."""
    device = next(network.parameters()).device
    lines, known, others, noise = [], [], [], []
    for scale, sides in SIDES_PX.items():
        rng = np.random.default_rng((SEED, scale))
        expected, errors = [], []
        for number in range(-(-CROPS // BATCH)):
            side = sides[number % len(sides)]
            batch = random_crops(held_out, scale, BATCH, side, rng)
            with torch.inference_mode():
                known.append(network(random_crops(trained_on, scale, BATCH, side, rng).lr.to(device), scale).features.cpu())
                found = network(batch.lr.to(device), scale)
            others.append(found.features.cpu())
            noise.append(flat_noise(batch.lr))
            expected.append(found.log_error.cpu())
            pairs = zip(found.kernels.cpu().numpy(), batch.kernels.numpy(), strict=True)
            errors += [kernel_errors(Kernel(kernel, scale).align(), Kernel(true, scale))["kernel_l2"] for kernel, true in pairs]
        lines.append(fitted_line(torch.cat(expected), torch.tensor(errors)))
    noise_limit = torch.quantile(torch.cat(noise), 1 - EXCEEDED_BY)
    return Calibration(torch.stack(lines), *familiar(torch.cat(known), torch.cat(others)), noise_limit)


def fitted_line(log_expected: torch.Tensor, errors: torch.Tensor) -> torch.Tensor:
    """Offset and slope (2,): of the logarithms by least squares, the offset such that the mean of the expected errors is right."""
    x, y = log_expected.double(), errors.double().log()
    deviation = x - x.mean()
    slope = ((deviation * y).sum() / deviation.square().sum().clamp_min(1e-12)).clamp(MIN_SLOPE, MAX_SLOPE)
    offset = (errors.double().mean() / (slope * x).exp().mean()).log()
    return torch.stack([offset, slope]).float()


def familiar(known: torch.Tensor, others: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Center and whitening of features (N, W): `EXCEEDED_BY` of `others` are farther than 1 from those that are `known`."""
    center = known.double().mean(0)
    covariance = torch.cov(known.double().T)
    covariance = covariance + LEAST_VARIANCE * covariance.trace() / len(covariance) * torch.eye(len(covariance))
    whitening = torch.linalg.inv(torch.linalg.cholesky(covariance)).T
    limit = torch.quantile(((others.double() - center) @ whitening).norm(dim=1), 1 - EXCEEDED_BY)
    return center.float(), (whitening / limit).float()


def save_calibrated(path: Path, network: KernelNet, calibration: Calibration, about: Mapping[str, Any]) -> None:
    """Write a network and its calibration to one file."""
    extra = {f"{PREFIX}{name}": value.half().contiguous().cpu() for name, value in calibration._asdict().items()}
    save_network(path, network, about, header={"format": FORMAT}, extra=extra)


@click.command()
@click.option(
    "--hr", type=click.Path(path_type=Path, exists=True, file_okay=False), required=True, help="The training's HR images."
)
@click.argument("weights", type=click.Path(path_type=Path, exists=True, dir_okay=False))
def main(hr: Path, weights: Path) -> None:
    """Renew the calibration in a network's file."""
    try:
        network = load(weights).network
        calibration = calibrated(network, *map(gray_photographs, split(hr)))
        save_calibrated(weights, network, calibration, network_about(weights))
    except BlindSRError as error:
        raise click.ClickException(str(error)) from error


if __name__ == "__main__":
    main()
