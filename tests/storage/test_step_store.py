"""Finished steps on disk: what comes back, old files, damaged ones."""

import errno
import os
import shutil
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from blindsr.errors import BlindSRError
from blindsr.imaging.kernel import Kernel
from blindsr.pipeline.outcome import Outcome
from blindsr.storage import step_store
from blindsr.storage.step_store import DamagedStepError, StepStore

KEY = "a" * 64
OLD = Path(__file__).parents[1] / "data/step-0.1.0"


def _outcome(size: int) -> Outcome:
    rng = np.random.default_rng(size)
    return Outcome(
        {"lr": rng.integers(0, 65536, (size, size + 1, 3)).astype(np.uint16)},
        replace(Kernel.bicubic(4).shifted(0.1, 0.2), expected_error=0.25),
        {"residual": 0.1, "moved": 1.0},
        {"loss": rng.random((3, 2))},
        ["a warning", "Ünïcode \udcff, and an empty one", ""],
        1.5,
        "cpu",
        2,
    )


@pytest.mark.parametrize("size", [1, 20, 300])
def test_what_was_saved_comes_back(tmp_path: Path, size: int) -> None:
    store, saved = StepStore(tmp_path / "steps"), _outcome(size)
    store.save(KEY, "degrade", saved)
    done = store.load(KEY)
    assert (done.device, done.threads, done.seconds) == ("cpu", 2, 1.5)
    assert done.values == saved.values
    assert np.array_equal(done.arrays["lr"], saved.arrays["lr"])
    assert done.arrays["lr"].dtype == np.uint16
    assert np.array_equal(done.curves["loss"], saved.curves["loss"])
    assert np.array_equal(done.kernel.array, saved.kernel.array)
    assert done.kernel.scale == 4
    assert done.kernel.expected_error == 0.25
    assert (done.kernel.half is None) == (saved.kernel.half is None)
    assert [text.replace("\udcff", "\\udcff") for text in saved.warnings] == [
        text.replace("\udcff", "\\udcff") for text in done.warnings
    ]


def test_steps_of_an_older_version_are_read(tmp_path: Path) -> None:
    shutil.copytree(OLD, tmp_path / "steps")
    store = StepStore(tmp_path / "steps")
    steps = {key[:8]: store.load(key) for key in sorted(store.keys())}
    score, estimate = steps["76ca0eef"], steps["29aeddb0"]
    assert score.values == {"psnr": 26.459356756585674, "ssim": 0.8452610576227719}
    with h5py.File(next(OLD.glob("29aeddb0*"))) as file:
        assert np.array_equal(estimate.kernel.array, file["kernel"][()])
        assert {name: curve.tolist() for name, curve in estimate.curves.items()} == {
            name: node[()].tolist() for name, node in file["curves"].items()
        }
        assert estimate.kernel.expected_error is None
        assert estimate.seconds == file.attrs["seconds"]
    assert len(estimate.curves) > 0


@pytest.mark.parametrize(
    "change", [lambda data: data[:1000], lambda data: data[:2000] + bytes(900) + data[2900:], lambda data: b""]
)
def test_a_file_that_is_damaged_while_its_run_goes_on_is_set_aside(tmp_path: Path, change) -> None:
    store = StepStore(tmp_path)
    store.save(KEY, "degrade", _outcome(10))
    store.load(KEY)
    store.path(KEY).write_bytes(change(store.path(KEY).read_bytes()))
    with pytest.raises(DamagedStepError, match="set aside as"):
        store.load(KEY)
    assert KEY not in store
    assert [path.name for path in tmp_path.iterdir()] == [f"{KEY}.h5.corrupt"]


def test_a_file_that_cannot_be_read_now_or_by_this_version_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = StepStore(tmp_path)
    store.save(KEY, "degrade", _outcome(10))
    path = store.path(KEY)

    def no_more_files(*_: object) -> None:
        raise OSError(errno.EMFILE, "too many")

    with monkeypatch.context() as patch:
        patch.setattr(step_store, "read_step", no_more_files)
        with pytest.raises(BlindSRError) as refused:
            store.load(KEY)
    assert str(refused.value) == f"{path}: {os.strerror(errno.EMFILE)}"
    with h5py.File(path, "r+") as file:
        file.attrs["encoding-version"] = "9.0.0"
    with pytest.raises(BlindSRError) as newer:
        store.load(KEY)
    assert str(newer.value).startswith(f"{path}: it has format version 9.0.0; this blindsr reads ")
    assert not isinstance(newer.value, DamagedStepError)
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
