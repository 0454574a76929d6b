"""Plots: what is in them, and what is refused."""

import importlib.util
import re
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
from click.testing import CliRunner
from click.testing import Result as Outcome
from pages import ITEM, SCRIPT
from PIL import Image

from blindsr.cli import cli
from blindsr.report import plots
from blindsr.storage.result import open_result

pytest.importorskip("matplotlib", reason="matplotlib is not installed")


def _plot(*arguments: object) -> Outcome:
    return CliRunner().invoke(cli, ["plot", *map(str, arguments)])


def _refusal(*arguments: object) -> str:
    outcome = _plot(*arguments)
    assert outcome.exit_code == 2
    assert outcome.output.count("\n") == 1
    return outcome.output.strip()


@pytest.mark.parametrize(("suffix", "start"), [(".png", b"\x89PNG"), (".pdf", b"%PDF"), (".svg", b"<?xml")])
def test_the_ending_chooses_the_format(path: Path, tmp_path: Path, suffix: str, start: bytes) -> None:
    output = tmp_path / f"a{suffix}"
    assert _plot(path, "--what", "scatter", "-o", output).exit_code == 0
    assert output.read_bytes().startswith(start)
    first = output.read_bytes()
    assert _plot(path, "--what", "scatter", "-o", output, "--force").exit_code == 0
    assert output.read_bytes() == first


def test_kernels_have_the_colours_of_their_values(path: Path, tmp_path: Path) -> None:
    assert _plot(path, "--what", "kernels", "--items", "z", "-o", tmp_path / "k.png").exit_code == 0
    picture = np.asarray(Image.open(tmp_path / "k.png").convert("RGB")).astype(int)
    with open_result(path) as result:
        true = result.kernel("z").array
    brightest = np.abs(picture - [252, 255, 164]).max(axis=2) < 3  # inferno's last colour
    left = brightest[:, : picture.shape[1] // 2]  # the true kernel is the first of two
    black = (np.abs(picture - [0, 0, 3]).max(axis=2) < 3)[:, : picture.shape[1] // 2]
    rows, columns = np.nonzero(black)
    frame = (rows.min(), rows.max() + 1), (columns.min(), columns.max() + 1)
    place = [np.nonzero(left.any(axis=1 - axis))[0].mean() for axis in (0, 1)]
    parts = [(where - low) / (high - low) for where, (low, high) in zip(place, frame, strict=True)]
    row, column = np.unravel_index(true.argmax(), true.shape)
    assert left.any()
    assert (parts[0] > 0.5) == (row > true.shape[0] // 2)
    assert (parts[1] > 0.5) == (column > true.shape[1] // 2)


def test_names_are_text(path: Path, tmp_path: Path) -> None:
    assert _plot(path, "--what", "curves", "-o", tmp_path / "c.svg").exit_code == 0
    text = (tmp_path / "c.svg").read_text()
    assert "Quarters" in text
    assert "<script" not in text
    assert plots._text(f"$x$ {SCRIPT}\x1b") == rf"\$x\$ {SCRIPT}?"


def test_wrong_input_gets_one_line(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    output = tmp_path / "a.png"
    assert "a plot is written as .png, .pdf, .svg, not as '.jpg'" in _refusal(path, "--what", "scatter", "-o", tmp_path / "a.jpg")
    assert "there is no folder" in _refusal(path, "--what", "scatter", "-o", tmp_path / "no" / "a.png")
    assert "no image matches --items 'x*'; it has" in _refusal(path, "--what", "kernels", "--items", "x*", "-o", output)
    assert "no such file" in _refusal(tmp_path / "result.h5", "--what", "kernels", "-o", output)
    shutil.copy(path, copy := tmp_path / "result.h5")
    with h5py.File(copy, "r+") as file:
        del file[f"items/{ITEM}/methods/2/0/curves"]
    assert _refusal(copy, "--what", "curves", "-o", output) == f"error: {copy}: has no curves to plot"
    monkeypatch.setattr(plots, "MAX_ROWS", 1)
    assert "2 images are too many for one plot; choose at most 1 by --items" in _refusal(path, "--what", "kernels", "-o", output)
    output.write_text("mine")
    refusal = _refusal(path, "--what", "scatter", "-o", output)
    assert refusal == f"error: {output}: exists already; choose another --output, or replace it with --force"
    assert output.read_text() == "mine"
    missing = tmp_path / "b.png"
    monkeypatch.setattr(
        "blindsr.report.plots.find_spec", lambda name: None if name == "matplotlib" else importlib.util.find_spec(name)
    )
    refusal = _refusal(path, "--what", "scatter", "-o", missing)
    assert re.fullmatch(r"error: plots need the package matplotlib; install it with: pip install blindsr\[plot\]", refusal)
