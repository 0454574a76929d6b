"""What a plan consists of: steps, their inputs, and the rows and items that they serve."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from blindsr.components.interfaces import Component
from blindsr.errors import BlindSRError
from blindsr.imaging.files import sha256
from blindsr.imaging.kernel import Convention, Kernel
from blindsr.imaging.reader import Picture, read_image
from blindsr.pipeline.datasets import Item
from blindsr.pipeline.loader import Method

StepKind = Literal["degrade", "register", "estimate", "upscale", "external", "score"]

VERSIONS: Mapping[StepKind, int] = {"degrade": 1, "register": 1, "estimate": 1, "upscale": 1, "external": 1, "score": 1}
"""Raised when a kind of step changes its results; they are part of the steps' keys."""


@dataclass(frozen=True)
class ImageFile:
    """An input that is an image file, known by its bytes."""

    path: Path
    sha256: str

    @property
    def key(self) -> str:
        """What stands for it in the keys of steps."""
        return f"image:{self.sha256}"

    def read(self) -> Picture:
        """The image, if the file is still the one that was planned with."""
        _unchanged(self.path, self.sha256)
        return read_image(self.path)


@dataclass(frozen=True)
class Absent:
    """An input that is not there, though its row was asked for: the row fails with this message, the others go on."""

    message: str

    @property
    def key(self) -> str:
        """What stands for it in the keys of steps."""
        return f"absent:{self.message}"


@dataclass(frozen=True)
class KernelFile:
    """An input that is a kernel file, and how to read it; `half` is the file of the x2 kernel that goes with a x4 one."""

    path: Path
    sha256: str
    scale: int
    to_scale: int
    convention: Convention = "kernelgan"
    half: KernelFile | None = None

    @property
    def key(self) -> str:
        """What stands for it in the keys of steps."""
        own = f"kernel:{self.sha256}:{self.scale}:{self.to_scale}:{self.convention}"
        return f"{own}:{self.half.key}" if self.half else own

    def read(self) -> Kernel:
        """The kernel, if the file is still the one that was planned with; composed, where it is for x2 and x4 is wanted."""
        _unchanged(self.path, self.sha256)
        kernel = Kernel.load(self.path, scale=self.scale, convention=self.convention)
        if self.half:
            half = self.half.read()
            return replace(kernel, half=half) if half.composes(kernel) else kernel
        if self.to_scale == self.scale:
            return kernel
        if (self.scale, self.to_scale) == (2, 4):
            return kernel.composed()
        raise BlindSRError(f"{self.path}: a kernel for x{self.scale} cannot be made one for x{self.to_scale}")


@dataclass(frozen=True)
class StepOutput:
    """An input that another step makes: one of its arrays, or its kernel (`what` is ``kernel``)."""

    key: str
    what: str


Input = ImageFile | KernelFile | StepOutput | Absent


@dataclass(frozen=True)
class Step:
    """A small pure computation.

    `item` and `label` say in a few words, for people, what it is about; they are no part of the key. `files` are those that its
    component itself reads, with their SHA-256.
    """

    key: str
    kind: StepKind
    component: Component | None
    scale: int
    inputs: Mapping[str, Input]
    kernel_seed: str
    item: str
    label: str
    files: Mapping[str, str] = field(default_factory=dict)

    @property
    def needs(self) -> set[str]:
        """Keys of the steps that must be done before it."""
        return {source.key for source in self.inputs.values() if isinstance(source, StepOutput)}


@dataclass(frozen=True)
class PlannedRow:
    """One (item, method, seed) of the result, and the keys of the steps that make it. SR images made elsewhere have no kernel."""

    item: str
    method: Method
    seed: int
    kernel: Input | None
    estimate: str | None
    upscale: str
    score: str | None

    @property
    def steps(self) -> list[str]:
        """The steps that this row's results come from: what made its kernel, its upscaling, its score."""
        keys = (self.kernel.key if isinstance(self.kernel, StepOutput) else None, self.upscale, self.score)
        return [key for key in keys if key]


@dataclass(frozen=True)
class PlannedItem:
    """An item with the inputs that all its rows share."""

    item: Item
    lr: Input
    hr: ImageFile | None
    true: Input | None

    @property
    def source(self) -> ImageFile:
        """The file that it comes from: the LR image, or the HR image that one is made of."""
        return next(image for image in (self.lr, self.hr) if isinstance(image, ImageFile))


def _unchanged(path: Path, digest: str) -> None:
    if sha256(path) != digest:
        raise BlindSRError(f"{path}: changed since the run began; run again")
