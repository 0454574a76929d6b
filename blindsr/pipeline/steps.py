"""What a plan consists of: steps, their inputs, and the rows and items that they serve."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from blindsr.components.interfaces import Component
from blindsr.errors import BlindSRError
from blindsr.imaging.kernel import Convention, Kernel
from blindsr.imaging.reader import Picture, read_image
from blindsr.pipeline.datasets import Item
from blindsr.pipeline.hashes import HashedFile
from blindsr.pipeline.schema import Method

StepKind = Literal["degrade", "register", "estimate", "upscale", "external", "score"]

VERSIONS: Mapping[StepKind, int] = {"degrade": 1, "register": 1, "estimate": 1, "upscale": 1, "external": 1, "score": 1}
"""Raised when a kind of step changes its results; they are part of the steps' keys."""


class ImageCache:
    """The decoded images that were used last, read-only, by the SHA-256 of their files: at most `max_bytes` of pixels."""

    def __init__(self, max_bytes: int = 256 * 2**20) -> None:
        self.max_bytes = max_bytes
        self._pictures: OrderedDict[str, Picture] = OrderedDict()
        self._bytes = 0

    def get(self, sha256: str, decode: Callable[[], Picture]) -> Picture:
        picture = self._pictures.pop(sha256, None)
        if picture is None:
            picture = decode()
            picture.pixels.flags.writeable = False
            self._bytes += picture.pixels.nbytes
        self._pictures[sha256] = picture
        while self._bytes > self.max_bytes:
            self._bytes -= self._pictures.popitem(last=False)[1].pixels.nbytes
        return picture


@dataclass(frozen=True)
class ImageFile(HashedFile):
    """An input that is an image file, known by its bytes."""

    @classmethod
    def of(cls, file: HashedFile) -> ImageFile:
        return cls(file.path, file.sha256, file.stamp)

    @property
    def key(self) -> str:
        return f"image:{self.sha256}"

    def read(self, cache: ImageCache | None = None) -> Picture:
        """The image, from `cache` if it is there; an error if its bytes are not those that the run was planned with."""
        self.check()
        return cache.get(self.sha256, self.decoded) if cache else self.decoded()

    def decoded(self) -> Picture:
        """The image, whatever its file holds by now."""
        return read_image(self.path)


@dataclass(frozen=True, kw_only=True)
class ImageCell(ImageFile):
    """An input that is one cell of a grid of `cells` x `cells` over an image file: in this `row` and `column`, from 0."""

    cells: int
    row: int
    column: int

    @property
    def key(self) -> str:
        return f"{super().key}:{self.row},{self.column} of {self.cells}"

    def read(self, cache: ImageCache | None = None) -> Picture:
        """The cell; its sides are those of the image divided by `cells`, the last cells have what is left over."""
        pixels, notes = super().read(cache)
        rows, columns = (
            slice(n * size // self.cells, (n + 1) * size // self.cells)
            for n, size in zip((self.row, self.column), pixels.shape[:2], strict=True)
        )
        return Picture(np.ascontiguousarray(pixels[rows, columns]), notes)


@dataclass(frozen=True)
class Absent:
    """An input that is not there, though its row was asked for: the row fails with this message, the others go on."""

    message: str

    @property
    def key(self) -> str:
        return f"absent:{self.message}"


@dataclass(frozen=True, kw_only=True)
class KernelFile(HashedFile):
    """An input that is a kernel file for `scale`, wanted for `to_scale`; `half` is the x2 kernel that goes with a x4 one."""

    scale: int
    to_scale: int
    convention: Convention = "kernelgan"
    half: KernelFile | None = None

    @property
    def key(self) -> str:
        own = f"kernel:{self.sha256}:{self.scale}:{self.to_scale}:{self.convention}"
        return f"{own}:{self.half.key}" if self.half else own

    def read(self) -> Kernel:
        """The kernel, composed for x4 where it is for x2; an error if its bytes are not those that the run was planned with."""
        self.check()
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
"""What a step takes. The `key` of each stands for it in the keys of steps."""


@dataclass(frozen=True)
class Step:
    """A small pure computation.

    Its `key` is the SHA-256 of all that its result depends on, in hexadecimal, and seeds the generators of stochastic components;
    `kernel_seed`, for degradations, is the same without the scale: an image has one kernel for all scales. `item` and `label` (the
    component's name or the kind) are for people. `files` are those that its component itself reads.
    """

    key: str
    kind: StepKind
    component: Component | None
    scale: int
    inputs: Mapping[str, Input]
    kernel_seed: str
    item: str
    label: str
    files: tuple[HashedFile, ...] = ()

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
