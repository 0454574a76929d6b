"""Ctrl-C and SIGTERM at any moment."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from blindsr.components.signals import Interrupts
from blindsr.imaging.writer import write_png
from blindsr.pipeline.outcome import Failure, Outcome
from blindsr.pipeline.plan import make_plan
from blindsr.pipeline.steps import Step
from pipelines import Quiet, read, run

pytestmark = pytest.mark.skipif(os.name != "posix", reason="POSIX signals")


@pytest.fixture(params=[signal.SIGINT, signal.SIGTERM])
def number(request: pytest.FixtureRequest) -> Iterator[int]:
    """A signal that raises `KeyboardInterrupt`."""
    before = signal.signal(request.param, signal.default_int_handler)
    yield request.param
    signal.signal(request.param, before)


def test_a_signal_waits_to_be_let_through(number: int) -> None:
    with Interrupts() as interrupts:
        signal.raise_signal(number)
        with pytest.raises(KeyboardInterrupt):
            interrupts.let_through()
        assert interrupts.take()
        assert not interrupts.take()
        interrupts.let_through()
    assert signal.getsignal(number) is signal.default_int_handler


def test_a_signal_that_nobody_let_through_comes_at_the_end(number: int) -> None:
    interrupts = Interrupts().__enter__()
    signal.raise_signal(number)
    with pytest.raises(KeyboardInterrupt):
        interrupts.__exit__(None, None, None)
    assert signal.getsignal(number) is signal.default_int_handler


def test_a_signal_comes_at_once_where_that_is_asked_for(number: int) -> None:
    with Interrupts() as interrupts:
        with pytest.raises(KeyboardInterrupt), interrupts.at_once():
            signal.raise_signal(number)
        with pytest.raises(KeyboardInterrupt), interrupts.at_once():  # the signal came before
            pytest.fail("it began")
        interrupts.take()
        signal.raise_signal(number)  # no longer at once
        interrupts.take()


def test_what_is_ignored_or_anothers_stays_so(number: int) -> None:
    heard: list[int] = []
    for handler in (signal.SIG_IGN, lambda found, frame: heard.append(found)):
        signal.signal(number, handler)
        with Interrupts() as interrupts:
            signal.raise_signal(number)
            interrupts.let_through()
    assert heard == [number]


class _Signalled:
    """Raises a signal when it is deleted: there, Python discards an exception that the handler raises."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __del__(self) -> None:
        signal.raise_signal(self.number)


class _Hit(Quiet):
    """Raises the signal when the first step starts, or when the last of `ends_at` steps ends."""

    def __init__(self, number: int, ends_at: int = 0) -> None:
        super().__init__()
        self.number = number
        self.ends_at = ends_at
        self.begins = 0

    def started(self, step: Step) -> None:
        self.begins += 1
        if not self.ends and not self.ends_at:
            _Signalled(self.number)

    def ended(self, step: Step, outcome: Outcome | Failure) -> None:
        super().ended(step, outcome)
        if len(self.ends) == self.ends_at:
            _Signalled(self.number)


@pytest.mark.slow
def test_no_step_is_begun_after_a_signal(tmp_path: Path, photo: np.ndarray, number: int) -> None:
    for name in "abcd":
        write_png(tmp_path / f"hr/{name}.png", photo[20:116, 100:196])
    pipeline, listener = read(tmp_path), _Hit(number)
    report = run(make_plan(pipeline, pipeline.dataset()), tmp_path / "out", workers=4, listener=listener)
    assert (report.interrupted, listener.begins) == (True, 1)


def test_a_signal_as_the_last_step_ends_leaves_the_result(tmp_path: Path, photo: np.ndarray, number: int) -> None:
    write_png(tmp_path / "hr/a.png", photo[20:116, 100:196])
    pipeline = read(tmp_path)
    plan = make_plan(pipeline, pipeline.dataset())
    report = run(plan, tmp_path / "out", listener=_Hit(number, ends_at=len(plan.steps)))
    assert (report.interrupted, len(report.computed)) == (True, len(plan.steps))
    assert report.result.is_file()


@pytest.mark.parametrize("workers", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_a_signal_is_heard_where_python_swallows_what_its_handler_raises(
    tmp_path: Path, photo: np.ndarray, number: int, workers: int
) -> None:
    write_png(tmp_path / "hr/a.png", photo[20:116, 100:196])
    pipeline = read(tmp_path)
    plan = make_plan(pipeline, pipeline.dataset())
    report = run(plan, tmp_path / "out", workers=workers, listener=_Hit(number))
    assert report.interrupted
    assert len(report.computed) < len(plan.steps)
    assert report.result.is_file()
    assert run(plan, tmp_path / "out").failures == {}
