"""Pipeline files: all problems are reported at once, each with its position."""

from pathlib import Path

import pytest

from blindsr.components.registry import Registry
from blindsr.errors import BlindSRError
from blindsr.pipeline import loader as pipeline
from pipelines import QUICK, read, write


def _problems(folder: Path, text: str, **options: object) -> list[str]:
    with pytest.raises(BlindSRError) as caught:
        read(folder, text, **options)
    return list(caught.value.lines)


@pytest.mark.parametrize("name", sorted(pipeline.bundled()))
def test_bundled_pipelines_are_right(name: str) -> None:
    loaded = pipeline.load(pipeline.find(name), Registry.discover())
    second = "unfolding" if name in ("kernelnet_unfolding", "real_photo") else "zssr"
    assert [method.sr.name for method in loaded.methods][:2] == ["bicubic", second]


def test_a_name_alone_means_defaults_and_no_kernel_means_bicubic(tmp_path: Path) -> None:
    method = read(tmp_path).methods[0]
    assert (method.name, method.kernel.name, method.sr.name, method.type) == ("Bicubic interpolation", "bicubic", "bicubic", 1)


def test_all_problems_are_reported_at_once_with_their_places(tmp_path: Path) -> None:
    text = """\
name: quick
scale: 2.5
sead: 3
data: {hr: hr, lr: lr}
methods:
  A: {sr: bicubik}
  B:
    kernel: {kernelgan: {iteration: 30, edge_shave: -1}}
    sr: bicubic
    typ: 3
  C: {kernel: bicubic}
"""
    found = "\n".join(_problems(tmp_path, text))
    path = tmp_path / "quick.yaml"
    for expected in (
        f"{path}:2:8: scale: should be a valid integer",
        f"{path}:3:1: sead: unknown field; did you mean 'seeds'?",
        f"{path}:4:7: data: must be one of",
        f"{path}:6:11: methods.A.sr: unknown SR method 'bicubik'; did you mean 'bicubic'?",
        f"{path}:8:26: methods.B.kernel.kernelgan.iteration: unknown parameter; did you mean 'iterations'?",
        f"{path}:8:53: methods.B.kernel.kernelgan.edge_shave: should be greater than or equal to 0, not -1",
        f"{path}:10:5: methods.B.typ: unknown field; did you mean 'type'?",
        f"{path}:11:6: methods.C.sr: is required",
    ):
        assert expected in found


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name: [1", "quick.yaml:1:9: "),
        ("name: a\nname: b\n", 'quick.yaml:2:1: found duplicate key "name"'),
        ("- a\n", "a pipeline is a mapping of fields"),
        ("", "a pipeline is a mapping of fields"),
        ("name: !!python/object/apply:os.system [ls]\n", "could not determine a constructor for the tag"),
        (QUICK.replace("degradation: random_kernel\n", ""), "degradation: is required where the data are HR images"),
        (QUICK.replace("random_kernel", "{random_kernel: {size: 12}}"), "size must be odd, not 12"),
        (
            QUICK.replace("name: quick", "name: ../../etc"),
            r"name: must begin with a letter or digit, and hold only these and '.', '_', '-', not '../../etc'",
        ),
        (QUICK.replace("Ground truth:", '"":'), "the name '' is empty, or holds what cannot be printed"),
        (QUICK.replace("scale: 2", "seeds: []\nscale: 2"), "seeds: needs at least 1, not []"),
        (QUICK.replace("scale: 2", "seeds: [1, 1]\nscale: 2"), "seeds: holds a seed twice"),
        (QUICK.replace("sr: bicubic}", "sr: {bicubic: 3}}", 1), "must be a name, or {name: {parameter: value}}"),
    ],
)
def test_wrong_yaml_gets_a_line(tmp_path: Path, text: str, message: str) -> None:
    found = "\n".join(_problems(tmp_path, text))
    assert any(part.lower() in found.lower() for part in message.split("|"))
    assert found.startswith(str(tmp_path))


