"""Kernel pools: what is in the files, as other programs read them; resuming, failing, wrong input."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from glob import glob
from pathlib import Path

import h5py
import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image, features
from scipy.io import loadmat, savemat

import blindsr
from blindsr import BlindSRError, Kernel
from blindsr.api import degradation
from blindsr.api.kernels.cameras import camera_of, mean_kernel
from blindsr.api.kernels.layouts import KERNEL_LAYOUTS
from blindsr.api.kernels.noise import noise_patches
from blindsr.api.kernels.pool import MAX_EXPECTED_ERROR, Estimated
from blindsr.cli import cli
from blindsr.execution.events import Listener
from blindsr.imaging.writer import write_png
from blindsr.storage.kernel_pool import KernelPool, PooledKernel, read_kernel_pool, write_pool

NAMES = ("a", "b", "c")
MAKE, MODEL, EXIF_IFD, LENS, F_NUMBER = 0x010F, 0x0110, 0x8769, 0xA434, 0x829D


class Notes(Listener):
    """Keeps what is noted."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def note(self, text: str) -> None:
        self.texts.append(text)


@pytest.fixture
def photos(tmp_path: Path, photo: np.ndarray) -> Path:
    """Three photographs, each with a blur of its own."""
    folder = tmp_path / "photos"
    for name, row, width in zip(NAMES, (0, 60, 120), (1.0, 1.5, 2.0), strict=True):
        lr = blindsr.downscale(photo[row : row + 160, 100:300], Kernel.gaussian([[width**2, 0], [0, 1]], 2))
        write_png(folder / f"{name}.png", lr)
    return folder


def _pool(photos: object, out: Path, **options: object) -> Estimated:
    return blindsr.estimate_pool(photos, out, **{"workers": 0, "device": "cpu"} | options)  # type: ignore[arg-type]


def _blindsr(*arguments: object) -> Result:
    return CliRunner().invoke(cli, ["estimate", *map(str, arguments), "--workers", "0", "--device", "cpu"])


def _files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file() and ".blindsr" not in path.parts}


