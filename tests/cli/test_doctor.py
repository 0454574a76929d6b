"""The command ``blindsr doctor``: what it finds, and its exit codes."""

import json
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from blindsr.cli import cli, doctor
from blindsr.components.discovery import Problem
from blindsr.components.registry import Registry

ROOT = next(folder for folder in Path(__file__).parents if (folder / "pyproject.toml").is_file())


@pytest.fixture(autouse=True)
def _writable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def _examined() -> tuple[Result, dict[str, dict[str, str]]]:
    result = CliRunner().invoke(cli, ["doctor", "--json"])
    return result, {finding["name"]: finding for finding in json.loads(result.stdout)["findings"]}


def test_a_sound_installation_is_sound() -> None:
    result, found = _examined()
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["healthy"]
    assert found["numpy"]["text"] == metadata.version("numpy")
    assert {"torch", "opencv-python", "pillow", "cpu", "bfloat16", "temporary files"} <= set(found)
    text = CliRunner().invoke(cli, ["doctor"])
    assert text.exit_code == 0
    assert text.stdout.endswith("nothing is broken\n")
    assert f"  ok      numpy              {metadata.version('numpy')}\n" in text.stdout


def test_the_extras_are_those_of_the_package() -> None:
    """Each with a module for each of its distributions."""
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert {name: len(extra.modules) for name, extra in doctor.EXTRAS.items()} == {
        name: len(needed) for name, needed in declared.items() if name not in ("test", "dev")
    }


def test_an_extra_that_is_not_there_can_be_added(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rawpy", None)
    result, found = _examined()
    assert result.exit_code == 0
    assert found["raw"]["state"] == "absent"
    assert found["raw"]["text"].endswith("pip install 'blindsr[raw]'")


def test_a_plugin_that_fails_is_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = Problem("mine", "mine 1.0", "ImportError: no module named 'nothing'")
    sound = Registry.discover()
    monkeypatch.setattr(Registry, "discover", classmethod(lambda cls: cls(sound.entries, (problem,))))
    result, found = _examined()
    assert result.exit_code == 1
    assert (found["mine"]["state"], found["mine"]["text"]) == ("broken", "of mine 1.0: ImportError: no module named 'nothing'")


def test_missing_weights_are_broken(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    component = Registry.discover().get("sr", "unfolding")
    monkeypatch.setattr(component, "shipped_weights", lambda self, scale: {tmp_path / "gone": "Apache-2.0"})
    result, found = _examined()
    assert result.exit_code == 1
    assert found["unfolding"]["state"] == "broken"
    assert "gone" in found["unfolding"]["text"]


@pytest.mark.parametrize(
    ("requirement", "state", "text"),
    [
        ("numpy>=2.0", "ok", ""),
        ("numpy>=99.1", "broken", "is too old; pip install 'numpy>=99.1'"),
        ("no-such-thing>=1", "broken", "is missing; pip install 'no-such-thing>=1'"),
    ],
)
def test_requirements(requirement: str, state: str, text: str) -> None:
    finding = doctor._required(requirement)
    assert finding.state == state
    assert finding.text.endswith(text)


def test_a_library_that_cannot_be_imported_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(name: str) -> None:
        raise ImportError("libGL.so.1: cannot open shared object file")

    monkeypatch.setattr(doctor.importlib, "import_module", broken)
    finding = doctor._required("opencv-python>=4")
    assert finding.state == "broken"
    assert "cannot be imported (ImportError: libGL.so.1" in finding.text


def test_no_room_for_temporary_files_is_broken(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(doctor.tempfile, "tempdir", str(tmp_path / "gone"))
    findings = {finding.name: finding for finding in doctor._folders()}
    assert findings["temporary files"].state == "broken"
    assert findings["working directory"].state == "ok"
