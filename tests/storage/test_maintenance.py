"""``blindsr check`` and ``blindsr clean``."""

import json
import os
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
from click.testing import CliRunner, Result

from blindsr.cli import cli
from blindsr.errors import BlindSRError
from blindsr.imaging.writer import write_png
from blindsr.pipeline.plan import make_plan
from blindsr.storage.output_folder import OutputFolder
from blindsr.storage.result import open_result
from pipelines import QUICK, read, run, write


def _blindsr(*arguments: str, **options: str) -> Result:
    return CliRunner().invoke(cli, list(arguments), catch_exceptions=False, **options)


@pytest.fixture
def runs(tmp_path: Path, photo: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> Path:
    write_png(tmp_path / "hr/a.png", photo[20:100, 40:136])
    monkeypatch.chdir(tmp_path)
    write(tmp_path)
    write(
        tmp_path,
        QUICK.replace("name: quick", "name: other").replace("data: {hr: hr}", "data: {hr: hr}\ndata_seed: 5"),
        "other.yaml",
    )
    for name in ("quick.yaml", "other.yaml"):
        assert _blindsr("run", name, "--workers", "0", "--device", "cpu").exit_code == 0
    return tmp_path / "runs"


def _steps(runs: Path) -> set[str]:
    return {path.name for path in (runs / "steps").iterdir() if ".h5" in path.name}


def test_a_whole_folder_passes(runs: Path) -> None:
    result = _blindsr("check")
    assert (result.exit_code, result.stderr) == (0, f"{len(_steps(runs)) + 2 + 4} files read, 0 damaged\n")
    assert _blindsr("check", "runs/quick-hr-x2").stderr == "3 files read, 0 damaged\n"


def test_every_flipped_byte_of_an_image_is_found(runs: Path) -> None:
    path = runs / "quick-hr-x2/result.h5"
    whole = path.read_bytes()
    with h5py.File(path) as file:
        info = file["items/a/methods/0/0/images/sr"].id.get_chunk_info(0)
    for offset in np.linspace(info.byte_offset, info.byte_offset + info.size - 1, 7).astype(int):
        damaged = bytearray(whole)
        damaged[offset] ^= 1
        path.write_bytes(damaged)
        result = _blindsr("check", str(path))
        assert result.exit_code == 1
        assert result.stdout.startswith(f"{path}: ")
        assert len(result.stdout.splitlines()) == 1


def test_a_damaged_step_is_named_and_stays_where_it_is(runs: Path) -> None:
    path = sorted((runs / "steps").iterdir())[0]
    path.write_bytes(path.read_bytes()[:500])
    before = _steps(runs)
    result = _blindsr("check")
    assert result.exit_code == 1
    assert path.name in result.stdout
    assert _steps(runs) == before


@pytest.mark.parametrize(("kind", "place"), [("upscale", "arrays"), ("degrade", "arrays/lr"), ("degrade", "kernel")])
def test_a_step_that_lacks_what_it_is_for_is_found_and_done_again(runs: Path, kind: str, place: str) -> None:
    for path in (runs / "steps").iterdir():
        with h5py.File(path, "r+") as file:
            if file.attrs["kind"] == kind.encode():
                del file[place]
    shutil.rmtree(runs / "quick-hr-x2/images")
    assert "is missing" in _blindsr("check").stdout
    assert _blindsr("run", "quick.yaml", "--workers", "0", "--device", "cpu").exit_code == 0
    _blindsr("run", "other.yaml", "--workers", "0", "--device", "cpu")
    assert _blindsr("check").exit_code == 0


def test_a_damaged_picture_is_found_and_one_cut_short_is_mended(runs: Path) -> None:
    path = runs / "quick-hr-x2/images/Ground_truth/a.png"
    whole = path.read_bytes()
    again = ("run", "quick.yaml", "--workers", "0", "--device", "cpu")
    flipped = bytearray(whole)
    flipped[2000] ^= 1
    renamed = whole.replace(b"blindsr-step", b"blindsr-stop")
    for data, problem in (
        (bytes(flipped), "its checksum is wrong"),
        (renamed, "its checksum is wrong"),
        (b"", "not a PNG file"),
        (whole[:2000], "cut short"),
    ):
        path.write_bytes(data)
        result = _blindsr("check")
        assert result.exit_code == 1
        assert f"{path.relative_to(runs.parent)}: {problem}" in result.stdout
    _blindsr(*again)
    assert path.read_bytes() == whole


def test_clean_says_what_to_do_where_nobody_answers(runs: Path) -> None:
    (runs / "hashes.json.part").touch()
    result = _blindsr("clean", input="")
    assert (result.exit_code, result.stderr) == (
        2,
        "error: nothing is removed, since nobody answers; --yes removes without asking\n",
    )


def _doubled(group: h5py.Group, depth: int) -> None:
    """Nested groups, each linked twice in its parent: 2 to the power of `depth` paths."""
    if depth:
        _doubled(group.create_group("left"), depth - 1)
        group["right"] = group["left"]


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda f: f.__setitem__("out", h5py.ExternalLink("/etc/hostname", "/")), "/out is a link to elsewhere"),
        (lambda f: _doubled(f, 40), "is there under another name, too"),
        (lambda f: f.create_dataset("huge", (2**20, 2**20), "f8", chunks=(64, 64)), "more than the file can hold"),
        (lambda f: f.create_dataset("away", (9,), "u1", external=[("/etc/passwd", 0, 9)]), "/away lies in another file"),
        (lambda f: f.__delitem__("summary"), "not a readable result file"),
    ],
)
def test_what_blindsr_never_writes_is_found(runs: Path, spoil, message: str) -> None:
    path = runs / "quick-hr-x2/result.h5"
    with h5py.File(path, "r+") as file:
        spoil(file)
    result = _blindsr("check", str(path))
    assert result.exit_code == 1
    assert message in result.stdout


