"""``blindsr kernel``: conversion between conventions, and finding what was done to a kernel."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from pixels import read
from scipy.io import loadmat, savemat
from scipy.ndimage import convolve, correlate, gaussian_filter
from scipy.ndimage import shift as spline_shift

import blindsr
from blindsr import Kernel
from blindsr.cli import cli
from blindsr.imaging.writer import write_png

# A kernel without any symmetry: a Gaussian with a second one beside it.
LOPSIDED = Kernel(0.7 * Kernel.gaussian([[2, 0.6], [0.6, 1]], 2, size=17).array
                  + 0.3 * Kernel.gaussian(0.5, 2, size=17).shifted(2.4, 1.1).array[4:-4, 4:-4], 2).align()  # fmt: skip


def _blindsr(*arguments: object) -> Result:
    return CliRunner().invoke(cli, ["kernel", *map(str, arguments)])


@pytest.fixture
def kernel_file(tmp_path: Path) -> Path:
    np.save(tmp_path / "k_x2.npy", LOPSIDED.array)
    return tmp_path / "k_x2.npy"


def test_usrnets_kernels_convolve_to_the_same_image(kernel_file: Path, tmp_path: Path, photo: np.ndarray) -> None:
    result = _blindsr("convert", kernel_file, tmp_path / "u.mat", "--to-convention", "usrnet")
    assert result.exit_code == 0, result.output
    gray = photo[..., 1].astype(float)
    ours = correlate(gray, LOPSIDED.array, mode="wrap")[::2, ::2]
    theirs = convolve(gray, loadmat(tmp_path / "u.mat")["Kernel"], mode="wrap")[::2, ::2]  # USRNet's formula
    assert np.abs(ours - theirs).max() < 1e-9


def test_fkps_kernels_have_their_mass_at_its_place(kernel_file: Path, tmp_path: Path) -> None:
    _blindsr("convert", kernel_file, tmp_path / "f.npy", "--to-convention", "fkp", "--scale", "2")
    array = np.load(tmp_path / "f.npy")
    rows, columns = np.indices(array.shape)
    center = (array.shape[0] - 2) / 2  # FKP: (size - scale) / 2
    assert [(array * axis).sum() / array.sum() for axis in (rows, columns)] == pytest.approx([center, center], abs=0.01)


@pytest.mark.parametrize("convention", ["blindsr", "usrnet", "fkp"])
@pytest.mark.parametrize("suffix", ["mat", "npy"])
def test_there_and_back_gives_the_same_kernel(kernel_file: Path, tmp_path: Path, convention: str, suffix: str) -> None:
    there, back = tmp_path / f"there_x2.{suffix}", tmp_path / "back.npy"
    assert _blindsr("convert", kernel_file, there, "--to-convention", convention).exit_code == 0
    assert _blindsr("convert", there, back, "--from-convention", convention).exit_code == 0
    array = np.load(back)
    edge = (array.shape[0] - LOPSIDED.shape[0]) // 2
    assert np.abs(array[edge : array.shape[0] - edge, edge : array.shape[1] - edge] - LOPSIDED.array).max() < 1e-12
    assert array.sum() == pytest.approx(1, abs=1e-12)


def test_turns_shifts_scale_and_untidy_arrays(kernel_file: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.npy"
    _blindsr("convert", kernel_file, out, "--transpose", "--flip-rows", "--flip-columns")
    assert np.array_equal(np.load(out), LOPSIDED.array.T[::-1, ::-1])
    _blindsr("convert", kernel_file, out, "--shift", "1", "-2", "--force")
    padded = np.pad(LOPSIDED.array, 3)
    assert np.abs(np.load(out) - np.roll(padded, (1, -2), (0, 1))).max() < 1e-9
    _blindsr("convert", kernel_file, out, "--to-scale", "4", "--force")
    assert np.load(out).shape == (3 * LOPSIDED.shape[0] - 2,) * 2
    even = np.pad(3 * LOPSIDED.array, (0, 1))
    savemat(tmp_path / "even.mat", {"Kernel": even})
    result = _blindsr("convert", tmp_path / "even.mat", out, "--scale", "2", "--force")
    assert "zeros make its sides odd" in result.stderr
    assert "it sums to 3; it is divided by that" in result.stderr
    gray = np.random.default_rng(0).random((40, 40))
    assert np.allclose(correlate(gray, np.load(out)), correlate(gray, even) / 3)  # scipy's centre is at size // 2, too


@pytest.mark.parametrize("shape", [(1, 7), (7, 1), (1, 1)])
def test_thin_kernels_are_kernels(tmp_path: Path, shape: tuple[int, int]) -> None:
    np.save(tmp_path / "thin.npy", np.full(shape, 1 / 7))
    np.save(tmp_path / "nested.npy", np.full((1, 1, *shape), 1 / 7))
    for name in ("thin", "nested"):
        _blindsr("convert", tmp_path / f"{name}.npy", tmp_path / f"{name}_out.npy", "--scale", "2")
        assert np.load(tmp_path / f"{name}_out.npy").shape == shape


@pytest.mark.parametrize(
    ("array", "options", "message"),
    [
        (np.full((5, 5), 1e308), [], "holds no kernel: an array (5, 5) whose sum is inf"),
        (np.array([[0, 0, 0], [-1e5, 0, 1e5 + 1], [0, 0, 0]]), ["--align"], "no kernel needs more than 1000"),
        (np.ones((3, 3)) / 9, ["--shift", "nan", "0"], "must be at most 64 pixels"),
        (np.ones((3, 3)) / 9, ["--shift", "0", "nan"], "must be at most 64 pixels"),
    ],
)
@pytest.mark.filterwarnings("error")
def test_arrays_and_shifts_beyond_all_bounds_get_a_line(
    tmp_path: Path, array: np.ndarray, options: list[str], message: str
) -> None:
    np.save(tmp_path / "k.npy", array)
    command = ["kernel", "convert", str(tmp_path / "k.npy"), str(tmp_path / "out.npy"), "--scale", "2", *options]
    result = CliRunner().invoke(cli, command)
    assert result.exit_code == 2
    assert message in result.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["convert", "absent.npy", "out.npy"], "absent.npy: no such file"),
        (["convert", "k_x2.npy", "k_x2.npy"], "k_x2.npy: exists already; choose another target, or replace it with --force"),
        (["convert", "k_x2.npy", "out.txt"], "written as .mat, .npy, .png, not as '.txt'"),
        (["convert", "k_x2.npy", "no/out.npy"], "there is no folder no"),
        (
            ["convert", "noname.npy", "out.npy"],
            "noname.npy: neither its name nor its folder's tells for which scale it is; give 2, 3 or 4 as --scale",
        ),
        (["convert", "k_x2.npy", "out.npy", "--scale", "3", "--to-scale", "4"], "only a kernel for x2 can be made one for x4"),
        (["convert", "cube.npy", "out.npy"], "cube.npy: holds no kernel: an array (3, 3, 3)"),
        (["convert", "zeros.npy", "out.npy"], "zeros.npy: holds no kernel"),
        (["check", "k_x2.npy", "--lr", "absent.png"], "absent.png: no such file"),
        (["check", "k_x2.npy", "--lr", "lr.png", "--hr", "lr.png"], "--hr and --lr, of 60 x 60 and 60 x 60 pixels: no pair"),
        (["check", "k_x2.npy", "--lr", "tiny.png", "--hr", "lr.png"], "the images are too small for this kernel"),
        (["check", "noname.npy", "--lr", "lr.png"], "give 2, 3 or 4 as --scale"),
    ],
)
def test_wrong_input_gets_a_line(
    kernel_file: Path, photo: np.ndarray, monkeypatch: pytest.MonkeyPatch, arguments: list[str], message: str
) -> None:
    monkeypatch.chdir(kernel_file.parent)
    np.save("noname.npy", LOPSIDED.array)
    np.save("cube.npy", np.ones((3, 3, 3)))
    np.save("zeros.npy", np.zeros((3, 3)))
    write_png(Path("lr.png"), photo[:60, :60])
    write_png(Path("tiny.png"), photo[:30, :30])
    result = CliRunner().invoke(cli, ["kernel", *arguments])
    assert result.exit_code == 2, result.output
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A photograph, and its LR image as scipy makes it."""
    from skimage import data

    folder = tmp_path_factory.mktemp("pair")
    hr = data.chelsea()[20:260, 60:360]
    lr = np.stack([correlate(hr[..., c].astype(float), LOPSIDED.array, mode="reflect")[::2, ::2] for c in range(3)], axis=-1)
    write_png(folder / "hr.png", hr)
    write_png(folder / "lr.png", lr.round().clip(0, 255).astype(np.uint8))
    return folder / "hr.png", folder / "lr.png"


