"""SR images of other programs, and optional methods that are skipped because a file is missing."""

from pathlib import Path

import numpy as np
import pytest

from blindsr.components.registry import Registry
from blindsr.errors import BlindSRError
from blindsr.execution.scheduler import Report
from blindsr.imaging.metrics import psnr_y
from blindsr.imaging.writer import write_png
from blindsr.pipeline.plan import make_plan
from blindsr.storage.result import open_result
from pipelines import QUICK, read, run

EXTERNAL = QUICK + "  PDN: {type: 2, sr: {external: {folder: pdn}}, optional: true}\n"


@pytest.fixture
def folder(tmp_path: Path, photo: np.ndarray) -> Path:
    for name, left in (("a", 0), ("b", 40), ("c", 80)):
        write_png(tmp_path / f"hr/{name}.png", photo[20:80, left : left + 64])
        write_png(tmp_path / f"pdn/{name}.png", photo[21:81, left : left + 64])
    return tmp_path


def _run(folder: Path, text: str = EXTERNAL, **options: object) -> Report:
    pipeline = read(folder, text, **options)
    plan = make_plan(pipeline, pipeline.dataset())
    return run(plan, folder / "runs")


def test_a_folder_of_images_is_a_row(folder: Path, photo: np.ndarray) -> None:
    report = _run(folder)
    assert not report.failures
    with open_result(report.result) as result:
        chosen = (result.columns["method"] == "PDN") & (result.columns["item"] == "b")
        expected = psnr_y(photo[21:81, 40:104], photo[20:80, 40:104], shave=2)
        assert result.columns["psnr"][chosen] == pytest.approx([expected])
        assert np.isnan(result.columns["seconds_upscale"][chosen]).all()
        assert np.isnan(result.columns["kernel_l2"][chosen]).all()  # no kernel is known for it
        np.testing.assert_array_equal(result.sr("b", "PDN", 0), photo[21:81, 40:104])
    assert (report.folder / "images/PDN/b.png").is_file()


def test_a_missing_a_misnamed_and_a_wrongly_sized_image_are_named_and_the_rest_is_scored(folder: Path, photo: np.ndarray) -> None:
    (folder / "pdn/a.png").rename(folder / "pdn/a_x2.png")
    write_png(folder / "pdn/b.png", photo[20:78, 40:104])
    messages = {failure.message for failure in _run(folder).failures.values()}
    assert messages == {
        f"{folder}/pdn/a.png: no such file; an SR image is named like its item (the folder holds a_x2.png)",
        f"{folder}/pdn/b.png: has 64 x 58 pixels; expected 64 x 60, 2 times the LR image",
    }
    with open_result(folder / "runs/quick-hr-x2") as result:
        chosen = result.columns["method"] == "PDN"
        assert np.isfinite(result.columns["psnr"][chosen]).tolist() == [False, False, True]
    write_png(folder / "pdn/b.png", photo[21:81, 40:104])  # repaired: the other steps are not computed again
    report = _run(folder)
    assert (len(report.computed), len(report.failures)) == (2, 2)


def test_two_images_of_an_item_are_too_many(folder: Path, photo: np.ndarray) -> None:
    write_png(folder / "pdn/c.bmp.png", photo[:60, :64])
    (folder / "pdn/c.jpg").write_bytes((folder / "pdn/c.png").read_bytes())
    assert {failure.message for failure in _run(folder).failures.values()} == {
        f"{folder}/pdn: item 'c' has c.jpg and c.png; leave one of them"
    }


def test_an_optional_method_without_its_file_is_left_out_and_named(folder: Path) -> None:
    text = EXTERNAL.replace("folder: pdn", "folder: nowhere")
    pipeline = read(folder, text)
    plan = make_plan(pipeline, pipeline.dataset())
    assert plan.left_out == [f"method 'PDN' is left out: no such folder: {folder}/nowhere"]
    assert {row.method.name for row in plan.rows} == {"Bicubic interpolation", "Ground truth"}


def test_a_required_method_without_its_file_stops_the_run(folder: Path) -> None:
    text = EXTERNAL.replace("folder: pdn", "folder: nowhere").replace(", optional: true", "")
    with pytest.raises(BlindSRError, match=r"quick\.yaml:8:42: methods\.PDN\.sr\.external\.folder: no such folder: .*nowhere"):
        read(folder, text)


def test_other_faults_of_an_optional_method_are_faults(folder: Path) -> None:
    with pytest.raises(BlindSRError, match="unknown parameter; did you mean 'folder'"):
        read(folder, EXTERNAL.replace("folder: pdn", "foldr: pdn"))


def test_a_path_from_the_command_line_starts_at_the_working_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere = folder / "elsewhere"
    (elsewhere / "mine").mkdir(parents=True)
    monkeypatch.chdir(elsewhere)
    pipeline = read(folder, EXTERNAL, settings=["methods.PDN.sr.external.folder=mine"])
    assert pipeline.methods[-1].sr.folder == elsewhere / "mine"  # type: ignore[attr-defined]


def test_a_folder_from_the_command_line_may_come_as_a_mapping(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "elsewhere/mine").mkdir(parents=True)
    monkeypatch.chdir(folder / "elsewhere")
    pipeline = read(folder, EXTERNAL, settings=["methods.PDN.sr={external: {folder: mine}}"])
    assert pipeline.methods[-1].sr.folder == folder / "elsewhere/mine"  # type: ignore[attr-defined]


def test_a_missing_file_hides_no_other_problem(folder: Path) -> None:
    text = QUICK + "  A: {kernel: {given: {file: k.mat}}, sr: {zssr: {iteration: 3}}, optional: true}\n"
    with pytest.raises(BlindSRError) as caught:
        read(folder, text)
    assert [line.split(": ", 2)[1] for line in caught.value.lines] == [
        "methods.A.kernel.given.file",
        "methods.A.sr.zssr.iteration",
    ]


def test_a_degradation_without_its_file_gets_a_line(folder: Path) -> None:
    from typing import ClassVar

    from blindsr_random_kernel import RandomKernel

    from blindsr.components.parameters import InputFile
    from blindsr.components.registry import RegisteredComponent
    from blindsr.pipeline.loader import load
    from pipelines import write

    class FromFile(RandomKernel):
        name: ClassVar[str] = "from_file"
        file: InputFile

    registry = Registry(
        {**Registry.discover().entries, ("degradation", "from_file"): RegisteredComponent("degradation", FromFile, "t", "0")}
    )
    path = write(folder, QUICK.replace("degradation: random_kernel", "degradation: {from_file: {file: k.npy}}"))
    with pytest.raises(BlindSRError, match=r"quick\.yaml:4:\d+: degradation\.from_file\.file: no such file: .*k\.npy\n"):
        load(path, registry)


def test_a_bundled_pipeline_looks_for_its_files_where_its_user_is(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from click.testing import CliRunner

    from blindsr.cli import cli

    (folder / "outside/pdn_track4_x4").mkdir(parents=True)
    monkeypatch.chdir(folder)
    done = CliRunner().invoke(cli, ["run", "table1_x4", "--hr", "hr", "--dry-run"], catch_exceptions=False)
    assert done.exit_code == 0
    assert f"no such file: {folder}/weights/edsr_x4-4f62e9ef.pt" in done.stderr
    assert "PDN" not in done.stderr
