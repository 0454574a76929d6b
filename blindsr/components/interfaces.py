"""What plugin authors need to know: the three kinds of component, and what they get while they run.

Plugins import all of it from `blindsr.api`. Importing this module loads neither numpy nor torch, so that a plugin can declare
its components as cheaply: import heavy packages inside the methods.

Conventions (docs/guide.md has the pictures): an image is a float32 array of shape (H, W, 3), RGB, in [0, 1]. A `Kernel` is 2-D,
odd-sized, sums to 1, is applied as a correlation, and has its centre of mass at ``size // 2 + (scale - 1) / 2``.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, ForwardRef, Protocol

from pydantic import BaseModel, ConfigDict, PrivateAttr

if TYPE_CHECKING:
    import numpy as np
    import torch

    from blindsr.imaging.kernel import Kernel
    from blindsr.imaging.reader import Image
else:

    class _Later:
        """A module that is imported when one of its names is first used."""

        def __init__(self, module: str) -> None:
            self._module = module

        def __getattr__(self, name: str) -> Any:
            return getattr(import_module(self._module), name)

    # typing.get_type_hints works on what follows, and nothing heavy is imported until then.
    np, torch, _kernel, _reader = map(_Later, ("numpy", "torch", "blindsr.imaging.kernel", "blindsr.imaging.reader"))
    Kernel = ForwardRef("_kernel.Kernel", module=__name__)
    Image = ForwardRef("_reader.Image", module=__name__)

API_VERSION = 1
"""The newest version of these interfaces. A plugin module says which one it was written for: ``blindsr_api = 1``."""

SUPPORTED_API_VERSIONS = (1,)
"""The versions that plugins may be written for (docs/api-policy.md)."""


class Component(BaseModel, ABC):
    """What a plugin adds. Its fields are the parameters in YAML, each with a type, a default, bounds and a description."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid", use_attribute_docstrings=True)

    name: ClassVar[str]
    """What YAML calls it: lower case, digits and underscores."""

    version: ClassVar[int] = 1
    """Raise it when results change; results cached from an older version are then not used again."""

    stochastic: ClassVar[bool] = False
    """Whether the result depends on the seed. If not, one result serves all seeds."""

    scales: ClassVar[tuple[int, ...]] = (2, 3, 4)
    """The scales that it can do."""

    later_parameters: ClassVar[tuple[str, ...]] = ()
    """Parameters that were added after results had been cached. With its default value, such a parameter must mean what the
    component did before: it is then not part of the step's key, and the cached results are found again."""

    _full_name: str = PrivateAttr("")

    @property
    def full_name(self) -> str:
        """The name that means this component whatever is installed: `name`, or ``distribution:name`` if it is not bundled."""
        return self._full_name or self.name

    def shipped_weights(self, scale: int) -> Mapping[Path, str]:
        """The files that the plugin ships and that the result depends on, each with its licence.

        Their bytes are part of the step's key, and the result file names them.
        """
        return {}

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        if cls.__module__.startswith(f"{__package__}."):  # a base of components, not one
            return
        name = getattr(cls, "name", None)
        if not isinstance(name, str) or not re.fullmatch(r"[a-z][a-z0-9_]*", name):
            raise TypeError(f"{cls.__qualname__}.name must be lower-case letters, digits and underscores, not {name!r}")


class Degradation(Component):
    """Makes an LR image of an HR image."""

    @abstractmethod
    def sample_kernel(self, scale: int, rng: np.random.Generator) -> Kernel:
        """An aligned kernel for one image.

        `rng` depends on the image and on ``data_seed``, not on the scale: draw the same for every scale, so that the x4
        kernel of an image is its x2 kernel, composed.
        """

    def degrade(self, hr: Image, kernel: Kernel, rng: np.random.Generator) -> Image:
        """The LR image of `hr`, whose sides are multiples of the scale. By default `hr` downscaled by the kernel.

        The core clips the result to [0, 1] and rounds it to 8 bit.
        """
        from blindsr.imaging.downscaling import downscale

        return downscale(hr, kernel)


