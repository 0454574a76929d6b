"""The degradation ``kernel_pool``: kernels and noise of a pool, in the layouts that trainings read."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import numpy as np
import pytest
from click.testing import CliRunner, Result
from pixels import read
from scipy.io import loadmat, savemat
from scipy.ndimage import correlate

from blindsr import BlindSRError, Kernel
from blindsr.cli import cli
from blindsr.components.registry import Registry
from blindsr.imaging.writer import write_png
from blindsr.storage.kernel_pool import KernelPool, PooledKernel, write_pool

VARIANCES = (1.0, 2.0, 3.0)


@pytest.fixture
def pool(tmp_path: Path) -> Path:
    """A folder of three kernel files, as another program could have written them."""
    folder = tmp_path / "pool"
    folder.mkdir()
    for number, variance in enumerate(VARIANCES):
        np.save(folder / f"{number}.npy", Kernel.gaussian([[variance, 0], [0, 1]], 2, size=15).array)
    return folder


@pytest.fixture
def hr(tmp_path: Path, photo: np.ndarray) -> Path:
    folder = tmp_path / "hr"
    for number in range(12):
        write_png(folder / f"photo {number}.png", photo[10 * number : 10 * number + 81, 100 : 201 + number])
    return folder


def _degrade(hr: Path, out: Path, pool: Path, *options: object) -> Result:
    arguments = ["degrade", hr, "-o", out, "--method", "kernel_pool", "--set", f"pool={json.dumps(str(pool))}", *options]
    return CliRunner().invoke(cli, list(map(str, arguments)))


def _bytes(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_lr_images_come_from_the_kernels_of_the_pool(hr: Path, pool: Path, tmp_path: Path) -> None:
    result = _degrade(hr, tmp_path / "set", pool)
    assert result.exit_code == 0, result.output
    of_pool = [np.load(file) for file in sorted(pool.iterdir())]
    drawn = set()
    for number in range(1, 13):
        k2, k4 = (loadmat(tmp_path / f"set/gt_k_x{scale}/kernel_{number}.mat")["Kernel"] for scale in (2, 4))
        trimmed = k2[3:-3, 3:-3] if k2.shape[0] == 21 else k2[2:-2, 2:-2]  # aligning enlarges the frame
        [which] = [n for n, kernel in enumerate(of_pool) if np.abs(trimmed - kernel).max() < 1e-3]
        drawn.add(which)
        assert np.abs(k4 - Kernel(k2, 2).composed().array).max() < 1e-12
        for scale, kernel in ((2, k2), (4, k4)):
            image = read(tmp_path / f"set/gt/img_{number}_gt.png").astype(float)
            lr = np.stack([correlate(image[..., c], kernel, mode="reflect")[::scale, ::scale] for c in range(3)], axis=-1)
            assert np.abs(np.clip(lr, 0, 255) - read(tmp_path / f"set/lr_x{scale}/im_{number}.png")).max() < 0.501
    assert drawn == {0, 1, 2}
    _degrade(hr, tmp_path / "again", pool)
    assert _bytes(tmp_path / "again") == _bytes(tmp_path / "set")


def _with_noise(folder: Path, patches: np.ndarray) -> Path:
    folder.mkdir()
    kernel = PooledKernel("a.png", Kernel.bicubic(2), "a.mat", {"camera": "x"})
    write_pool(folder / "kernels.h5", KernelPool((kernel,), noise=patches.astype(np.float32)), "")
    return folder


def test_noise_has_the_strength_of_the_patches(tmp_path: Path) -> None:
    write_png(tmp_path / "hr/gray.png", np.full((400, 320, 3), 128, np.uint8))
    noisy = _with_noise(tmp_path / "pool", np.random.default_rng(0).normal(0, 6 / 255, (20, 32, 32, 3)))
    assert _degrade(tmp_path / "hr", tmp_path / "none", noisy, "--scales", "2").exit_code == 0
    assert read(tmp_path / "none/lr_x2/im_1.png").std() == 0
    for strength in (1, 0.5):
        out = tmp_path / str(strength)
        assert _degrade(tmp_path / "hr", out, noisy, "--scales", "2", "--set", f"noise={strength}").exit_code == 0
        lr = read(out / "lr_x2/im_1.png").astype(float)
        assert lr.std() == pytest.approx(np.hypot(6 * strength, 12**-0.5), rel=0.03)
        assert lr.mean() == pytest.approx(128, abs=0.2)
        assert np.abs(np.corrcoef(lr[..., 0].ravel(), lr[..., 1].ravel())[0, 1]) < 0.05


def test_a_pool_is_known_by_its_kernels_file_not_by_what_else_is_there(hr: Path, tmp_path: Path) -> None:
    pool = _with_noise(tmp_path / "pool", np.zeros((0, 32, 32, 3)))
    assert _degrade(hr, tmp_path / "set", pool).exit_code == 0
    (pool / "notes.txt").write_text("more")
    assert _degrade(hr, tmp_path / "again", pool / "kernels.h5").exit_code == 0
    assert _bytes(tmp_path / "again") == _bytes(tmp_path / "set")


def test_basicsr_finds_the_pairs(hr: Path, pool: Path, tmp_path: Path) -> None:
    assert _degrade(hr, tmp_path / "set", pool, "--layout", "basicsr", "--scales", "2").exit_code == 0
    gt, lq = (sorted(path.name for path in (tmp_path / "set" / folder).iterdir()) for folder in ("hr", "lr_x2"))
    assert gt == lq
    lines = (tmp_path / "set/meta_info.txt").read_text().splitlines()
    names = [line.split(" ")[0] for line in lines]  # as paired_paths_from_meta_info_file does
    assert names == gt
    for line, name in zip(lines, names, strict=True):
        large, small = read(tmp_path / "set/hr" / name), read(tmp_path / "set/lr_x2" / name)
        assert large.shape[:2] == (2 * small.shape[0], 2 * small.shape[1])
        assert line == f"{name} ({large.shape[0]},{large.shape[1]},3)"
    assert json.loads((tmp_path / "set/degradation.json").read_text())["images"]["3"]["name"] == "photo 2.png"


def test_kair_finds_the_pairs(hr: Path, pool: Path, tmp_path: Path) -> None:
    assert _degrade(hr, tmp_path / "set", pool, "--layout", "kair").exit_code == 0

    def paths(root: str) -> list[str]:  # as utils_image.get_image_paths: sorted paths below a folder
        return sorted(str(path) for path in (tmp_path / "set" / root).rglob("*.png"))

    for scale in (2, 4):
        for large, small in zip(paths("trainH"), paths(f"trainL/X{scale}"), strict=True):
            assert Path(small).name == Path(large).name.replace(".png", f"x{scale}.png")
            assert np.array(read(Path(large)).shape[:2]).tolist() == [scale * size for size in read(Path(small)).shape[:2]]


def test_wrong_pools_are_refused_before_anything_is_made(hr: Path, pool: Path, tmp_path: Path) -> None:
    def refusal(path: Path, *options: str) -> str:
        result = _degrade(hr, tmp_path / "set", path, *options)
        assert result.exit_code == 2, result.output
        assert len(result.stderr.splitlines()) == 1
        assert not (tmp_path / "set").exists()
        return result.stderr

    assert "no such file or folder" in refusal(tmp_path / "absent")
    (tmp_path / "empty").mkdir()
    assert "empty: holds no kernels (kernels.h5, .mat, .npy)" in refusal(tmp_path / "empty")
    assert "the pool holds no noise patches" in refusal(pool, "--set", "noise=1")
    (tmp_path / "broken.h5").write_bytes(b"no HDF5")
    assert "broken.h5: not a kernel pool that can be read" in refusal(tmp_path / "broken.h5")
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["x"] = 1
    assert "other.h5: not a kernel pool that can be read (it is no blindsr-kernel-pool file)" in refusal(tmp_path / "other.h5")
    savemat(pool / "line\nbreak \x1b[2J.mat", {"Kernel": np.ones((4, 4)) / 16})
    assert "line?break ?[2J.mat: a kernel's array must be 2-D with an odd number" in refusal(pool)


def test_a_pool_whose_kernel_files_were_deleted_says_so(pool: Path) -> None:
    kernels = [PooledKernel(f"{n}.png", Kernel.bicubic(2), f"{n}.npy") for n in range(3)]
    write_pool(pool / "kernels.h5", KernelPool(tuple(kernels)), "")
    build = Registry.discover().build
    assert len(build("degradation", "kernel_pool", {"pool": str(pool)}, scale=2)._pool.kernels) == 3
    (pool / "1.npy").unlink()
    with pytest.raises(BlindSRError, match=r"some of its kernel files are not there any more: 1.npy; delete kernels.h5"):
        build("degradation", "kernel_pool", {"pool": str(pool)}, scale=2)


def test_kernels_of_another_scale_are_not_used(hr: Path, pool: Path, tmp_path: Path) -> None:
    result = _degrade(hr, tmp_path / "set", pool, "--set", "pool_scale=3", "--scales", "2")
    assert result.exit_code == 1
    assert "the pool has kernels for x3, which cannot be made kernels for x2" in result.stderr
