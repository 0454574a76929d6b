"""A result to make pages of: coloured images of another program, and names that must stay text."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np

from blindsr.imaging.writer import write_png
from blindsr.pipeline.plan import make_plan
from blindsr.storage import hdf5
from pipelines import read, run

SCRIPT = "<script>evil = 1</script>"
ITEM = 'a "b"\n<img src=x onerror="evil = 1"> блур 模糊'
RED, BLUE, GREEN, WHITE = (220, 30, 30), (30, 30, 220), (20, 160, 40), (250, 250, 250)
SIDE = 96
PIPELINE = f"""\
name: quick
scale: 2
data: {{hr: hr}}
degradation: random_kernel
methods:
  Bicubic interpolation: {{type: 1, sr: bicubic}}
  "{SCRIPT}": {{type: 2, sr: {{external: {{folder: red}}}}}}
  Quarters: {{type: 3, sr: {{external: {{folder: quarters}}}}}}
  Ground truth: {{type: 4, kernel: ground_truth, sr: bicubic}}
"""


def quarters() -> np.ndarray:
    """An image whose quarters are blue, green (top), white, and red (bottom)."""
    half = SIDE // 2
    image = np.empty((SIDE, SIDE, 3), np.uint8)
    image[:half, :half], image[:half, half:], image[half:, :half], image[half:, half:] = BLUE, GREEN, WHITE, RED
    return image


def result(folder: Path, photo: np.ndarray, *, scale: int = 2, out: str = "runs") -> Path:
    """The result of `PIPELINE` on two crops of a photograph; the first item has a name that is hard on HTML, and a curve."""
    for name in ("hr", "red", "quarters"):
        (folder / name).mkdir(exist_ok=True)
    for number, item in enumerate((ITEM, "z")):
        write_png(folder / "hr" / f"{item}.png", photo[20 : 20 + SIDE, 100 * number : 100 * number + SIDE])
        write_png(folder / "red" / f"{item}.png", np.full((SIDE, SIDE, 3), RED, np.uint8))
        write_png(folder / "quarters" / f"{item}.png", quarters())
    pipeline = read(folder, PIPELINE.replace("scale: 2", f"scale: {scale}"))
    report = run(make_plan(pipeline, pipeline.dataset()), folder / out)
    assert not report.failures
    with h5py.File(report.result, "r+") as file:
        curve = np.stack([np.arange(500.0), np.exp(-np.arange(500.0) / 50)], axis=1)
        hdf5.put_curve(file[f"items/{ITEM}/methods/2/0"], "upscale/loss", curve)
    return report.result
