"""Photographs to train on: which are held out, all of them in memory, random patches of them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from blindsr.api import BlindSRError, bicubic, read_image, to_depth, to_float
from blindsr.imaging.files import sha256
from blindsr.imaging.reader import SUFFIXES

HELD_OUT = 10
SHRINKS = (1.0, 1.0, 0.75, 0.6)
"""Every image serves at these sizes: smaller ones have more detail to a pixel, and less of the JPEG compression."""


def split(folder: Path) -> tuple[list[Path], list[Path]]:
    """The images in a folder and its subfolders: those to train on, and `HELD_OUT` at even distances by name that are held out.

    Raises
    ------
    BlindSRError
        If there is no such folder, or fewer than twice as many as are held out.
    """
    if not folder.is_dir():
        raise BlindSRError(f"{folder}: no such folder; name one of photographs")
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    if len(files) < 2 * HELD_OUT:
        raise BlindSRError(f"{folder}: holds {len(files)} images; training needs at least {2 * HELD_OUT}")
    held_out = files[:: len(files) // HELD_OUT][:HELD_OUT]
    return [path for path in files if path not in set(held_out)], held_out


def digest(files: Sequence[Path]) -> str:
    """One SHA-256 for the bytes of all files."""
    return hashlib.sha256("".join(map(sha256, files)).encode()).hexdigest()


class Photographs:
    """HR images in memory, at all their sizes that hold a patch of `side` pixels.

    Raises
    ------
    BlindSRError
        If no image holds one.
    """

    def __init__(self, files: Sequence[Path], side: int, *, shrinks: Sequence[float] = SHRINKS) -> None:
        self.images: list[NDArray[np.uint8]] = []
        for path in files:
            pixels = to_depth(to_float(read_image(path).pixels), np.uint8)
            versions = (pixels if shrink == 1 else bicubic(pixels, scale=shrink) for shrink in shrinks)
            self.images += [version for version in versions if min(version.shape[:2]) >= side]
        if not self.images:
            raise BlindSRError(f"no image holds a patch with its surroundings, {side} x {side} pixels; make `patch` smaller")

    def patches(self, count: int, side: int, rng: np.random.Generator) -> torch.Tensor:
        """Random patches (count, 3, side, side), float32 in [0, 1], flipped and turned at random."""
        out = np.empty((count, side, side, 3), np.float32)
        for patch in out:
            image = self.images[int(rng.integers(len(self.images)))]
            row, column = (int(rng.integers(size - side + 1)) for size in image.shape[:2])
            view = np.rot90(image[row : row + side, column : column + side], int(rng.integers(4)))
            patch[...] = view[:, ::-1] if rng.integers(2) else view
        return torch.from_numpy(out).permute(0, 3, 1, 2).div_(255)
