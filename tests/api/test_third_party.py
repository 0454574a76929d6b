"""A plugin in a separate package, written by following docs/plugin-tutorial.md."""

import json
import os
import re
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "third_party"
TUTORIAL = Path(__file__).parents[2] / "docs" / "plugin-tutorial.md"


def _blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", TUTORIAL.read_text(), flags=re.DOTALL)


def test_the_tutorial_shows_the_very_files() -> None:
    names = ["blindsr_spectrum/__init__.py", "blindsr_spectrum/search.py"]
    assert _blocks("python") == [(PACKAGE / name).read_text() for name in names]
    assert _blocks("toml") == [(PACKAGE / "pyproject.toml").read_text()]


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of a new environment that has this one's packages and the plugin."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder / "venv", with_pip=False)
    scripts = folder / "venv" / ("Scripts" if os.name == "nt" else "bin")
    python = scripts / Path(sys.executable).name
    site = next((folder / "venv").rglob("site-packages"))
    paths = [sysconfig.get_path("purelib"), sysconfig.get_path("platlib")]
    (site / "outer.pth").write_text("\n".join(f"import site; site.addsitedir({path!r})" for path in dict.fromkeys(paths)))
    command = [
        sys.executable,
        "-m",
        "pip",
        "--python",
        str(python),
        "install",
        "-q",
        "--no-deps",
        "--no-build-isolation",
        str(PACKAGE),
    ]
    subprocess.run(command, check=True, cwd=folder)
    return python


@pytest.mark.slow
def test_it_is_listed_with_its_distribution(python: Path) -> None:
    listed = subprocess.run([python, "-m", "blindsr", "plugins"], capture_output=True, text=True, check=True)
    assert re.search(r"spectrum\s+blindsr-spectrum 0\.1\.0", listed.stdout)
    assert listed.stderr == ""


@pytest.mark.slow
def test_it_is_used_from_yaml_by_name(python: Path, tmp_path: Path) -> None:
    (tmp_path / "try_spectrum.yaml").write_text(_blocks("yaml")[0])
    command = [python, "-m", "blindsr", "run", "try_spectrum.yaml", "--device", "cpu", "--workers", "1"]
    subprocess.run(command, cwd=tmp_path, check=True)
    code = (
        "import json, sys, blindsr; r = blindsr.open_result(sys.argv[1]); print(json.dumps([*map(float, r.columns['kernel_l2'])]))"
    )
    shown = subprocess.run(
        [python, "-c", code, "runs/try_spectrum-sample-chelsea-x2"], cwd=tmp_path, check=True, capture_output=True, text=True
    )
    bicubic, spectrum = json.loads(shown.stdout)
    assert spectrum < bicubic


@pytest.mark.slow
def test_it_passes_strict_type_checks(python: Path, tmp_path: Path) -> None:
    command = [python, "-m", "mypy", "--strict", "--config-file=", f"--cache-dir={tmp_path}", "blindsr_spectrum"]
    checked = subprocess.run(command, cwd=PACKAGE, capture_output=True, text=True, check=False)
    assert checked.stdout == "Success: no issues found in 2 source files\n"


@pytest.mark.slow
def test_its_qualified_name_means_it(python: Path) -> None:
    code = """
from blindsr.components.registry import Registry
built = Registry.discover().build("kernel", "blindsr_spectrum:spectrum", {"candidates": 5})
print(built.candidates, built.full_name)
"""
    shown = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout == "5 blindsr-spectrum:spectrum\n"
