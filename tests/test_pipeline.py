"""The YAML: every problem at once, each at its place."""

from pathlib import Path

import pytest

from blindsr.components.registry import Registry
from blindsr.errors import BlindSRError
from blindsr.pipeline import loader as pipeline
from pipelines import QUICK, read, write


def _problems(folder: Path, text: str, **options: object) -> list[str]:
    with pytest.raises(BlindSRError) as caught:
        read(folder, text, **options)
    return str(caught.value).splitlines()


@pytest.mark.parametrize("name", sorted(pipeline.bundled()))
def test_bundled_pipelines_are_right(name: str) -> None:
    loaded = pipeline.load(pipeline.find(name), Registry.discover())
    assert [method.sr.name for method in loaded.methods][:2] == ["bicubic", "zssr"]


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
        (QUICK.replace("name: quick", "name: ../../etc"), "name: String should match pattern|name: string should match"),
        (QUICK.replace("scale: 2", "seeds: [1, 1]\nscale: 2"), "seeds: holds a seed twice"),
        (QUICK.replace("sr: bicubic}", "sr: {bicubic: 3}}", 1), "must be a name, or {name: {parameter: value}}"),
    ],
)
def test_wrong_yaml_gets_a_line(tmp_path: Path, text: str, message: str) -> None:
    found = "\n".join(_problems(tmp_path, text))
    assert any(part.lower() in found.lower() for part in message.split("|"))
    assert found.startswith(str(tmp_path))


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


def test_a_wrong_setting_is_named_by_its_option(tmp_path: Path) -> None:
    assert _problems(tmp_path, QUICK, settings=["scale=fast"])[0].startswith("--set scale: scale: should be a valid integer")
    assert "write path=value" in _problems(tmp_path, QUICK, settings=["scale"])[0]
    assert _problems(tmp_path, QUICK, overrides={"scale": 9})[0].startswith("--scale: scale: should be less than or equal to 4")


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


def test_a_pipeline_without_data_says_how_to_give_some(tmp_path: Path) -> None:
    text = QUICK.replace("data: {hr: hr}\n", "").replace("degradation: random_kernel\n", "")
    with pytest.raises(BlindSRError, match="names no data; add --lr PHOTO"):
        read(tmp_path, text).dataset()


def test_a_bomb_of_aliases_does_not_go_off(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x, x]"] + [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    problems = _problems(tmp_path, "\n".join(lines))
    assert len("\n".join(problems)) < 5000
    write(tmp_path)
