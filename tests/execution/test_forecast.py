"""Dry runs: the number of steps and the estimated time; stored hashes."""

import json
import math
import os
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from blindsr.cli import cli
from blindsr.imaging.writer import write_png
from blindsr.pipeline import hashes as hashing
from blindsr.pipeline.hashes import Hashes
from blindsr.storage.timings import Timings
from pipelines import write


@pytest.fixture
def folder(tmp_path: Path, photo: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, left in (("a", 0), ("b", 60)):
        write_png(tmp_path / f"hr/{name}.png", photo[20:100, left : left + 96])
    write(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _run(*options: str) -> str:
    result = CliRunner().invoke(cli, ["run", "quick.yaml", "--workers", "0", "--device", "cpu", *options], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_a_dry_run_counts_and_does_nothing(folder: Path) -> None:
    lines = [line.split() for line in _run("--dry-run").splitlines()]
    assert lines[0] == ["quick", "on", "hr", "x2:", "2", "images,", "2", "methods,", "1", "seed,", "4", "rows"]
    assert ["upscale", "bicubic", "4", "0", "4", "not", "timed", "yet"] in lines
    assert not (folder / "runs/steps").exists()
    assert not (folder / "runs/quick-hr-x2").exists()


def test_a_dry_run_knows_what_is_done_and_how_long_the_rest_takes(folder: Path) -> None:
    _run("--limit", "1")
    timings = json.loads((folder / "runs/timings.json").read_text())
    assert set(timings) == {"degrade random_kernel x2", "estimate bicubic x2", "upscale bicubic x2", "score score x2"}
    times = {"degrade random_kernel x2": 600, "estimate bicubic x2": 600, "upscale bicubic x2": 1200, "score score x2": 0.0}
    (folder / "runs/timings.json").write_text(json.dumps(times))
    text = _run("--dry-run", "--workers", "2")
    assert ["upscale", "bicubic", "4", "2", "2", "1200.0"] in [line.split() for line in text.splitlines()]
    assert text.splitlines()[-1] == "about 30.0 minutes with 2 workers"  # (600 + 600 + 2 x 1200) / 2 seconds
    _run()
    assert _run("--dry-run").splitlines()[-1] == "nothing to compute"
    (folder / "runs/timings.json").write_text("[1, 2")  # damaged: the run continues without it
    assert _run("--dry-run", "--scale", "4").splitlines()[-1] == "no such steps were timed here yet; run a few first: --limit 1"


def test_hashes_are_remembered_by_size_and_time_stamp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    computed: list[Path] = []
    monkeypatch.setattr(hashing, "sha256", lambda path: (computed.append(path), path.read_text())[1])
    path, memory = tmp_path / "image", tmp_path / "hashes.json"

    def look() -> str:
        hashes = Hashes(memory)
        found = hashes.of(path)
        hashes.save()
        return found

    path.write_text("one")
    assert [look(), look()] == ["one", "one"]
    assert len(computed) == 2  # written just now: it could change again within the same time stamp
    monkeypatch.setattr(hashing, "SETTLED_SECONDS", 0)
    assert [look(), look()] == ["one", "one"]
    assert len(computed) == 3
    before = path.stat()
    (tmp_path / "other").write_text("two")  # same size and time stamp, but another file
    os.utime(tmp_path / "other", ns=(before.st_atime_ns, before.st_mtime_ns))
    (tmp_path / "other").replace(path)
    assert look() == "two"
    path.write_text("tri")  # the same file, with the same size
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert look() == "tri"
    path.write_text("three")
    assert look() == "three"
    memory.write_text('{"facts": 3')
    assert look() == "three"


@pytest.mark.parametrize("known", ["abc", None, [1], ["a", "b"], [10**400, 1], [math.nan, 1.0], {"a": 1}])
def test_facts_that_are_none_are_computed(tmp_path: Path, known: object) -> None:
    (tmp_path / "hashes.json").write_text(json.dumps({"facts": {"abc": known}}))
    assert Hashes(tmp_path / "hashes.json").fact("abc", 2, lambda: [1, 2]) == (1, 2)


@pytest.mark.parametrize("text", ['{"x": 1' + "0" * 400 + "}", '{"x": 1e999}', '{"x": NaN}', "[" * 100000, "3"])
def test_timings_that_are_none_are_empty(tmp_path: Path, text: str) -> None:
    (tmp_path / "timings.json").write_text(text)
    Timings(tmp_path / "timings.json").save()
    assert json.loads((tmp_path / "timings.json").read_text()) == {}


def test_facts_are_remembered_by_content(tmp_path: Path) -> None:
    first = Hashes(tmp_path / "hashes.json")
    assert first.fact("abc", 2, lambda: [1, 2]) == (1, 2)
    first.save()
    assert Hashes(tmp_path / "hashes.json").fact("abc", 2, lambda: pytest.fail("computed again")) == (1, 2)
