"""The registry: what is bundled, and plugins that are broken, duplicate or wrong."""

import sys
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import ClassVar

import pytest

from blindsr.components.interfaces import Component, KernelEstimator
from blindsr.components.registry import Registry
from blindsr.errors import BlindSRError

ESTIMATOR = """
from typing import ClassVar
from blindsr.components.interfaces import KernelEstimator, hookimpl
blindsr_api = 1
class Mine(KernelEstimator):
    name: ClassVar[str] = "{name}"
    def estimate(self, lr, scale, run): ...
@hookimpl
def blindsr_kernel_estimators():
    return [Mine]
"""


class _Distribution:
    def __init__(self, name: str, version: str) -> None:
        self.name = name
        self.version = version


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> object:
    """Makes an entry point of a module's text."""
    monkeypatch.syspath_prepend(tmp_path)

    def make(module: str, text: str, distribution: str = "") -> EntryPoint:
        (tmp_path / f"{module}.py").write_text(text)
        monkeypatch.delitem(sys.modules, module, raising=False)
        point = EntryPoint(name=module, value=module, group="blindsr")
        vars(point)["dist"] = _Distribution(distribution or module, "1.0")
        return point

    return make


def test_the_bundled_components_are_found_through_their_entry_points() -> None:
    registry = Registry.discover()
    assert {("degradation", "random_kernel"), ("kernel", "kernelgan"), ("sr", "zssr"), ("sr", "bicubic")} <= registry.entries.keys()
    assert registry.problems == ()
    assert registry.entries["kernel", "kernelgan"].distribution == "blindsr"


def test_a_plugin_that_fails_to_import_costs_only_itself(plugin) -> None:
    registry = Registry.load(
        [plugin("bad", "raise RuntimeError('no such library')"), plugin("good", ESTIMATOR.format(name="good"))]
    )
    assert ("kernel", "good") in registry.entries
    assert [str(p) for p in registry.problems] == ["plugin 'bad' of bad 1.0: RuntimeError: no such library"]
    with pytest.raises(
        BlindSRError, match="unknown kernel estimator 'bad'; plugin 'bad' of bad 1.0: RuntimeError: no such library"
    ):
        registry.get("kernel", "bad")


@pytest.mark.parametrize(
    "statement",
    [
        "import sys; sys.exit(3)",
        "import nowhere_to_be_found",
        "syntax error(",
        "raise GeneratorExit",
        "class E(Exception):\n def __str__(self): raise E\nraise E",
    ],
)
def test_other_ways_to_fail(plugin, statement: str) -> None:
    assert len(Registry.load([plugin("bad", statement)]).problems) == 1


def test_a_name_offered_twice_is_nobody_s_and_both_are_named(plugin) -> None:
    points = [plugin("one", ESTIMATOR.format(name="same"), "dist-one"), plugin("two", ESTIMATOR.format(name="same"), "dist-two")]
    for order in (points, points[::-1]):
        with pytest.raises(BlindSRError, match="'same' is offered by dist-one 1.0 and by dist-two 1.0; uninstall one"):
            Registry.load(order).get("kernel", "same")


def test_the_core_s_own_names_are_taken(plugin) -> None:
    registry = Registry.load([plugin("mine", ESTIMATOR.format(name="ground_truth"))])
    with pytest.raises(BlindSRError, match="offered by blindsr .* and by mine 1.0"):
        registry.get("kernel", "ground_truth")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "does not say which version of blindsr's interfaces"),
        ("blindsr_api = 2", "is for version 2 of blindsr's interfaces; this blindsr has version 1"),
        ("blindsr_api = 1", "offers nothing"),
        (ESTIMATOR.replace("blindsr_kernel_estimators", "blindsr_kernel_estimator"), "unknown hook .* did you mean"),
        (ESTIMATOR.replace("[Mine]", "[Mine()]"), "must return subclasses of KernelEstimator"),
        (ESTIMATOR.replace("def estimate", "def estimat"), "Mine must define estimate"),
        (ESTIMATOR.replace("{name}", "My Estimator"), "must be lower-case letters"),
    ],
)
def test_a_wrong_plugin_is_told_what_is_wrong(plugin, text: str, reason: str) -> None:
    import re

    problems = Registry.load([plugin("mine", text.replace("{name}", "mine"))]).problems
    assert len(problems) == 1
    assert re.search(reason, problems[0].reason)


@pytest.mark.parametrize(
    ("kind", "name", "message"),
    [
        ("kernel", "kernelgam", "unknown kernel estimator 'kernelgam'; did you mean 'kernelgan'"),
        ("sr", "kernelgan", "unknown SR method 'kernelgan'; 'kernelgan' is a kernel estimator"),
        ("sr", "qqq", "there are bicubic, edsr, external"),
    ],
)
def test_an_unknown_name_is_answered_with_near_ones(kind, name: str, message: str) -> None:
    with pytest.raises(BlindSRError, match=message):
        Registry.discover().get(kind, name)


def test_parameters_are_strict_frozen_and_closed() -> None:
    class Thing(Component):
        name: ClassVar[str] = "thing"
        count: int = 1

    thing = Thing(count=2)
    for wrong in ({"count": "2"}, {"count": True}, {"cuont": 2}):
        with pytest.raises(ValueError, match="validation error"):
            Thing.model_validate(wrong)
    with pytest.raises(ValueError, match="frozen"):
        thing.count = 3
    with pytest.raises(TypeError, match="abstract"):
        KernelEstimator()
