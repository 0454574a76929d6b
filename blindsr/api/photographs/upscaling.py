"""One photograph after the other: its blur and its noise, the guard, the SR image, the file."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import count, repeat
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from blindsr.api.ensemble import SelfEnsemble
from blindsr.api.functions import apply
from blindsr.api.photographs.blur import Blur, milder
from blindsr.api.photographs.guard import Judgement, judged, most_textured
from blindsr.api.photographs.noise import noise_of
from blindsr.api.photographs.places import Place
from blindsr.api.photographs.qualities import QUALITIES, QualityName, parameters_for
from blindsr.api.photographs.reading import Photograph, read_photograph
from blindsr.api.photographs.showing import Preview
from blindsr.api.photographs.writing import write_photograph
from blindsr.components.interfaces import KernelEstimator, NonBlindSR, Upscaler
from blindsr.components.registry import Registry
from blindsr.errors import BlindSRError, alternatives, described
from blindsr.execution import tiling
from blindsr.execution.events import Listener
from blindsr.execution.resources import resolve_device
from blindsr.execution.tasks import Context
from blindsr.imaging.kernel import Kernel
from blindsr.imaging.reader import Image, to_float
from blindsr.pipeline.outcome import Failure, Outcome
from blindsr.pipeline.steps import Step

MAX_SEEN_PX = 8_000_000
"""Of a larger photograph, the kernel estimator sees the most textured part of so many pixels; the SR method is fitted to that."""

MIN_SEEN_PX = 8
"""A side of a photograph whose blur is estimated."""


@dataclass(frozen=True)
class Upscaled:
    """What became of a photograph.

    Attributes
    ----------
    photo, output
        The file, and the file of its SR image.
    status
        ``done``; ``skipped``, since `output` was there already; or ``failed``, for which `error` has the reason.
    kernel
        The kernel that the SR image was made with; None for plain bicubic interpolation.
    blur
        The blur that was estimated; None where none was.
    strength
        How much of it is undone. Less than was asked for if the guard has made it milder; `notes` says why.
    expected_error
        Of the estimated kernel (`Kernel.expected_error`).
    noise
        The standard deviation, in levels of 255, of the white noise that the photograph's noise and compression amount to.
    seconds
        All that it took.
    notes
        What the user should know, a sentence each.
    preview
        A part of the SR image, where the settings ask for it.
    """

    photo: Path
    output: Path
    status: Literal["done", "skipped", "failed"]
    kernel: Kernel | None = None
    blur: Blur | None = None
    strength: float = 0.0
    expected_error: float | None = None
    noise: float = 0.0
    seconds: float = 0.0
    notes: tuple[str, ...] = ()
    error: str = ""
    preview: Preview | None = field(default=None, repr=False, compare=False)


@dataclass(frozen=True)
class UpscaleSettings:
    """How photographs are upscaled, as `blindsr.upscale` describes it. With `previews`, each result has one, for a page."""

    registry: Registry
    scale: int = 2
    quality: QualityName = "good"
    kernel: str | None = None
    sr: str | None = None
    strength: float = 1.0
    force: bool = False
    seed: int = 0
    device: str = "auto"
    previews: bool = False

    def __post_init__(self) -> None:
        if self.quality not in QUALITIES:
            raise BlindSRError(f"`quality` {self.quality}: unknown{alternatives(str(self.quality), QUALITIES)}")
        if not 0 <= self.strength <= 1:
            raise BlindSRError(f"`strength` {self.strength}: must be from 0 to 1")
        if self.scale not in (2, 3, 4):
            raise BlindSRError(f"`scale` {self.scale}: there are the scales 2, 3 and 4")
        # A wrong one is no photograph's failure.
        self.component(0)
        if not isinstance(self.registry.build("kernel", self.estimator, scale=self.scale), KernelEstimator):
            raise _only_for_pipelines(self.estimator)
        resolve_device(self.device)

    @property
    def estimator(self) -> str:
        """The kernel estimator."""
        return self.kernel or QUALITIES[self.quality].kernels[self.scale]

    @property
    def method(self) -> str:
        """The SR method."""
        return self.sr or QUALITIES[self.quality].sr

    def component(self, noise: float) -> NonBlindSR:
        """The SR method, told of the noise if it can be."""
        component = self.registry.build("sr", self.method, parameters_for(self.method, noise), scale=self.scale)
        if not isinstance(component, NonBlindSR):
            raise _only_for_pipelines(self.method)
        return component


def _only_for_pipelines(method: str) -> BlindSRError:
    return BlindSRError(f"'{method}' is for pipelines; for photographs, choose another from `blindsr plugins`")


def upscale_all(places: Iterable[Place], settings: UpscaleSettings, listener: Listener) -> Iterator[Upscaled]:
    """Upscale photographs, each as its result is asked for; one that fails does not stop the others."""
    for place in places:
        step = Step(str(place.photo), "upscale", settings.component(0), settings.scale, {}, "", place.photo.name, settings.quality)
        listener.started(step)
        outcome: Outcome | Failure = Outcome()
        start = time.perf_counter()
        try:
            if place.output.exists() and not settings.force:
                done = Upscaled(*place, "skipped", notes=(f"{place.output}: is there already; `force` replaces it",))
            else:
                done = _upscaled(place, settings, partial(listener.progress, step))
        except BlindSRError as error:
            outcome = Failure(str(error).removeprefix(f"{place.photo}: "), where=str(place.photo))
        except MemoryError:
            outcome = Failure("too large for this machine's memory; crop it first", where=str(place.photo))
        except Exception as error:  # a defect, or a plugin's
            outcome = Failure(described(error), traceback.format_exc(), str(place.photo))
        if isinstance(outcome, Failure):
            done = Upscaled(*place, "failed", error=outcome.message)
        for note in done.notes:
            listener.note(note if note.startswith(str(place.output)) else f"{place.photo}: {note}")
        listener.ended(step, outcome)
        yield replace(done, seconds=time.perf_counter() - start)


def _upscaled(place: Place, settings: UpscaleSettings, progress: Callable[[int, int], None]) -> Upscaled:
    photo = read_photograph(place.photo)
    notes = list(photo.notes)
    noise = noise_of(photo)
    context = Context(resolve_device(settings.device), f"{settings.seed:x}", progress)
    component = settings.component(noise)
    part = photo.pixels[most_textured(photo.pixels, MAX_SEEN_PX)]
    estimated, doubt = _estimated(part, settings, notes)

    strength = settings.strength if estimated else 0.0
    judgement = Judgement(milder(estimated or Kernel.bicubic(settings.scale), strength), strength, "")
    if settings.method != "bicubic":  # which is what the guard falls back to

        def super_resolve(part: Image, kernel: Kernel) -> Image:
            return component.fit(part, kernel, context)(part)

        judgement = judged(
            photo.pixels, estimated or Kernel.bicubic(settings.scale), super_resolve, noise=noise, strength=strength, doubt=doubt
        )
    if judgement.reason:
        notes.append(_remark(judgement, strength))
    upscaler = _upscaler(part, judgement.kernel, component, settings, context)
    bands = _bands(photo, upscaler, settings.scale, progress, context.device)
    preview = Preview.of(photo, settings.scale) if settings.previews else None
    write_photograph(place.output, photo, settings.scale, preview.watched(bands) if preview else bands)
    return Upscaled(
        *place, "done", judgement.kernel, Blur.of(estimated) if estimated else None, judgement.strength,
        estimated.expected_error if estimated else None, noise, notes=(*notes, *dict.fromkeys(context.warnings)),
        preview=preview,
    )  # fmt: skip


def _estimated(pixels: NDArray[Any], settings: UpscaleSettings, notes: list[str]) -> tuple[Kernel | None, str]:
    """The estimated kernel, None if there is none; and why it is doubtful."""
    if not settings.strength:
        return None, ""
    parameters = parameters_for(settings.estimator, 0)
    try:
        if min(pixels.shape[:2]) < MIN_SEEN_PX:
            raise BlindSRError(f"the photograph has less than {MIN_SEEN_PX} pixels a side")
        outcome = apply(
            "estimate", settings.estimator, pixels, settings.scale, settings.seed, parameters, registry=settings.registry,
            device=settings.device,
        )  # fmt: skip
    except BlindSRError as error:
        notes.append(f"its blur cannot be estimated, and bicubic's kernel is used ({error})")
        return None, ""
    return outcome.kernel, outcome.warnings[0] if outcome.warnings else ""


def _remark(judgement: Judgement, strength: float) -> str:
    if judgement.kernel is None:
        return f"{judgement.reason}; bicubic interpolation is used instead"
    if not strength:
        return judgement.reason
    return f"{judgement.reason}; {judgement.strength / strength:.0%} of the estimated blur is undone"


def _upscaler(
    part: NDArray[Any], kernel: Kernel | None, component: NonBlindSR, settings: UpscaleSettings, context: Context
) -> Upscaler:  # fmt: skip
    """The SR method, fitted to the part of the photograph that is looked at."""
    if kernel is None:
        plain = settings.registry.build("sr", "bicubic", scale=settings.scale)
        assert isinstance(plain, NonBlindSR)
        return plain.fit(to_float(part), Kernel.bicubic(settings.scale), context)
    if QUALITIES[settings.quality].ensemble and settings.sr is None:
        return SelfEnsemble.fit(component, to_float(part), kernel, context)
    return component.fit(to_float(part), kernel, context)


def _bands(
    photo: Photograph, upscaler: Upscaler, scale: int, progress: Callable[[int, int], None], device: str
) -> Iterator[NDArray[Any]]:  # fmt: skip
    """The SR image from top to bottom, with as many channels as the file of the photograph, and of the same type."""
    alpha, dtype = photo.alpha, photo.pixels.dtype
    varies = alpha is not None and bool(alpha.min() < alpha.max())
    images = 2 if varies else 1
    done = count(1)

    def progressed(_: int, total: int) -> None:
        progress(next(done), images * total)

    if alpha is None or not varies:
        transparency: Iterable[NDArray[Any] | None] = repeat(None)
    else:
        gray = np.broadcast_to(alpha[..., None], (*alpha.shape, 3))
        transparency = tiling.bands(upscaler, gray, scale, dtype, progressed, device)
    for sr, band in zip(tiling.bands(upscaler, photo.pixels, scale, dtype, progressed, device), transparency, strict=False):
        channels = [sr[..., :1] if photo.gray else sr]
        if alpha is not None:
            channels.append(np.full((*sr.shape[:2], 1), alpha.flat[0], dtype) if band is None else band[..., :1])
        yield np.concatenate(channels, axis=2) if len(channels) > 1 else channels[0]
