"""Result files: of every released format version, of other programs, and damaged ones."""

import sys
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image

from blindsr.errors import BlindSRError
from blindsr.imaging.metrics import psnr_y
from blindsr.imaging.writer import write_png
from blindsr.pipeline.plan import make_plan
from blindsr.storage.result import Result, open_result
from pipelines import QUICK, read, run

OLD = sorted((Path(__file__).parents[1] / "data").glob("result-*.h5"))


def test_there_are_old_results() -> None:
    assert [path.name for path in OLD] == ["result-0.1.0.h5"]


@pytest.mark.parametrize("path", OLD, ids=lambda path: path.stem)
def test_results_of_every_released_version_open(path: Path) -> None:
    with open_result(path) as result:
        assert result.items == ["cat"]
        assert result.methods == ["Bicubic interpolation", "Ground truth"]
        sr = result.sr("cat", "Bicubic interpolation", 0)
        assert psnr_y(sr, result.image("cat", "hr"), shave=2) == pytest.approx(result.columns["psnr"][0], abs=1e-9)
        assert result.kernel("cat").scale == 2
        assert result.kernel("cat").expected_error is None
        assert np.isnan(result.columns["expected_error"]).all()
        assert result.curves("cat", "Ground truth", 0).keys() == {
            "upscale/learning_rate_factor",
            "upscale/loss",
            "upscale/reconstruction_mse",
        }


ROW = ("cat", "Ground truth", 0)


@pytest.mark.parametrize(
    ("read", "message"),
    [
        (lambda result: result.sr("cta", "Ground truth"), "no item 'cta'; did you mean 'cat'?"),
        (lambda result: result.image("dog", "lr"), "no item 'dog'; it has cat"),
        (lambda result: result.image("cat", "sr"), "no image 'sr'; it has lr, hr"),
        (lambda result: result.source("cta"), "no item 'cta'; did you mean 'cat'?"),
        (lambda result: result.kernel("cat", "Ground truht"), "no method 'Ground truht'; did you mean 'Ground truth'?"),
        (lambda result: result.curves("cat", "x"), "no method 'x'; it has Bicubic interpolation, Ground truth"),
        (lambda result: result.settings("x"), "no method 'x'; it has Bicubic interpolation, Ground truth"),
        (lambda result: result.sr("cat", "Ground truth", 1), "no seed '1'; it has 0"),
        (lambda result: result.metrics("cat", "Ground truth", 7), "no seed '7'; it has 0"),
        (lambda result: result.seconds("cat", "Ground truth", 7), "no seed '7'; it has 0"),
        (lambda result: result.warnings("cta", "Ground truth"), "no item 'cta'; did you mean 'cat'?"),
    ],
)
def test_what_a_result_does_not_have_is_an_error(read: Callable[[Result], object], message: str) -> None:
    with open_result(OLD[0]) as result, pytest.raises(BlindSRError) as refusal:
        read(result)
    assert str(refusal.value) == f"{OLD[0]}: {message}"


@pytest.mark.parametrize("read", ["sr", "has_sr", "kernel", "curves", "warnings"])
def test_a_closed_result_says_so(read: str) -> None:
    result = open_result(OLD[0])
    result.close()
    with pytest.raises(BlindSRError, match="this result is closed; open it again with open_result"):
        getattr(result, read)(*ROW)
    assert repr(result).endswith("; closed>")


def test_a_row_has_its_numbers_by_name() -> None:
    with open_result(OLD[0]) as result:
        n = result.rows[ROW]
        assert result.columns["method"][n] == "Ground truth"
        assert result.metrics(*ROW) == {name: result.columns[name][n] for name in ("psnr", "ssim")}
        assert result.seconds("cat", "Ground truth") == {"upscale": result.columns["seconds_upscale"][n]}
        assert result.warnings(*ROW) == []
        assert repr(result) == f"<Result {OLD[0]}: tiny on data; item cat; method Bicubic interpolation, Ground truth; seed 0>"