@pytest.mark.parametrize("place", ["summary/psnr", "items/a/images/hr"])
def test_a_result_does_not_lead_to_other_files(runs: Path, place: str) -> None:
    path = runs / "quick-hr-x2/result.h5"
    shutil.copy(path, runs / "secret.h5")
    with h5py.File(path, "r+") as file:
        del file[place]
        file[place] = h5py.ExternalLink(str(runs / "secret.h5"), place)
    with pytest.raises(BlindSRError, match="lies in another file"), open_result(path) as result:
        result.image("a", "hr")


def test_a_folder_of_results_names_them_and_a_pool_is_checked_as_one(runs: Path, photo: np.ndarray) -> None:
    for command in (("table", "runs"), ("export", "runs")):
        assert _blindsr(*command).stderr == "error: runs: holds results; name one of them: runs/other-hr-x2, runs/quick-hr-x2\n"
    write_png(runs.parent / "photos/a.png", photo[:64, :64])
    _blindsr("estimate", "photos", "-o", "pool", "--method", "bicubic", "--workers", "0")
    for place in ("pool", "pool/kernels.h5"):
        assert _blindsr("check", place).stderr.endswith(" 0 damaged\n")
    data = (runs.parent / "pool/kernels.h5").read_bytes()
    (runs.parent / "pool/kernels.h5").write_bytes(data[:2000] + bytes(900) + data[2900:])
    assert _blindsr("check", "pool/kernels.h5").exit_code == 1


def test_nothing_to_check_gets_a_line(tmp_path: Path) -> None:
    result = _blindsr("check", str(tmp_path))
    assert (result.exit_code, result.stderr) == (2, f"error: {tmp_path}: no such file, nor a folder with results of blindsr\n")


