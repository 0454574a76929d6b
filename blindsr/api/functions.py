"""One component on one image, from Python: ``blindsr.estimate_kernel``, ``super_resolve``, ``degrade``.

Images go in as paths or arrays, and come out as arrays. The numbers are those that a pipeline gives for the same file and seed.
"""

import operator
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from blindsr.api.photographs.reading import read_picture
from blindsr.components.discovery import Kind
from blindsr.components.registry import Registry
from blindsr.errors import BlindSRError
from blindsr.execution.events import Listener
from blindsr.execution.perform import perform
from blindsr.execution.resources import resolve_device
from blindsr.execution.tasks import Task
from blindsr.imaging.downscaling import downscale
from blindsr.imaging.kernel import Kernel
from blindsr.imaging.reader import Picture, as_rgb, crop_to_multiple, to_depth, to_float
from blindsr.pipeline.outcome import Outcome, StepInputs
from blindsr.pipeline.plan import single_step
from blindsr.pipeline.steps import StepKind
from blindsr.report.progress import console

Pixels = NDArray[Any]
"""An image (H, W, 3), or gray (H, W): uint8, uint16, or floats in [0, 1]."""


class Degraded(NamedTuple):
    """An LR image, and the kernel that made it."""

    lr: Pixels
    kernel: Kernel


def estimate_kernel(
    image: str | Path | Pixels, *, scale: int = 2, method: str = "kernelnet", seed: int = 0, device: str = "auto",
    threads: int | None = None, progress: bool = False, **parameters: Any,
) -> Kernel:  # fmt: skip
    """Estimate the SR kernel of an LR image.

    Parameters
    ----------
    image
        An image file, or an array (H, W, 3) or (H, W): uint8, uint16, or floats in [0, 1].
    scale
        The downscaling factor that the kernel is for: 2, 3 or 4.
    method, parameters
        A kernel estimator (see ``blindsr plugins``), and its parameters.
    seed
        Of the random numbers; the same seed gives the same kernel.
    device
        ``auto``, ``cpu`` or ``cuda``.
    threads
        Of torch; None leaves them as they are.
    progress
        Show a progress bar on standard error.

    Raises
    ------
    BlindSRError
        For an unknown method or parameter, an image that cannot be read or is of no use to the method.

    Examples
    --------
    >>> import blindsr, skimage
    >>> lr = blindsr.downscale(skimage.data.astronaut()[:256, :256], blindsr.Kernel.bicubic(2))
    >>> blindsr.estimate_kernel(lr, method="bicubic", scale=2).shape
    (9, 9)
    """
    outcome = apply("estimate", method, image, scale, seed, parameters, device=device, threads=threads, progress=progress)
    assert outcome.kernel is not None
    return outcome.kernel


def super_resolve(
    image: str | Path | Pixels, kernel: Kernel | Pixels | str | Path, *, scale: int = 2, method: str = "unfolding", seed: int = 0,
    device: str = "auto", threads: int | None = None, progress: bool = False, **parameters: Any,
) -> Pixels:  # fmt: skip
    """Super-resolve an LR image whose kernel is known.

    Parameters
    ----------
    image, scale, seed, device, threads, progress
        As in `estimate_kernel`.
    kernel
        The SR kernel of the image for this scale: a `Kernel`, an array, or a ``.mat`` or ``.npy`` file. A x2 kernel is composed
        for x4.
    method, parameters
        A non-blind SR method (see ``blindsr plugins``), and its parameters.

    Returns
    -------
    The SR image (scale H, scale W, 3), of the integer type of `image`; float32 in [0, 1] for floats, computed from 16 bits.

    Raises
    ------
    BlindSRError
        As `estimate_kernel`, and for a kernel that is none or is for another scale.

    Examples
    --------
    >>> import blindsr, skimage
    >>> lr = skimage.data.astronaut()[:64, :64]
    >>> blindsr.super_resolve(lr, blindsr.Kernel.bicubic(2), method="bicubic").shape
    (128, 128, 3)
    """
    outcome = apply(
        "upscale", method, image, scale, seed, parameters, kernel=_kernel(kernel, scale), device=device, threads=threads,
        progress=progress,
    )  # fmt: skip
    sr = outcome.arrays["sr"]
    return to_float(sr) if isinstance(image, np.ndarray) and image.dtype.kind == "f" else sr


