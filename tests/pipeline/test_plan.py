"""Plans: shared steps, keys that depend on content, kernels and HR images of datasets."""

import hashlib
import os
import re
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from pydantic import ConfigDict

from blindsr.api import NonBlindSR
from blindsr.components.discovery import RegisteredComponent
from blindsr.components.registry import Registry
from blindsr.errors import BlindSRError
from blindsr.imaging.kernel import Kernel
from blindsr.pipeline.datasets import Dataset, Item, div2krk, lr_images
from blindsr.pipeline.loader import load
from blindsr.pipeline.plan import Plan, make_plan, single_step
from blindsr.pipeline.steps import ImageCache, ImageFile, StepOutput
from blindsr.storage.result import open_result
from pipelines import QUICK, read, run, write

GAN = QUICK + "  KernelGAN: {kernel: kernelgan, sr: bicubic}\n"


@pytest.fixture
def folder(tmp_path: Path, small_photo: Path) -> Path:
    (tmp_path / "hr").mkdir()
    small_photo.rename(tmp_path / "hr" / "a.png")
    return tmp_path


def _plan(folder: Path, text: str, **options: object) -> Plan:
    pipeline = read(folder, text, **options)
    return make_plan(pipeline, pipeline.dataset())


def _kinds(plan: Plan) -> list[str]:
    return [step.kind for step in plan.steps.values()]


def test_methods_share_an_estimate(folder: Path) -> None:
    one = _plan(folder, GAN)
    two = _plan(folder, GAN + "  KernelGAN too: {kernel: kernelgan, sr: {zssr: {iterations: 5}}}\n")
    assert _kinds(one).count("estimate") == _kinds(two).count("estimate") == 2  # bicubic's and KernelGAN's
    assert one.steps.keys() < two.steps.keys()
    assert len(two.steps) - len(one.steps) == 2  # one upscaling, one score


def test_only_stochastic_steps_are_done_for_every_seed(folder: Path) -> None:
    plan = _plan(folder, GAN, overrides={"seeds": [0, 1, 2]})
    names = [step.component.name for step in plan.steps.values() if step.kind == "estimate"]
    assert sorted(names) == ["bicubic", "kernelgan", "kernelgan", "kernelgan"]
    assert len(plan.rows) == 9


@pytest.mark.parametrize("setting", ["data_seed=1", "degradation={random_kernel: {noise: 0.1}}"])
def test_what_the_degradation_depends_on_changes_everything(folder: Path, setting: str) -> None:
    assert not _plan(folder, GAN).steps.keys() & _plan(folder, GAN, settings=[setting]).steps.keys()


def test_the_content_of_a_file_counts_not_its_name(folder: Path) -> None:
    before = _plan(folder, GAN).steps.keys()
    (folder / "hr" / "a.png").rename(folder / "hr" / "b.png")
    assert _plan(folder, GAN).steps.keys() == before
    with (folder / "hr" / "b.png").open("ab") as file:
        file.write(b"\0")
    assert not _plan(folder, GAN).steps.keys() & before


def test_a_step_s_key_is_the_sha_256_of_its_identity(folder: Path) -> None:
    import hashlib

    image = hashlib.sha256((folder / "hr" / "a.png").read_bytes()).hexdigest()
    identity = (
        '{"component": ["random_kernel", 1, {"max_variance": 5.0, "min_variance": 0.6, "noise": 0.25, "size": 11}], '
        f'"inputs": {{"hr": "image:{image}"}}, "kind": "degrade", "scale": 2, "seed": 0, "version": 1}}'
    )
    assert next(iter(_plan(folder, QUICK).steps)) == hashlib.sha256(identity.encode()).hexdigest()


