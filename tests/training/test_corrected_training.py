"""The examples that `corrected` is trained on, and what is said of wrong ones."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import tiny_training as tiny
from blindsr_selection import weights_file
from blindsr_selection.least_squares import unframed
from blindsr_training.__main__ import TRAININGS, main
from blindsr_training.corrected.examples import examples_recipe, read_examples
from blindsr_training.photographs import split
from blindsr_training.precomputed import precompute
from click.testing import CliRunner

from blindsr.api import SYMMETRIES, BlindSRError, downscale


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    for module, name, value in tiny.SMALL:
        monkeypatch.setattr(module, name, value)


@pytest.fixture
def examples(photographs: Path, tmp_path: Path) -> Path:
    tiny.settings("corrected", photographs)
    return Path(shutil.copytree(photographs.with_name(f"{photographs.name}-examples"), tmp_path / "examples"))


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 2])
def test_examples_are_the_same_whether_or_not_they_were_interrupted(photographs: Path, examples: Path, workers: int) -> None:
    before = {path.name: path.read_bytes() for path in examples.glob("*.safetensors")}
    assert sorted(before) == ["examples_000.safetensors", "examples_001.safetensors", "held_out_000.safetensors"]
    kept = (examples / "examples_000.safetensors").stat().st_mtime_ns
    for name in ("examples_001.safetensors", "held_out_000.safetensors"):
        (examples / name).unlink()
    precompute(examples_recipe(2), photographs, examples, count=4, seed=0, workers=workers)
    assert {path.name: path.read_bytes() for path in examples.glob("*.safetensors")} == before
    assert (examples / "examples_000.safetensors").stat().st_mtime_ns == kept


@pytest.mark.slow
def test_a_batch_is_turned_as_a_whole_and_stays_true(photographs: Path, examples: Path) -> None:
    """What the training makes of a kernel by turning its frame is the kernel of the turned image: `downscale` knows."""
    training = TRAININGS["corrected"](tiny.settings("corrected", photographs, examples=examples), *split(photographs), {})
    frames = read_examples(examples, 2, held_out=False)[0].true
    hr = np.random.default_rng(0).random((80, 80, 3))
    inner = slice(12, -12)
    for seed in range(6):
        turned = training.batch(np.random.default_rng(seed)).true[0].double().numpy()
        made = [
            np.abs(downscale(np.ascontiguousarray(symmetry.apply(hr)), unframed(turned, 2))[inner, inner]
                   - symmetry.apply(downscale(hr, unframed(frame.double().numpy(), 2)))[inner, inner]).max()
            for symmetry in SYMMETRIES for frame in frames
        ]  # fmt: skip
        assert min(made) < 2e-3


def test_wrong_examples_get_a_line(photographs: Path, large_photographs: Path, examples: Path, tmp_path: Path) -> None:
    def message(hr: Path = photographs, **fields: object) -> str:
        with pytest.raises(BlindSRError) as error:
            TRAININGS["corrected"](tiny.settings("corrected", hr, **fields), *split(hr), {})
        return str(error.value)

    (tmp_path / "empty").mkdir()
    assert "holds no examples; make them: python -m blindsr_training examples --hr PHOTOS --out" in message(
        examples=tmp_path / "empty"
    )
    assert "its examples are for x2; set `scale` to 2" in message(examples=examples, scale=3)
    assert "of other photographs than `hr`" in message(large_photographs, examples=examples)
    with pytest.raises(BlindSRError, match=r"made with other settings or networks \(seed\); choose another folder"):
        precompute(examples_recipe(2), photographs, examples, count=2, seed=1)
    start = weights_file(2)
    assert f"{start}: has 48 channels and 4 blocks; set" in message(examples=examples, start=start, width=16)
    (examples / "examples_000.safetensors").write_bytes(b"nothing")
    assert "examples_000.safetensors: holds no examples" in message(examples=examples)


def test_the_command_says_what_is_wrong_with_its_folders(tmp_path: Path, photographs: Path) -> None:
    done = CliRunner().invoke(main, ["examples", "--hr", str(tmp_path), "--out", str(tmp_path / "out")])
    assert done.exit_code == 1
    assert "training needs at least 20" in done.output
    (tmp_path / "file").touch()
    taken = CliRunner().invoke(main, ["examples", "--hr", str(photographs), "--out", str(tmp_path / "file")])
    assert taken.output == f"Error: {tmp_path / 'file'}: is a file; choose another folder\n"
    gone = CliRunner().invoke(main, ["examples", "--hr", str(tmp_path / "gone"), "--out", str(tmp_path / "out")])
    assert gone.output == f"Error: {tmp_path / 'gone'}: no such folder; name one of photographs\n"
    assert "Traceback" not in done.output
