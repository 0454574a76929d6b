"""Hostile input: it works, or each problem is reported in one line; never a traceback, never a hang."""

import io
import os
import re
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy.io import savemat

from blindsr.components.registry import Registry
from blindsr.errors import BlindSRError, printable
from blindsr.imaging.kernel import Kernel
from blindsr.pipeline.loader import load
from blindsr.storage.result import open_result
from pipelines import QUICK

EXAMPLES = int(os.environ.get("BLINDSR_EXAMPLES", "100"))
"""Examples of each property. BLINDSR_EXAMPLES=2500 gives the long test (five properties: 12,500 examples)."""

many = settings(
    max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=8,
)


@pytest.fixture(scope="module")
def registry() -> Registry:
    return Registry.discover()


def _refusal(call: Callable[[], object]) -> str:
    """The error message of the call; empty if there is none."""
    try:
        call()
    except BlindSRError as error:
        return str(error) or pytest.fail("the error has no message")
    return ""


def _load(folder: Path, text: str, registry: Registry, *settings: str) -> list[str]:
    """The error lines of a pipeline; none if it is accepted."""
    path = folder / "fuzzed.yaml"
    path.write_text(text, encoding="utf-8", errors="surrogatepass")
    return _refusal(lambda: load(path, registry, settings=settings)).splitlines()


BOMB = "a: &a [x,x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{new}: &{new} [{','.join(['*' + old] * 10)}]\n" for old, new in zip("abcdefghi", "bcdefghij", strict=True)
)


@many
@given(text=st.text(st.characters(exclude_categories=["Cs"])) | st.text("{}[]:,-&*!|>'\"#%@ \n\tabc012~."))
def test_any_text_is_a_pipeline_or_gets_lines(text: str, tmp_path: Path, registry: Registry) -> None:
    refusal = _load(tmp_path, text, registry)
    assert not refusal or str(tmp_path / "fuzzed.yaml") in refusal[0]


@many
@given(
    place=st.sampled_from(
        ["name", "scale", "seeds", "data", "data.hr", "degradation", "degradation.random_kernel", "degradation.random_kernel.noise",
         "data_seed", "methods", "methods.Ground truth", "methods.Ground truth.kernel", "methods.Ground truth.sr.zssr.iterations",
         "methods.Ground truth.sr.external", "methods.Ground truth.kernel.given.file", "methods.Ground truth.optional"]
    ),
    value=plain,
)  # fmt: skip
def test_any_value_anywhere_is_taken_or_gets_lines(place: str, value: object, tmp_path: Path, registry: Registry) -> None:
    from ruamel.yaml import YAML

    text = io.StringIO()
    YAML(typ="safe", pure=True).dump(value, text)
    refusal = _load(tmp_path, QUICK, registry, f"{place}={text.getvalue().removesuffix('...' + chr(10))}")
    assert not refusal or "setting " in refusal[0] or str(tmp_path / "fuzzed.yaml") in refusal[0]


