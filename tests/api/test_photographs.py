"""Photographs go through `blindsr.upscale` with all that belongs to them, as Pillow, tifffile and imagecodecs read it."""

import sys
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms, features

import blindsr
from blindsr.api.photographs.reading import read_photograph
from blindsr.errors import BlindSRError

HEIGHT, WIDTH = 24, 40
COLOURS = np.array([[[200, 40, 60], [30, 180, 90]], [[20, 70, 210], [128, 128, 128]]], np.uint8)
"""Of the four quarters."""
PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()  # one that nobody takes for sRGB
EXIF, GPS = 0x8769, 0x8825


def _quarters(values: np.ndarray) -> np.ndarray:
    """An image (HEIGHT, WIDTH, C) whose quarters have these values (2, 2, C)."""
    return values.repeat(HEIGHT // 2, 0).repeat(WIDTH // 2, 1)


def _middles(image: np.ndarray) -> np.ndarray:
    """The values in the middle of the quarters (2, 2[, C])."""
    height, width = image.shape[:2]
    return image[height // 4 :: height // 2, width // 4 :: width // 2]


def _exif(orientation: int = 1) -> Image.Exif:
    exif = Image.Exif()
    exif[0x010F], exif[0x0112], exif[0x0100], exif[0x0101] = "Maker", orientation, WIDTH, HEIGHT
    exif.get_ifd(EXIF).update({0x829A: 0.005, 0xA002: WIDTH, 0xA003: HEIGHT})
    exif.get_ifd(GPS).update({1: "N", 2: (47.0, 30.0, 1.5)})
    return exif


def _upscaled(path: Path, **options: object) -> Path:
    [result] = blindsr.upscale(path, kernel="bicubic", sr="bicubic", **options)
    assert not result.error
    return result.output


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif"])
def test_exif_and_profile_are_kept_and_the_orientation_is_applied_once(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"photo.{suffix}"
    Image.fromarray(_quarters(COLOURS)).save(path, exif=_exif(orientation=6).tobytes(), icc_profile=PROFILE, quality=95)
    with Image.open(_upscaled(path)) as image:
        exif = image.getexif()
        camera, place = exif.get_ifd(EXIF), exif.get_ifd(GPS)
        pixels, profile = np.asarray(image), image.info["icc_profile"]
    assert pixels.shape == (2 * WIDTH, 2 * HEIGHT, 3)
    expected = COLOURS.swapaxes(0, 1)[:, ::-1]  # orientation 6: a quarter turn clockwise
    assert np.abs(_middles(pixels).astype(int) - expected).max() <= 3
    assert profile == PROFILE
    assert exif[0x010F] == "Maker"
    assert exif.get(0x0112, 1) == 1
    assert (exif[0x0100], exif[0x0101]) == (2 * HEIGHT, 2 * WIDTH)
    assert float(camera[0x829A]) == pytest.approx(0.005)
    assert (camera[0xA002], camera[0xA003]) == (2 * HEIGHT, 2 * WIDTH)
    assert tuple(map(float, place[2])) == (47.0, 30.0, 1.5)


@pytest.mark.parametrize("suffix", ["png", "tif"])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
def test_depth_channels_and_transparency_are_kept(suffix: str, channels: int, depth: type, tmp_path: Path) -> None:
    wide = np.concatenate([COLOURS, [[[255], [0]], [[60], [255]]]], 2).astype(depth) * (257 if depth is np.uint16 else 1)
    values = wide[..., {1: [0], 2: [0, 3], 3: [0, 1, 2], 4: [0, 1, 2, 3]}[channels]]
    path, alpha = tmp_path / f"photo.{suffix}", channels in (2, 4)
    image = _quarters(values)
    if suffix == "tif":
        more = {"extrasamples": ["unassalpha"]} if alpha else {}
        tifffile.imwrite(
            path, image[..., 0] if channels == 1 else image, photometric="rgb" if channels > 2 else "minisblack", iccprofile=PROFILE,
            planarconfig="contig" if channels > 1 else None, **more,
        )  # fmt: skip
    else:
        path.write_bytes(imagecodecs.png_encode(image))
    output = _upscaled(path)
    if suffix == "tif":
        with tifffile.TiffFile(output) as file:
            page = file.pages.first
            found = page.asarray()
            assert page.tags[34675].value == PROFILE
            assert page.extrasamples == ((tifffile.EXTRASAMPLE.UNASSALPHA,) if alpha else ())
    else:
        found = imagecodecs.png_decode(output.read_bytes())
        with Image.open(output) as read:
            assert read.size == (2 * WIDTH, 2 * HEIGHT)
    assert found.dtype == depth
    found = found.reshape(2 * HEIGHT, 2 * WIDTH, -1)
    assert found.shape[2] == channels
    assert np.abs(_middles(found).astype(int) - values).max() <= 1


def test_a_gray_jpeg_stays_gray_and_its_compression_is_told_of(tmp_path: Path) -> None:
    path = tmp_path / "scan.jpeg"
    Image.fromarray(_quarters(COLOURS)[..., 0]).save(path, quality=100)
    photo = read_photograph(path)
    assert photo.gray
    assert photo.notes == ()
    assert photo.compression_error == pytest.approx(12**-0.25)  # a table of ones
    with Image.open(_upscaled(path)) as image:
        assert (image.format, image.mode, image.size) == ("JPEG", "L", (2 * WIDTH, 2 * HEIGHT))


def test_palettes_cmyk_and_other_formats_are_read(tmp_path: Path) -> None:
    image = Image.fromarray(_quarters(COLOURS))
    image.quantize(8).save(tmp_path / "palette.png", transparency=0)
    image.convert("CMYK").save(tmp_path / "cmyk.tif")
    image.save(tmp_path / "web.webp", lossless=True)
    assert read_photograph(tmp_path / "palette.png").alpha is not None
    assert "CMYK converted to sRGB" in read_photograph(tmp_path / "cmyk.tif").notes
    assert _upscaled(tmp_path / "web.webp").name == "web_x2.png"


def test_a_constant_transparency_stays_so(tmp_path: Path) -> None:
    path = tmp_path / "opaque.png"
    Image.fromarray(np.dstack([_quarters(COLOURS), np.full((HEIGHT, WIDTH), 77, np.uint8)])).save(path)
    with Image.open(_upscaled(path, scale=3)) as image:
        assert image.size == (3 * WIDTH, 3 * HEIGHT)
        assert image.getchannel("A").getextrema() == (77, 77)


@pytest.mark.parametrize(("name", "library"), [("a.heic", "pillow-heif"), ("a.NEF", "rawpy")])
def test_formats_that_need_a_library_name_it(name: str, library: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, library.replace("-", "_"), None)
    (tmp_path / name).write_bytes(b"anything")
    with pytest.raises(BlindSRError, match=f"{name}: .*pip install {library}"):
        read_photograph(tmp_path / name)


@pytest.mark.skipif(not features.check("avif"), reason="Pillow without AVIF")
def test_avif_is_read(tmp_path: Path) -> None:
    Image.fromarray(_quarters(COLOURS)).save(tmp_path / "a.avif", quality=95)
    assert np.abs(_middles(read_photograph(tmp_path / "a.avif").pixels).astype(int) - COLOURS).max() <= 6


def test_too_large_for_jpeg_is_a_line(tmp_path: Path) -> None:
    path = tmp_path / "long.jpg"
    Image.fromarray(np.zeros((2, 40_000, 3), np.uint8)).save(path)
    [result] = blindsr.upscale(path, kernel="bicubic", sr="bicubic")
    assert "more than a JPEG file can hold" in result.error
    assert [file.name for file in tmp_path.iterdir()] == ["long.jpg"]