def test_a_new_version_of_a_component_is_a_new_step(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from blindsr_kernelgan import KernelGAN

    before = _plan(folder, GAN).steps
    monkeypatch.setattr(KernelGAN, "version", KernelGAN.version + 1)
    changed = [before[key].label for key in before.keys() - _plan(folder, GAN).steps.keys()]
    assert sorted(changed) == ["bicubic", "kernelgan", "score"]  # the estimate, and the steps that depend on it


def test_every_step_comes_after_what_it_needs(folder: Path) -> None:
    seen: set[str] = set()
    for step in _plan(folder, GAN).steps.values():
        assert step.needs <= seen
        seen.add(step.key)


def test_both_scales_of_an_item_seed_one_kernel(folder: Path) -> None:
    two, four = (_plan(folder, GAN, overrides={"scale": scale}) for scale in (2, 4))
    seeds = [next(step.kernel_seed for step in plan.steps.values() if step.kind == "degrade") for plan in (two, four)]
    assert seeds[0] == seeds[1]
    assert not two.steps.keys() & four.steps.keys()


def test_without_truth_the_methods_that_need_it_are_left_out(folder: Path) -> None:
    plan = _plan(folder, GAN, overrides={"data": {"lr": [str(folder / "hr" / "a.png")]}})
    assert [row.method.name for row in plan.rows] == ["Bicubic interpolation", "KernelGAN"]
    assert plan.left_out == ["method 'Ground truth' is left out where there is no true kernel"]
    assert "score" not in _kinds(plan)


def test_if_nothing_is_left_it_is_said(folder: Path) -> None:
    text = QUICK.replace("  Bicubic interpolation: {type: 1, sr: bicubic}\n", "")
    with pytest.raises(BlindSRError, match="nothing can be run; method 'Ground truth' is left out"):
        _plan(folder, text, overrides={"data": {"lr": [str(folder / "hr" / "a.png")]}})


def test_a_wrong_given_kernel_is_found_before_anything_starts(folder: Path) -> None:
    np.save(folder / "k.npy", np.ones((5, 5)))
    with pytest.raises(BlindSRError, match="k.npy: the kernel sums to 25, not to 1"):
        _plan(folder, QUICK.replace("kernel: ground_truth", "kernel: {given: {file: k.npy}}"))


def test_given_kernels_are_found_by_item_and_composed(folder: Path) -> None:
    Kernel.bicubic(2).save(folder / "a.npy")
    text = QUICK.replace("kernel: ground_truth", "kernel: {given: {folder: ., scale: 2}}")
    plan = _plan(folder, text, overrides={"scale": 4})
    kernel = plan.rows[1].kernel.read()
    assert kernel.scale == 4
    assert np.allclose(kernel.array, Kernel.bicubic(2).composed().array)
    (folder / "a.npy").rename(folder / "z.npy")
    with pytest.raises(BlindSRError, match=r"no kernel for item 'a'; expected a\.mat, a\.npy or kernel_a\.mat"):
        _plan(folder, text)


def test_div2krk_s_layout(shared: Path) -> None:
    for scale in (2, 4):
        found = div2krk(shared / "data/urban5rk", scale)
        assert [item.id for item in found.items] == [f"im_{n}" for n in range(1, 6)]
        assert all(item.hr and item.kernel for item in found.items)
        assert all((item.half_kernel is not None) == (scale == 4) for item in found.items)
    numbers = [item.id for item in div2krk(shared / "data/set14rk", 2).items]
    assert numbers == [f"im_{n}" for n in range(1, 15)]


def test_a_hole_in_div2krk_s_layout_is_named(tmp_path: Path) -> None:
    with pytest.raises(BlindSRError, match="no such folder"):
        div2krk(tmp_path / "absent", 2)
    with pytest.raises(BlindSRError, match="not the layout of DIV2KRK"):
        div2krk(tmp_path, 2)
    for name in ("lr_x2", "gt"):
        (tmp_path / name).mkdir()
    with pytest.raises(BlindSRError, match=r"holds no im_N\.png"):
        div2krk(tmp_path, 2)
    (tmp_path / "lr_x2" / "im_7.png").touch()
    with pytest.raises(BlindSRError, match=r"no folder lr_x4; it has lr_x2"):
        div2krk(tmp_path, 4)
    with pytest.raises(BlindSRError, match=r"gt/img_7_gt\.png: no such file"):
        div2krk(tmp_path, 2)


def test_images_are_called_by_their_stems_or_names_and_never_alike(tmp_path: Path) -> None:
    for name in ("a/cat.png", "a/dog.png", "a/dog.jpg", "b/cat.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert [item.id for item in lr_images([tmp_path / "a"]).items] == ["cat", "dog.jpg", "dog.png"]
    assert [item.id for item in lr_images([tmp_path / "a/cat.png", tmp_path / "a/cat.png"]).items] == ["cat"]
    with pytest.raises(BlindSRError, match=r"a/cat.png and .*b/cat.png: both would be called 'cat.png' in the result; rename one"):
        lr_images([tmp_path / "a", tmp_path / "b"])


def test_rows_of_equal_items_share_steps(folder: Path) -> None:
    pipeline = read(folder, QUICK)
    path = folder / "hr" / "a.png"
    one = make_plan(pipeline, Dataset("one", (Item("a", hr=path),)))
    two = make_plan(pipeline, Dataset("two", (Item("a", hr=path), Item("copy", hr=path))))
    assert one.steps.keys() == two.steps.keys()
    assert len(two.rows) == 2 * len(one.rows)


def test_files_of_components_in_components_are_named(folder: Path) -> None:
    checkpoint = folder / "usrnet.pth"
    checkpoint.write_bytes(b"weights")
    rows = f"  Refined: {{kernel: {{refined: {{start: michaeli_irani, sr: {{unfolding: {{checkpoint: {checkpoint}}}}}}}}}, sr: bicubic}}\n"
    listed = {entry["path"]: entry["sha256"] for entry in _plan(folder, QUICK + rows).weights}
    assert listed[str(checkpoint)] == hashlib.sha256(b"weights").hexdigest()


def test_shipped_weights_are_part_of_the_key_and_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from blindsr_bicubic import BicubicInterpolation

    before = _plan(folder, QUICK)
    assert before.weights == []
    weights = folder / "w.safetensors"
    monkeypatch.setattr(BicubicInterpolation, "shipped_weights", lambda self, scale: {weights: "Apache-2.0"})
    with pytest.raises(BlindSRError, match="w.safetensors: No such file"):
        _plan(folder, QUICK)
    keys = []
    for content in (b"one", b"two"):
        weights.write_bytes(content)
        plan = _plan(folder, QUICK)
        keys.append({key for key, step in plan.steps.items() if step.kind == "upscale"})
    assert not keys[0] & keys[1]
    assert plan.weights == [{"path": str(weights), "sha256": hashlib.sha256(b"two").hexdigest(), "licence": "Apache-2.0"}]


@pytest.mark.parametrize(("name", "rows", "left_out"), [("table1_x2", 15, 2), ("table1_x4", 13, 6)])
def test_the_papers_table_runs_what_it_has_files_for(folder: Path, name: str, rows: int, left_out: int) -> None:
    from blindsr.components.registry import Registry
    from blindsr.pipeline import loader as pipeline
    from blindsr.pipeline.published import published_table

    data = {"data": {"hr": str(folder / "hr")}}
    loaded = pipeline.load(pipeline.find(name), Registry.discover(), overrides=data)
    plan = make_plan(loaded, loaded.dataset())
    assert len(plan.rows) == rows
    assert len(plan.left_out) == left_out
    names = {step.label for step in plan.steps.values() if step.kind == "estimate"}
    assert [step.label for step in plan.steps.values() if step.kind == "estimate"].count("kernelgan") == 2  # one for each preset
    own = {"corrected"} if name == "table1_x2" else set()
    assert names == {"bicubic", "kernelgan", "michaeli_irani", "kernelnet", "refined", *own}
    # Every row of the published table at this scale is in the file, under its type.
    text = loaded.text
    for row in published_table("paper").rows:
        if loaded.scale in row.scores:
            assert f"type: {row.type}" in next(line for line in text.splitlines() if f"published: {row.key}}}" in line)


def _image(path: Path) -> ImageFile:
    return ImageFile(path, hashlib.sha256(path.read_bytes()).hexdigest())


def test_a_single_step_is_the_one_that_a_pipeline_has(folder: Path) -> None:
    image = _image(folder / "hr" / "a.png")
    registry = Registry.discover()
    for scale, seed in ((2, 0), (4, 3)):
        options = {"settings": ["methods.KernelGAN.kernel.kernelgan.iterations=7"], "overrides": {"scale": scale, "seeds": [seed]}}
        planned = _plan(folder, GAN.replace("data: {hr: hr}", "data: {lr: hr/a.png}"), **options).steps
        estimator = registry.build("kernel", "kernelgan", {"iterations": 7})
        estimate = single_step("estimate", estimator, scale, {"lr": image}, seed=seed)
        assert estimate.component == planned[estimate.key].component
        kernel = StepOutput(estimate.key, "kernel")
        upscale = single_step("upscale", registry.build("sr", "bicubic"), scale, {"lr": image, "kernel": kernel}, seed=seed)
        assert planned[upscale.key].label == "bicubic"
        assert single_step("estimate", estimator, scale, {"lr": image.path}, seed=seed).key == estimate.key


def test_a_single_degradation_has_the_key_and_the_kernel_seed_of_a_pipeline(folder: Path) -> None:
    planned = _plan(folder, QUICK, settings=["data_seed=5", "degradation={random_kernel: {noise: 0.1}}"]).steps
    component = Registry.discover().build("degradation", "random_kernel", {"noise": 0.1})
    step = single_step("degrade", component, 2, {"hr": _image(folder / "hr" / "a.png")}, seed=5)
    assert planned[step.key].kernel_seed == step.kernel_seed
    assert single_step("degrade", component, 4, step.inputs, seed=5).kernel_seed == step.kernel_seed


def test_the_keys_of_a_stranger_s_component_are_its_own(folder: Path) -> None:
    from blindsr_bicubic import BicubicInterpolation

    entry = RegisteredComponent("sr", BicubicInterpolation, "stranger", "1.0")
    installed = Registry.discover().entries
    registry = Registry({**installed, ("sr", "stranger:bicubic"): entry})
    text = QUICK.replace("sr: bicubic}", "sr: 'stranger:bicubic'}", 1)
    pipeline = load(write(folder, text), registry)
    plan = make_plan(pipeline, pipeline.dataset())
    keys = [{step.key for step in plan.steps.values() if step.kind == "upscale"} for plan in (plan, _plan(folder, QUICK))]
    assert len(keys[0] & keys[1]) == 1  # the ground truth's
    methods = pipeline.resolved()["methods"]
    assert [*methods["Bicubic interpolation"]["sr"], *methods["Ground truth"]["sr"]] == ["stranger:bicubic", "bicubic"]


@pytest.mark.parametrize(("kind", "name"), [("kernel", "ground_truth"), ("sr", "external")])
def test_what_needs_its_item_is_no_single_step(tmp_path: Path, kind: str, name: str) -> None:
    component = Registry.discover().build(kind, name, {"folder": str(tmp_path)} if kind == "sr" else {})
    with pytest.raises(BlindSRError, match=f"'{name}' is for pipelines; for a single image, choose another"):
        single_step("upscale", component, 2, {})


def test_arrays_and_kernels_are_known_by_their_numbers() -> None:
    component = Registry.discover().build("sr", "bicubic")
    image = np.zeros((4, 6, 3), np.uint8)
    kernel = Kernel.bicubic(2)
    keys = [
        single_step("upscale", component, 2, {"lr": lr, "kernel": of}).key
        for lr, of in (
            (image, kernel),
            (image.copy(), Kernel.bicubic(2)),
            (image + 1, kernel),
            (image.reshape(6, 4, 3), kernel),
            (image.astype(np.uint16), kernel),
            (image, kernel.shifted(0.5, 0)),
        )
    ]
    assert keys[0] == keys[1]
    assert len(set(keys)) == 5


class _Odd:
    """A value whose repr holds a memory address."""


class _Parameters(NonBlindSR):
    """Takes any parameter."""

    name: ClassVar[str] = "parameters"
    model_config = ConfigDict(arbitrary_types_allowed=True)

    value: Any

    def fit(self, lr: object, kernel: object, run: object) -> Any: ...


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (_Odd(), "^parameters.value: a value of type _Odd cannot"),
        ({"a": [_Odd()]}, "^parameters.value.a: a value of type _Odd"),
        ({1, "a"}, "^parameters.value: a value of type set cannot"),
        (b"x", "^parameters.value: a value of type bytes cannot be part of a step's key; declare the parameter as numbers"),
    ],
)
def test_a_parameter_that_cannot_be_part_of_a_key_is_refused(folder: Path, value: object, shown: str) -> None:
    with pytest.raises(BlindSRError, match=shown):
        single_step("upscale", _Parameters(value=value), 2, {"lr": _image(folder / "hr" / "a.png")})


