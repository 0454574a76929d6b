"""Result files: those of every released version, foreign and damaged ones."""

from pathlib import Path

import h5py
import numpy as np
import pytest

from blindsr.errors import BlindSRError
from blindsr.imaging.metrics import psnr_y
from blindsr.storage.result import open_result

OLD = sorted((Path(__file__).parent / "data").glob("result-*.h5"))


def test_there_are_old_results() -> None:
    assert [path.name for path in OLD] == ["result-0.1.0.h5"]


@pytest.mark.parametrize("path", OLD, ids=lambda path: path.stem)
def test_results_of_every_released_version_open(path: Path) -> None:
    with open_result(path) as result:
        assert result.items == ["cat"]
        assert result.methods == ["Bicubic interpolation", "Ground truth"]
        sr = result.sr("cat", "Bicubic interpolation", 0)
        assert psnr_y(sr, result.image("cat", "hr"), shave=2) == pytest.approx(result.columns["psnr"][0], abs=1e-9)
        assert result.kernel("cat").scale == 2
        assert result.curves("cat", "Ground truth", 0).keys() == {
            "upscale/learning_rate_factor",
            "upscale/loss",
            "upscale/reconstruction_mse",
        }


def test_a_flipped_bit_in_an_image_is_found(tmp_path: Path) -> None:
    data = bytearray(OLD[0].read_bytes())
    with h5py.File(OLD[0]) as file:
        chunk = file["items/cat/images/hr"].id.get_chunk_info(0)
    data[chunk.byte_offset + chunk.size // 2] ^= 1
    (tmp_path / "bad.h5").write_bytes(bytes(data))
    with open_result(tmp_path / "bad.h5") as result, pytest.raises(BlindSRError, match="items/cat/images/hr: damaged"):
        result.image("cat", "hr")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda file: file.attrs.modify("encoding-version", np.bytes_(b"9.0.0")), "format version 9.0.0; this blindsr reads 0.1.x"),
        (lambda file: file.attrs.modify("encoding-type", np.bytes_(b"anndata")), "it is a anndata file"),
        (lambda file: file.attrs.pop("encoding-type"), "it is no blindsr-result file"),
        (lambda file: file.pop("summary"), "not a readable result file"),
    ],
)
def test_foreign_and_future_files_are_refused(tmp_path: Path, change: object, message: str) -> None:
    path = tmp_path / "result.h5"
    path.write_bytes(OLD[0].read_bytes())
    with h5py.File(path, "r+") as file:
        change(file)  # type: ignore[operator]
    with pytest.raises(BlindSRError, match=message):
        open_result(path)


def test_a_result_cut_short_is_refused(tmp_path: Path) -> None:
    (tmp_path / "result.h5").write_bytes(OLD[0].read_bytes()[:5000])
    with pytest.raises(BlindSRError, match="not a readable result file"):
        open_result(tmp_path)
