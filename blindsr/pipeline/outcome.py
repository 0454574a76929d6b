"""What a step gets and what it gives: arrays and kernels, or the reason why it gives nothing."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blindsr.imaging.kernel import Kernel


@dataclass(frozen=True)
class StepInputs:
    """The inputs of a step as they travel to a worker; None where its kind of step has no such input.

    Attributes
    ----------
    lr, hr, sr
        Images: uint8 or uint16, shape (H, W, 3), RGB.
    kernel
        The kernel to use, to register, or to score.
    true
        The kernel to score against.
    """

    lr: NDArray[Any] | None = None
    hr: NDArray[Any] | None = None
    sr: NDArray[Any] | None = None
    kernel: Kernel | None = None
    true: Kernel | None = None

    def images(self) -> dict[str, NDArray[Any]]:
        """The images that are there, by name."""
        return {name: image for name, image in (("lr", self.lr), ("hr", self.hr), ("sr", self.sr)) if image is not None}


@dataclass
class Outcome:
    """What a step gives.

    Attributes
    ----------
    arrays
        Images by role: ``lr`` or ``sr``, uint8 or uint16, shape (H, W, 3).
    values
        Single numbers by name, such as ``psnr``.
    curves
        Arrays of (step, value) rows by name.
    warnings
        Remarks for the user, which are kept with the result.
    seconds, device
        How long it took, and on what device it ran.
    """

    arrays: dict[str, NDArray[Any]] = field(default_factory=dict)
    kernel: Kernel | None = None
    values: dict[str, float] = field(default_factory=dict)
    curves: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    seconds: float = 0.0
    device: str = ""


@dataclass(frozen=True)
class Failure:
    """Why a step has no outcome.

    Attributes
    ----------
    message
        The cause.
    traceback
        Only where a defect, not the input, is the cause.
    where
        The step that failed, for people: its item, component, methods and seed. Steps that need that step fail with it.
    """

    message: str
    traceback: str = ""
    where: str = ""
