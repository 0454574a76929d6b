"""What may be wrong with a kernel file: orientation, convention, place, scale; told by its LR image, best with the HR image."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from blindsr.api.functions import apply
from blindsr.api.kernels.conversion import SCALES, Array, Conversion, known_scale, read_tidied
from blindsr.api.kernels.pairs import MAX_FITTED_SIDE, Pair, beyond, pair_scale, simplest, variants
from blindsr.imaging.kernel import ALIGNED_WITHIN_PX, Kernel
from blindsr.imaging.kernel_files import scale_in_name
from blindsr.imaging.metrics import kernel_errors
from blindsr.imaging.reader import read_image, to_float

ROUNDING = 0.35
"""What rounding to 8 bit leaves of a residual, with some room: 1 / sqrt(12) is 0.29."""
MIN_RATIO = 0.6
"""Without HR image: another reading is called better if its distance from the estimate is smaller by this factor."""
AGREES = 0.35
"""Distance from the estimated kernel, as relative L2 error, up to which a kernel agrees with it."""
TURNED_RATIO = 1.5
"""It must also be as many times farther from the estimate as that is expected to be from the truth."""
MIN_BETTER = 0.9
"""Of turned kernels, those count as equally near that are farther by no more than this factor."""
SYMMETRIC = 0.1
"""Relative L2 difference to the kernel turned by 180 degrees, up to which they are called the same."""
X4_WIDTH = 5**0.5
"""A x2 kernel that is composed for x4 becomes wider by this factor."""


@dataclass(frozen=True)
class KernelCheck:
    """What was found.

    Attributes
    ----------
    scale
        What the kernel is for, after `mend`.
    right
        Whether the kernel is right as it is, as far as can be told.
    before, after
        With an HR image: the residual of ``downscale(hr, kernel) - lr`` as it is, and after `mend` (RMS in levels of 255).
    mend, mend_scale
        What would mend it, and the scale to read the kernel for; None where nothing is known to.
    words
        All of it in plain sentences.
    """

    scale: int
    right: bool
    words: tuple[str, ...]
    before: float | None = None
    after: float | None = None
    mend: Conversion | None = None
    mend_scale: int = 0


def check_kernel(
    kernel: str | Path, *, lr: str | Path, hr: str | Path | None = None, scale: int | None = None, device: str = "auto"
) -> KernelCheck:
    """Compare a kernel file with its LR image, and with the HR image if there is one.

    With `hr`, all eight flips and turns, the conventions, shifts, and a x2 kernel in place of a x4 one are tried; the simplest that
    explains the LR image as well as the best one is reported. Without, the kernel is compared with `kernelnet`'s estimate.

    Parameters
    ----------
    kernel
        A ``.mat`` or ``.npy`` file.
    lr, hr
        Image files; `hr` is the very image that `lr` was made of.
    scale
        What the kernel is for; by default what the images or its name say.
    device
        Where the estimate is computed.

    Raises
    ------
    BlindSRError
        If a file cannot be read, the images are no pair, or the scale is not known.
    """
    path = Path(kernel)
    array, remarks = read_tidied(path)
    small = _green(lr)
    if hr is not None:
        return _with_hr(path, array, small, _green(hr), scale, remarks)
    return _without_hr(path, array, Path(lr), known_scale(path, scale), remarks, device)


def _with_hr(
    path: Path, array: Array, lr: NDArray[np.float32], hr: NDArray[np.float32], scale: int | None, words: list[str]
) -> KernelCheck:
    pair = Pair(hr, lr, max(array.shape) // 2 * (3 if pair_scale(hr.shape, lr.shape) == 4 else 1) + 1)
    said = scale or scale_in_name(path)
    if said not in (None, pair.scale):
        words = [*words, f"it is said to be for x{said}, but the images are a pair for x{pair.scale}"]
    floor = pair.floor(min(MAX_FITTED_SIDE, max(array.shape) + 2 * pair.scale) | 1)
    found = variants(array, pair, floor)
    best, before = simplest(found, floor), found[0].residual
    words = [*words, f"residual as it is: {before:.2f} of 255 (RMS of the HR image downscaled by it, less the LR image)"]
    narrow = _narrowed(Kernel(array, 2)) if pair.scale == 2 and best.residual > ROUNDING else None
    if narrow and pair.residual(narrow) < MIN_RATIO * best.residual:
        words += ["it is about as wide as the kernel for x4 of these images would be: use one for x2"]
        return KernelCheck(pair.scale, False, tuple(words), before, before)
    change = best.conversion
    if change == Conversion():
        words += ["no flip, turn, shift, convention or other scale explains the LR image better", _judged(before, floor)]
        plain = pair.residual(Kernel.bicubic(pair.scale))
        right = before <= ROUNDING or beyond(before, floor) <= beyond(plain, floor)
        if not right:
            words += [f"bicubic downscaling leaves {plain:.2f}, which is less: it is the kernel of another image"]
        return KernelCheck(pair.scale, right, tuple(words), before, before)
    words += [*told(change), f"residual after that: {best.residual:.2f} of 255", _judged(best.residual, floor)]
    fkp = next(variant for variant in found if variant.conversion == Conversion("fkp"))
    if change == Conversion("usrnet") and simplest([fkp, best], floor) is fkp:
        words += ["the kernel is symmetric: fkp as its convention explains it as well"]
    return KernelCheck(pair.scale, False, tuple(words), before, best.residual, change, 2 if change.compose else pair.scale)


def _judged(residual: float, floor: float) -> str:
    """How good a kernel with this residual is."""
    if residual <= ROUNDING:
        return "that is the rounding of the LR image to 8 bit: the kernel is exact"
    if beyond(residual, floor) <= floor:
        return f"a kernel that is fitted to the two images leaves {floor:.2f}: the rest is noise or compression"
    return f"a kernel that is fitted to the two images leaves {floor:.2f}: its shape is not quite that of the LR image's kernel"


def _narrowed(kernel: Kernel) -> Kernel | None:
    """A Gaussian as the x2 kernel would be whose composition for x4 this is."""
    covariance = kernel.covariance / X4_WIDTH**2
    return Kernel.gaussian(covariance, kernel.scale) if np.linalg.eigvalsh(covariance).min() > 0.05 else None


def told(change: Conversion) -> list[str]:
    """A conversion in plain words."""
    words = []
    if change.compose:
        words.append("it is a kernel for x2: applied twice it is the one for x4")
    if change.convention == "usrnet":
        words.append("it is turned by 180 degrees: made for convolution, as USRNet's and KAIR's kernels are")
    if change.convention == "fkp":
        words.append("it is moved towards the upper left by scale - 1 pixels: FKP's convention")
    if change.transpose:
        words.append("its rows and columns are exchanged")
    if change.flip_rows:
        words.append("it is upside down")
    if change.flip_columns:
        words.append("it is mirrored left to right")
    if any(change.shift_px):
        down, right = (-round(each, 2) for each in change.shift_px)
        words.append(f"it is off its place by ({down:+.2f}, {right:+.2f}) pixels (down, to the right)")
    if change.align:
        words.append("its centre of mass is not where blindsr and KernelGAN have it")
    return words


def _without_hr(path: Path, array: Array, lr: Path, scale: int, words: list[str], device: str) -> KernelCheck:
    words = [*words, "without the HR image, only the shape can be compared with an estimate, and the place with the conventions"]
    own, estimate = Kernel(array, scale), _estimate(lr, scale, device)
    distance, expected = _distance(own, estimate), estimate.expected_error or 0.0
    about = f"relative L2 error; {expected:.2f} is expected of the estimate itself"
    words.append(f"distance from the estimated kernel: {distance:.2f} ({about})")
    change, place = _place(own)
    turned, after = _turned(array, estimate)
    scales = {each: _distance(Kernel(array, each), _estimate(lr, each, device)) for each in SCALES if each != scale}
    nearest = min(scales, key=lambda each: scales[each])
    if scales[nearest] < MIN_RATIO * min(distance, after):
        words.append(f"it looks like a kernel for x{nearest}: its distance from the estimate for that is {scales[nearest]:.2f}")
        return KernelCheck(scale, False, tuple(words))
    if after < MIN_RATIO * distance and distance > TURNED_RATIO * expected:
        words += [*told(turned), f"distance after that: {after:.2f}"]
        return KernelCheck(scale, False, tuple(words), mend=turned, mend_scale=scale)
    agrees = distance <= max(AGREES, 2 * expected)
    shape = "agrees with the estimate" if agrees else "does not agree with the estimate, turned or not: it may be of another image"
    words += [f"its shape {shape}", place or f"its centre of mass is where blindsr has it (within {ALIGNED_WITHIN_PX} px)"]
    if np.linalg.norm(array - array[::-1, ::-1]) > SYMMETRIC * np.linalg.norm(array):
        words.append("whether it is turned by 180 degrees can be told with the HR image only")
    return KernelCheck(scale, agrees and not place, tuple(words), mend=change if place else None, mend_scale=scale)


def _turned(array: Array, estimate: Kernel) -> tuple[Conversion, float]:
    """What turns or mirrors a kernel to fit the estimate best, and its distance after that.

    Turned by 180 degrees, most kernels are nearly the same: of what fits about as well, an aligned kernel is taken.
    """
    changes = [
        Conversion(transpose=t, flip_rows=r, flip_columns=c) for t, r, c in product((False, True), repeat=3) if t or r != c
    ]  # the others are no turn, and one by 180 degrees
    turned = {change: change(array, estimate.scale) for change in changes}
    distances = {change: _distance(kernel, estimate) for change, kernel in turned.items()}
    good = [change for change in changes if distances[change] <= min(distances.values()) / MIN_BETTER]
    chosen = min(good, key=lambda change: (not turned[change].aligned, len(told(change)), distances[change]))
    return (chosen if turned[chosen].aligned else replace(chosen, align=True)), distances[chosen]


def _distance(kernel: Kernel, estimate: Kernel) -> float:
    return kernel_errors(kernel, estimate)["kernel_l2"]


def _place(kernel: Kernel) -> tuple[Conversion, str]:
    """What the place of the centre of mass says: what mends it, and words; empty if it is right."""
    if kernel.aligned:
        return Conversion(), ""
    off = np.array(kernel.misalignment_px)
    told_off = f"({off[0]:+.2f}, {off[1]:+.2f}) pixels (down, to the right)"
    if np.abs(off + kernel.scale - 1).max() <= ALIGNED_WITHIN_PX:
        both = "its centre of mass is where USRNet's, KAIR's and FKP's kernels have it, not blindsr's and KernelGAN's"
        return Conversion("usrnet"), f"{both}; if it is FKP's, read it with the convention fkp instead"
    if np.abs(off + (kernel.scale - 1) / 2).max() <= ALIGNED_WITHIN_PX:
        return Conversion(align=True), f"its mass is in the middle of the array: it shifts the SR image by {-off[0]:.2f} pixels"
    return Conversion(align=True), f"its centre of mass is off by {told_off}: it shifts the SR image by as much"


def _estimate(lr: Path, scale: int, device: str) -> Kernel:
    kernel = apply("estimate", "kernelnet", lr, scale, 0, {}, device=device).kernel
    assert kernel is not None
    return kernel


def _green(image: str | Path) -> NDArray[np.float32]:
    """One channel, whose rounding is not averaged out."""
    return to_float(read_image(image).pixels[..., 1])
