"""How well a kernel explains an LR image by its HR image, and which changes to the kernel would explain it better."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from blindsr.api.kernels.conversion import Array, Conversion
from blindsr.errors import BlindSRError
from blindsr.imaging.downscaling import downscale
from blindsr.imaging.kernel import Kernel

MAX_REGION_PX = 256
"""Side of the LR region that is compared, the most textured one of the image."""
MIN_REGION_PX = 16
MIN_GAIN = 0.01
"""A variant counts as better only if its residual is lower by more than this fraction,"""
MIN_SHARE = 0.3
"""and what is left of it beyond what no kernel explains by more than this one."""
EXACT = 0.29
"""The residual of rounding to 8 bit, 1 / sqrt(12)."""
MAX_FITTED = 3
"""Shifts are fitted to so many orientations, those that are best after a shift by whole pixels."""
MAX_EQUATIONS = 12_000
RIDGE = 1e-7
MAX_FITTED_SIDE = 27
ITERATIONS = 4
DIFFERENCE_PX = 0.25


@dataclass(frozen=True)
class Variant:
    """A change to a kernel, and the residual of ``downscale(hr, kernel) - lr`` after it: RMS in levels of 255."""

    conversion: Conversion
    residual: float


class Pair:
    """A region of an LR image, (H, W) in [0, 1], and the HR image around it, for kernels of up to `reach_px` from their middle."""

    def __init__(self, hr: NDArray[np.float32], lr: NDArray[np.float32], reach_px: int) -> None:
        self.scale = pair_scale(hr.shape, lr.shape)
        self._margin = -(-(reach_px + 2 * self.scale) // self.scale)  # LR pixels that a kernel could reach over the border
        side = MAX_REGION_PX + 2 * self._margin
        top, left = _textured_corner(lr, side)
        self._lr = lr[top : top + side, left : left + side].astype(np.float64)
        self._hr = hr[self.scale * top :, self.scale * left :][: self.scale * self._lr.shape[0], : self.scale * self._lr.shape[1]]
        self._hr = self._hr.astype(np.float64)
        if min(self._lr.shape) < 2 * self._margin + MIN_REGION_PX:
            raise BlindSRError(
                f"the images are too small for this kernel; the LR image needs {2 * self._margin + MIN_REGION_PX} pixels a side"
            )
        self._inner = (slice(self._margin, -self._margin),) * 2

    def residual(self, kernel: Kernel) -> float:
        """The residual of a kernel for the pair's scale."""
        return _rms(self._difference(kernel))

    def residuals_by_shift(self, kernel: Kernel, reach_px: int) -> Array:
        """The residuals of a kernel moved by whole pixels, from ``-reach_px`` to ``reach_px`` down and to the right."""
        from scipy.signal import fftconvolve

        blurred = fftconvolve(self._hr, kernel.array[::-1, ::-1], mode="same")
        steps = range(-reach_px, reach_px + 1)
        start, s = self.scale * self._margin, self.scale
        target = self._lr[self._inner]
        rows, columns = (s * size for size in target.shape)
        moved = ((blurred[start + y : start + y + rows : s, start + x : start + x + columns : s]) for y, x in product(steps, steps))
        return np.array([_rms(each - target) for each in moved]).reshape(len(steps), len(steps))

    def best_shift(self, kernel: Kernel) -> tuple[float, float]:
        """The shift of at most some pixels with the least residual: by whole pixels first, then by Gauss-Newton steps."""
        reach = self.scale + 2
        table = self.residuals_by_shift(kernel, reach)
        y, x = (float(n - reach) for n in np.unravel_index(table.argmin(), table.shape))
        d = DIFFERENCE_PX
        for _ in range(ITERATIONS):
            ahead, behind, right, left, here = (
                self._difference(kernel.shifted(*at)) for at in ((y + d, x), (y - d, x), (y, x + d), (y, x - d), (y, x))
            )
            slopes = np.stack([(ahead - behind).ravel(), (right - left).ravel()], axis=1) / (2 * d)
            step = np.clip(np.linalg.lstsq(slopes, -here.ravel())[0], -1, 1)
            y, x = y + float(step[0]), x + float(step[1])
        return y, x

    def floor(self, side: int) -> float:
        """The residual of the kernel of this odd side, of any values, that fits best: what no kernel explains, such as noise."""
        half, s = side // 2, self.scale
        start = s * self._margin - half
        target = self._lr[self._inner]
        rows, columns = target.shape
        area = self._hr[start : start + s * (rows - 1) + side, start : start + s * (columns - 1) + side]
        step = max(1, target.size // MAX_EQUATIONS)
        windows = sliding_window_view(area, (side, side))[::s, ::s].reshape(rows * columns, -1)[::step]
        values = target.ravel()[::step]
        products = windows.T @ windows
        taps = np.linalg.solve(products + RIDGE * np.trace(products) / len(products) * np.eye(len(products)), windows.T @ values)
        return _rms(windows @ taps - values) * float(np.sqrt(len(values) / max(1, len(values) - len(taps))))

    def _difference(self, kernel: Kernel) -> Array:
        difference: Array = (downscale(self._hr, kernel) - self._lr)[self._inner]
        return difference


def pair_scale(hr: tuple[int, ...], lr: tuple[int, ...]) -> int:
    """The scale of an HR and an LR image by their sizes; a `BlindSRError` if they are no pair."""
    for scale in (2, 3, 4):
        if all(-scale < large - scale * small < scale for large, small in zip(hr[:2], lr[:2], strict=True)):
            return scale
    sizes = f"{hr[1]} x {hr[0]} and {lr[1]} x {lr[0]}"
    raise BlindSRError(f"`hr` and `lr`, of {sizes} pixels: no pair for x2, x3 or x4; give the LR image of this very HR image")


def variants(array: Array, pair: Pair, floor: float) -> list[Variant]:
    """The array as it is, then other readings of it, the simplest first; the last ones are moved by a fitted shift.

    Shifts are fitted only if no reading comes near `floor`, the residual that no kernel explains.
    """

    def kernel_of(change: Conversion) -> Kernel:
        return change(array, 2 if change.compose else pair.scale)

    def tried(change: Conversion) -> Variant:
        return Variant(change, pair.residual(kernel_of(change)))

    def residual_if_moved(change: Conversion) -> float:
        return float(pair.residuals_by_shift(kernel_of(change), pair.scale + 2).min())

    found = [tried(change) for change in _readings(pair.scale)]
    if min(variant.residual for variant in found) * (1 - MIN_GAIN) <= max(floor, EXACT):
        return found
    fitted = []
    oriented = [variant.conversion for variant in found if variant.conversion.convention != "fkp"]  # which is a shift itself
    for change in sorted(oriented, key=residual_if_moved)[:MAX_FITTED]:
        down, right = pair.best_shift(kernel_of(change))
        steps = 3 if change.compose else 1  # a shift of the x2 kernel moves the x4 kernel by three times as much
        fitted.append(tried(replace(change, shift_px=(round(down / steps, 2), round(right / steps, 2)))))
    return [*found, *sorted(fitted, key=lambda each: _changes(each.conversion))]


def simplest(found: list[Variant], floor: float) -> Variant:
    """The first variant that is about as good as the best one; `floor` is the residual that no kernel explains."""
    least = min(variant.residual for variant in found)
    enough = max(least / (1 - MIN_GAIN), float(np.hypot(floor, beyond(least, floor) / (1 - MIN_SHARE))))
    return next(variant for variant in found if variant.residual <= enough)


def beyond(residual: float, floor: float) -> float:
    """What is left of a residual without what no kernel explains."""
    return math.sqrt(max(residual**2 - floor**2, 0.0))


def _readings(scale: int) -> Iterator[Conversion]:
    """All without a fitted shift: as it is, conventions, x2 for x4, turned and mirrored."""
    yield Conversion()
    yield Conversion("usrnet")
    yield Conversion("fkp")
    if scale == 4:
        yield from (Conversion(convention, compose=True) for convention in ("kernelgan", "usrnet", "fkp"))
    turned = [Conversion(transpose=t, flip_rows=r, flip_columns=c) for t, r, c in product((False, True), repeat=3)]
    yield from sorted((each for each in turned if each not in (turned[0], turned[3])), key=_changes)  # 3: usrnet


def _changes(change: Conversion) -> int:
    """How much a conversion changes."""
    return sum((change.compose, change.convention != "kernelgan", change.transpose, change.flip_rows, change.flip_columns))


def _rms(difference: Array) -> float:
    return float(255 * np.sqrt(np.mean(np.square(difference))))


def _textured_corner(image: NDArray[np.float32], side: int) -> tuple[int, int]:
    """The corner of the square of this side, of those of a grid, with the strongest differences between neighbours."""
    strength = np.zeros(image.shape)
    strength[:-1] += np.square(np.diff(image, axis=0))
    strength[:, :-1] += np.square(np.diff(image, axis=1))
    rows, columns = (min(side, size) for size in image.shape)
    sums = sliding_window_view(strength, (rows, columns))[:: rows // 2 or 1, :: columns // 2 or 1].mean(axis=(2, 3))
    row, column = np.unravel_index(sums.argmax(), sums.shape)
    return int(row) * (rows // 2 or 1), int(column) * (columns // 2 or 1)
