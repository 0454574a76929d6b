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

    Images are uint8 or uint16, shape (H, W, 3), RGB. `kernel` is to be used, registered, or scored against the `true` one.
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

    `arrays` are images (``lr`` or ``sr``: uint8 or uint16, shape (H, W, 3)), `values` single numbers such as ``psnr``, `curves`
    arrays of (step, value) rows, `warnings` remarks that are kept with the result. `seconds`, `device` and
    `threads` say how it was computed.
    """

    arrays: dict[str, NDArray[Any]] = field(default_factory=dict)
    kernel: Kernel | None = None
    values: dict[str, float] = field(default_factory=dict)
    curves: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    seconds: float = 0.0
    device: str = ""
    threads: int = 0


@dataclass(frozen=True)
class Failure:
    """Why a step has no outcome.

    The traceback is there only where a defect, not the input, is the cause. `where` names the failed step for people: its item,
    component, methods and seed. Steps that need that step fail with it.
    """

    message: str
    traceback: str = ""
    where: str = ""