def test_the_line_at_fault_is_shown_with_a_caret(tmp_path: Path) -> None:
    text = (
        QUICK.replace("scale: 2", "scale: 2.5") + "  K. gan:\n    kernel:\n      kernelgan: {iteration: 3}\n    sr: 'bicubi\tk'\n"
    )
    with pytest.raises(BlindSRError) as caught:
        read(tmp_path, text)
    assert str(caught.value).splitlines() == [
        f"{tmp_path}/quick.yaml:2:8: scale: should be a valid integer, not 2.5",
        "    scale: 2.5",
        "           ^",
        f"{tmp_path}/quick.yaml:10:19: methods.K. gan.kernel.kernelgan.iteration: unknown parameter; did you mean 'iterations'?",
        "          kernelgan: {iteration: 3}",
        "                      ^",
        f"{tmp_path}/quick.yaml:11:9: methods.K. gan.sr: unknown SR method 'bicubi\tk'; did you mean 'bicubic'?",
        "        sr: 'bicubi k'",
        "            ^",
    ]


def test_a_long_line_is_shown_in_part(tmp_path: Path) -> None:
    with pytest.raises(BlindSRError) as caught:
        read(tmp_path, QUICK.replace("name: quick", f"name: {'x' * 200}") + f"  {'y' * 300}: {{typ: 1, sr: bicubic}}\n")
    line, caret = caught.value.excerpts[0].splitlines()
    assert len(line) < 120
    assert line[caret.index("^") :].startswith("typ: 1")


def test_damaged_yaml_is_shown_with_a_caret(tmp_path: Path) -> None:
    with pytest.raises(BlindSRError) as caught:
        read(tmp_path, "name: a\nname: b\n")
    assert caught.value.excerpts == ("    name: b\n    ^",)


def test_what_the_data_make_necessary_is_said_at_the_data(tmp_path: Path) -> None:
    text = QUICK.replace("degradation: random_kernel\n", "")
    assert _problems(tmp_path, text) == [
        f"{tmp_path}/quick.yaml:3:7: degradation: is required where the data are HR images, e.g. random_kernel"
    ]
    assert _problems(tmp_path, text, overrides={"data": {"sample": ["coffee"]}}) == [
        "degradation: is required where the data are HR images, e.g. random_kernel"
    ]


def test_settings_may_be_values(tmp_path: Path) -> None:
    text = QUICK + "  Z: {sr: zssr}\n"
    changed = read(tmp_path, text, settings={"seeds": [3, 4], "methods.Z.sr.zssr.iterations": 5})
    assert changed.seeds == (3, 4)
    assert changed.methods[2].sr.model_dump()["iterations"] == 5
    assert _problems(tmp_path, text, settings={"scale": "2", "methods.Z.sr.zssr.iteration": 5}) == [
        "setting scale: should be a valid integer, not '2'",
        "setting methods.Z.sr.zssr.iteration: unknown parameter; did you mean 'iterations'?",
    ]


def test_a_setting_inside_of_what_an_alias_shares_changes_one_place(tmp_path: Path) -> None:
    text = QUICK + "  One: &m {kernel: bicubic, sr: {zssr: {iterations: 3}}}\n  Two: *m\n  Three: {<<: *m, type: 2}\n"
    changed = read(tmp_path, text, settings=["methods.Two.sr.zssr.iterations=9"])
    assert [method.sr.model_dump()["iterations"] for method in changed.methods[2:]] == [3, 9, 3]
    assert changed.methods[4].type == 2