def test_a_pool_holds_the_kernel_of_each_photograph_as_other_programs_read_them(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "kernels"
    result = _blindsr(photos, "-o", out)
    assert result.exit_code == 0, result.output
    assert result.stdout == f"{out}: 3 kernels for x2 (3 estimated, 0 done before, 0 left out, 0 failed)\n"
    assert _files(out) == {"kernels.h5", "contact_sheet.png", *(f"{name}_kernel_x2.mat" for name in NAMES)}
    with h5py.File(out / "kernels.h5") as file:
        assert file.attrs["estimator"] == b"kernelnet"
        for name, node in zip(NAMES, file["kernels"].values(), strict=True):
            alone = blindsr.estimate_kernel(photos / f"{name}.png", device="cpu")
            assert np.array_equal(loadmat(out / f"{name}_kernel_x2.mat")["Kernel"], alone.array)
            assert np.array_equal(node[()], alone.array)
            assert node.attrs["source"] == f"{name}.png".encode()
            assert node.attrs["expected_error"] == alone.expected_error
            assert node.attrs["width_long_px"] == alone.widths_px[0]
        along_columns = file["kernels/00003"].attrs["angle_degrees"]  # the third is blurred most from top to bottom
    assert abs(along_columns - 90) < 10
    with Image.open(out / "contact_sheet.png") as sheet:
        assert sheet.width > 2 * 128
        assert np.asarray(sheet).max() == 255


def test_only_what_is_missing_is_computed(photos: Path, tmp_path: Path, photo: np.ndarray) -> None:
    out = tmp_path / "kernels"
    assert _pool(photos, out).computed == 3
    before = (out / "kernels.h5").read_bytes()
    again = _pool(photos, out)
    assert (again.computed, again.cached) == (0, 3)
    assert (out / "kernels.h5").read_bytes() == before
    write_png(photos / "d.png", photo[100:200, 100:200])
    more = _pool(photos, out)
    assert (more.computed, more.cached, len(more.pool.kernels)) == (1, 3, 4)
    assert _pool(photos, out, method="bicubic").computed == 4
    (out / "a_kernel_x2.mat").unlink()
    _pool(photos, out, method="bicubic")
    assert np.array_equal(loadmat(out / "a_kernel_x2.mat")["Kernel"], Kernel.bicubic(2).array)


def test_a_folder_of_other_files_is_refused(photos: Path, tmp_path: Path) -> None:
    before = sorted(photos.iterdir())
    with pytest.raises(BlindSRError, match="is there already, not empty, and no pool; choose a new folder"):
        _pool(photos, photos, method="bicubic")
    assert sorted(photos.iterdir()) == before
    (tmp_path / "empty").mkdir()
    assert _pool(photos, tmp_path / "empty", method="bicubic").computed


def test_a_photograph_that_fails_is_named_and_the_others_go_on(photos: Path, tmp_path: Path) -> None:
    (photos / "b.png").write_bytes(b"no image")
    write_png(photos / "flat.png", np.full((64, 64, 3), 90, np.uint8))
    result = _blindsr(photos, "-o", tmp_path / "kernels")
    assert result.exit_code == 1
    assert "b.png: not an image" in result.stderr
    assert "failed: flat: kernelnet" in result.stderr
    assert "2 kernels for x2 (2 estimated, 0 done before, 0 left out, 2 failed)" in result.stdout
    assert {entry.source for entry in read_kernel_pool(tmp_path / "kernels").kernels} == {"a.png", "c.png"}


@pytest.mark.parametrize(("suffix", "library"), [("heic", "pillow-heif"), ("nef", "rawpy")])
def test_a_format_whose_library_is_missing_is_named(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str, library: str
) -> None:
    (photos / f"phone.{suffix}").write_bytes(b"anything")
    monkeypatch.setitem(sys.modules, library.replace("-", "_"), None)
    result = _blindsr(photos, "-o", tmp_path / "kernels")
    assert result.exit_code == 1
    assert re.search(rf"failed: phone: .*phone\.{suffix}: .* the library {library}; pip install 'blindsr\[\w+\]'", result.stderr)
    assert "3 kernels for x2 (3 estimated, 0 done before, 0 left out, 1 failed)" in result.stdout
    alone = _blindsr(photos / f"phone.{suffix}", "-o", tmp_path / "k.mat")
    assert (alone.exit_code, library in alone.stderr) == (2, True)


@pytest.mark.parametrize("suffix", ["avif", "heic"])
def test_photographs_in_other_formats_are_read(tmp_path: Path, photo: np.ndarray, suffix: str) -> None:
    if suffix == "avif" and not features.check("avif"):
        pytest.skip("Pillow without AVIF")
    if suffix == "heic":
        pytest.importorskip("pillow_heif", reason="the package pillow-heif is not installed").register_heif_opener()
    lr = blindsr.downscale(photo[:256, 100:356], Kernel.gaussian(2.25, 2))
    path = tmp_path / f"photos/a.{suffix.upper()}"
    _photo_of(path, lr, ("Canon", "Canon EOS 80D", "EF50mm f/1.8 STM", 1.8))
    with Image.open(path) as file:
        write_png(tmp_path / "plain/a.png", np.asarray(file.convert("RGB")))
    (entry,), (plain,) = (
        _pool(path.parent, tmp_path / "k", noise_patches=1).pool.kernels,
        _pool(tmp_path / "plain", tmp_path / "p").pool.kernels,
    )
    assert np.array_equal(entry.kernel.array, plain.kernel.array)
    assert entry.about["camera"] == "Canon EOS 80D EF50mm f/1.8 STM f1.8"
    cells = _pool(path, tmp_path / "cells", cells=2, max_error=9.0).pool.kernels
    assert len(cells) == 4
    assert np.array_equal(blindsr.estimate_kernel(path).array, entry.kernel.array)


def test_conventions_and_formats_as_numpy_reads_them(photos: Path, tmp_path: Path) -> None:
    kernels = [entry.kernel.array for entry in _pool(photos, tmp_path / "own", layout="h5", scale=4).pool.kernels]
    assert _files(tmp_path / "own") == {"kernels.h5", "contact_sheet.png"}
    _pool(photos, tmp_path / "usrnet", layout="npy", convention="usrnet", scale=4)
    for name, kernel in zip(NAMES, kernels, strict=True):
        assert np.array_equal(np.load(tmp_path / "usrnet" / f"{name}_kernel_x4.npy"), kernel[::-1, ::-1])
    _pool(photos, tmp_path / "realsr", layout="realsr", scale=4)
    _pool(photos, tmp_path / "trainner", layout="trainner", scale=4)
    realsr = sorted(glob(str(tmp_path / "realsr" / "*/*_kernel_x4.mat")))  # Real-SR's pattern  # noqa: PTH207
    trainner = sorted(glob(str(tmp_path / "trainner" / "*/kernel_x4.npy")))  # traiNNer's pattern  # noqa: PTH207
    for mat, npy, kernel in zip(realsr, trainner, kernels, strict=True):
        assert np.array_equal(np.array([loadmat(mat)["Kernel"]]).squeeze(), kernel)
        assert np.array_equal(np.load(npy), kernel)
    _pool(photos, tmp_path / "png", layout="png")
    with Image.open(tmp_path / "png" / "a_kernel_x2.png") as picture:
        assert picture.mode == "L"


def test_the_commands_offer_what_the_library_has() -> None:
    options = {(name, option.name): option for name in ("estimate", "degrade") for option in cli.commands[name].params}
    assert options["estimate", "max_error"].default == MAX_EXPECTED_ERROR
    assert list(options["estimate", "layout"].type.choices) == list(KERNEL_LAYOUTS)  # type: ignore[attr-defined]
    assert list(options["degrade", "layout"].type.choices) == list(degradation.SET_LAYOUTS)  # type: ignore[attr-defined]


@pytest.mark.parametrize("option", [["--format", "npy"], ["--max-error", "0"], ["--noise-patches", "5"]])
def test_options_of_pools_are_refused_for_one_image(photos: Path, tmp_path: Path, option: list[str]) -> None:
    result = _blindsr(photos / "a.png", "-o", tmp_path / "k.mat", "--method", "bicubic", *option)
    assert result.exit_code == 2
    assert result.stderr == f"error: {option[0]} is for kernel pools: name a folder with --output, or leave it out\n"
    assert not (tmp_path / "k.mat").exists()


def test_one_image_still_goes_to_one_file_in_any_convention(photos: Path, tmp_path: Path) -> None:
    for convention, expected in (("blindsr", Kernel.bicubic(2).array), ("usrnet", Kernel.bicubic(2).array[::-1, ::-1])):
        result = _blindsr(photos / "a.png", "-o", tmp_path / "k.npy", "--method", "bicubic", "--convention", convention)
        assert result.exit_code == 0, result.output
        assert np.array_equal(np.load(tmp_path / "k.npy"), expected)
    assert not (tmp_path / ".blindsr").exists()


def test_cells_of_a_grid_are_estimated_from_their_own_pixels(tmp_path: Path, photo: np.ndarray) -> None:
    write_png(tmp_path / "photo.png", photo[:201, :302])
    pool = _pool(tmp_path / "photo.png", tmp_path / "kernels", cells=2).pool
    assert [entry.about["cell"] for entry in pool.kernels] == ["1,1 of 2 x 2", "1,2 of 2 x 2", "2,1 of 2 x 2", "2,2 of 2 x 2"]
    parts = [photo[:100, :151], photo[:100, 151:302], photo[100:201, :151], photo[100:201, 151:302]]
    for entry, part in zip(pool.kernels, parts, strict=True):
        assert np.array_equal(entry.kernel.array, blindsr.estimate_kernel(part, device="cpu").array)
    assert (tmp_path / "kernels/photo_r2c1_kernel_x2.mat").is_file()


def test_doubtful_kernels_are_left_out_and_named(photos: Path, tmp_path: Path) -> None:
    out, notes = tmp_path / "kernels", Notes()
    everything = _pool(photos, out).pool.kernels
    errors = sorted(entry.kernel.expected_error or 0 for entry in everything)
    limit = (errors[1] + errors[2]) / 2
    pool = _pool(photos, out, max_error=limit, listener=notes).pool
    worst = next(entry for entry in everything if entry.kernel.expected_error == errors[2])
    assert [entry.source for entry in pool.left_out] == [worst.source]
    assert any(text.startswith(f"{worst.source}: left out, its expected error {errors[2]:.2f}") for text in notes.texts)
    assert worst.file in {entry.file for entry in everything} - _files(out)
    with h5py.File(out / "kernels.h5") as file:
        assert (len(file["kernels"]), len(file["left_out"])) == (2, 1)
    with pytest.raises(BlindSRError, match="no kernel is left: 3 doubtful, 0 failed"):
        _pool(photos, out, max_error=0.0)


def _photo_of(path: Path, pixels: np.ndarray, camera: tuple[str, str, str, float] | None) -> None:
    exif = Image.Exif()
    if camera:
        exif[MAKE], exif[MODEL], lens, aperture = camera
        exif.get_ifd(EXIF_IFD).update({LENS: lens, F_NUMBER: aperture})
    path.parent.mkdir(exist_ok=True)
    Image.fromarray(pixels).save(path, quality=97, exif=exif)


def test_photographs_of_one_camera_lens_and_aperture_share_a_mean_kernel(tmp_path: Path, photo: np.ndarray) -> None:
    mine, stopped_down = ("Canon", "Canon EOS 80D", "EF50mm f/1.8 STM", 1.8), ("Canon", "Canon EOS 80D", "EF50mm f/1.8 STM", 8.0)
    cameras = {"a": mine, "b": mine, "c": stopped_down, "d": None}
    for number, (name, camera) in enumerate(cameras.items()):
        _photo_of(tmp_path / "photos" / f"{name}.jpg", photo[40 * number : 40 * number + 128, 100:260], camera)
    assert camera_of(tmp_path / "photos/a.jpg") == "Canon EOS 80D EF50mm f/1.8 STM f1.8"
    assert camera_of(tmp_path / "photos/d.jpg") == ""
    [mean] = _pool(tmp_path / "photos", tmp_path / "kernels").pool.cameras
    assert (mean.source, mean.about["photographs"]) == ("Canon EOS 80D EF50mm f/1.8 STM f1.8", 2)
    a, b = (entry.kernel for entry in read_kernel_pool(tmp_path / "kernels").kernels[:2])
    weights = [1 / error**2 for error in (a.expected_error, b.expected_error) if error]
    both = [np.pad(k.align().array, (mean.kernel.shape[0] - k.align().shape[0]) // 2) for k in (a, b)]
    expected = (weights[0] * both[0] + weights[1] * both[1]) / sum(weights)
    stored = loadmat(tmp_path / "kernels/cameras/Canon_EOS_80D_EF50mm_f_1.8_STM_f1.8_kernel_x2.mat")["Kernel"]
    assert np.abs(stored - expected).max() < 1e-12


def test_cameras_whose_names_differ_in_signs_only_have_a_file_each(tmp_path: Path, photo: np.ndarray) -> None:
    for number, model in enumerate(("B C", "B/C", "B C", "B/C")):
        _photo_of(tmp_path / "photos" / f"{number}.jpg", photo[:128, 40 * number : 40 * number + 160], ("", model, "", 2.0))
    cameras = _pool(tmp_path / "photos", tmp_path / "kernels", method="bicubic").pool.cameras
    assert {entry.source: entry.file for entry in cameras} == {
        "B C f2": "cameras/B_C_f2_kernel_x2.mat", "B/C f2": "cameras/B_C_f2-2_kernel_x2.mat",
    }  # fmt: skip
    assert {path.name for path in (tmp_path / "kernels/cameras").iterdir()} == {"B_C_f2_kernel_x2.mat", "B_C_f2-2_kernel_x2.mat"}


def test_the_mean_of_gaussians_has_the_mean_of_their_variances() -> None:
    sure, unsure = (Kernel(Kernel.gaussian(v, 2).array, 2, expected_error=e) for v, e in ((1.0, 0.1), (4.0, 0.2)))
    assert mean_kernel([sure.shifted(0.3, -0.2), unsure]).widths_px[0] ** 2 == pytest.approx((4 * 1.0 + 4.0) / 5, rel=0.02)


def test_noise_is_taken_from_flat_regions_only(photo: np.ndarray) -> None:
    rng = np.random.default_rng(0)
    flat = 120 + rng.normal(0, 5, (160, 160, 3))
    slope = np.repeat(np.linspace(40, 200, 160)[:, None, None], 160, 1) + np.zeros(3)
    black = np.clip(rng.normal(0, 5, (160, 160, 3)), 0, 255)
    stripes = 120 + 10 * np.sign(np.sin(np.arange(160) / 5))[:, None, None] + np.zeros((160, 160, 3))
    image = np.concatenate([slope, black, stripes, flat], axis=1).round().clip(0, 255).astype(np.uint8)
    patches = noise_patches(image, 100)
    assert 10 <= len(patches) <= 25  # of the flat quarter, which has 25
    assert 255 * patches.std() == pytest.approx(np.hypot(5, 12**-0.5), rel=0.03)
    noisy_slope = slope * 0.2 + 100 + rng.normal(0, 3, slope.shape)
    level = noise_patches(noisy_slope.round().astype(np.uint8), 100)
    assert 255 * level.std() == pytest.approx(np.hypot(3, 12**-0.5), rel=0.03)
    assert np.abs(patches.mean(axis=(1, 2))).max() < 1e-5
    assert len(noise_patches(image, 4)) == 4
    assert len(noise_patches(photo[:40, :20], 4)) == 0


def test_names_of_any_kind_are_names(tmp_path: Path, photo: np.ndarray) -> None:
    names = ['it\'s "q"', "two\nlines", "写真", "<script>", "a b"]
    for name in names:
        write_png(tmp_path / "photos" / f"{name}.png", photo[:64, :64])
    result = _blindsr(tmp_path / "photos", "-o", tmp_path / "kernels", "--method", "bicubic", "--format", "realsr")
    assert result.exit_code == 0, result.output
    assert {entry.source for entry in read_kernel_pool(tmp_path / "kernels").kernels} == {f"{name}.png" for name in names}
    assert len(glob(str(tmp_path / "kernels/*/*_kernel_x2.mat"))) == len(names)  # noqa: PTH207
    assert not list(tmp_path.glob("*_kernel_x2.mat"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["absent.png", "b.png", "-o", "out"], "absent.png: no such file"),
        (["empty", "-o", "out"], "empty: holds no images"),
        (["photos"], "--output is needed for the kernels of several photographs: a folder"),
        (["photos", "-o", "k.mat"], "--output k.mat: the kernels of several photographs need a folder, not a file"),
        (["photos", "-o", "a_file"], "a_file: is a file, not a folder to write kernels to; name another for --output"),
        (["photos", "-o", "out", "--method", "ground_truth"], "is for pipelines"),
        (
            ["photos", "-o", "out", "--format", "realsr", "--convention", "fkp"],
            "--convention fkp: kernels of --format realsr are correl",
        ),
        (["photos", "more", "-o", "out"], "both would be called 'a.png'"),
        (["photos", "-o", "out", "--max-error", "0"], "out: no kernel is left: 3 doubtful, 0 failed; raise --max-error"),
    ],
)
def test_wrong_input_gets_a_line(
    photos: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], message: str, photo: np.ndarray
) -> None:
    monkeypatch.chdir(photos.parent)
    Path("empty").mkdir()
    Path("a_file").write_text("")
    write_png(Path("more/a.png"), photo[:64, :64])
    result = _blindsr(*arguments)
    assert result.exit_code == 2, result.output
    assert message in result.stderr
    assert not list(Path().rglob("*_kernel_x*"))


def test_a_pool_of_somebody_else_has_no_files_removed_outside_of_it(photos: Path, tmp_path: Path) -> None:
    out, precious = tmp_path / "kernels", tmp_path / "precious.mat"
    savemat(precious, {"Kernel": np.ones((3, 3)) / 9})
    out.mkdir()
    kernel = Kernel.bicubic(2)
    entries = tuple(PooledKernel("x", kernel, file) for file in ("../precious.mat", str(precious), "notes.txt"))
    write_pool(out / "kernels.h5", KernelPool(entries), "")
    (out / "notes.txt").write_text("mine")
    _pool(photos, out, method="bicubic")
    assert precious.is_file()
    assert (out / "notes.txt").is_file()


@pytest.mark.slow
def test_a_killed_call_loses_nothing_that_is_finished(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "kernels"
    arguments = [photos, "-o", out, "--method", "kernelgan", "--set", "iterations=60", "--set", "edge_shave=0", "--device", "cpu"]
    command = [sys.executable, "-m", "blindsr", "estimate", *map(str, arguments), "--workers", "1"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE)
    until = time.monotonic() + 120
    while not list(out.glob(".blindsr/steps/*.h5")) and process.poll() is None and time.monotonic() < until:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    finished = len(list(out.glob(".blindsr/steps/*.h5")))
    assert finished >= 1
    assert "kernels.h5" not in _files(out) or finished == 3
    assert not [name for name in _files(out) if name.endswith(".part")]
    result = CliRunner().invoke(cli, ["estimate", *map(str, arguments), "--workers", "0"])
    assert result.exit_code == 0, result.output
    assert f"({3 - finished} estimated, {finished} done before" in result.stdout