def test_any_plain_parameter_is_part_of_the_key(folder: Path) -> None:
    inputs = {"lr": _image(folder / "hr" / "a.png")}
    (folder / "sub").mkdir()
    (folder / "sub" / "file").write_text("content")
    values: list[object] = [
        1,
        2.5,
        float("inf"),
        "inf!",
        None,
        True,
        [1, [2]],
        {"a": 1},
        {3, 1, 2},
        folder / "sub",
        folder / "sub/file",
    ]
    keys = {single_step("upscale", _Parameters(value=value), 2, inputs).key for value in values}
    assert len(keys) == len(values)


@pytest.mark.parametrize(
    ("shipped", "message"),
    [
        (lambda self, scale: {"w.safetensors": "MIT"}, "bicubic: shipped_weights must return a mapping of pathlib.Path to licence"),
        (lambda self, scale: 1 / 0, "bicubic: shipped_weights failed .ZeroDivisionError: division by zero.; this is a defect"),
        (lambda self, scale: "ab", "bicubic: shipped_weights failed .ValueError"),
        (lambda self, scale: None, "bicubic: shipped_weights failed .TypeError"),
    ],
)
def test_shipped_weights_that_are_none_cost_their_rows_only(
    folder: Path, monkeypatch: pytest.MonkeyPatch, shipped: object, message: str
) -> None:
    from blindsr_bicubic import BicubicInterpolation

    monkeypatch.setattr(BicubicInterpolation, "shipped_weights", shipped)
    plan = _plan(folder, QUICK + "  Shocked: {kernel: ground_truth, sr: {zssr: {iterations: 2}}}\n")
    report = run(plan, folder / "runs")
    failures = {failure.message for failure in report.failures.values()}
    assert len(failures) == 1
    assert re.match(message, failures.pop())
    with open_result(report.result) as result:
        chosen = result.columns["method"] == "Shocked"
        assert np.isfinite(result.columns["psnr"]).tolist() == chosen.tolist()
    component = Registry.discover().build("sr", "bicubic")
    with pytest.raises(BlindSRError, match=message):
        single_step("upscale", component, 2, {"lr": _image(folder / "hr" / "a.png")})