def test_clean_removes_what_no_result_needs_and_nothing_else(runs: Path) -> None:
    assert _blindsr("clean", "--yes").stdout.startswith("runs: 0 files that no result needs")
    all_steps = _steps(runs)
    shutil.rmtree(runs / "other-hr-x2")
    (runs / f"steps/{'0' * 64}.h5.corrupt").write_bytes(b"12345")
    foreign = [runs / "steps/notes.md", runs / "steps/sub/a.py", runs / "movie.part", runs / "data/movie.part"]
    foreign += [runs / "quick-hr-x2/notes.part/a.md", runs / "quick-hr-x2/images/Big.part/a.png"]
    for path in foreign:
        path.parent.mkdir(exist_ok=True)
        path.write_text("mine")
    (runs / "quick-hr-x2/images/torn.png.part").write_bytes(b"1")
    (runs / "timings.json.part").touch()
    assert "Remove them?" in _blindsr("clean", input="n\n").stdout
    assert _steps(runs) > all_steps
    dry = _blindsr("clean", "--dry-run").stdout
    assert _steps(runs) > all_steps
    done = _blindsr("clean", "--yes").stdout
    assert done.splitlines()[0] == dry.splitlines()[0]
    assert done.splitlines()[-1].endswith("MB are free")
    assert _steps(runs) < all_steps
    assert all(path.read_text() == "mine" for path in foreign)
    assert not (runs / "quick-hr-x2/images/torn.png.part").exists()
    assert not (runs / "timings.json.part").exists()
    assert "nothing to compute" in _blindsr("run", "quick.yaml", "--workers", "0", "--device", "cpu").stderr


def test_clean_refuses_a_folder_that_is_not_blindsr_s(tmp_path: Path) -> None:
    (tmp_path / "steps").mkdir()
    (tmp_path / "steps/notes.h5").write_text("mine")
    result = _blindsr("clean", str(tmp_path), "--yes")
    assert (result.exit_code, result.stderr) == (2, f"error: {tmp_path}: holds no results of blindsr\n")
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["notes.h5", "steps"]


def test_a_quick_look_gives_up_nothing(runs: Path, photo: np.ndarray) -> None:
    write_png(runs.parent / "hr/b.png", photo[40:120, 60:156])
    again = ("run", "quick.yaml", "--workers", "0", "--device", "cpu")
    _blindsr(*again)
    steps = _steps(runs)
    _blindsr(*again, "--limit", "1")
    _blindsr("clean", "--yes")
    assert _steps(runs) == steps
    _blindsr(*again, "--set", "data_seed=7", "--limit", "1")
    _blindsr("clean", "--yes")
    assert _steps(runs) > steps
    _blindsr(*again, "--set", "data_seed=7")
    _blindsr("clean", "--yes")
    assert not _steps(runs) >= steps  # the old steps have other settings, and no result needs them now


@pytest.mark.parametrize("option", ["--items", "--seeds"])
def test_parts_taken_in_turn_give_up_nothing_of_one_another(runs: Path, photo: np.ndarray, option: str) -> None:
    write_png(runs.parent / "hr/b.png", photo[40:120, 60:156])
    write(runs.parent, QUICK.replace("type: 1, sr: bicubic", "type: 1, sr: {zssr: {iterations: 2}}"), "parts.yaml")
    parts = {"--items": ("a", "b"), "--seeds": ("0", "1")}[option]
    for part in parts:
        result = _blindsr("run", "parts.yaml", "--workers", "0", "--device", "cpu", "--out", "parts", option, part)
    other = "seed 0" if option == "--seeds" else "a"
    assert f"note: parts/quick-hr-x2 is also of {other}: what is done of them stays" in result.stderr
    assert "0 files that no result needs" in _blindsr("clean", "parts", "--yes").stdout
    again = ("run", "parts.yaml", "--workers", "0", "--device", "cpu", "--out", "parts")
    both = _blindsr(*again, *(("--seeds", "0,1") if option == "--seeds" else ()))
    assert "nothing to compute" in both.stderr
    assert "is also of" not in both.stderr
    before = len(list((runs.parent / "parts/steps").iterdir()))
    write_png(runs.parent / "hr/a.png", photo[45:125, 60:156])  # replaced steps can be removed
    _blindsr(*again, *(("--seeds", "0,1") if option == "--seeds" else ()))
    _blindsr("clean", "parts", "--yes")
    assert len(list((runs.parent / "parts/steps").iterdir())) == before


