"""One, two and four workers: equal results, and what two save."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import bench

from blindsr.storage.step_store import StepStore

IMAGES = 10
PIPELINE = """\
name: ten
scale: 2
data: {hr: hr}
degradation: random_kernel
methods:
  Bicubic interpolation: {type: 1, sr: bicubic}
  KernelGAN: {type: 3, kernel: {kernelgan: {iterations: 1000}}, sr: {zssr: {iterations: 100}}}
"""


def figures(folder: Path) -> Iterator[str]:
    (folder / "ten.yaml").write_text(PIPELINE)
    bench.photographs(folder, IMAGES, 240)
    seconds, results = {}, {}
    for workers in (1, 2, 4):
        out = folder / str(workers)
        command = bench.blindsr("run", "ten.yaml", "--workers", str(workers), "--threads", "1", "--device", "cpu", "--out", out)
        whole = bench.ended(command, folder)
        assert whole.code == 0, whole.text
        seconds[workers] = whole.seconds
        results[workers] = bench.numbers(out / "ten-hr-x2")
    same = all(bench.equal(results[1], results[workers]) for workers in (2, 4))
    steps = {workers: _arrays(folder / str(workers)) for workers in (1, 2, 4)}
    bits = steps[1] == steps[2] == steps[4]
    yield f"1, 2 and 4 workers: equal numbers {same}; kernels and images of all {len(steps[1])} steps equal bit for bit {bits}"
    yield (
        f"a pipeline of {IMAGES} images takes {seconds[1]:.1f} s with one worker, {seconds[2]:.1f} s with two "
        f"({seconds[2] / seconds[1]:.2f}), {seconds[4]:.1f} s with four ({seconds[4] / seconds[1]:.2f})"
    )


def _arrays(out: Path) -> dict[str, tuple[bytes, ...]]:
    """All kernels and images of a folder of results, by step."""
    store = StepStore(out / "steps")
    found = {}
    for path in store.folder.glob("*.h5"):
        outcome = store.load(path.stem)
        kernel = outcome.kernel.array.tobytes() if outcome.kernel else b""
        found[path.stem] = (kernel, *(array.tobytes() for array in outcome.arrays.values()))
    return found
