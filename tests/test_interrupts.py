"""Ctrl-C and SIGTERM, whenever they come."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from blindsr.image import write_png
from blindsr.interrupts import Interrupts
from blindsr.plan import Step, make_plan
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
        interrupts.forget()
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
        with pytest.raises(KeyboardInterrupt), interrupts.at_once():  # it came before
            pytest.fail("it began")
        interrupts.forget()
        signal.raise_signal(number)  # no longer at once
        interrupts.forget()


def test_what_is_ignored_or_anothers_stays_so(number: int) -> None:
    heard: list[int] = []
    for handler in (signal.SIG_IGN, lambda found, frame: heard.append(found)):
        signal.signal(number, handler)
        with Interrupts() as interrupts:
            signal.raise_signal(number)
            interrupts.let_through()
    assert heard == [number]


class _Signalled:
    """As it goes, the process gets a signal: what the handler raises then is swallowed by Python."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __del__(self) -> None:
        signal.raise_signal(self.number)


class _Hit(Quiet):
    """The signal comes while the first step is begun."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number

    def started(self, step: Step) -> None:
        if not self.ends:
            _Signalled(self.number)


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