def test_a_file_is_hashed_once_a_run(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from blindsr.pipeline import hashes as hashing

    path = folder / "hr" / "a.png"
    os.utime(path, ns=(10**18, 10**18))
    monkeypatch.setattr(hashing, "SETTLED_SECONDS", -1)
    hashed = []
    sha256 = hashing.sha256
    monkeypatch.setattr(hashing, "sha256", lambda path: (hashed.append(path), sha256(path))[1])
    report = run(_plan(folder, QUICK), folder / "runs")
    assert report.failures == {}
    assert hashed == [path]


def test_a_stamp_that_changed_is_not_trusted_and_equal_bytes_are_the_same_file(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from blindsr.pipeline import hashes as hashing

    monkeypatch.setattr(hashing, "SETTLED_SECONDS", -1)
    path = folder / "hr" / "a.png"
    file = hashing.Hashes().file(path)
    assert file.stamp
    content = path.read_bytes()
    path.write_bytes(content)
    file.check()
    path.write_bytes(content[:-1] + b"x")
    with pytest.raises(BlindSRError, match="changed since the run began"):
        file.check()


def test_images_are_decoded_once_while_there_is_room(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from blindsr.pipeline import steps

    decoded = []
    read_image = steps.read_image
    monkeypatch.setattr(steps, "read_image", lambda path: (decoded.append(path), read_image(path))[1])
    (folder / "hr" / "b.png").write_bytes((folder / "hr" / "a.png").read_bytes() + b"\0")
    one, two = (_image(folder / "hr" / name) for name in ("a.png", "b.png"))
    cache = ImageCache(one.read().pixels.nbytes)
    first = one.read(cache)
    assert one.read(cache) is first
    assert not first.pixels.flags.writeable
    two.read(cache)  # takes the room of the first
    two.read(cache)
    assert one.read(cache) is not first
    assert len(decoded) == 4
    small = ImageCache(1)
    assert one.read(small) is not one.read(small)


def test_hashes_are_kept_for_files_of_any_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from blindsr.pipeline import hashes as hashing

    path = tmp_path / os.fsdecode(b"\xff.png")
    path.write_bytes(b"content")
    monkeypatch.setattr(hashing, "SETTLED_SECONDS", -1)
    for sha256 in (hashing.sha256, lambda path: pytest.fail("hashed again")):
        monkeypatch.setattr(hashing, "sha256", sha256)
        hashes = hashing.Hashes(tmp_path / "hashes.json")
        assert hashes.of(path) == hashlib.sha256(b"content").hexdigest()
        hashes.save()
