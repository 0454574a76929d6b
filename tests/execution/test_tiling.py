"""Tiling: the assembled tiles equal the SR image of the whole."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from blindsr.errors import BlindSRError
from blindsr.execution.tiling import bands, tile_px, tiles, upscale
from blindsr.imaging.reader import to_depth
from blindsr.imaging.resize import bicubic


class _Bicubic:
    halo: int | None = 3

    def __init__(self) -> None:
        self.seen: list[tuple[int, ...]] = []

    def __call__(self, tile: np.ndarray) -> np.ndarray:
        self.seen.append(tile.shape)
        return bicubic(tile, scale=2)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (100, 37), (1000, 801)])
def test_tiles_keep_every_pixel_once(height: int, width: int) -> None:
    count = np.zeros((height, width), int)
    for tile in tiles(height, width, side=100, halo=7):
        count[tile.kept] += 1
        assert all(seen.start <= kept.start <= kept.stop <= seen.stop for seen, kept in zip(tile.seen, tile.kept, strict=True))
        assert all(seen.start % 4 == 0 for seen in tile.seen)  # a network that pools 4 x 4 pixels pools the same ones in all tiles
    assert (count == 1).all()


def test_tiled_equals_whole() -> None:
    lr = np.random.default_rng(0).random((901, 700, 3)).astype(np.float32)
    upscaler = _Bicubic()
    assert np.array_equal(upscale(upscaler, lr, 2, np.uint16), to_depth(bicubic(lr, scale=2), np.uint16))
    assert max(max(shape) for shape in upscaler.seen) < 600


def test_without_a_halo_the_image_comes_whole() -> None:
    upscaler = _Bicubic()
    upscaler.halo = None
    upscale(upscaler, np.zeros((900, 500, 3), np.float32), 2)
    assert upscaler.seen == [(900, 500, 3)]


@pytest.mark.parametrize(("result", "message"), [(np.zeros((3, 3, 3)), "of shape"), (np.full((20, 20, 3), np.nan), "NaN")])
def test_what_an_upscaler_must_not_give(result: np.ndarray, message: str) -> None:
    class Bad:
        halo: int | None = 0

        def __call__(self, tile: np.ndarray) -> np.ndarray:
            return result

    with pytest.raises(BlindSRError, match=message):
        upscale(Bad(), np.zeros((10, 10, 3), np.float32), 2)


def test_bands_are_the_image_a_row_of_tiles_at_a_time() -> None:
    lr = np.random.default_rng(0).integers(0, 65536, (901, 300, 3), np.uint16)
    found = list(bands(_Bicubic(), lr, 2, np.uint16))
    assert [band.shape[1:] for band in found] == [(600, 3), (600, 3)]
    assert np.array_equal(np.concatenate(found), to_depth(bicubic(lr.astype(np.float32) / 65535, scale=2), np.uint16))


def test_a_tile_that_fails_is_an_error_and_no_band() -> None:
    class FailsLater(_Bicubic):
        def __call__(self, tile: np.ndarray) -> np.ndarray:
            sr = super().__call__(tile)
            return sr * np.nan if len(self.seen) == 4 else sr

    found = bands(FailsLater(), np.zeros((800, 800, 3), np.float32), 2)
    assert next(found).shape == (800, 1600, 3)
    with pytest.raises(BlindSRError, match="NaN"):
        next(found)


@pytest.mark.parametrize(("gibibytes", "side"), [(2, 768), (8, 1024), (80, 2048)])
def test_a_gpu_gets_larger_tiles_the_more_memory_it_has(monkeypatch: pytest.MonkeyPatch, gibibytes: int, side: int) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: SimpleNamespace(total_memory=gibibytes * 2**30))
    assert tile_px("cuda") == side
    lr = np.random.default_rng(0).integers(0, 256, (1100, 600, 3), np.uint8)
    upscaler = _Bicubic()
    found = upscale(upscaler, lr, 2, device="cuda")
    assert np.array_equal(found, upscale(_Bicubic(), lr, 2))
    assert max(max(shape) for shape in upscaler.seen) <= side // 2 * 1.5 + 2 * upscaler.halo + 4
    assert len(upscaler.seen) == round(1100 / (side // 2)) * round(600 / (side // 2))
