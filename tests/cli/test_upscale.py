"""The command ``blindsr upscale``: its output and its exit codes."""

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from blindsr.api.photographs import upscaling
from blindsr.cli import cli
from blindsr.imaging.reader import read_image

QUICKLY = ("--kernel", "bicubic", "--sr", "bicubic", "--device", "cpu")
NAMES = ["it's.png", 'a "quote".png', "two\nlines.png", "<script>.png", "Fjäll 写真.png", "[1].png"]


@pytest.fixture
def folder(tmp_path: Path, small_photo: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _upscale(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["upscale", *arguments, *QUICKLY])


def test_the_blur_is_told_and_the_image_is_there(folder: Path) -> None:
    result = _upscale("small.png", "-o", "out", "--scale", "3")
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("out/small_x3.png: blur 1.2 x 1.2 px, hardly any; noise ")
    assert read_image(folder / "out/small_x3.png").pixels.shape == (240, 288, 3)


def test_results_that_are_there_are_left_alone_unless_told(folder: Path) -> None:
    (folder / "small_x2.png").write_text("mine")
    result = _upscale("small.png")
    assert result.exit_code == 0
    assert "note: small_x2.png: is there already; --force replaces it" in result.stderr
    assert (folder / "small_x2.png").read_text() == "mine"
    assert _upscale("small.png", "--force").exit_code == 0
    assert read_image(folder / "small_x2.png").pixels.shape == (160, 192, 3)


def test_one_that_fails_is_named_and_the_others_go_on(folder: Path) -> None:
    (folder / "broken.png").write_bytes((folder / "small.png").read_bytes()[:500])
    result = _upscale("broken.png", "missing.jpg", "small.png", "--json")
    assert result.exit_code == 1
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert [(line["photo"], line["status"]) for line in lines] == [
        ("broken.png", "failed"), ("missing.jpg", "failed"), ("small.png", "done"),
    ]  # fmt: skip
    assert "damaged or cut short" in lines[0]["error"]
    assert "failed: missing.jpg: no such file\n" in result.stderr
    assert lines[2]["blur"]["like"] == "none"
    assert not list(folder.glob("*.part"))


@pytest.mark.parametrize("name", NAMES)
def test_any_name_is_a_photograph(name: str, folder: Path) -> None:
    shutil.move("small.png", name)
    result = _upscale(name, "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["output"] == f"{Path(name).stem}_x2.png"
    assert len(_upscale(name, "--force").stdout.splitlines()) == 1
    assert (folder / f"{Path(name).stem}_x2.png").is_file()


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ((), "Missing argument 'PHOTO...'"),
        (("",), "needs a path"),
        (("empty",), "empty: holds no photographs"),
        (("small.png", "-o", "small.png"), "small.png: is a file, not a folder to write to; name another for --out"),
        (("small.png", "--kernel", "ground_truth"), "ground_truth"),
        (("small.png", "--quality", "better"), "'better' is not one of"),
        (("small.png", "--strength", "2"), "2.0 is not in the range"),
    ],
)
def test_wrong_input_is_refused_in_a_line(arguments: tuple[str, ...], line: str, folder: Path) -> None:
    (folder / "empty").mkdir()
    result = CliRunner().invoke(cli, ["upscale", *arguments])
    assert result.exit_code == 2
    assert line in result.stderr
    assert "Traceback" not in result.output


def test_an_interrupt_loses_nothing_that_is_finished(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copy("small.png", "second.png")
    write = upscaling.write_photograph

    def interrupted(path: Path, *rest: object) -> None:
        if "second" in path.name:
            raise KeyboardInterrupt
        write(path, *rest)

    monkeypatch.setattr(upscaling, "write_photograph", interrupted)
    result = _upscale("small.png", "second.png", "-o", "out")
    assert result.exit_code == 130
    assert "interrupted: 1 of 2 are finished and kept" in result.stderr
    assert [path.name for path in (folder / "out").iterdir()] == ["small_x2.png"]
    monkeypatch.undo()
    monkeypatch.chdir(folder)
    again = _upscale("small.png", "second.png", "-o", "out")
    assert again.exit_code == 0
    assert again.stdout.startswith("out/second_x2.png: ")
