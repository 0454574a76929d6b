"""What the tests of a plugin need: a run context that records, and images whose kernel is known."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from blindsr.execution.tasks import Context
from blindsr.imaging.downscaling import downscale
from blindsr.imaging.kernel import Kernel
from blindsr.imaging.reader import to_depth, to_float


class Sample(NamedTuple):
    """An LR image and its HR image, float32 (H, W, 3) in [0, 1], and the kernel between them."""

    lr: NDArray[np.float32]
    hr: NDArray[np.float32]
    kernel: Kernel


class RecordingContext(Context):
    """A `blindsr.api.RunContext` for calling a component directly; it keeps what the component said.

    The same seed gives the same random numbers. `points` are the curves, a list of (step, value) for each name; `warnings`
    the warnings; `reports` the calls of ``progress``, (done, total).

    Examples
    --------
    >>> context = run_context(seed=1)
    >>> context.progress(1, 10)
    >>> context.reports
    [(1, 10)]
    """

    def __init__(self, *, seed: int = 0, device: str = "cpu") -> None:
        self.reports: list[tuple[int, int]] = []
        super().__init__(device, f"{seed:064x}", lambda done, total: self.reports.append((done, total)))


run_context = RecordingContext


def samples(*, scale: int = 2, count: int = 2, side_px: int = 64) -> list[Sample]:
    """Crops of sample photographs (which come with scikit-image) with known kernels; the same ones at each call.

    There are `count` of them, for the downscaling factor `scale`. Their LR images are `side_px` a side, at most 400 / scale.

    Examples
    --------
    >>> first = samples(scale=2, count=1, side_px=32)[0]
    >>> first.lr.shape, first.hr.shape
    ((32, 32, 3), (64, 64, 3))
    """
    from skimage import data

    rng = np.random.default_rng(0)
    photographs = [to_float(photograph) for photograph in (data.astronaut(), data.coffee())]  # type: ignore[no-untyped-call]
    found = []
    for number in range(count):
        photograph = photographs[number % 2]
        side = scale * side_px
        row, column = (int(rng.integers(size - side + 1)) for size in photograph.shape[:2])
        hr = photograph[row : row + side, column : column + side]
        long, short, mixed = rng.uniform(0.6, 5), rng.uniform(0.6, 5), rng.uniform(-0.5, 0.5)
        kernel = Kernel.gaussian((scale**2 - 1) / 3 * np.array([[long, mixed], [mixed, short]]), scale)
        lr = to_float(to_depth(downscale(hr, kernel), np.uint8))
        found.append(Sample(lr, hr, kernel))
    return found
