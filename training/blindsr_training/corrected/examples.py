"""What the network of `corrected` learns from: kernels as kernelnet estimates them, their corrections, and the true ones.

An example takes a second, and the training needs thousands of them, many times: they are made first, and kept in a folder.
"""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import click
import numpy as np
import torch
from blindsr_kernelnet import KernelNetEstimator
from blindsr_selection import Corrected
from blindsr_selection.correction import POWERS, told
from blindsr_selection.least_squares import framed
from numpy.typing import NDArray
from PIL import Image as Pillow
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch.utils.data import DataLoader, Dataset

from blindsr.api import BlindSRError, Image, Kernel, downscale, read_image, to_depth, to_float
from blindsr.api.testing import run_context
from blindsr.imaging.files import sha256
from blindsr_training import kernel_families as families
from blindsr_training.files import locked, write_bytes
from blindsr_training.photographs import digest, split

Generator = np.random.Generator

PART = 100
"""Examples in a file."""
HELD_OUT_PARTS = 2
SIDES = ((120, 200), (120, 240))
"""Rows and columns of the LR images, from and to."""
GAUSSIAN_SHARE = 0.25
"""Of DIV2KRK's Gaussians; the other kernels are of all families, of which Gaussians are most."""
NOISY_SHARE, JPEG_SHARE, MAX_NOISE = 0.15, 0.15, 8 / 255
JPEG_QUALITIES = (65, 99)
HEADER = "blindsr-examples-1"

ESTIMATOR = KernelNetEstimator()
SRS = tuple(sr.model_copy(update={"precision": "bfloat16"}) for sr in (Corrected().sr, Corrected().noisy_sr))
"""In two thirds of the time of float32. On nine photographs the errors of the corrected kernels differed by 0.002 at most."""


class Examples(NamedTuple):
    """Estimated kernels (N, side, side), their corrections (N, channels, side, side), and so on for each of N images.

    `clean` and `gaussian` say whether the image has no noise, and whether the true kernel is a Gaussian.
    """

    frames: torch.Tensor
    corrections: torch.Tensor
    residuals: torch.Tensor
    expected_error: torch.Tensor
    true: torch.Tensor
    clean: torch.Tensor
    gaussian: torch.Tensor


class _Part(NamedTuple):
    """A file of so many examples, and what its random numbers begin with."""

    path: Path
    files: Sequence[Path]
    key: tuple[int, ...]
    size: int


