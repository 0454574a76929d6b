"""The registry: bundled components, and plugins that are broken or have a name that is taken."""

import signal
import sys
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import ClassVar

import pytest

from blindsr.components.interfaces import Component, KernelEstimator
from blindsr.components.registry import Registry
from blindsr.errors import BlindSRError

ESTIMATOR = """\
from __future__ import annotations
from typing import ClassVar
from blindsr.api import KernelEstimator, hookimpl
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
    """Makes an entry point from the text of a module."""
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
        "raise KeyboardInterrupt",
        "class E(Exception):\n def __str__(self): raise E\nraise E",
    ],
)
def test_other_ways_to_fail(plugin, statement: str) -> None:
    assert len(Registry.load([plugin("bad", statement)]).problems) == 1


def test_of_two_strangers_with_one_name_neither_has_it_and_both_have_a_qualified_one(plugin) -> None:
    points = [plugin("one", ESTIMATOR.format(name="same"), "dist-one"), plugin("two", ESTIMATOR.format(name="same"), "dist_two")]
    for order in (points, points[::-1]):
        registry = Registry.load(order)
        with pytest.raises(
            BlindSRError, match="'same' is offered by dist-one 1.0 and dist_two 1.0; write dist-one:same or dist_two:same"
        ):
            registry.get("kernel", "same")
        assert registry.get("kernel", "dist-one:same").__module__ == "one"
        assert registry.get("kernel", "dist-two:same").__module__ == "two"  # as packaging tools compare names
        assert [str(problem) for problem in registry.problems] == [
            "plugin 'same' of dist-one 1.0: the kernel estimator 'same' is offered by dist_two 1.0, too; this one is called 'dist-one:same'",
            "plugin 'same' of dist_two 1.0: the kernel estimator 'same' is offered by dist-one 1.0, too; this one is called 'dist_two:same'",
        ]


@pytest.mark.parametrize("name", ["ground_truth", "bicubic"])
def test_a_stranger_cannot_take_a_bundled_name_away(plugin, name: str) -> None:
    from importlib.metadata import entry_points

    registry = Registry.load([plugin("mine", ESTIMATOR.format(name=name)), *entry_points(group="blindsr")])
    assert registry.get("kernel", name) is registry.get("kernel", f"blindsr:{name}") is Registry.discover().get("kernel", name)
    assert registry.get("kernel", f"mine:{name}").__module__ == "mine"
    assert [problem.source for problem in registry.problems] == ["mine 1.0"]
    assert f"this one is called 'mine:{name}'" in registry.problems[0].reason


def test_a_distribution_that_offers_a_name_twice_cannot_use_it(plugin) -> None:
    points = [plugin(module, ESTIMATOR.format(name="same"), "dist") for module in ("one", "two")]
    registry = Registry.load(points)
    assert [str(p) for p in registry.problems] == [
        "plugin 'same' of dist 1.0: the kernel estimator 'same' is offered twice by this distribution, so it cannot be used"
    ]
    for name in ("same", "dist:same"):
        with pytest.raises(BlindSRError, match=f"unknown kernel estimator '{name}'"):
            registry.get("kernel", name)


def test_components_of_strangers_carry_their_qualified_name(plugin) -> None:
    registry = Registry.load([plugin("mine", ESTIMATOR.format(name="own"))])
    assert registry.build("kernel", "own").full_name == "mine:own"
    assert registry.build("kernel", "ground_truth").full_name == "ground_truth"


def test_what_a_plugin_prints_does_not_reach_standard_output(plugin, capsys: pytest.CaptureFixture[str]) -> None:
    text = (
        ESTIMATOR.replace("class Mine", "print('on import')\nclass Mine")
        .replace("    return", "    print('in the hook')\n    return")
        .format(name="own")
    )
    assert ("kernel", "own") in Registry.load([plugin("mine", text)]).entries
    shown = capsys.readouterr()
    assert (shown.out, shown.err) == ("", "on import\nin the hook\n")


def test_an_interrupt_while_a_plugin_is_imported_interrupts(plugin) -> None:
    text = "import signal\ntry:\n    signal.raise_signal(signal.SIGINT)\nexcept KeyboardInterrupt:\n    pass"
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell's background jobs do not have
    try:
        with pytest.raises(KeyboardInterrupt):
            Registry.load([plugin("slow", text)])
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)


def test_the_traceback_of_a_plugin_that_fails_is_kept(plugin) -> None:
    (problem,) = Registry.load([plugin("bad", "raise RuntimeError('no such library')")]).problems
    assert problem.traceback.startswith("Traceback")
    assert problem.traceback.endswith("RuntimeError: no such library\n")


def test_a_component_is_built_from_plain_settings(tmp_path: Path) -> None:
    registry = Registry.discover()
    assert registry.build("kernel", "kernelgan", {"iterations": 7}).model_dump()["iterations"] == 7
    (tmp_path / "k.npy").touch()
    assert registry.build("kernel", "given", {"file": "k.npy"}, base=tmp_path).model_dump()["file"] == tmp_path / "k.npy"


def test_all_that_is_wrong_with_settings_is_said_at_once() -> None:
    with pytest.raises(BlindSRError) as caught:
        Registry.discover().build("kernel", "kernelgan", {"iteration": 3, "edge_shave": -1})
    assert sorted(caught.value.lines) == [
        "kernelgan.edge_shave: should be greater than or equal to 0, not -1",
        "kernelgan.iteration: unknown parameter; did you mean 'iterations'?",
    ]
    with pytest.raises(BlindSRError, match="^given: needs either file or folder$"):
        Registry.discover().build("kernel", "given")
    with pytest.raises(BlindSRError, match="^kernelgan: must be a mapping of fields, not 3$"):
        Registry.discover().build("kernel", "kernelgan", 3)  # type: ignore[arg-type]


def test_a_scale_that_a_component_cannot_do_is_refused(plugin) -> None:
    text = ESTIMATOR.replace("    def", "    scales: ClassVar[tuple[int, ...]] = (2, 3)\n    def").format(name="own")
    registry = Registry.load([plugin("mine", text)])
    assert registry.build("kernel", "own", scale=3)
    with pytest.raises(BlindSRError, match="kernel estimator 'own' can do x2 and x3, not x4"):
        registry.build("kernel", "own", scale=4)


def test_a_validator_of_a_plugin_that_fails_is_one_line(plugin) -> None:
    validator = """\
    @pydantic.model_validator(mode="after")
    def check(self):
        return {}["x"]
    def estimate"""
    text = (
        ESTIMATOR.replace("blindsr_api", "import pydantic\nblindsr_api")
        .replace("    def estimate", validator)
        .replace("{name}", "own")
    )
    with pytest.raises(BlindSRError, match="kernel estimator 'own' of mine 1.0 cannot be made .KeyError: 'x'"):
        Registry.load([plugin("mine", text)]).build("kernel", "own")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "does not say which version of blindsr's API it is for; write blindsr_api = 1"),
        ("blindsr_api = 2", "is for version 2 of blindsr's API; this blindsr supports 1: upgrade blindsr"),
        ("blindsr_api = 0", "is for version 0 of blindsr's API; this blindsr supports 1: upgrade the plugin"),
        ("blindsr_api = True", "must be a whole number, not True"),
        ("blindsr_api = 1", "offers nothing"),
        (ESTIMATOR.replace("blindsr_kernel_estimators", "blindsr_kernel_estimator"), "unknown hook .* did you mean"),
        (ESTIMATOR.replace("[Mine]", "[Mine()]"), "must return subclasses of KernelEstimator"),
        (ESTIMATOR.replace("def estimate", "def estimat"), "Mine must define estimate"),
        (ESTIMATOR.replace("{name}", "My Estimator"), "must be lower-case letters"),
        (ESTIMATOR.replace("    name", "    scales: ClassVar = 2\n    name"), "Mine.scales must be of type tuple, not 2"),
        (
            ESTIMATOR.replace("import KernelEstimator", "import InputFile, KernelEstimator").replace(
                "    name", "    x: InputFil\n    name"
            ),
            "a parameter of Mine is annotated with InputFil, which is not defined",
        ),
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
        ("sr", "qqq", "there are bicubic, edsr, ensemble, external"),
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


def test_plugins_shows_the_traceback_of_a_plugin_that_fails_under_debug(plugin, monkeypatch: pytest.MonkeyPatch) -> None:
    from click.testing import CliRunner

    from blindsr.cli import cli

    factory = "    x: dict[str, int] = pydantic.Field(default_factory=lambda: 1 / 0)\n    name"
    odd = ESTIMATOR.replace("blindsr_api", "import pydantic\nblindsr_api").replace("    name", factory).replace("{name}", "odd")
    registry = Registry.load([plugin("bad", "raise RuntimeError('no such library')"), plugin("odd", odd)])
    monkeypatch.setattr(Registry, "discover", lambda: registry)
    shown = CliRunner().invoke(cli, ["--debug", "plugins"], catch_exceptions=False)
    assert "    x = computed" in shown.stdout
    assert shown.stderr.startswith("warning: plugin 'bad' of bad 1.0: RuntimeError: no such library\nTraceback (most recent")
    assert shown.stderr.count("Traceback") == 1
    assert "Traceback" not in CliRunner().invoke(cli, ["plugins"], catch_exceptions=False).stderr