class KernelEstimator(Component):
    """Estimates the SR kernel of an LR image from that image alone."""

    typical_error: ClassVar[float | None] = None
    """The mean relative L2 error of its kernels, as measured on test sets. The core gives it to kernels that it gets without an
    `expected_error` of their own."""

    def with_error(self, kernel: Kernel) -> Kernel:
        """The kernel, with the `typical_error` of its estimator where it has no `expected_error` of its own."""
        return kernel if kernel.expected_error is not None else replace(kernel, expected_error=self.typical_error)

    @abstractmethod
    def estimate(self, lr: Image, scale: int, run: RunContext) -> Kernel:
        """The aligned kernel of `lr` for this scale, with its `expected_error` if the method can tell it.

        Raise `BlindSRError` if the image is of no use (too small, flat), and say which would be.
        """

    def estimate_many(self, lrs: Sequence[Image], scale: int, runs: Sequence[RunContext]) -> list[Kernel | Exception]:
        """The kernels of several images of any sizes, with a `run` for each: by default by `estimate`, one after the other.

        Override it where a device gains by computing them together. A kernel must not depend on what other images are there: it is
        what `estimate` gives for that image and that `run` (its random numbers, progress, curves and warnings), to a relative L2
        difference of 0.01, since sums in another order are rounded in another way.

        Returns
        -------
        For each image, in order, its kernel, or the exception that `estimate` would have raised. An exception that this method
        raises itself belongs to no image; a run then tries the two halves of the images, in the end each alone.
        """

        def one(lr: Image, run: RunContext) -> Kernel | Exception:
            try:
                return self.estimate(lr, scale, run)
            except Exception as error:
                return error

        return [one(lr, run) for lr, run in zip(lrs, runs, strict=True)]

    def batch_size(self, device: str) -> int:
        """How many images a run gives to `estimate_many` at once on a device (``cpu`` or ``cuda``), at most. By default 1.

        Return more where `estimate_many` is faster than `estimate` for each. What it gives is then no longer equal bit for bit from
        run to run, since it is up to the run which images are together.
        """
        return 1


class NonBlindSR(Component):
    """Super-resolves an LR image whose kernel is given."""

    @abstractmethod
    def fit(self, lr: Image, kernel: Kernel, run: RunContext) -> Upscaler:
        """Do what is done once for an image (train its network, load weights), and return what upscales its tiles."""


class Upscaler(Protocol):
    """What `NonBlindSR.fit` returns. The core cuts the image into tiles, calls it on each, and puts the results together."""

    @property
    def halo(self) -> int | None:
        """LR pixels around a tile that can change it; the core adds as many. None: the image must come whole."""
        ...

    def __call__(self, tile: Image) -> Image:
        """The tile (h, w, 3) at ``scale`` times its size. The core clips it to [0, 1] and rounds it."""
        ...


class RunContext(Protocol):
    """What a component gets beside its inputs: where to compute, random numbers, and channels for progress and remarks."""

    device: str
    """Where torch should compute: ``cpu``, or ``cuda``."""

    @property
    def rng(self) -> np.random.Generator:
        """The numpy generator of this step: the same object at each use, seeded by all that the step's result depends on."""
        ...

    @property
    def torch_rng(self) -> torch.Generator:
        """The torch generator (on the CPU) of this step, seeded in the same way. Never use the global generators."""
        ...

    def progress(self, done: int, total: int) -> None:
        """Report that `done` of `total` parts are done. It is cheap: call it at every iteration."""
        ...

    def log(self, name: str, step: int, value: float) -> None:
        """Add the point (`step`, `value`) to the curve `name`, which is kept in the result file."""
        ...

    def warn(self, text: str) -> None:
        """Tell the user something about this result. It is printed, and kept in the result file."""
        ...
