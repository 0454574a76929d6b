"""Image files of all kinds, written by Pillow and tifffile."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms, ImageOps

from blindsr.errors import BlindSRError
from blindsr.imaging.reader import read_image, to_depth, to_float
from blindsr.imaging.writer import png_is_cut_short, png_text, verify_png, write_png


@pytest.fixture
def pixels(photo: np.ndarray) -> np.ndarray:
    return photo[100:140, 200:250]


def test_plain_rgb_needs_no_note(tmp_path: Path, pixels: np.ndarray) -> None:
    Image.fromarray(pixels).save(tmp_path / "a.png")
    picture = read_image(tmp_path / "a.png")
    assert np.array_equal(picture.pixels, pixels)
    assert picture.notes == []


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["jpg", "tif", "png"])
def test_orientation_is_applied(tmp_path: Path, pixels: np.ndarray, orientation: int, suffix: str) -> None:
    image = Image.fromarray(pixels)
    exif = image.getexif()
    exif[0x0112] = orientation
    image.save(tmp_path / f"a.{suffix}", exif=exif, **({"quality": 95} if suffix == "jpg" else {}))
    with Image.open(tmp_path / f"a.{suffix}") as file:
        expected = np.asarray(ImageOps.exif_transpose(file))
    assert np.array_equal(read_image(tmp_path / f"a.{suffix}").pixels, expected)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_of_16_bit_tiffs(tmp_path: Path, pixels: np.ndarray, orientation: int) -> None:
    tifffile.imwrite(
        tmp_path / "a.tif", pixels.astype(np.uint16) * 257, photometric="rgb", extratags=[(274, "H", 1, orientation, True)]
    )
    image = Image.fromarray(pixels)
    exif = image.getexif()
    exif[0x0112] = orientation
    image.save(tmp_path / "b.png", exif=exif)
    assert np.array_equal(read_image(tmp_path / "a.tif").pixels // 257, read_image(tmp_path / "b.png").pixels)


@pytest.mark.parametrize(
    ("mode", "name", "note"),
    [
        ("L", "a.png", "grayscale"),
        ("1", "a.png", "grayscale"),
        ("LA", "a.png", "grayscale"),
        ("CMYK", "a.jpg", "CMYK converted to sRGB"),
        ("CMYK", "a.tif", "CMYK converted to sRGB"),
    ],
)
def test_other_modes_are_converted_and_said(tmp_path: Path, pixels: np.ndarray, mode: str, name: str, note: str) -> None:
    image = Image.fromarray(pixels).convert(mode)
    image.save(tmp_path / name)
    picture = read_image(tmp_path / name)
    assert picture.pixels.shape == (40, 50, 3)
    assert any(note in text for text in picture.notes)
    with Image.open(tmp_path / name) as file:
        assert np.array_equal(picture.pixels, np.asarray(file.convert("L" if mode == "LA" else mode).convert("RGB")))


def test_transparency_is_dropped_and_said(tmp_path: Path, pixels: np.ndarray) -> None:
    alpha = np.full((40, 50, 1), 255, np.uint8)
    Image.fromarray(np.concatenate([pixels, alpha], 2)).save(tmp_path / "opaque.png")
    alpha[3, 4] = 10
    Image.fromarray(np.concatenate([pixels, alpha], 2)).save(tmp_path / "clear.png")
    assert read_image(tmp_path / "opaque.png").notes == []
    clear = read_image(tmp_path / "clear.png")
    assert clear.notes == ["its transparency is dropped"]
    assert np.array_equal(clear.pixels, pixels)


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_16_bit_is_kept(tmp_path: Path, pixels: np.ndarray, name: str, channels: int) -> None:
    deep = np.random.default_rng(0).integers(0, 65536, (40, 50, channels), np.uint16)
    cv2.imwrite(str(tmp_path / name), deep)
    picture = read_image(tmp_path / name)
    expected = deep[..., 2::-1] if channels > 1 else deep.repeat(3, axis=2)
    assert picture.pixels.dtype == np.uint16
    assert np.array_equal(picture.pixels, expected)


def test_floats_become_16_bit(tmp_path: Path, pixels: np.ndarray) -> None:
    tifffile.imwrite(tmp_path / "a.tif", to_float(pixels), photometric="rgb")
    picture = read_image(tmp_path / "a.tif")
    assert picture.notes == ["floats rounded to 16 bit"]
    assert np.abs(to_float(picture.pixels) - to_float(pixels)).max() <= 0.5 / 65535 + 1e-6


def test_a_foreign_profile_is_converted_and_srgb_is_not(tmp_path: Path, pixels: np.ndarray) -> None:
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
    lab = ImageCms.createProfile("LAB")
    Image.fromarray(pixels).save(tmp_path / "srgb.png", icc_profile=srgb.tobytes())
    assert np.array_equal(read_image(tmp_path / "srgb.png").pixels, pixels)
    Image.fromarray(pixels).save(tmp_path / "broken.png", icc_profile=b"nonsense")
    assert any("unreadable" in note for note in read_image(tmp_path / "broken.png").notes)
    Image.fromarray(pixels).convert("L").save(tmp_path / "gray.png", icc_profile=srgb.tobytes())
    assert "its colour profile is ignored" in read_image(tmp_path / "gray.png").notes
    in_lab = ImageCms.profileToProfile(Image.fromarray(pixels), srgb, lab, outputMode="LAB")
    in_lab.save(tmp_path / "lab.tif", icc_profile=ImageCms.ImageCmsProfile(lab).tobytes())
    picture = read_image(tmp_path / "lab.tif")
    assert any("converted to sRGB" in note for note in picture.notes)
    assert np.abs(picture.pixels.astype(int) - pixels).mean() < 3


@pytest.mark.parametrize(
    ("suffix", "options"), [("separate", {"planarconfig": "separate"}), ("contig", {"planarconfig": "contig"})]
)
def test_planes_of_16_bit_tiffs(tmp_path: Path, pixels: np.ndarray, suffix: str, options: dict[str, str]) -> None:
    deep = pixels.astype(np.uint16) * 257
    stored = np.moveaxis(deep, -1, 0) if suffix == "separate" else deep
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric="rgb", **options)
    assert np.array_equal(read_image(tmp_path / "a.tif").pixels, deep)


def test_white_is_zero_and_gray_with_alpha(tmp_path: Path, pixels: np.ndarray) -> None:
    deep = pixels[..., 0].astype(np.uint16) * 257
    tifffile.imwrite(tmp_path / "white.tif", 65535 - deep, photometric="miniswhite")
    assert np.array_equal(read_image(tmp_path / "white.tif").pixels[..., 1], deep)
    both = np.dstack([deep, np.full_like(deep, 65535)])
    tifffile.imwrite(tmp_path / "alpha.tif", both, photometric="minisblack", planarconfig="contig", extrasamples=["unassalpha"])
    assert np.array_equal(read_image(tmp_path / "alpha.tif").pixels[..., 2], deep)


@pytest.mark.parametrize("channels", [1, 3])
def test_16_bit_ppm(tmp_path: Path, channels: int) -> None:
    deep = np.random.default_rng(0).integers(0, 65536, (9, 7, channels), np.uint16)
    magic = b"P5" if channels == 1 else b"P6"
    (tmp_path / "a.ppm").write_bytes(magic + b" 7 9 65535\n" + deep.astype(">u2").tobytes())
    assert np.array_equal(read_image(tmp_path / "a.ppm").pixels, deep.repeat(3 // channels, axis=2))


def test_other_formats_are_no_images(tmp_path: Path, pixels: np.ndarray) -> None:
    (tmp_path / "a.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n")
    with pytest.raises(BlindSRError, match="not an image in a format"):
        read_image(tmp_path / "a.png")


def test_the_first_frame_of_an_animation_is_used(tmp_path: Path, pixels: np.ndarray) -> None:
    frames = [Image.fromarray(pixels), Image.fromarray(pixels[::-1].copy())]
    frames[0].save(tmp_path / "a.png", save_all=True, append_images=frames[1:])
    picture = read_image(tmp_path / "a.png")
    assert np.array_equal(picture.pixels, pixels)
    assert picture.notes == ["the first of 2 frames is used"]


def _nan_tiff(path: Path, pixels: np.ndarray) -> None:
    image = to_float(pixels)
    image[5, 7, 1] = np.nan
    tifffile.imwrite(path, image, photometric="rgb")


def _truncated(path: Path, pixels: np.ndarray) -> None:
    write_png(path, pixels)
    path.write_bytes(path.read_bytes()[:-1500])


def _truncated_deep(path: Path, pixels: np.ndarray) -> None:
    write_png(path, pixels.astype(np.uint16) * 200)
    path.write_bytes(path.read_bytes()[:-1500])


def _truncated_tiff(path: Path, pixels: np.ndarray) -> None:
    tifffile.imwrite(path, to_float(pixels), photometric="rgb")
    path.write_bytes(path.read_bytes()[:-1500])


@pytest.mark.parametrize(
    ("write", "name", "message"),
    [
        (lambda path, pixels: None, "a.png", "no such file"),
        (lambda path, pixels: path.mkdir(), "a.png", "is a folder"),
        (lambda path, pixels: path.write_text("hello"), "a.png", "not an image"),
        (lambda path, pixels: path.write_bytes(b""), "a.png", "not an image"),
        (lambda path, pixels: path.write_bytes(b"II*\0" + b"\xff" * 40), "a.tif", "damaged or cut short"),
        (_truncated, "a.png", "damaged or cut short"),
        (_truncated_deep, "a.png", "damaged or cut short"),
        (_truncated_tiff, "a.tif", "damaged"),
        (_nan_tiff, "a.tif", "1 pixels are NaN or infinite, the first at row 5, column 7"),
        (
            lambda path, pixels: tifffile.imwrite(path, pixels.astype(np.float32), photometric="rgb"),
            "a.tif",
            r"run from .* scale them to \[0, 1\]",
        ),
    ],
)
def test_what_cannot_be_read_is_named_with_its_reason(
    tmp_path: Path, pixels: np.ndarray, write: object, name: str, message: str
) -> None:
    write(tmp_path / name, pixels)  # type: ignore[operator]
    with pytest.raises(BlindSRError, match=f"{name}: .*{message}"):
        read_image(tmp_path / name)


def test_depths_round_trip(pixels: np.ndarray) -> None:
    deep = np.random.default_rng(0).integers(0, 65536, (9, 9, 3), np.uint16)
    assert np.array_equal(to_depth(to_float(pixels), np.uint8), pixels)
    assert np.array_equal(to_depth(to_float(deep), np.uint16), deep)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_png_files_hold_their_pixels_and_a_text(tmp_path: Path, dtype: type) -> None:
    deep = np.random.default_rng(0).integers(0, np.iinfo(dtype).max, (31, 20, 3), dtype, endpoint=True)
    path = tmp_path / "a.png"
    write_png(path, deep, ("blindsr-step", "1a2b"))
    assert png_text(path, "blindsr-step") == "1a2b"
    assert png_text(path, "other") is None
    assert np.array_equal(read_image(path).pixels, deep)
    assert np.array_equal(cv2.imread(str(path), cv2.IMREAD_UNCHANGED)[..., ::-1], deep)
    assert not png_is_cut_short(path)
    verify_png(path)


def test_damage_of_png_files_is_named(tmp_path: Path, pixels: np.ndarray) -> None:
    path = tmp_path / "a.png"
    write_png(path, pixels)
    whole = path.read_bytes()
    for data, problem in ((whole[:-1], "cut short"), (whole[:-9] + b"?" + whole[-8:], "cut short"), (b"GIF89a", "not a PNG file")):
        path.write_bytes(data)
        with pytest.raises(ValueError, match=problem):
            verify_png(path)
    assert png_text(path, "blindsr-step") is None


def test_what_is_no_rgb_image_is_not_written(tmp_path: Path, pixels: np.ndarray) -> None:
    with pytest.raises(BlindSRError, match=r"pixels must be uint8 or uint16 of shape \(H, W, 3\), not float32"):
        write_png(tmp_path / "a.png", to_float(pixels))


def test_a_large_flat_picture_is_no_bomb(tmp_path: Path) -> None:
    Image.new("1", (7000, 7000), 1).save(tmp_path / "a.png")  # 49 megapixels in 6 kB
    assert read_image(tmp_path / "a.png").pixels.shape == (7000, 7000, 3)


@pytest.mark.parametrize("text", [False, True])
def test_ppm_of_more_than_8_bits_is_scaled_by_its_peak(tmp_path: Path, text: bool) -> None:
    values = np.array([0, 1, 1023, 512, 2, 3])
    body = " ".join(map(str, values)).encode() if text else values.astype(">u2").tobytes()
    (tmp_path / "a.ppm").write_bytes((b"P3" if text else b"P6") + b" 2 1 1023\n" + body)
    assert np.array_equal(read_image(tmp_path / "a.ppm").pixels.ravel(), np.round(values * 65535 / 1023))


def test_compressed_16_bit_tiffs(tmp_path: Path, pixels: np.ndarray) -> None:
    deep = pixels.astype(np.uint16) * 257
    for compression in ("lzw", "zstd", "packbits"):
        tifffile.imwrite(tmp_path / "a.tif", deep, photometric="rgb", compression=compression)
        assert np.array_equal(read_image(tmp_path / "a.tif").pixels, deep)


def test_floats_and_integers_of_unknown_range_are_refused(pixels: np.ndarray) -> None:
    assert to_float(to_float(pixels)).dtype == np.float32
    with pytest.raises(BlindSRError, match="pixels must be uint8, uint16, or floats"):
        to_float(pixels.astype(int))
    with pytest.raises(BlindSRError, match="to_depth takes floats"):
        to_depth(pixels, np.uint8)


def test_a_profile_is_applied_to_an_image_with_transparency(tmp_path: Path, pixels: np.ndarray) -> None:
    profile = ImageCms.createProfile("XYZ")
    opaque = np.dstack([pixels, np.full(pixels.shape[:2], 255, np.uint8)])
    Image.fromarray(opaque).save(tmp_path / "a.png", icc_profile=ImageCms.ImageCmsProfile(profile).tobytes())
    assert [note for note in read_image(tmp_path / "a.png").notes if "colour profile" in note]
