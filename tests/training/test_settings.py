"""The settings of a training: their YAML files, the command's options, and what is said of mistakes."""

import re
import shlex
from pathlib import Path

import pytest
from blindsr_training.__main__ import TRAININGS, main
from blindsr_training.settings import CONFIGS, read_settings
from blindsr_training.unfolding.training import UnfoldingSettings
from click.testing import CliRunner

from blindsr.errors import BlindSRError


def _message(text: str, tmp_path: Path, **given: str) -> str:
    (tmp_path / "c.yaml").write_text(text)
    with pytest.raises(BlindSRError) as caught:
        read_settings(UnfoldingSettings, str(tmp_path / "c.yaml"), {"hr": str(tmp_path), **given})
    return str(caught.value).replace(f"{tmp_path}/", "")


def test_options_override_the_file_and_both_their_defaults(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("scale: 3\nsteps: 7\nrate: 1e-4\n")
    found = read_settings(UnfoldingSettings, str(tmp_path / "c.yaml"), {"hr": str(tmp_path), "steps": "9"})
    assert (found.scale, found.steps, found.rate, found.stages) == (3, 9, 1e-4, 4)


def test_paths_in_a_file_start_at_its_folder_and_those_of_options_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder in ("here/photos", "there/photos"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "there/c.yaml").write_text("scale: 2\nhr: photos\n")
    monkeypatch.chdir(tmp_path / "here")
    assert read_settings(UnfoldingSettings, "../there/c.yaml", {}).hr == tmp_path / "there/photos"
    assert read_settings(UnfoldingSettings, "../there/c.yaml", {"hr": "photos"}).hr == tmp_path / "here/photos"


@pytest.mark.parametrize("path", sorted(CONFIGS.iterdir()), ids=lambda path: path.name)
def test_bundled_files_are_valid_and_found_by_name(path: Path, tmp_path: Path) -> None:
    model = TRAININGS[path.name.split(".")[0].split("_")[0]].Settings
    given = {"hr": str(tmp_path)} | ({"examples": str(tmp_path)} if "corrected" in path.name else {})
    assert read_settings(model, path.name, given) == read_settings(model, path.stem, given)


def test_each_mistake_gets_a_line_with_its_place(tmp_path: Path) -> None:
    assert _message("scale: 2\nstepz: 3", tmp_path) == "c.yaml:2:1: stepz: unknown setting; did you mean 'steps'?"
    assert _message("scale: 5\nstart: no.pt", tmp_path).splitlines() == [
        f"c.yaml:2:8: start: no such file: {tmp_path}/no.pt".replace(f"{tmp_path}/", ""),
        "c.yaml:1:8: scale: should be less than or equal to 4, not 5",
    ]
    assert _message("{}", tmp_path) == "`scale`: is required"
    assert _message("scale: 3\npatch: 100", tmp_path) == "c.yaml:2:8: patch: must be a multiple of the scale, 3, not 100"
    assert _message("scale: 2", tmp_path, rate="-1") == "`rate`: should be greater than 0, not '-1'"
    assert _message("scale: 2\nrate: .inf", tmp_path) == "c.yaml:2:7: rate: should be a finite number, not inf"
    assert _message("- 2", tmp_path) == "c.yaml:1:1: expected a mapping of settings (scale, steps, batch, ...)"
    assert _message("", tmp_path) == "c.yaml:1:1: expected a mapping of settings (scale, steps, batch, ...)"
    assert _message("scale: [", tmp_path).startswith("c.yaml:")
    assert _message("scale: 2", tmp_path, hr="nowhere").startswith("`hr`: no such folder: ")


def test_a_file_makes_no_objects(tmp_path: Path) -> None:
    _message(f"scale: !!python/object/apply:os.mkdir [{tmp_path}/made]", tmp_path)
    assert not (tmp_path / "made").exists()


def test_the_command_says_what_it_cannot_find(tmp_path: Path) -> None:
    def output(*arguments: str) -> str:
        done = CliRunner().invoke(main, [*arguments, "--out", str(tmp_path / "t")])
        assert done.exit_code in (1, 2)
        assert not (tmp_path / "t").exists()
        return done.output

    unknown = "Error: unfolding_x9.yaml: no such file, nor bundled settings; did you mean 'unfolding_x4'?"
    assert output("unfolding", "--config", "unfolding_x9.yaml").startswith(unknown[:70])
    assert output("srmd") == "Error: `hr`: is required\n`scale`: is required\n"
    assert "'--steps'" in output("srmd", "--stepz", "3")
    assert "`device`: should be 'auto', 'cpu' or 'cuda', not 'tpu'" in output("srmd", "--device", "tpu")


def test_the_commands_in_the_documentation_are_right(tmp_path: Path) -> None:
    root = next(folder for folder in Path(__file__).parents if (folder / "pyproject.toml").is_file())
    documents = [root / "docs/guide.md", *root.glob("plugins/*/weights/MODEL_CARD.md")]
    lines = [
        line
        for document in documents
        for line in re.findall(r"^python -m blindsr_training (.*)", document.read_text(), re.MULTILINE)
    ]
    assert len(lines) >= 6
    for line in lines:
        network, *arguments = shlex.split(line)
        given = main.commands[network].make_context(network, arguments).params
        if network not in TRAININGS:
            continue
        config = given.pop("config")
        paths = ("out", "hr", "start", "estimates", "examples")
        chosen = {name: value for name, value in given.items() if value is not None and name not in paths}
        chosen |= {"examples": str(tmp_path)} if network == "corrected" else {}
        assert (CONFIGS / config).is_file()
        read_settings(TRAININGS[network].Settings, config, {**chosen, "hr": str(tmp_path)})
