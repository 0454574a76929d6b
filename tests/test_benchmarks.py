"""The benchmarks run too long for tests, but what they import must exist, and those of methods must run on a tiny set."""

import ast
import csv
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from blindsr_unfolding import Unfolding
from numpy.typing import NDArray
from scipy import ndimage
from scipy.io import loadmat

from blindsr.api import Kernel, read_image, to_float
from blindsr.api.testing import run_context
from blindsr.imaging.writer import write_png

ROOT = next(folder for folder in Path(__file__).parents if (folder / "pyproject.toml").is_file())
PROJECT = ("blindsr", "pipelines", "corpus", "faulty", "dask_cluster")


@pytest.mark.parametrize("script", sorted((ROOT / "benchmarks").rglob("*.py")), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_what_a_benchmark_imports_exists(script: Path) -> None:
    for node in ast.walk(ast.parse(script.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith(PROJECT):
            module = import_module(node.module)
            for alias in node.names:
                assert hasattr(module, alias.name) or import_module(f"{node.module}.{alias.name}")


@pytest.fixture
def photographs(tmp_path: Path, photo: NDArray[np.uint8]) -> Path:
    """A folder like ../shared, with twelve photographs of 96 x 80 pixels."""
    folder = tmp_path / "shared/data/bsd100"
    folder.mkdir(parents=True)
    for number in range(12):
        write_png(folder / f"{number:02}.png", photo[10 * number : 10 * number + 80, 20 * number : 20 * number + 96])
    return tmp_path / "shared"


def _run(name: str, *arguments: str | Path) -> str:
    command = [sys.executable, ROOT / "benchmarks" / name, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_the_kernel_benchmark(photographs: Path, tmp_path: Path) -> None:
    options = ("--estimators", "bicubic", "--sr", "bicubic", "--limit", "1", "--shared", photographs, "--out")
    printed = _run("kernels", "families", "robustness", *options, tmp_path / "a")
    assert (tmp_path / "a/kernels.md").read_text() == printed.removesuffix("\n")
    with (tmp_path / "a/kernels.csv").open() as file:
        rows = {(row["condition"], row["kernel"]): row for row in csv.DictReader(file)}
    assert float(rows["bicubic", "bicubic"]["error"]) < 0.01
    assert float(rows["Gaussian, wide", "bicubic"]["error"]) > 0.5
    psnr = {condition: float(row["psnr"]) for (condition, kernel), row in rows.items() if kernel == "bicubic interpolation"}
    assert psnr["none"] > psnr["noise of 2 levels"] > psnr["noise of 5 levels"]
    assert psnr["JPEG 90"] > psnr["JPEG 75"]
    drawn = (tmp_path / "a/kernels_families.svg").read_text()
    texts = ["".join(node.itertext()) for node in ElementTree.fromstring(drawn).iter("{http://www.w3.org/2000/svg}text")]
    conditions = list(dict.fromkeys(row for row, _ in rows))[:7]  # the eighth is called as the estimator
    assert [text for text in texts if text in conditions] == conditions * 2  # below the errors, and below the PSNR
    assert {"bicubic", "true kernel", "bicubic interpolation"} <= set(texts)
    (tmp_path / "a/kernels_families.svg").unlink()
    assert _run("kernels", "--sr", "bicubic", "--plot", tmp_path / "a/kernels.csv").split() == [
        str(tmp_path / f"a/kernels_{part}.svg") for part in ("families", "robustness")
    ]
    assert (tmp_path / "a/kernels_families.svg").read_text() == drawn
    _run("kernels", "robustness", *options, tmp_path / "b")
    alone = (tmp_path / "b/kernels.md").read_text().split("## ")[1]
    assert alone in printed  # the same whatever other parts there are


@pytest.mark.slow
def test_the_set_of_the_kernel_benchmark_and_the_sr_benchmark(photographs: Path, tmp_path: Path) -> None:
    _run("kernels", "nongaussian", "--limit", "3", "--shared", photographs, "--write", photographs / "data")
    folder = photographs / "data/nongaussian"
    for number in (1, 2, 3):
        hr = read_image(folder / f"gt/img_{number}_gt.png").pixels[..., 1].astype(float)
        kernel = loadmat(folder / f"gt_k_x2/kernel_{number}.mat")["Kernel"]
        expected = np.clip(ndimage.correlate(hr, kernel, mode="reflect")[::2, ::2], 0, 255)
        np.testing.assert_allclose(read_image(folder / f"lr_x2/im_{number}.png").pixels[..., 1], expected, atol=0.51)
    options = ("--set", "nongaussian", "--methods", "bicubic", "--kernels", "true", "bicubic", "--shared", photographs)
    printed = _run("sr", *options, "--out", tmp_path / "out")
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in printed.splitlines() if line.startswith("| bicubic")]
    assert [row[:2] for row in rows] == [["bicubic", "true"], ["bicubic", "bicubic"]]
    assert rows[0][2:4] == rows[1][2:4]
    assert float(rows[0][4]) > float(rows[0][5]) > 0
    circles = ElementTree.fromstring((tmp_path / "out/sr.svg").read_text()).iter("{http://www.w3.org/2000/svg}circle")
    assert len(list(circles)) == 3  # two points and the legend's


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_the_plain_form_of_the_unfolding_network_is_the_plugins(
    scale: int, photo: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(ROOT / "benchmarks/sr")
    plain = import_module("plain")
    lr, kernel = to_float(photo[:31, :27]), Kernel.gaussian([[3, 0.5], [0.5, 1.2]], scale)
    found, expected = (component.fit(lr, kernel, run_context())(lr) for component in (plain.PlainUnfolding(), Unfolding()))
    np.testing.assert_allclose(found, expected, atol=1e-3)  # in float64 2e-6, in float32 2e-4: it divides by the small alpha


@pytest.mark.slow
def test_the_benchmark_of_zssrs_optimizer(photographs: Path) -> None:
    _run("kernels", "nongaussian", "--limit", "1", "--shared", photographs, "--write", photographs / "data")
    options = ("--images", "nongaussian/1", "--iterations", "20", "--steps", "1", "--shared", photographs)
    own, of_torch = (float(value) for value in re.findall(r"(?:own|torch) ([0-9.]+) dB", _run("zssr_optimizer.py", *options)))
    assert own == pytest.approx(of_torch, abs=0.05)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("kernels", ["nothing"], "no part nothing; there are families,"),
        ("kernels", ["--plot", "absent.csv"], "absent.csv: no such file; --out of an earlier call"),
        ("kernels", ["--shared", "absent"], "absent/data/bsd100: holds 0 PNG images"),
        ("sr", ["--set", "absent"], "absent: no such folder"),
    ],
)
def test_a_wrong_argument_of_a_benchmark_gets_one_line(name: str, arguments: list[str], message: str) -> None:
    done = subprocess.run([sys.executable, ROOT / "benchmarks" / name, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith(f"benchmarks/{name}: ")
    assert message in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="memory is as Linux counts it")
def test_the_memory_benchmark(photographs: Path) -> None:
    printed = _run("upscale_memory.py", "--sizes", "0.3", "--formats", "png", "--photographs", photographs / "data/bsd100")
    _, megapixels, photograph, gigabytes, *_ = (cell.strip() for cell in printed.splitlines()[2].split("|"))
    assert (megapixels, photograph) == ("0.3", "16-bit PNG")
    assert 0.05 < float(gigabytes) < 1.5