AGAIN = ("run", "quick.yaml", "--workers", "0", "--device", "cpu")


def test_other_images_of_the_same_name_are_refused_and_get_a_folder_by_name(runs: Path, photo: np.ndarray) -> None:
    first = (runs / "quick-hr-x2/images/Ground_truth/a.png").read_bytes()
    manifest, result = ((runs / "quick-hr-x2" / name).read_bytes() for name in ("steps.json", "result.h5"))
    write_png(runs.parent / "later/hr/a.png", photo[40:120, 60:156])
    refused = _blindsr(*AGAIN, "--hr", "later/hr")
    this = f"this run is of pipeline 'quick' on a in {runs.parent}/later/hr at x2"
    message = f"runs/quick-hr-x2: holds results of pipeline 'quick' on a in {runs.parent}/hr at x2; {this}. Choose another --name"
    assert refused.exit_code == 2
    assert refused.stderr == f"error: {message} for its results, or remove that folder\n"
    assert manifest == (runs / "quick-hr-x2/steps.json").read_bytes()
    assert result == (runs / "quick-hr-x2/result.h5").read_bytes()
    for _ in range(2):
        assert "result: runs/later/result.h5" in _blindsr(*AGAIN, "--hr", "later/hr", "--name", "later").stderr
    assert (runs / "quick-hr-x2/images/Ground_truth/a.png").read_bytes() == first
    assert "0 files that no result needs" in _blindsr("clean", "--yes").stdout


def test_results_of_another_scale_are_refused_and_older_manifests_have_none(runs: Path) -> None:
    assert "result: runs/one/result.h5" in _blindsr(*AGAIN, "--name", "one").stderr
    result = (runs / "one/result.h5").read_bytes()
    refused = _blindsr(*AGAIN, "--name", "one", "--scale", "4")
    assert refused.exit_code == 2
    assert f"in {runs.parent}/hr at x2; this run is of pipeline 'quick' on a in {runs.parent}/hr at x4. Choose" in refused.stderr
    assert (runs / "one/result.h5").read_bytes() == result
    manifest = runs / "one/steps.json"
    manifest.write_text(manifest.read_text().replace('"scale":2,', ""))
    assert "result: runs/one/result.h5" in _blindsr(*AGAIN, "--name", "one").stderr


def test_images_that_were_moved_or_edited_keep_their_folder(runs: Path, photo: np.ndarray) -> None:
    (runs.parent / "hr").rename(runs.parent / "moved")
    (runs.parent / "later").mkdir()
    (runs.parent / "moved").rename(runs.parent / "later/hr")
    assert "nothing to compute" in _blindsr(*AGAIN, "--hr", "later/hr").stderr
    write_png(runs.parent / "later/hr/a.png", photo[50:130, 60:156])
    assert "result: runs/quick-hr-x2/result.h5" in _blindsr(*AGAIN, "--hr", "later/hr").stderr


def test_sets_without_an_item_in_common_are_refused(runs: Path, photo: np.ndarray) -> None:
    write_png(runs.parent / "later/hr/b.png", photo[40:120, 60:156])
    refused = _blindsr(*AGAIN, "--hr", "later/hr")
    assert (refused.exit_code, refused.stderr.count("\n")) == (2, 1)
    assert "holds results of pipeline 'quick' on a in" in refused.stderr


