"""Completion in shells, and opening of results."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from blindsr.cli import cli, shell

COMPLETE = "from blindsr.cli import cli; cli(prog_name='blindsr')"


def _completions(words: str) -> list[str]:
    """What bash offers after these words, the last of which is incomplete."""
    given = {"_BLINDSR_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(len(words.split(" ")) - 1)}
    done = subprocess.run([sys.executable, "-c", COMPLETE], env=os.environ | given, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    return [line.split(",", 1)[1] for line in done.stdout.splitlines()]


def test_commands_options_methods_and_pipelines_are_completed() -> None:
    assert "upscale" in _completions("blindsr up")
    assert _completions("blindsr upscale --rep") == ["--report"]
    assert _completions("blindsr upscale --kernel kernel") == ["kernelgan", "kernelnet"]
    assert "unfolding" in _completions("blindsr upscale --sr u")
    assert "kernelnet_unfolding" in _completions("blindsr run kernelnet_")
    assert _completions("blindsr run no_such_thing") == ["no_such_thing"]  # the shell looks for files of this name


def test_completion_loads_no_torch() -> None:
    program = "import sys; from blindsr.cli.shell import methods; assert methods('sr')(None, None, 'u'); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.parametrize("name", ["bash", "zsh", "fish"])
def test_the_script_is_one_of_the_shell(name: str) -> None:
    done = CliRunner().invoke(cli, ["completion", name])
    assert done.exit_code == 0
    assert f"_BLINDSR_COMPLETE={name}_complete" in done.stdout
    if found := shutil.which(name):
        subprocess.run([found, "-n"], input=done.stdout, text=True, check=True)  # reads it, and runs nothing


def test_another_shell_is_refused() -> None:
    done = CliRunner().invoke(cli, ["completion", "tcsh"])
    assert done.exit_code == 2
    assert "'tcsh' is not one of 'bash', 'zsh', 'fish'" in done.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="xdg-open is Linux's")
@pytest.mark.parametrize(
    ("program", "said"), [(None, True), ("exit 3", True), ('echo noise; echo "$1" > opened', False), ("sleep 20", False)]
)
def test_a_result_is_opened_and_nothing_fails_without_a_viewer(
    program: str | None, said: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(shell, "PATIENCE_SECONDS", 0.5 if program == "sleep 20" else 20)
    (tmp_path / "bin").mkdir()
    if program:
        (tmp_path / "bin/xdg-open").write_text(f"#!/bin/sh\n{program}\n")
        (tmp_path / "bin/xdg-open").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/bin" if program else str(tmp_path / "bin"))
    shell.show(Path("a b.png"))
    shown = capfd.readouterr()
    assert (shown.out, shown.err) == ("", "note: a b.png: no program was found to open it\n" if said else "")
    if program and "opened" in program:
        assert (tmp_path / "opened").read_text() == f"{tmp_path}/a b.png\n"


def test_a_run_opens_the_folder_of_its_images(small_photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[Path] = []
    monkeypatch.setattr("blindsr.cli.run.show", shown.append)
    (tmp_path / "quick.yaml").write_text("name: quick\nscale: 2\nmethods: {Bicubic: {sr: bicubic}}\n")
    arguments = [
        "run",
        str(tmp_path / "quick.yaml"),
        "--lr",
        str(small_photo),
        "--workers",
        "0",
        "--out",
        str(tmp_path / "runs"),
        "--open",
    ]
    done = CliRunner().invoke(cli, arguments)
    assert done.exit_code == 0, done.output
    assert len(shown) == 1
    assert list(shown[0].rglob("*.png"))
