"""Plans of 10,000 images, and runs of 10,000 steps that do next to nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import bench
import numpy as np
from skimage import data

from blindsr.imaging.kernel import Kernel
from blindsr.imaging.writer import write_png

ITEMS = 10_000
TRIVIAL = """\
name: trivial
scale: 2
data: {hr: hr}
degradation: random_kernel
methods:
  Bicubic interpolation: {type: 1, sr: bicubic}
"""
STEPS_PER_IMAGE = 4  # degrade, estimate, upscale, score


def figures(folder: Path) -> Iterator[str]:
    _div2krk(folder / "set", ITEMS)
    for name in ("kernelgan_zssr", "table1_x2"):
        command = bench.blindsr("run", name, "--data", folder / "set", "--dry-run", "--out", folder / "plan")
        runs = [bench.ended(command, folder) for _ in range(2)]
        assert all(run.code == 0 for run in runs), runs[0].text
        rows = re.findall(r"\d+ rows", runs[1].text)[0]
        yield (
            f"--dry-run of {name} on {ITEMS} images ({rows}): {runs[0].seconds:.1f} s the first time, {runs[1].seconds:.1f} s and "
            f"{runs[1].peak_mb:.0f} MB with remembered hashes"
        )
    per_step = {}
    for steps in (1_000, 10_000):
        place = folder / str(steps)
        bench.photographs(place, steps // STEPS_PER_IMAGE, 48)
        (place / "trivial.yaml").write_text(TRIVIAL)
        run = bench.ended(bench.blindsr("run", "trivial.yaml", "--device", "cpu"), place)
        assert f"{steps} steps computed" in run.text, run.text
        per_step[steps] = 1e3 * run.seconds / steps
        each = f"{per_step[steps]:.1f} ms a step, all included"
        yield f"a run of {steps} trivial steps: {run.seconds:.1f} s, {each}; {run.peak_mb:.0f} MB"
    yield f"ten times the steps take {10 * per_step[10_000] / per_step[1_000]:.1f} times as long"


def _div2krk(folder: Path, count: int) -> None:
    """So many small images in DIV2KRK's layout, no two alike."""
    photo = data.astronaut()
    kernel = Kernel.bicubic(2)
    for name in ("gt", "lr_x2", "gt_k_x2"):
        (folder / name).mkdir(parents=True)
    for number in range(1, count + 1):
        row, column = divmod(number, 450)
        hr = np.ascontiguousarray(photo[row : row + 48, column : column + 48])
        hr[0, 0] = number % 256, number // 256, 0
        write_png(folder / "gt" / f"img_{number}_gt.png", hr)
        write_png(folder / "lr_x2" / f"im_{number}.png", np.ascontiguousarray(hr[::2, ::2]))
        kernel.save(folder / "gt_k_x2" / f"kernel_{number}.mat")