@pytest.mark.parametrize("name", ["", ".", "..", "steps", "a/b", "/tmp/x"])
def test_a_name_is_that_of_one_folder(runs: Path, name: str) -> None:
    refused = _blindsr(*AGAIN, "--name", name)
    assert (refused.exit_code, refused.stderr.count("\n")) == (2, 1)
    assert f"--name '{name}' cannot be the name of a folder of results" in refused.stderr


@pytest.mark.parametrize("listed", ["[", '{"items": ["a"]}', None])
def test_a_folder_whose_manifest_is_lost_is_refused(runs: Path, listed: str | None) -> None:
    path = runs / "quick-hr-x2/steps.json"
    path.write_text(listed) if listed else path.unlink()
    result = (runs / "quick-hr-x2/result.h5").read_bytes()
    for command in (AGAIN, ("clean", "--yes")):
        refused = _blindsr(*command)
        assert (refused.exit_code, refused.stderr.count("\n")) == (2, 1)
        assert "error: runs/quick-hr-x2/steps.json: cannot be read" in refused.stderr
    assert (runs / "quick-hr-x2/result.h5").read_bytes() == result
    shutil.rmtree(runs / "quick-hr-x2")
    assert "nothing to compute" in _blindsr(*AGAIN).stderr


def test_another_pipeline_never_takes_the_folder(runs: Path) -> None:
    (runs.parent / "hr").rename(runs.parent / "x-hr")
    write(runs.parent, QUICK.replace("name: quick", "name: quick-x"), "x.yaml")
    again = ("--workers", "0", "--device", "cpu", "--hr")
    assert "result: runs/quick-x-hr-x2/result.h5" in _blindsr("run", "quick.yaml", *again, "x-hr").stderr
    (runs.parent / "x-hr").rename(runs.parent / "hr")
    assert "holds results of pipeline 'quick' on a" in _blindsr("run", "x.yaml", *again, "hr").stderr


def test_names_that_are_no_unicode_have_a_manifest(tmp_path: Path, photo: np.ndarray) -> None:
    name = os.fsdecode(b"\xff\xfe.png")
    write_png(tmp_path / "hr/a.png", photo[20:60, 40:90])
    (tmp_path / "hr/a.png").rename(tmp_path / "hr" / name)
    for cached in (False, True):
        report = run(make_plan(pipeline := read(tmp_path), pipeline.dataset()), tmp_path / "out")
        assert bool(report.cached) == cached


def test_a_step_can_be_checked_from_where_it_lies(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(runs / "steps")
    assert _blindsr("check", min(_steps(runs))).exit_code == 0


def test_an_unfinished_run_keeps_its_steps(runs: Path) -> None:
    steps = _steps(runs)
    (runs / "other-hr-x2/result.h5").unlink()  # as if its run had been killed
    _blindsr("clean", "--yes")
    assert _steps(runs) == steps


@pytest.mark.parametrize(
    "change",
    [
        None,
        *({"steps": steps} for steps in ("abc", {}, [], [1], ["abc"])),
        {"seeds": [[0]]},
        {"items": {"a": [{}, {}]}},
        {"items": {"a": ["b"]}},
        {"pipeline": 3},
        {"more": 3},
    ],
)
def test_clean_does_not_guess(runs: Path, change: dict[str, object] | None) -> None:
    path = runs / "quick-hr-x2/steps.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change) if change else "[")
    steps = _steps(runs)
    result = _blindsr("clean", "--yes")
    assert result.exit_code == 2
    assert "steps.json: cannot be read, so the steps that this result needs are not known" in result.stderr
    assert _steps(runs) == steps


def test_clean_keeps_out_of_a_running_folder(runs: Path) -> None:
    with OutputFolder(runs).locked():
        assert "another run is using this folder" in _blindsr("clean", "--yes").stderr


def test_clean_refuses_a_folder_that_is_not_ours(tmp_path: Path) -> None:
    (tmp_path / "precious.part").touch()
    assert "holds no results of blindsr" in _blindsr("clean", str(tmp_path), "--yes").stderr
    assert (tmp_path / "precious.part").exists()
