"""Outcomes on their way to the disk."""

import errno
import os
from pathlib import Path

import numpy as np
import pytest

from blindsr.errors import BlindSRError
from blindsr.execution import saving
from blindsr.execution.saving import RecentSteps, StepSaver
from blindsr.imaging.kernel import Kernel
from blindsr.pipeline.outcome import Failure, Outcome
from blindsr.pipeline.steps import Step
from blindsr.storage.step_store import StepStore

STEP = Step("k", "score", None, 2, {}, "", "a", "score")


def test_an_outcome_in_memory_is_what_the_file_gives(tmp_path: Path) -> None:
    class Own(Kernel):
        """A plugin's own kind."""

    outcome = Outcome({}, Own(Kernel.bicubic(2).array, 2), {"psnr": 1 / 3}, {"loss": np.array([[0, 0.1]])}, ["w"], 1.5, "cpu", 2)
    steps = RecentSteps(tmp_path)
    steps.save("k", "estimate", outcome)
    steps.keep("k", outcome)
    kept, read = steps.load("k"), StepStore(tmp_path).load("k")
    assert type(kept.kernel) is Kernel
    assert np.array_equal(kept.kernel.array, read.kernel.array)  # type: ignore[union-attr]
    assert np.array_equal(kept.curves["loss"], read.curves["loss"])
    assert (kept.values, kept.warnings) == (read.values, read.warnings)
    assert (kept.device, kept.threads, kept.seconds) == (read.device, read.threads, read.seconds)


def test_memory_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(saving, "MAX_RECENT_BYTES", 250_000)
    steps = RecentSteps(tmp_path)
    for number in (1, 1, 2, 3):
        steps.keep(str(number), Outcome({"sr": np.zeros((100, 300, 3), np.uint8)}))
    assert [*steps._recent] == ["2", "3"]


def test_a_disk_that_refuses_is_raised_and_what_cannot_be_stored_fails_its_step() -> None:
    def save(step: Step, outcome: Outcome) -> None:
        raise outcome.values["error"]  # type: ignore[misc]

    saver = StepSaver(save)
    saver.submit(STEP, Outcome(values={"error": TypeError("no number")}))  # type: ignore[dict-item]
    ((step, failure),) = saver.poll(10)
    assert isinstance(failure, Failure)
    assert (step, failure.message, len(saver)) == (STEP, "the outcome cannot be stored (TypeError: no number)", 0)
    saver.submit(STEP, Outcome(values={"error": BlindSRError(os.strerror(errno.ENOSPC))}))  # type: ignore[dict-item]
    with pytest.raises(BlindSRError, match="No space left on device"):
        saver.poll(10)
    saver.close()