def test_the_summary_as_a_data_frame() -> None:
    pandas = pytest.importorskip("pandas")
    with open_result(OLD[0]) as result:
        frame = result.to_pandas()
        assert isinstance(frame, pandas.DataFrame)
        assert list(frame["method"]) == ["Bicubic interpolation", "Ground truth"]
        assert list(frame["psnr"]) == list(result.columns["psnr"])


def test_without_pandas_there_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with open_result(OLD[0]) as result, pytest.raises(BlindSRError, match="install it with: pip install pandas"):
        result.to_pandas()


@pytest.fixture
def folder(tmp_path: Path, photo: np.ndarray) -> Path:
    for name in ("a", "b"):
        write_png(tmp_path / f"hr/{name}.png", photo[20:60, 40:90])
    return tmp_path


def _run(folder: Path, text: str = QUICK, **options: object) -> Path:
    plan = make_plan(pipeline := read(folder, text), pipeline.dataset())
    return run(plan, folder / "out", **options).result


def test_an_unchanged_result_is_not_written_again(folder: Path) -> None:
    written = _run(folder).stat()
    again = _run(folder, threads=2).stat()
    assert (again.st_mtime_ns, again.st_ino) == (written.st_mtime_ns, written.st_ino)


def _another_image(folder: Path) -> str:
    Image.new("RGB", (50, 40)).save(folder / "hr/c.png")
    return QUICK


def _a_step_computed_again(folder: Path) -> str:
    next((folder / "out/steps").iterdir()).unlink()
    return QUICK


def _a_damaged_result(folder: Path) -> str:
    result = next((folder / "out").glob("*/result.h5"))
    result.write_bytes(result.read_bytes()[:2000])
    return QUICK


@pytest.mark.parametrize(
    "change",
    [
        _another_image,
        _a_step_computed_again,
        _a_damaged_result,
        lambda folder: QUICK.replace("type: 1", "type: 2"),
        lambda folder: QUICK + "# a comment\n",
        lambda folder: QUICK + "seeds: [0, 1]\n",
    ],
)
def test_a_result_that_changed_is_written_again(folder: Path, change: Callable[[Path], str]) -> None:
    written = _run(folder).stat().st_ino, _run(folder).stat().st_mtime_ns
    path = _run(folder, change(folder))
    assert (path.stat().st_ino, path.stat().st_mtime_ns) != written
    open_result(path).close()


def test_a_flipped_bit_in_an_image_is_found(tmp_path: Path) -> None:
    data = bytearray(OLD[0].read_bytes())
    with h5py.File(OLD[0]) as file:
        chunk = file["items/cat/images/hr"].id.get_chunk_info(0)
    data[chunk.byte_offset + chunk.size // 2] ^= 1
    (tmp_path / "bad.h5").write_bytes(bytes(data))
    with open_result(tmp_path / "bad.h5") as result, pytest.raises(BlindSRError, match="items/cat/images/hr: damaged"):
        result.image("cat", "hr")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda file: file.attrs.modify("encoding-version", np.bytes_(b"9.0.0")), "format version 9.0.0; this blindsr reads 0.1.x"),
        (lambda file: file.attrs.modify("encoding-type", np.bytes_(b"anndata")), "it is a anndata file"),
        (lambda file: file.attrs.pop("encoding-type"), "it is no blindsr-result file"),
        (lambda file: file.pop("summary"), "not a readable result file"),
    ],
)
def test_foreign_and_future_files_are_refused(tmp_path: Path, change: object, message: str) -> None:
    path = tmp_path / "result.h5"
    path.write_bytes(OLD[0].read_bytes())
    with h5py.File(path, "r+") as file:
        change(file)  # type: ignore[operator]
    with pytest.raises(BlindSRError, match=message):
        open_result(path)


def test_a_result_cut_short_is_refused(tmp_path: Path) -> None:
    (tmp_path / "result.h5").write_bytes(OLD[0].read_bytes()[:5000])
    with pytest.raises(BlindSRError, match="not a readable result file"):
        open_result(tmp_path)