def make_examples(hr: Path, out: Path, *, scale: int, count: int, seed: int, workers: int = 0) -> None:
    """Write examples of the photographs in `hr` to the folder `out`, in files of `PART`; those that are there are kept.

    They are the same with any number of workers, which are processes of one thread each; with 0 this one makes them.

    Raises
    ------
    BlindSRError
        If there are too few photographs, or files of other examples in the folder, or it cannot be written to.
    """
    trained_on, held_out = split(hr)
    networks = " ".join(sha256(file) for part in (ESTIMATOR, *SRS) for file in part.shipped_weights(scale))
    trials = str([POWERS, *SRS])
    of = {"scale": str(scale), "seed": str(seed), "hr": digest(trained_on), "networks": networks, "trials": trials}
    parts = [_Part(out / f"held_out_{n:03}.safetensors", held_out, (seed, 1, n), PART) for n in range(HELD_OUT_PARTS)]
    parts += [_Part(out / f"examples_{n:03}.safetensors", trained_on, (seed, 0, n), PART) for n in range(-(-count // PART))]
    with locked(out), click.progressbar(length=len(parts), label="Hundreds of examples", show_pos=True) as shown:
        missing = []
        for part in parts:
            if part.path.is_file():
                _read(part.path, of)
                shown.update(1)
            else:
                missing.append(part)
        loader = DataLoader(
            _Writing(missing, of, scale), batch_size=None, sampler=range(len(missing)), num_workers=workers,
            multiprocessing_context="fork" if workers else None,
        )  # fmt: skip
        try:
            for error in loader:
                if error:
                    raise error
                shown.update(1)
        except RuntimeError as killed:
            if "DataLoader worker" not in str(killed):
                raise
            raise BlindSRError(f"{out}: a process that makes examples was killed, perhaps for memory; use fewer workers") from None


class _Writing(Dataset[BlindSRError | None]):
    """Writes each part, for `DataLoader`, and returns its error: one raised in a worker gets a traceback into its text."""

    def __init__(self, parts: Sequence[_Part], of: dict[str, str], scale: int) -> None:
        self._parts, self._of, self._scale = parts, of, scale

    def __getitem__(self, number: int) -> BlindSRError | None:
        try:
            _write(self._parts[number], self._of, self._scale)
        except BlindSRError as error:
            return error
        return None


def _write(part: _Part, of: dict[str, str], scale: int) -> None:
    made = [_example(part.files, scale, np.random.default_rng((*part.key, n))) for n in range(part.size)]
    tensors = {field: torch.stack([each[place] for each in made]) for place, field in enumerate(Examples._fields)}
    write_bytes(part.path, save(tensors, {HEADER: json.dumps(of)}))  # one entry: the order of several is chance


def read_examples(folder: Path, scale: int, *, held_out: bool) -> tuple[Examples, dict[str, str]]:
    """All examples of a folder, and of what they are; a `BlindSRError` if there are none for the scale, or a file is damaged."""
    files = sorted(folder.glob("held_out_*.safetensors" if held_out else "examples_*.safetensors"))
    if not files:
        raise BlindSRError(
            f"{folder}: holds no examples; make them: python -m blindsr_training examples --hr PHOTOS --out {folder}"
        )
    _, of = _read(files[0], None)
    if of["scale"] != str(scale):
        raise BlindSRError(f"{folder}: its examples are for x{of['scale']}; set `scale` to {of['scale']}, or name others")
    parts = [_read(file, of)[0] for file in files]
    return Examples(*(torch.cat(tensors).float() for tensors in zip(*parts, strict=True))), of


def _read(path: Path, of: dict[str, str] | None) -> tuple[Examples, dict[str, str]]:
    """The examples in a file, which must be `of` that."""
    try:
        data = path.read_bytes()
        tensors = load(data)
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        found: dict[str, str] = json.loads(header["__metadata__"][HEADER])
        examples = Examples(**tensors)
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise BlindSRError(f"{path}: holds no examples ({type(error).__name__}); remove it, and make them again") from None
    if of is not None and found != of:
        changed = ", ".join(name for name in of if found.get(name) != of[name])
        raise BlindSRError(f"{path}: was made with other settings or networks ({changed}); choose another folder")
    return examples, found


def _example(files: Sequence[Path], scale: int, rng: Generator) -> tuple[torch.Tensor, ...]:
    """The tensors of an example in the order of `Examples`."""
    while True:
        hr = to_float(read_image(files[int(rng.integers(len(files)))]).pixels)
        kernel, family = _random_kernel(scale, rng)
        lr, clean = _degraded(hr, kernel, rng)
        try:
            estimate = ESTIMATOR.estimate(lr, scale, run_context())
        except BlindSRError:  # the image is flat
            continue
        frames, taps, residuals, expected_error = (tensor[0] for tensor in told(estimate, SRS, lr, run_context()))
        true = torch.from_numpy(framed(kernel)).float()
        return frames, taps.half(), residuals, expected_error, true, torch.tensor(clean), torch.tensor(family == "gaussian")


def _random_kernel(scale: int, rng: Generator) -> tuple[Kernel, str]:
    if rng.random() < GAUSSIAN_SHARE:
        covariance = families.covariance(rng.uniform(*families.DIV2KRK_VARIANCES, 2), rng.uniform(-np.pi, np.pi))
        return Kernel(families.noisy_gaussian(rng, scale, covariance), scale), "gaussian"
    array, family = families.random_kernel(rng, scale)
    return Kernel(array, scale), family


def _degraded(hr: Image, kernel: Kernel, rng: Generator) -> tuple[Image, bool]:
    """A part of the LR image, rounded to 8 bit, and whether that is all that was done to it."""
    height, width = (size // kernel.scale * kernel.scale for size in hr.shape[:2])
    lr = downscale(hr[:height, :width], kernel)
    rows, columns = (_part(size, *sides, rng) for size, sides in zip(lr.shape[:2], SIDES, strict=True))
    lr, kind = lr[rows, columns], rng.random()
    if kind < NOISY_SHARE:
        lr = lr + rng.uniform(0, MAX_NOISE) * rng.standard_normal(lr.shape)
    levels: NDArray[np.uint8] = to_depth(np.clip(lr, 0, 1), np.uint8)
    if NOISY_SHARE < kind < NOISY_SHARE + JPEG_SHARE:
        file = io.BytesIO()
        Pillow.fromarray(levels).save(file, "JPEG", quality=int(rng.integers(*JPEG_QUALITIES)))
        levels = np.asarray(Pillow.open(file))
    return to_float(np.ascontiguousarray(levels)), kind > NOISY_SHARE + JPEG_SHARE


def _part(size: int, least: int, most: int, rng: Generator) -> slice:
    side = min(size, int(rng.integers(least, most)))
    start = int(rng.integers(size - side + 1))
    return slice(start, start + side)
