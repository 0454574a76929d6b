"""The commands: their output and their exit codes."""

import csv
import errno
import io
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
from click.testing import CliRunner, Result

from blindsr import __version__
from blindsr.cli import cli
from blindsr.errors import BlindSRError
from blindsr.imaging.kernel import Kernel
from blindsr.imaging.reader import read_image
from blindsr.imaging.writer import write_png
from pipelines import QUICK, write


@pytest.fixture
def folder(tmp_path: Path, photo: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "hr").mkdir()
    write_png(tmp_path / "hr" / "cat.png", photo[20:148, 100:260])
    write(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _blindsr(*arguments: str) -> Result:
    return CliRunner().invoke(cli, list(arguments))


def _run(*arguments: str) -> Result:
    return _blindsr("run", *arguments, "--workers", "0", "--device", "cpu")


def test_a_run_prints_the_table_and_says_where_things_are(folder: Path) -> None:
    result = _run("quick.yaml")
    assert result.exit_code == 0, result.output
    assert re.search(r"1  Bicubic interpolation\s+\d\d\.\d\d / 0\.\d{4}", result.stdout)
    assert "6 steps computed, 0 done before, 0 failed\nplan: kernels: 1 bicubic; SR: 2 bicubic\n" in result.stderr
    assert (folder / "runs/quick-hr-x2/images/Ground_truth/cat.png").is_file()
    assert "nothing to compute: all 6 steps were done before" in _run("quick.yaml").stderr


def test_hr_lr_and_div2krk_on_the_command_line(folder: Path, shared: Path) -> None:
    assert _run("quick.yaml", "--hr", "hr", "--scale", "4").exit_code == 0
    result = _run("quick.yaml", "--lr", "hr/cat.png", "hr/cat.png")
    assert result.exit_code == 0
    assert "method 'Ground truth' is left out" in result.stderr
    result = _run("quick.yaml", "--data", str(shared / "data/urban5rk"), "--limit", "1", "--items", "im_[23]")
    assert result.exit_code == 0
    with (folder / "table.csv").open("w") as file:
        file.write(_blindsr("table", "runs/quick-urban5rk-x2", "--format", "csv", "--per-item").stdout)
    assert {row["item"] for row in csv.DictReader((folder / "table.csv").open())} == {"im_2"}


def test_the_table_in_its_formats(folder: Path) -> None:
    _run("quick.yaml", "--seeds", "0,1")
    path = "runs/quick-hr-x2/result.h5"
    markdown = _blindsr("table", path, "--format", "markdown").stdout.splitlines()
    assert markdown[0] == "**hr x2, 1 image, 2 seeds**"
    assert markdown[2] == "| type | method | PSNR (dB) / SSIM |"
    assert len(markdown) == 6
    rows = list(csv.DictReader(io.StringIO(_blindsr("table", path, "--format", "csv").stdout)))
    assert [row["method"] for row in rows] == ["Bicubic interpolation", "Ground truth"]
    assert float(rows[0]["psnr"]) == pytest.approx(float(markdown[4].split("|")[3].split("/")[0]), abs=0.005)
    assert _blindsr("table", path, path).stdout.count("Ground truth") == 1


def test_estimate_writes_a_kernel(folder: Path) -> None:
    result = _blindsr("estimate", "hr/cat.png", "--method", "bicubic", "-o", "k.npy", "--scale", "4")
    assert result.exit_code == 0, result.output
    assert np.allclose(Kernel.load("k.npy", scale=4).array, Kernel.bicubic(4).array)
    assert "k.npy: x4 kernel" in result.stdout
    options = ("--method", "kernelgan", "--set", "iterations=3", "--device", "cpu")
    assert _blindsr("estimate", "hr/cat.png", *options).exit_code == 0
    assert Kernel.load("hr/cat_kernel_x2.mat", scale=2).aligned


def test_a_warning_about_the_one_photograph_needs_no_name(folder: Path) -> None:
    write_png(folder / "noise.png", np.random.default_rng(0).integers(0, 256, (96, 96, 3), np.uint8))
    result = _blindsr("estimate", "noise.png", "--method", "kernelnet")
    assert result.stderr.startswith("warning: kernelnet: ")


def test_estimate_gives_the_numbers_of_a_run(folder: Path) -> None:
    from blindsr.storage.result import open_result

    write(folder, QUICK.replace("kernel: ground_truth", "kernel: {kernelgan: {iterations: 4}}"))
    _run("quick.yaml", "--lr", "hr/cat.png", "--seeds", "5")
    _blindsr(
        "estimate", "hr/cat.png", "--method", "kernelgan", "--set", "iterations=4", "--seed", "5", "-o", "k.npy", "--device", "cpu"
    )
    with open_result("runs/quick-cat-x2") as result:
        assert np.array_equal(result.kernel("cat", "Ground truth", 5).array, Kernel.load("k.npy", scale=2).array)


def test_export_takes_things_out(folder: Path) -> None:
    _run("quick.yaml")
    result = _blindsr(
        "export", "runs/quick-hr-x2", "-o", "out", "--what", "sr", "--what", "hr", "--what", "kernel", "--methods", "G*"
    )
    assert result.exit_code == 0, result.output
    names = sorted(str(path.relative_to("out")) for path in Path("out").rglob("*") if path.is_file())
    assert names == ["Ground_truth/seed-0/cat.png", "Ground_truth/seed-0/cat_kernel.mat", "hr/cat.png", "true_kernel/cat.mat"]
    assert np.array_equal(read_image("out/hr/cat.png").pixels, read_image("hr/cat.png").pixels)
    nothing = _blindsr("export", "runs/quick-hr-x2", "--items", "dog")
    assert nothing.exit_code == 2
    assert "it has items cat and methods" in nothing.stderr


def test_plugins_lists_parameters_and_origins() -> None:
    out = _blindsr("plugins").stdout
    assert re.search(rf"kernelgan\s+blindsr {__version__}", out)
    assert "iterations = 3000" in out
    assert "blindsr, version " in _blindsr("--version").stdout


def test_plugins_shows_the_components_that_are_named() -> None:
    out = _blindsr("plugins", "bicubic", "zssr").stdout
    assert re.findall(r"^(\S.*|  \w+)", out, re.MULTILINE) == [
        "kernel estimators",
        "  bicubic",
        "SR methods",
        "  bicubic",
        "  zssr",
    ]
    unknown = _blindsr("plugins", "kernelgn")
    assert (unknown.exit_code, unknown.stderr) == (2, "error: no plugin has a component 'kernelgn'; did you mean 'kernelgan'?\n")


def test_a_reader_that_has_read_enough_is_no_error() -> None:
    command = [sys.executable, "-m", "blindsr", "plugins"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout
    assert process.stderr
    process.stdout.close()
    assert (process.wait(), process.stderr.read()) == (1, b"")


def test_help_loads_no_heavy_library() -> None:
    heavy = "{'torch', 'numpy', 'scipy', 'h5py', 'cv2', 'skimage', 'PIL', 'rich'}"
    for arguments in (["--help"], ["plugins"]):
        code = f"import sys; from blindsr.cli import cli; cli({arguments}, standalone_mode=False); sys.exit(bool({heavy} & sys.modules.keys()))"
        assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == 0, arguments


def _nan_tiff(folder: Path) -> None:
    image = np.full((64, 64, 3), 0.5, np.float32)
    image[3, 5] = np.nan
    tifffile.imwrite(folder / "nan.tif", image, photometric="rgb")


def _truncated(folder: Path) -> None:
    (folder / "cut.png").write_bytes((folder / "hr/cat.png").read_bytes()[:3000])


def _kernel_of_wrong_sum(folder: Path) -> None:
    np.save(folder / "k.npy", np.ones((5, 5)))
    write(folder, QUICK.replace("kernel: ground_truth", "kernel: {given: {file: k.npy}}"))


def _read_only(folder: Path) -> None:
    (folder / "runs").write_text("a file where the folder of results should be")


GAN = QUICK.replace("kernel: ground_truth", "kernel: {kernelgan: {iterations: 5}}")


@pytest.mark.parametrize(
    ("prepare", "arguments", "code", "message"),
    [
        (lambda f: write(f, "name: [\n"), ["quick.yaml"], 2, "quick.yaml:2:1: "),
        (lambda f: write(f, QUICK + "oops: 1\n"), ["quick.yaml"], 2, "oops: unknown field"),
        (lambda f: write(f, QUICK.replace("sr: bicubic", "sr: edsrx")), ["quick.yaml"], 2, "unknown SR method 'edsrx'"),
        (
            lambda f: write(f, QUICK.replace("scale: 2", "scale: 7")),
            ["quick.yaml"],
            2,
            "scale: should be less than or equal to 4, not 7",
        ),
        (lambda f: None, ["absent.yaml"], 2, "no such file, nor a bundled pipeline"),
        (lambda f: None, ["quick.yaml", "--lr", "absent.png"], 2, "absent.png: no such file"),
        (lambda f: None, ["quick.yaml", "--hr", "absent"], 2, "absent: no such folder"),
        (lambda f: None, ["quick.yaml", "--data", "hr"], 2, "not the layout of DIV2KRK"),
        (lambda f: None, ["quick.yaml", "--hr", "hr", "--lr", "hr"], 2, "choose one of --data, --hr and --lr"),
        (lambda f: None, ["quick.yaml", "hr/cat.png"], 2, "photographs follow --lr"),
        (lambda f: None, ["quick.yaml", "--items", "dog*"], 2, "--items dog*: none matches; there are cat"),
        (lambda f: None, ["quick.yaml", "--seeds", "a"], 2, "write whole numbers with commas"),
        (lambda f: None, ["quick.yaml", "--timeout", "5"], 2, "--timeout needs a worker process"),
        (lambda f: None, ["quick.yaml", "--items", ""], 2, "--items needs a pattern, not an empty text"),
        (lambda f: (f / "loop").symlink_to("loop"), ["quick.yaml", "--hr", "loop"], 2, "loop: no such folder"),
        (lambda f: None, ["quick.yaml", "--dask", "tcp://127.0.0.1:1"], 2, "--workers is for this machine"),
        (lambda f: None, ["quick.yaml", "--set", "data_seed"], 2, "write path=value"),
        (lambda f: (f / "x.png").write_text("hello"), ["quick.yaml", "--lr", "x.png"], 1, "x.png: not an image"),
        (_truncated, ["quick.yaml", "--lr", "cut.png"], 1, "cut.png: damaged or cut short"),
        (_nan_tiff, ["quick.yaml", "--lr", "nan.tif"], 1, "1 pixels are NaN or infinite, the first at row 3, column 5"),
        (
            lambda f: (write(f, GAN), write_png(f / "t.png", np.zeros((8, 8, 3), np.uint8))),
            ["quick.yaml", "--lr", "t.png"],
            1,
            "8 x 8",
        ),
        (
            lambda f: (write(f, GAN), write_png(f / "t.png", np.full((99, 99, 3), 9, np.uint8))),
            ["quick.yaml", "--lr", "t.png"],
            1,
            "flat",
        ),
        (_kernel_of_wrong_sum, ["quick.yaml"], 2, "k.npy: the kernel sums to 25, not to 1; divide its array by its sum"),
        (_read_only, ["quick.yaml"], 2, "runs: "),
    ],
)
def test_wrong_input_gets_a_line_and_an_exit_code(
    folder: Path, prepare: object, arguments: list[str], code: int, message: str
) -> None:
    prepare(folder)  # type: ignore[operator]
    result = _run(*arguments)
    assert result.exit_code == code, result.output
    assert message in result.stderr
    assert "Traceback" not in result.output
    assert len(result.stderr.splitlines()) <= 8


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["estimate", "absent.png"], "absent.png: no such file"),
        (["estimate", "hr/cat.png", "--method", "kernelgn"], "unknown kernel estimator 'kernelgn'; did you mean 'kernelgan'?"),
        (
            ["estimate", "hr/cat.png", "--method", "kernelgan", "--set", "iteration=3"],
            "unknown parameter; did you mean 'iterations'?",
        ),
        (
            ["estimate", "hr/cat.png", "--method", "ground_truth"],
            "'ground_truth' is for pipelines; for a single image, choose another",
        ),
        (["estimate", "hr/cat.png", "--method", "kernelgan", "--set", "scale=4"], "kernelgan.scale: unknown parameter"),
        (["estimate", "hr/cat.png", "-o", "k.txt"], "written as .mat, .npy, .png, not as '.txt'"),
        (["estimate", "hr/cat.png", "--method", "bicubic", "-o", "no/where.mat"], "no/where.mat: there is no folder no"),
        (["estimate", "hr/cat.png", "--device", "cuda"], "torch sees no CUDA GPU"),
        (["run", "quick.yaml", "--hr", ""], "Invalid value for '--hr': needs a path, not an empty text"),
        (["run", "quick.yaml", "--out", ""], "needs a path, not an empty text"),
        (["run", "quick.yaml", "--timeout", "nan"], "--timeout nan: must be a number of seconds above 0"),
        (["run", "quick.yaml", "--threads", "99999"], "99999 is not in the range"),
        (["run", "x" * 300], "File name too long"),
        (["run", "hr/cat.png"], "is an image, not a pipeline"),
        (["run", "quick.yaml", "--scale", "3"], "degradation 'random_kernel' can do x2 and x4, not x3"),
        (["run", "quick.yaml", "--set", "data_seed=2020-13-45"], "the value is not valid YAML"),
        (["run", "quick.yaml", "--set", "methods.Ground trut.sr=zssr"], "no method 'Ground trut'; did you mean 'Ground truth'?"),
        (["run", "quick.yaml", "--set", "data=hr"], "must be a mapping of fields, not 'hr'"),
        (["table", "absent.h5"], "absent.h5: no such file"),
        (["table", "hr/cat.png"], "cat.png: not a readable result file"),
        (["export", "hr"], "no such file"),
    ],
)
def test_the_other_commands_refuse_likewise(folder: Path, arguments: list[str], message: str) -> None:
    import torch

    if "cuda" in arguments and torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    result = _blindsr(*arguments)
    assert result.exit_code == 2, result.output
    assert message in result.stderr
    assert "Traceback" not in result.output


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_an_output_that_is_full_gets_a_line(folder: Path) -> None:
    assert _run("quick.yaml").exit_code == 0
    command = [sys.executable, "-m", "blindsr", "table", "runs/quick-hr-x2"]
    with Path("/dev/full").open("w") as full:
        ended = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (2, "error: standard output: No space left on device\n")


