"""Kernels and images that are made for the trainings."""

from pathlib import Path

import numpy as np
import pytest
from blindsr_training.__main__ import main
from blindsr_training.drawings import KINDS, SIZE_PX
from blindsr_training.kernel_families import FAMILIES, FRAME_PX, aligned, middle_px, random_kernel, shake
from click.testing import CliRunner
from PIL import Image
from scipy import ndimage


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("family", FAMILIES)
def test_each_family_gives_aligned_kernels_of_sum_1_that_differ(family: str, scale: int) -> None:
    _, draw = FAMILIES[family]
    side = FRAME_PX[scale]
    kernels = [aligned(draw(np.random.default_rng(seed), side, scale), scale) for seed in range(4)]
    for kernel in kernels:
        assert kernel.shape == (side, side)
        assert kernel.min() >= 0
        assert kernel.sum() == pytest.approx(1)
        assert ndimage.center_of_mass(kernel) == pytest.approx([middle_px(side, scale)] * 2, abs=0.15)
    assert (family == "bicubic") == np.allclose(kernels[0], kernels[1])


def test_the_families_have_the_shares_that_they_name() -> None:
    rng = np.random.default_rng(0)
    names = [random_kernel(rng, 2)[1] for _ in range(1500)]
    for name, (share, _) in FAMILIES.items():
        assert names.count(name) / len(names) == pytest.approx(share, abs=0.025), name


def test_a_shake_reaches_as_far_as_is_said_and_is_connected() -> None:
    for seed in range(10):
        taps = shake(np.random.default_rng(seed), 41, 2, 9.0)
        rows, columns = np.nonzero(taps)
        assert max(np.ptp(rows), np.ptp(columns)) in (9, 10)  # of pixels that a path of 9 touches
        assert taps.sum() == 300  # each point of the path counts
        assert ndimage.label(taps, np.ones((3, 3)))[1] <= 3  # fast points may leave a gap


def test_drawings_are_the_same_for_a_seed_and_sharp(tmp_path: Path) -> None:
    for folder, seed in (("one", 0), ("same", 0), ("other", 1)):
        result = CliRunner().invoke(main, ["drawings", "--out", str(tmp_path / folder), "--count", "3", "--seed", str(seed)])
        assert result.exit_code == 0, result.output
    one, same, other = (
        [np.asarray(Image.open(path)) for path in sorted((tmp_path / name).iterdir())] for name in ("one", "same", "other")
    )
    assert [image.shape for image in one] == [(*SIZE_PX[::-1], 3)] * 3
    assert all(np.array_equal(first, second) for first, second in zip(one, same, strict=True))
    assert not any(np.array_equal(first, second) for first, second in zip(one, other, strict=True))
    for draw in set(KINDS):
        gray = np.asarray(draw(np.random.default_rng(3), SIZE_PX).convert("L")).astype(float)
        assert np.abs(np.diff(gray)).max() > 60, draw.__name__  # an edge within a pixel


def test_drawings_that_cannot_be_written_get_a_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    result = CliRunner().invoke(main, ["drawings", "--out", str(tmp_path / "file")])
    assert result.exit_code == 1
    assert result.output == f"Error: {tmp_path / 'file'}: File exists; choose a folder that can be written to\n"
