"""Image files that break programs: each is read, or refused in one line. A run of all of them ends."""

import re
from pathlib import Path

import corpus
import pytest
from click.testing import CliRunner

from blindsr.cli import cli
from blindsr.errors import BlindSRError
from blindsr.imaging.reader import read_image
from blindsr.storage.result import open_result

PIPELINE = "name: corpus\nscale: 2\ndata: {lr: x}\nmethods:\n  Bicubic interpolation: {type: 1, sr: bicubic}\n"


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Path, corpus.Case]]:
    return corpus.write(tmp_path_factory.mktemp("corpus") / "images")


def _refusal(path: Path) -> str:
    try:
        picture = read_image(path)
    except BlindSRError as error:
        return str(error)
    assert picture.pixels.ndim == 3
    assert picture.pixels.shape[2] == 3
    return ""


@pytest.mark.slow
def test_each_is_read_or_refused_as_it_should_be(
    files: list[tuple[Path, corpus.Case]], recwarn: pytest.WarningsRecorder, capfd: pytest.CaptureFixture[str]
) -> None:
    assert len(files) > 180
    wrong = {}
    for path, case in files:
        refusal = _refusal(path)
        said = refusal.removeprefix(f"{path}: ")
        as_it_should = refusal == "" if case.refusal == corpus.WORKS else case.refusal is None or re.search(case.refusal, said)
        one_line = refusal == "" or (said != refusal and "\n" not in said)
        if not as_it_should or not one_line:
            wrong[case.name] = refusal
    assert wrong == {}
    assert [str(warning.message) for warning in recwarn] == []
    assert capfd.readouterr() == ("", "")  # decoders in C may print directly


@pytest.mark.slow
def test_a_run_on_all_of_them_ends_well(files: list[tuple[Path, corpus.Case]], tmp_path: Path) -> None:
    pipeline = tmp_path / "corpus.yaml"
    pipeline.write_text(PIPELINE)
    folder = files[0][0].parent
    outcome = CliRunner().invoke(cli, ["run", str(pipeline), "--lr", str(folder), "--workers", "0", "--out", str(tmp_path / "out")])
    assert outcome.exit_code == 1, outcome.output
    assert "Traceback" not in outcome.output
    assert not set(outcome.output) & set("\x1b\x9b\x7f\r")
    shown = [path for path, _ in files if not path.name.startswith(".")]  # hidden files are not read as images
    readable = sum(not _refusal(path) for path in shown)
    with open_result(tmp_path / "out/corpus-images-x2") as result:
        assert len(result.items) == len(shown)
        errors = [str(error) for error in result.columns["error"]]
        assert sum(not error for error in errors) == readable
    images = tmp_path / "out/corpus-images-x2/images/Bicubic_interpolation"
    assert len(list(images.iterdir())) == readable
    written = {path.relative_to(tmp_path).parts[0] for path in tmp_path.rglob("*")}
    assert written == {"out", "corpus.yaml"}