WRONGS = {
    "turned by 180 degrees": np.flip(LOPSIDED.array),
    "rows and columns are exchanged": LOPSIDED.array.T,
    "upside down": LOPSIDED.array[::-1],
    "mirrored left to right": LOPSIDED.array[:, ::-1],
    "FKP's convention": np.roll(np.pad(LOPSIDED.array, 1), (-1, -1), (0, 1)),
    "off its place by (+2.00, -1.00) pixels": np.roll(np.pad(LOPSIDED.array, 2), (2, -1), (0, 1)),
    "off its place by (-0.5": spline_shift(np.pad(LOPSIDED.array, 2), (-0.5, -0.5)),
}


@pytest.mark.parametrize("words", WRONGS)
def test_check_finds_what_was_done_and_its_command_mends_it(
    words: str, pair: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    np.save("it's.npy", WRONGS[words])
    result = _blindsr("check", "it's.npy", "--lr", pair[1], "--hr", pair[0])
    assert result.exit_code == 1, result.output
    assert words in result.stdout
    before, after = map(float, re.findall(r"residual \D*([\d.]+) of 255", result.stdout))
    command = re.search(r"^mend it with: blindsr (.*)$", result.stdout, re.MULTILINE)
    assert command
    assert CliRunner().invoke(cli, shlex.split(command[1])).exit_code == 0
    hr, lr = (read(path)[..., 1].astype(float) for path in pair)
    residuals = [
        np.sqrt(np.mean(np.square(correlate(hr, kernel, mode="reflect")[::2, ::2] - lr)[12:-12, 12:-12]))
        for kernel in (WRONGS[words], np.load("it's_mended_x2.npy"))
    ]
    assert [before, after] == pytest.approx(residuals, rel=0.02, abs=0.02)
    assert after < 0.4 < 2 * after < before


def test_check_leaves_a_right_kernel_alone_with_noise_or_a_poor_shape(pair: tuple[Path, Path], tmp_path: Path) -> None:
    np.save(tmp_path / "k.npy", LOPSIDED.array)
    result = _blindsr("check", tmp_path / "k.npy", "--lr", pair[1], "--hr", pair[0])
    assert result.exit_code == 0, result.output
    assert "right for x2\n  residual as it is: 0.29 of 255" in result.stdout
    assert "the kernel is exact" in result.stdout
    noise = np.random.default_rng(0).normal(0, 4, (120, 150, 3))
    write_png(tmp_path / "noisy.png", (read(pair[1]) + noise).round().clip(0, 255).astype(np.uint8))
    result = _blindsr("check", tmp_path / "k.npy", "--lr", tmp_path / "noisy.png", "--hr", pair[0])
    assert result.exit_code == 0, result.output
    assert "the rest is noise or compression" in result.stdout
    np.save(tmp_path / "poor.npy", gaussian_filter(LOPSIDED.array, 0.6))
    result = _blindsr("check", tmp_path / "poor.npy", "--lr", pair[1], "--hr", pair[0])
    assert result.exit_code == 0, result.output
    assert "its shape is not quite that of the LR image's kernel" in result.stdout


def test_check_tells_the_kernel_of_another_image(pair: tuple[Path, Path], tmp_path: Path) -> None:
    np.save(tmp_path / "k.npy", Kernel.gaussian([[9, 0], [0, 6]], 2).array)
    result = _blindsr("check", tmp_path / "k.npy", "--lr", pair[1], "--hr", pair[0])
    assert result.exit_code == 1, result.output
    assert "bicubic downscaling leaves" in result.stdout or "it is about as wide as the kernel for x4" in result.stdout
    assert "mend it" not in result.stdout


def test_check_finds_a_kernel_of_another_scale(pair: tuple[Path, Path], tmp_path: Path, photo: np.ndarray) -> None:
    k2 = Kernel.gaussian([[2, 0], [0, 1]], 2, size=13)
    np.save(tmp_path / "k.npy", k2.composed().array)
    write_png(tmp_path / "lr.png", blindsr.downscale(photo, k2))
    write_png(tmp_path / "hr.png", photo)
    result = _blindsr("check", tmp_path / "k.npy", "--lr", tmp_path / "lr.png", "--hr", tmp_path / "hr.png")
    assert "as wide as the kernel for x4 of these images would be: use one for x2" in result.stdout
    np.save(tmp_path / "k_x2.npy", k2.array)
    write_png(tmp_path / "lr4.png", blindsr.downscale(photo, k2.composed()))
    result = _blindsr("check", tmp_path / "k_x2.npy", "--lr", tmp_path / "lr4.png", "--hr", tmp_path / "hr.png")
    assert "it is said to be for x2, but the images are a pair for x4" in result.stdout
    assert "applied twice it is the one for x4" in result.stdout
    assert f"convert {tmp_path}/k_x2.npy {tmp_path}/k_x2_mended_x4.npy --scale 2 --to-scale 4\n" in result.stdout


def test_without_the_hr_image_it_says_what_can_be_told(tmp_path: Path, photo: np.ndarray) -> None:
    true = Kernel.gaussian([[5, 0], [0, 0.8]], 2)
    write_png(tmp_path / "lr.png", blindsr.downscale(photo, true))

    def check(name: str, array: np.ndarray) -> tuple[int, str]:
        np.save(tmp_path / name, array)
        result = _blindsr("check", tmp_path / name, "--lr", tmp_path / "lr.png", "--scale", "2", "--device", "cpu")
        return result.exit_code, result.stdout

    code, text = check("true.npy", true.array)
    assert code == 0
    assert "only the shape can be compared with an estimate" in text
    assert "its shape agrees with the estimate" in text
    code, text = check("turned.npy", true.array.T)
    assert code == 1
    assert "its rows and columns are exchanged" in text
    assert text.rstrip().endswith("--scale 2 --transpose")
    code, text = check("flipped.npy", true.array[::-1, ::-1])
    assert code == 1
    assert "where USRNet's, KAIR's and FKP's kernels have it" in text
    code, text = check("x4.npy", true.composed().array)
    assert code == 1
    assert "it looks like a kernel for x4" in text
