"""``blindsr degrade``: from a folder of HR images to a set in DIV2KRK's layout."""

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from pixels import read
from scipy.io import loadmat
from scipy.ndimage import correlate

from blindsr.cli import cli
from blindsr.imaging.writer import write_png
from blindsr.pipeline import datasets as dataset


@pytest.fixture
def hr(tmp_path: Path, photo: np.ndarray) -> Path:
    folder = tmp_path / "photos"
    write_png(folder / "b.png", photo[20:143, 100:221])
    write_png(folder / "a.png", photo[150:250, 50:150])
    return folder


def _degrade(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(cli, ["degrade", *map(str, arguments)], catch_exceptions=False)
    return result.exit_code, result.output


def _bytes(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_the_set_is_in_the_layout_and_its_images_follow_from_its_kernels(hr: Path, tmp_path: Path) -> None:
    out = tmp_path / "set"
    assert _degrade(hr, "-o", out) == (0, f"{out}: 2 images at x2 and x4\n")
    assert read(out / "gt/img_2_gt.png").shape == (120, 120, 3)  # b, cropped to a multiple of 4
    for scale in (2, 4):
        assert [item.id for item in dataset.div2krk(out, scale).items] == ["im_1", "im_2"]
        kernel = loadmat(out / f"gt_k_x{scale}/kernel_2.mat")["Kernel"]
        image = read(out / "gt/img_2_gt.png").astype(float)
        lr = np.stack([correlate(image[..., c], kernel, mode="reflect")[::scale, ::scale] for c in range(3)], axis=-1)
        assert np.abs(np.clip(lr, 0, 255) - read(out / f"lr_x{scale}/im_2.png")).max() < 0.501
    k2, k4 = (loadmat(out / f"gt_k_x{scale}/kernel_1.mat")["Kernel"] for scale in (2, 4))
    assert (k2.shape, k4.shape) == ((11, 11), (31, 31))
    assert json.loads((out / "degradation.json").read_text())["images"]["2"]["name"] == "b.png"


def test_the_same_seed_gives_the_same_bytes_and_another_seed_another_kernel(
    hr: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _degrade(hr, "-o", tmp_path / "one")
    monkeypatch.setattr("time.asctime", lambda *_: "another day")  # scipy writes the time into its .mat files
    _degrade(hr, "-o", tmp_path / "two")
    assert _bytes(tmp_path / "one") == _bytes(tmp_path / "two")
    _degrade(hr, "-o", tmp_path / "three", "--seed", 1)
    assert _bytes(tmp_path / "one")["gt_k_x2/kernel_1.mat"] != _bytes(tmp_path / "three")["gt_k_x2/kernel_1.mat"]


def test_a_broken_image_costs_only_itself(hr: Path, tmp_path: Path) -> None:
    (hr / "aa.png").write_bytes(b"no image")
    code, output = _degrade(hr, "-o", tmp_path / "set")
    assert code == 1
    assert "aa.png" in output
    assert [item.id for item in dataset.div2krk(tmp_path / "set", 2).items] == ["im_1", "im_3"]


def test_an_image_that_fails_at_one_scale_is_in_no_scale(hr: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from blindsr_random_kernel import RandomKernel

    sample = RandomKernel.sample_kernel
    calls: list[int] = []

    def failing(self: RandomKernel, scale: int, rng: np.random.Generator) -> object:
        calls.append(scale)
        return 1 / 0 if calls == [2, 4] else sample(self, scale, rng)

    monkeypatch.setattr(RandomKernel, "sample_kernel", failing)
    code, output = _degrade(hr, "-o", tmp_path / "set")
    assert code == 1
    assert "a.png: ZeroDivisionError: division by zero" in output
    for scale in (2, 4):
        assert [item.id for item in dataset.div2krk(tmp_path / "set", scale).items] == ["im_2"]


def test_images_of_the_same_bytes_keep_their_names(hr: Path, tmp_path: Path) -> None:
    (hr / "z.png").write_bytes((hr / "a.png").read_bytes())
    _degrade(hr, "-o", tmp_path / "set")
    images = json.loads((tmp_path / "set/degradation.json").read_text())["images"]
    assert [images[number]["name"] for number in "123"] == ["a.png", "b.png", "z.png"]


def test_nothing_is_written_over(hr: Path, tmp_path: Path) -> None:
    out = tmp_path / "set"
    _degrade(hr, "-o", out)
    assert _degrade(hr, "-o", out)[0] == 0  # the same command again
    code, output = _degrade(hr, "-o", out, "--seed", 1)
    assert (code, output) == (
        2,
        f"error: {out}: holds a set of other images or settings (degradation.json); choose another folder\n",
    )
    assert _degrade(hr, "-o", hr) == (2, f"error: {hr}: is there already and not empty; choose a new folder\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--scales", "2,3"], "degradation 'random_kernel' can do x2 and x4, not x3"),
        (["--scales", "2;4"], "--scales 2;4: write whole numbers with commas between, such as 2,4"),
        (["--scales", "5"], "--scales 5: there are the scales 2, 3 and 4"),
        (["--method", "random_kernle"], "unknown degradation 'random_kernle'; did you mean 'random_kernel'?"),
        (["--set", "size=6"], "size must be odd, not 6"),
    ],
)
def test_wrong_settings_get_a_line_and_make_nothing(hr: Path, tmp_path: Path, arguments: list[str], message: str) -> None:
    code, output = _degrade(hr, "-o", tmp_path / "set", *arguments)
    assert code == 2
    assert message in output
    assert len(output.splitlines()) == 1
    assert not (tmp_path / "set").exists()


def test_a_set_one_folder_deeper_is_found(hr: Path, tmp_path: Path) -> None:
    _degrade(hr, "-o", tmp_path / "archive/DIV2KRK_public", "--scales", 2)
    (tmp_path / "archive/__MACOSX/lr_x2").mkdir(parents=True)
    assert dataset.div2krk(tmp_path / "archive", 2).name == "archive"
