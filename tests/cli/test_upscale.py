"""The command ``blindsr upscale``: its output and its exit codes."""

import errno
import html
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import IO

import pytest
from click.testing import CliRunner, Result

from blindsr.api.photographs import upscaling
from blindsr.cli import cli
from blindsr.cli import upscale as command
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


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """What is opened for the user."""
    found: list[Path] = []
    monkeypatch.setattr(command, "show", found.append)
    return found


@pytest.mark.parametrize(
    ("arguments", "page"),
    [
        (("--report", "small.png"), "report.html"),
        (("small.png", "-o", "out", "--report"), "out/report.html"),
        (("small.png", "-o", "new/out", "--report", "new/out/p.html"), "new/out/p.html"),
        (("small.png", "--report", "my page.HTML"), "my page.HTML"),
        (("--report=page.htm", "small.png"), "page.htm"),
        (("--report", "--", "small.png"), "report.html"),
    ],
)
def test_a_page_is_made_where_it_is_told(arguments: tuple[str, ...], page: str, folder: Path) -> None:
    result = CliRunner().invoke(cli, ["upscale", *QUICKLY, *arguments])
    assert result.exit_code == 0, result.output
    assert f"report: {page}\n" in result.stderr
    assert "<h3><bdi>small.png</bdi><small>192 × 160 pixels</small></h3>" in (folder / page).read_text()
    assert sorted(path.name for path in folder.rglob("*.html")) == ([Path(page).name] if page.endswith("html") else [])


@pytest.mark.parametrize("name", NAMES)
def test_names_are_text_in_the_page(name: str, folder: Path) -> None:
    shutil.move("small.png", name)
    assert _upscale(name, "--report").exit_code == 0
    text = (folder / "report.html").read_text()
    assert f"<bdi>{html.escape(name.replace(chr(10), '?'))}</bdi>" in text
    assert "<script>.png" not in text


def test_photographs_that_fail_or_were_done_before_are_named_in_the_page(folder: Path) -> None:
    assert _upscale("small.png").exit_code == 0
    shutil.copy("small.png", "other.png")
    result = _upscale("missing.png", "small.png", "other.png", "--report")
    assert result.exit_code == 1
    text = (folder / "report.html").read_text()
    assert "<li>missing.png: no such file</li>" in text or "<li>no such file</li>" in text
    assert "is there already" in text
    assert text.count('class="viewer"') == 1


@pytest.mark.parametrize(
    ("page", "line"),
    [
        ("gone/page.html", "gone/page.html: there is no folder gone"),
        ("there.html", "there.html: exists already; choose another --report, or replace it with --force"),
        ("folder.html", "folder.html: is a folder; name another file"),
        ("locked/page.html", "locked/page.html: permission denied"),
        (f"{'long' * 70}.html", "the name is too long; choose one of at most 255 bytes"),
        pytest.param(
            "/proc/page.html",
            "; choose another folder",
            marks=pytest.mark.skipif(sys.platform != "linux", reason="as Linux refuses it"),
        ),
    ],
)
def test_a_page_that_cannot_be_written_is_refused_before_the_work(
    page: str, line: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "there.html").write_text("mine")
    (folder / "folder.html").mkdir()
    (folder / "locked").mkdir()
    made = tempfile.TemporaryFile

    def temporary(*, dir: Path) -> IO[bytes]:  # noqa: A002
        if dir.name == "locked":  # root may do all
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(dir))
        return made(dir=dir)

    monkeypatch.setattr(tempfile, "TemporaryFile", temporary)
    result = _upscale("small.png", "--report", page)
    assert result.exit_code == 2
    assert f"error: {page}: " in result.stderr
    assert line in result.stderr
    assert not (folder / "small_x2.png").exists()
    assert (folder / "there.html").read_text() == "mine"


def test_many_photographs_have_their_pictures_in_a_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("blindsr.report.page.photographs.MAX_INSIDE", 1)
    shutil.copy("small.png", "b.png")
    (folder / "b.png").write_bytes((folder / "small.png").read_bytes())
    assert _upscale("small.png", "b.png", "--report", "p.html").exit_code == 0
    assert len(list((folder / "p_files").glob("*.webp"))) == 1  # equal pictures are kept once
    refused = _upscale("small.png", "b.png", "--report", "p2.html", "--force")
    assert refused.exit_code == 0
    (folder / "p3_files").mkdir()
    assert "p3_files: exists already" in _upscale("small.png", "b.png", "--report", "p3.html").stderr
    (folder / "p4_files").write_text("mine")
    (folder / "small_x2.png").unlink()
    refused = _upscale("small.png", "b.png", "--report", "p4.html", "--force")
    assert "p4_files: is a file, and the pictures need a folder of this name; choose another --report" in refused.stderr
    assert not (folder / "small_x2.png").exists()


def test_an_interrupt_leaves_the_page_of_what_is_finished(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copy("small.png", "second.png")
    write = upscaling.write_photograph

    def interrupted(path: Path, *rest: object) -> None:
        if "second" in path.name:
            raise KeyboardInterrupt
        write(path, *rest)

    monkeypatch.setattr(upscaling, "write_photograph", interrupted)
    assert _upscale("small.png", "second.png", "--report").exit_code == 130
    text = (folder / "report.html").read_text()
    assert "<bdi>small.png</bdi>" in text
    assert "second.png" not in text


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        (("small.png", "--open"), ["small_x2.png"]),
        (("small.png", "--open", "--report"), ["report.html"]),
        (("small.png", "b.png", "-o", "out", "--open"), ["out"]),
        (("missing.png", "--open"), []),
        (("small.png",), []),
    ],
)
def test_the_result_is_opened(arguments: tuple[str, ...], shown: list[str], folder: Path, opened: list[Path]) -> None:
    shutil.copy("small.png", "b.png")
    _upscale(*arguments)
    assert opened == [Path(name) for name in shown]