def test_a_missing_file_and_a_near_name(tmp_path: Path) -> None:
    with pytest.raises(BlindSRError, match="no such file, nor a bundled pipeline; did you mean 'kernelgan_zssr'"):
        pipeline.find("kernelgan_zsr")
    with pytest.raises(BlindSRError, match="is a folder"):
        pipeline.find(str(tmp_path))
    (tmp_path / "x.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BlindSRError, match="not UTF-8"):
        pipeline.load(tmp_path / "x.yaml", Registry.discover())


def test_settings_reach_any_depth(tmp_path: Path) -> None:
    text = QUICK + "  K. gan: {kernel: kernelgan, sr: bicubic}\n"
    changed = read(tmp_path, text, settings=["methods.K. gan.kernel.kernelgan.iterations=7", "data_seed=3", "seeds=[1, 2]"])
    assert changed.methods[2].kernel.model_dump()["iterations"] == 7
    assert (changed.data_seed, changed.seeds) == (3, (1, 2))


def test_a_wrong_setting_is_named_by_its_path(tmp_path: Path) -> None:
    assert _problems(tmp_path, QUICK, settings=["scale=fast"])[0].startswith("setting scale: should be a valid integer")
    assert "write path=value" in _problems(tmp_path, QUICK, settings=["scale"])[0]
    assert _problems(tmp_path, QUICK, overrides={"scale": 9})[0].startswith("scale: should be less than or equal to 4")


def test_file_parameters_start_at_the_pipeline_s_folder(tmp_path: Path) -> None:
    (tmp_path / "k.mat").write_bytes(b"x")
    text = QUICK.replace("kernel: ground_truth", "kernel: {given: {file: k.mat}}")
    assert read(tmp_path, text).methods[1].kernel.model_dump()["file"] == tmp_path / "k.mat"
    missing = _problems(tmp_path, text.replace("k.mat", "absent.mat"))
    assert "methods.Ground truth.kernel.given.file: no such file: " in missing[0]
    assert "needs either file or folder" in _problems(tmp_path, text.replace("{file: k.mat}", "{}"))[0]


def test_data_paths_start_at_the_file_or_at_the_command_line(
    tmp_path: Path, small_photo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "hr").mkdir()
    small_photo.rename(tmp_path / "hr" / "a.png")
    assert read(tmp_path).dataset().items[0].hr == tmp_path / "hr" / "a.png"
    monkeypatch.chdir(tmp_path / "hr")
    assert read(tmp_path, overrides={"data": {"lr": ["a.png"]}}).dataset().items[0].lr == Path("a.png")


def test_data_that_a_setting_names_lie_in_the_working_directory(
    tmp_path: Path, small_photo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sub").mkdir()
    small_photo.rename(tmp_path / "sub" / "a.png")
    monkeypatch.chdir(tmp_path / "sub")
    text = QUICK.replace("data: {hr: hr}\n", "").replace("degradation: random_kernel\n", "").replace("kernel: ground_truth, ", "")
    assert read(tmp_path, text.replace("type: 4, ", ""), settings=["data.lr=a.png"]).dataset().items[0].lr == Path("a.png")


def test_data_may_be_paths_and_tuples_of_them(tmp_path: Path, small_photo: Path) -> None:
    for lr in (small_photo, (small_photo,), [str(small_photo)]):
        assert read(tmp_path, overrides={"data": {"lr": lr}}).dataset().items[0].lr == small_photo
    assert _problems(tmp_path, QUICK, overrides={"data": {"hr": ["a", "b"]}}) == [
        "data.hr: should be a valid string, not ['a', 'b']"
    ]


def test_a_pipeline_without_data_says_how_to_give_some(tmp_path: Path) -> None:
    text = QUICK.replace("data: {hr: hr}\n", "").replace("degradation: random_kernel\n", "")
    with pytest.raises(BlindSRError, match=r"names no data; add \"data: {lr: \[PHOTO\]}\""):
        read(tmp_path, text).dataset()


@pytest.mark.parametrize("name", ["true", "null", "2", "1.5", "2020-01-01"])
def test_a_name_that_yaml_takes_for_something_else_is_to_be_quoted(tmp_path: Path, name: str) -> None:
    text = QUICK.rstrip() + f"\n  {name}: {{sr: bicubic}}\n"
    with pytest.raises(BlindSRError) as refused:
        read(tmp_path, text)
    line = text.count("\n")
    first = str(refused.value).splitlines()[0]
    assert first.endswith(f':{line}:3: a name must be text, which {name} is not in YAML; write "{name}" in quotes')
    assert read(tmp_path, text.replace(f"  {name}:", f'  "{name}":')).methods[-1].name == name


def test_a_bomb_of_aliases_does_not_go_off(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x, x]"] + [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    problems = _problems(tmp_path, "\n".join(lines))
    assert len("\n".join(problems)) < 5000
    write(tmp_path)


def test_the_command_shows_each_problem_in_a_line_of_its_own(tmp_path: Path, small_photo: Path) -> None:
    from click.testing import CliRunner

    from blindsr.cli import cli

    path = write(tmp_path, QUICK.replace("scale: 2", "scale: 5"))
    shown = CliRunner().invoke(cli, ["run", str(path)]).stderr.splitlines()
    assert [line[: len("error: ")] for line in shown] == ["error: ", "    sca", "       "]
    options = ["estimate", str(small_photo), "--method", "kernelgan", "--set", "iteration=3", "--set", "edge_shave=-1"]
    shown = CliRunner().invoke(cli, options).stderr.splitlines()
    assert len(shown) == 2
    for name, message in (("iteration", "unknown parameter"), ("edge_shave", "should be greater than")):
        (line,) = (line for line in shown if message in line)
        assert line.startswith("error: ")
        assert line.count(f"{name}:") == line.count("kernelgan.") == 1