@pytest.mark.skipif(os.name != "posix", reason="needs a POSIX shell")
def test_nobody_need_listen(folder: Path) -> None:
    command = f"{sys.executable} -m blindsr run quick.yaml --workers 1 --device cpu 2>&-"
    assert subprocess.run(["sh", "-c", command], stdout=subprocess.PIPE, check=False).returncode == 0
    assert (folder / "runs/quick-hr-x2/result.h5").is_file()


def test_debug_shows_the_traceback(folder: Path) -> None:
    result = _blindsr("--debug", "table", "absent.h5")
    assert "absent.h5: no such file" in str(result.exception)


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "error: No space left on device (the file is not known"),
        (OSError(errno.EACCES, "Permission denied", "some/file"), "error: some/file: Permission denied\n"),
        (BlindSRError("x: change `out`, `per_item` or `other`"), "error: x: change `out`, --per-item or `other`\n"),
    ],
)
def test_errors_name_files_only_where_they_are_known_and_options_of_the_command(
    monkeypatch: pytest.MonkeyPatch, error: Exception, message: str
) -> None:
    def refuse(path: Path) -> None:
        raise error

    monkeypatch.setattr("blindsr.report.summary.open_result", refuse)
    result = _blindsr("table", "x.h5")
    assert result.exit_code == 2
    assert result.stderr.startswith(message)
    assert _blindsr("--debug", "table", "x.h5").exception is error