def degrade(
    image: str | Path | Pixels, kernel: Kernel | Pixels | str | Path | None = None, *, scale: int = 2,
    method: str = "random_kernel", seed: int = 0, **parameters: Any,
) -> Degraded:  # fmt: skip
    """Make an LR image of an HR image: by the kernel that is given, or by a degradation's random one.

    Parameters
    ----------
    image, scale
        As in `estimate_kernel`; rows and columns that fill no LR pixel are cut off.
    kernel
        As in `super_resolve`; without one, `method` draws it.
    method, seed, parameters
        A degradation (see ``blindsr plugins``), its seed and its parameters.

    Returns
    -------
    ``lr``, uint8 (as stored LR images are), and ``kernel``.

    Raises
    ------
    BlindSRError
        As `super_resolve`.

    Examples
    --------
    >>> import blindsr, skimage
    >>> lr, kernel = blindsr.degrade(skimage.data.astronaut(), scale=2, seed=1)
    >>> lr.shape, lr.dtype, kernel.aligned
    ((256, 256, 3), dtype('uint8'), True)
    """
    if kernel is not None:
        given = _kernel(kernel, scale)
        hr = to_float(crop_to_multiple(_picture(image).pixels, scale))
        return Degraded(to_depth(downscale(hr, given), np.uint8), given)
    outcome = apply("degrade", method, image, scale, seed, parameters)
    assert outcome.kernel is not None
    return Degraded(outcome.arrays["lr"], outcome.kernel)


_KINDS: Mapping[str, Kind] = {"degrade": "degradation", "estimate": "kernel", "upscale": "sr"}


def apply(
    kind: StepKind, method: str, image: str | Path | Pixels, scale: int, seed: int, parameters: Mapping[str, Any], *,
    kernel: Kernel | None = None, registry: Registry | None = None, device: str = "cpu", threads: int | None = None,
    progress: bool = False,
) -> Outcome:  # fmt: skip
    """What a component makes of one image; the commands and the functions above share it."""
    scale = _whole(scale)
    role = "hr" if kind == "degrade" else "lr"
    picture = _picture(image)
    given: dict[str, Any] = {role: picture.pixels} | ({"kernel": kernel} if kernel else {})
    component = (registry or Registry.discover()).build(_KINDS[kind], method, parameters, scale=scale)
    step = single_step(kind, component, scale, given | ({role: Path(image)} if isinstance(image, str | Path) else {}), seed=seed)
    if threads is not None:
        import torch

        torch.set_num_threads(threads)
    with console() if progress else nullcontext(Listener()) as listener:
        for note in picture.notes:
            listener.note(note)
        task = Task.of(step, StepInputs(**given), device=resolve_device(device))
        listener.started(step)
        outcome = perform(task, lambda done, total: listener.progress(step, done, total))
        listener.ended(step, outcome)
    return outcome


def _picture(image: str | Path | Pixels) -> Picture:
    if isinstance(image, str | Path):
        return read_picture(Path(image))
    notes: list[str] = []
    return Picture(as_rgb(np.asarray(image), notes), notes)


def _whole(scale: Any) -> int:
    try:
        return operator.index(scale)
    except TypeError:
        raise BlindSRError(f"`scale` must be a whole number, not {scale!r}") from None


def _kernel(kernel: Kernel | Pixels | str | Path, scale: int) -> Kernel:
    """A kernel, a kernel array, or a kernel file, for this scale."""
    scale = _whole(scale)
    if isinstance(kernel, str | Path):
        kernel = Kernel.load(kernel, scale=scale)
    elif not isinstance(kernel, Kernel):
        kernel = Kernel(kernel, scale)
    if (kernel.scale, scale) == (2, 4):
        return kernel.composed()
    if kernel.scale != scale:
        raise BlindSRError(f"`kernel` is for x{kernel.scale}, but `scale` is {scale}")
    return kernel