@pytest.mark.parametrize(
    "text",
    [
        "!!python/object/apply:os.system ['touch evil']",
        "name: !!python/name:os.system\n",
        "name: &a [*a]\n",
        "a: &a [x,x]\nb: &b [*a,*a]\nc: &c [*b,*b]\n",
        "? {a: b}\n: c\n",
        "name: quick\nname: quick\n",
        "%YAML 9.9\n---\nname: x\n",
        "[" * 5000,
        "name: ../../evil\nscale: 2\nmethods: {A: {sr: bicubic}}\ndata: {hr: hr}\ndegradation: random_kernel\n",
        "name: /tmp/evil\n",
        "\0",
        "name: quick\n\tscale: 2\n",
        "name: quick\nscale: !!bool x\n",
        QUICK.replace("Ground truth", '"Ground truth\\0"'),
        QUICK.replace("{hr: hr}", '{hr: "h\\0r"}'),
        *(f"{BOMB}{place}: *j\n" for place in ("name", "scale", "seeds", "data", "methods")),
    ],
)
def test_yaml_that_is_up_to_something_gets_lines(
    text: str, tmp_path: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "evil.yaml"
    path.write_text(text)
    with pytest.raises(BlindSRError):
        load(path, registry).dataset()
    assert [path.name for path in tmp_path.iterdir()] == ["evil.yaml"]


@many
@given(array=arrays.arrays(st.sampled_from(["f4", "f8", "i4", "u1", "c8", "U3", "?"]), arrays.array_shapes(min_dims=0, max_side=7)))
def test_any_array_is_a_kernel_or_gets_a_line(array: np.ndarray, tmp_path: Path) -> None:
    file = tmp_path / "k.npy"
    np.save(file, array, allow_pickle=True)
    refusal = _refusal(lambda: Kernel.load(file, scale=2))
    assert len(refusal.splitlines()) < 2
    if not refusal:
        kernel = Kernel.load(file, scale=2)
        assert np.isfinite(kernel.array).all()
        assert abs(kernel.array.sum() - 1) < 1e-3


def test_objects_in_an_array_are_not_unpickled(tmp_path: Path) -> None:
    np.save(tmp_path / "k.npy", np.array([[object()]]), allow_pickle=True)
    assert "not a readable .npy file" in _refusal(lambda: Kernel.load(tmp_path / "k.npy", scale=2))


@pytest.mark.parametrize("suffix", [".mat", ".npy"])
def test_a_kernel_file_that_claims_too_much_is_refused_before_it_is_read(suffix: str, tmp_path: Path) -> None:
    file = tmp_path / f"k{suffix}"
    if suffix == ".mat":
        savemat(file, {"Kernel": np.zeros((9001, 9001))}, do_compression=True)
    else:
        with file.open("wb") as header:
            np.lib.format.write_array_header_1_0(header, {"descr": "<f8", "fortran_order": False, "shape": (10**7, 10**7)})
    tracemalloc.start()
    try:
        assert re.search("which is no kernel|not a readable", _refusal(lambda: Kernel.load(file, scale=2)))
        assert tracemalloc.get_traced_memory()[1] < 20e6
    finally:
        tracemalloc.stop()


@many
@given(data=st.binary(max_size=300), suffix=st.sampled_from([".mat", ".npy"]))
def test_any_bytes_are_a_kernel_file_or_get_a_line(data: bytes, suffix: str, tmp_path: Path) -> None:
    file = tmp_path / f"k{suffix}"
    head = {".mat": b"MATLAB 5.0 MAT-file".ljust(124) + b"\0\1IM", ".npy": b"\x93NUMPY\1\0"}[suffix]
    file.write_bytes(head + data)
    assert len(_refusal(lambda: Kernel.load(file, scale=2)).splitlines()) < 2


@pytest.mark.parametrize(
    "spoil",
    [
        lambda f: f.__delitem__("summary/psnr"),
        lambda f: f.__delitem__("provenance"),
        lambda f: (f.__delitem__("summary/psnr"), f.__setitem__("summary/psnr", "text")),
        lambda f: (f.__delitem__("summary/item"), f.__setitem__("summary/item", np.zeros(4))),
        lambda f: (f.__delitem__("summary/psnr"), f.create_dataset("summary/psnr", (2**40,), "f8", chunks=(4,))),
        lambda f: (f.__delitem__("summary"), f.__setitem__("summary", h5py.SoftLink("/summary"))),
        lambda f: (f.__delitem__("summary"), f.__setitem__("summary", h5py.ExternalLink("/etc/passwd", "/"))),
        lambda f: f.attrs.__setitem__("encoding-version", np.arange(5)),
        lambda f: f.attrs.__setitem__("encoding-type", b"\xff\xfe"),
        lambda f: (f.__delitem__("items"), f.__setitem__("items", np.zeros(3))),
        lambda f: (f.__delitem__("items/cat/methods"), f.__setitem__("items/cat/methods", np.zeros(3))),
        lambda f: (f.__delitem__("items/cat/methods/0"), f.__setitem__("items/cat/methods/0", h5py.SoftLink("/no"))),
        lambda f: f.__setitem__("items/cat/methods/0/0/curves", np.zeros(3)),
        lambda f: (f.__delitem__("items/cat/images/lr"), f.__setitem__("items/cat/images/lr", np.zeros((0, 4, 3), np.uint8))),
        lambda f: f["provenance"].attrs.__setitem__("resolved_config", "[" * 10000),
    ],
)
def test_a_result_that_was_tampered_with_opens_or_gets_a_line(spoil, tmp_path: Path) -> None:
    path = tmp_path / "result.h5"
    path.write_bytes((Path(__file__).parents[1] / "data/result-0.1.0.h5").read_bytes())
    with h5py.File(path, "r+") as file:
        spoil(file)

    def look() -> None:
        with open_result(path) as result:
            for item in result.items:
                result.image(item, "lr")
                result.kernel(item)
                for method in result.methods:
                    result.sr(item, method, 0)
                    result.curves(item, method, 0)

    assert len(_refusal(look).splitlines()) < 2


@many
@given(text=st.text())
def test_what_is_printed_cannot_steer_the_terminal(text: str) -> None:
    shown = printable(text)
    assert not any(ord(character) < 32 and character not in "\n\t" for character in shown)
    assert "\x7f" not in shown
    assert not any(0x80 <= ord(character) < 0xA0 for character in shown)
