"""Photographs go through `blindsr.upscale` with all that belongs to them, as Pillow, tifffile and imagecodecs read it."""

import io
import os
import struct
import subprocess
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms, features
from PIL.IptcImagePlugin import getiptcinfo
from PIL.PngImagePlugin import PngInfo, putchunk

import blindsr
from blindsr.api.photographs import upscaling
from blindsr.api.photographs.reading import read_photograph
from blindsr.api.photographs.writing import strips
from blindsr.errors import BlindSRError
from blindsr.execution import tiling
from blindsr.imaging.reader import to_depth, to_float
from blindsr.imaging.resize import bicubic

HEIGHT, WIDTH = 24, 40
COLOURS = np.array([[[200, 40, 60], [30, 180, 90]], [[20, 70, 210], [128, 128, 128]]], np.uint8)
"""Of the four quarters."""
PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()  # one that nobody takes for sRGB
EXIF, GPS = 0x8769, 0x8825
XMP = b"""<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description rdf:about="" xmlns:tiff="http://ns.adobe.com/tiff/1.0/" xmlns:exif="http://ns.adobe.com/exif/1.0/"
 xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmlns:dc="http://purl.org/dc/elements/1.1/"%s>%s<dc:rights>Me</dc:rights></rdf:Description>
</rdf:RDF></x:xmpmeta>"""
KEPT_XMP = XMP % (b' xmp:Rating="4"', b"<tiff:Make>Maker</tiff:Make>")
FULL_XMP = XMP % (
    b' tiff:Orientation="6" xmp:Rating="4" exif:PixelXDimension=\'40\'',
    b"<tiff:Make>Maker</tiff:Make><tiff:ImageWidth>40</tiff:ImageWidth><xmp:Thumbnails><rdf:Alt>big</rdf:Alt></xmp:Thumbnails>",
)


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
    extra = {"pillow-heif": "heif", "rawpy": "raw"}[library]
    monkeypatch.setitem(sys.modules, library.replace("-", "_"), None)
    (tmp_path / name).write_bytes(b"anything")
    with pytest.raises(BlindSRError, match=rf"{name}: .*library {library}; pip install 'blindsr\[{extra}\]'"):
        read_photograph(tmp_path / name)


@pytest.mark.skipif(not features.check("avif"), reason="Pillow without AVIF")
def test_avif_is_read(tmp_path: Path) -> None:
    Image.fromarray(_quarters(COLOURS)).save(tmp_path / "a.avif", quality=95)
    assert np.abs(_middles(read_photograph(tmp_path / "a.avif").pixels).astype(int) - COLOURS).max() <= 6


@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
def test_heic_is_read_upright_with_its_depth(depth: type, tmp_path: Path) -> None:
    heif = pytest.importorskip("pillow_heif", reason="the package pillow-heif is not installed")
    values = COLOURS.astype(depth) * (257 if depth is np.uint16 else 1)
    image = np.ascontiguousarray(values.repeat(32, 0).repeat(48, 1))
    mode = "RGB;16" if depth is np.uint16 else "RGB"
    file = heif.from_bytes(mode, (image.shape[1], image.shape[0]), image.tobytes())
    path = tmp_path / "phone.HEIC"
    file.save(path, quality=95, exif=_exif(orientation=6).tobytes())
    photo = read_photograph(path)
    assert photo.pixels.dtype == depth
    assert photo.pixels.shape == (96, 64, 3)
    difference = np.abs(_quarter_means(photo.pixels) - values.swapaxes(0, 1)[:, ::-1])
    assert difference.max() <= 0.03 * np.iinfo(depth).max
    output = _upscaled(path)
    assert output.name == "phone_x2.png"
    with Image.open(output) as read:
        assert read.size == (128, 192)
        assert read.getexif()[0x010F] == "Maker"


def _quarter_means(image: np.ndarray) -> np.ndarray:
    height, width = (size // 2 for size in image.shape[:2])
    return image.reshape(2, height, 2, width, 3)[:, 4:-4, :, 4:-4].mean((1, 3))


def test_a_raw_file_is_developed_upright_with_its_camera(tmp_path: Path) -> None:
    """A DNG file with the filters of a camera, in the colours of linear sRGB."""
    pytest.importorskip("rawpy", reason="the package rawpy is not installed")
    low, high = 8000, 40000
    values = np.array([[[high, low, low], [low, high, low]], [[low, low, high], [30000] * 3]], np.uint16)
    image = values.repeat(128, 0).repeat(160, 1)
    mosaic = image[..., 1].copy()
    mosaic[::2, ::2], mosaic[1::2, 1::2] = image[::2, ::2, 0], image[1::2, 1::2, 2]
    # From CIE XYZ (D65) to linear sRGB, IEC 61966-2-1.
    matrix = [3.2405, -1.5371, -0.4985, -0.9693, 1.8760, 0.0416, 0.0556, -0.2040, 1.0572]
    numbers = [number for value in matrix for number in (round(value * 10_000), 10_000)]
    tags = [
        (271, "s", 0, "Maker", True), (272, "s", 0, "Model", True), (274, "H", 1, 6, True), (33421, "H", 2, (2, 2), True),
        (33422, "B", 4, bytes((0, 1, 1, 2)), True), (50706, "B", 4, bytes((1, 4, 0, 0)), True), (50708, "s", 0, "Maker Model", True),
        (50717, "I", 1, 65535, True), (50721, "2i", 9, numbers, True), (50728, "2I", 3, (1, 1) * 3, True), (50778, "H", 1, 21, True),
    ]  # fmt: skip
    path = tmp_path / "shot.dng"
    tifffile.imwrite(path, mosaic, photometric=32803, metadata=None, extratags=tags)
    photo = read_photograph(path)
    assert (photo.pixels.shape, photo.pixels.dtype) == ((320, 256, 3), np.uint16)
    found = _quarter_means(photo.pixels)
    expected = values.swapaxes(0, 1)[:, ::-1]  # orientation 6: a quarter turn clockwise
    assert np.array_equal(found.argmax(2)[0], expected.argmax(2)[0])
    assert np.ptp(found[1, 0]) < 0.02 * 65535  # gray stays gray
    output = _upscaled(path)
    assert output.name == "shot_x2.png"
    with Image.open(output) as read:
        assert read.size == (512, 640)
        exif = dict(read.getexif())
        assert (exif[271], exif[272]) == ("Maker", "Model")
        assert not {274, 33421, 50706, 50721} & set(exif)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (2, 3), (40, 1), (7, 7)])
@pytest.mark.parametrize("method", ["bicubic", "refined"])
def test_tiny_photographs_are_upscaled(height: int, width: int, method: str, tmp_path: Path) -> None:
    path = tmp_path / "tiny.png"
    Image.fromarray(np.full((height, width, 3), 90, np.uint8)).save(path)
    [result] = blindsr.upscale(path, kernel=method, sr="bicubic", report=tmp_path / "page.html")
    assert not result.error
    assert "less than 8 pixels a side" in result.notes[0]
    assert np.array_equal(imagecodecs.png_decode(result.output.read_bytes()), np.full((2 * height, 2 * width, 3), 90, np.uint8))


def test_too_large_for_jpeg_is_a_line(tmp_path: Path) -> None:
    path = tmp_path / "long.jpg"
    Image.fromarray(np.zeros((2, 40_000, 3), np.uint8)).save(path)
    [result] = blindsr.upscale(path, kernel="bicubic", sr="bicubic")
    assert "more than a JPEG file can hold" in result.error
    assert [file.name for file in tmp_path.iterdir()] == ["long.jpg"]


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif"])
def test_xmp_is_kept_less_orientation_sizes_and_thumbnails(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"photo.{suffix}"
    image = Image.fromarray(_quarters(COLOURS))
    if suffix == "tif":
        image.save(path, tiffinfo={700: FULL_XMP})
    elif suffix == "png":
        about = PngInfo()
        about.add_itxt("XML:com.adobe.xmp", FULL_XMP.decode())
        image.save(path, pnginfo=about)
    else:
        image.save(path, xmp=FULL_XMP)
    output = _upscaled(path)
    with Image.open(output) as read:
        read.load()
        assert read.info["xmp"] == KEPT_XMP
    if suffix == "tif":
        with tifffile.TiffFile(output) as file:
            assert file.pages.first.tags[700].value == KEPT_XMP


def _dataset(record: int, number: int, content: bytes) -> bytes:
    return struct.pack(">BBBH", 0x1C, record, number, len(content)) + content


@pytest.mark.parametrize("kind", ["jpg", "tif", "tif as integers", "deep tif"])
def test_texts_of_iptc_are_kept_less_previews(kind: str, tmp_path: Path) -> None:
    title, people = "Brücke".encode(), [b"Ada", b"Grace"]
    texts = _dataset(1, 90, b"\x1b%G") + _dataset(2, 5, title) + b"".join(_dataset(2, 25, name) for name in people)
    iptc = texts + _dataset(2, 202, b"a picture") + _dataset(3, 20, b"\0\x40")
    path = tmp_path / f"photo.{kind[-3:] if kind.startswith('deep') else kind[:3]}"
    image = Image.fromarray(_quarters(COLOURS))
    if kind == "jpg":
        resources = b"8BIM\x04\x25\0\0\0\0\0\x02ab8BIM\x04\x04\0\0" + struct.pack(">I", len(iptc)) + iptc
        content = b"Photoshop 3.0\0" + resources
        image.save(path, extra=b"\xff\xed" + struct.pack(">H", 2 + len(content)) + content, xmp=FULL_XMP, icc_profile=PROFILE)
    else:
        padded = iptc + bytes(-len(iptc) % 4)
        integers = (33723, "I", len(padded) // 4, struct.unpack(f"<{len(padded) // 4}I", padded), True)
        tag = integers if kind == "tif as integers" else (33723, 7, len(iptc), iptc, True)
        pixels = _quarters(COLOURS.astype(np.uint16) * 257 if kind.startswith("deep") else COLOURS)
        tifffile.imwrite(path, pixels, photometric="rgb", byteorder="<", extratags=[tag])
    with Image.open(path) as read:
        assert getiptcinfo(read)[2, 202] == b"a picture"
    output = _upscaled(path)
    with Image.open(output) as read:
        assert getiptcinfo(read) == {(1, 90): b"\x1b%G", (2, 5): title, (2, 25): people}
        read.load()
    if kind == "jpg":
        with Image.open(output) as read:
            assert read.info["xmp"] == KEPT_XMP
            assert read.info["icc_profile"] == PROFILE
    else:
        with tifffile.TiffFile(output) as file:
            assert bytes(file.pages.first.tags[33723].value) == texts


@pytest.mark.parametrize("iptc", [b"", b"\0" * 8, b"\x1c\x02", b"\x1c\x02\x05\x40\0short", b"\x1c\x02\x05\x80\x04\0\0\0\x01a"])
def test_damaged_iptc_is_left_out(iptc: bytes, tmp_path: Path) -> None:
    content = b"Photoshop 3.0\0" + b"8BIM\x04\x04\0\0" + struct.pack(">I", len(iptc)) + iptc
    Image.fromarray(_quarters(COLOURS)).save(tmp_path / "a.jpg", extra=b"\xff\xed" + struct.pack(">H", 2 + len(content)) + content)
    with Image.open(_upscaled(tmp_path / "a.jpg")) as read:
        assert getiptcinfo(read) is None


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_sixteen_bits_transparency_exif_and_profile_go_together(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"photo.{suffix}"
    values = np.concatenate([COLOURS, [[[255], [0]], [[60], [255]]]], 2).astype(np.uint16) * 257
    exif = _exif(orientation=8)
    if suffix == "tif":
        more = [(tag, "s", 0, "Maker", True) if tag == 0x010F else (tag, "H", 1, 8, True) for tag in (0x010F, 0x0112)]
        tifffile.imwrite(
            path, _quarters(values), photometric="rgb", extrasamples=["unassalpha"], iccprofile=PROFILE, extratags=more
        )
    else:
        plain = imagecodecs.png_encode(_quarters(values))
        head, rest = plain[:33], plain[33:]
        stream = io.BytesIO()
        putchunk(stream, b"iCCP", b"x\0\0" + zlib.compress(PROFILE))
        putchunk(stream, b"eXIf", exif.tobytes().removeprefix(b"Exif\0\0"))
        path.write_bytes(head + stream.getvalue() + rest)
    output = _upscaled(path)
    if suffix == "tif":
        with tifffile.TiffFile(output) as file:
            page = file.pages.first
            found, tags = page.asarray(), {tag: page.tags.valueof(tag) for tag in (0x010F, 0x0112, 34675)}
        assert tags == {0x010F: "Maker", 0x0112: 1, 34675: PROFILE}
    else:
        found = imagecodecs.png_decode(output.read_bytes())
        with Image.open(output) as image:
            assert image.info["icc_profile"] == PROFILE
            read = image.getexif()
            assert (read[0x010F], read.get(0x0112, 1)) == ("Maker", 1)
            assert float(read.get_ifd(EXIF)[0x829A]) == pytest.approx(0.005)
    assert (found.dtype, found.shape) == (np.uint16, (2 * WIDTH, 2 * HEIGHT, 4))
    assert np.abs(_middles(found).astype(int) - values.swapaxes(0, 1)[::-1]).max() <= 1  # a quarter turn anticlockwise


@pytest.mark.parametrize("channels", [1, 3])
def test_a_jpeg_of_many_strips_is_the_one_that_pillow_writes(channels: int, photo: np.ndarray, tmp_path: Path) -> None:
    """Of heights that do and do not fill the last strip, and the last row of blocks."""
    for height in (64, 100, 131):
        path = tmp_path / f"photo{height}.jpg"
        image = photo[:height, :150] if channels == 3 else photo[:height, :150, 1]
        Image.fromarray(image).save(path, quality=97)
        pixels = read_photograph(path).pixels
        whole = to_depth(bicubic(to_float(pixels), scale=2), np.uint8)
        Image.fromarray(whole if channels == 3 else whole[..., 0]).save(tmp_path / "pillow.jpg", quality=95, subsampling=0)
        with Image.open(_upscaled(path)) as found, Image.open(tmp_path / "pillow.jpg") as expected:
            assert found.quantization == expected.quantization
            assert np.array_equal(np.asarray(found), np.asarray(expected))


@pytest.mark.parametrize("suffix", ["png", "tif"])
@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
def test_strips_and_bands_do_not_show(
    suffix: str, depth: type, photo: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(strips, "STRIP_BYTES", 9000)
    monkeypatch.setattr(tiling, "TILE_SR_PX", 50)
    image = photo[:101, :90].astype(depth) * (257 if depth is np.uint16 else 1)
    path = tmp_path / f"photo.{suffix}"
    tifffile.imwrite(path, image, photometric="rgb") if suffix == "tif" else path.write_bytes(imagecodecs.png_encode(image))
    output = _upscaled(path)
    found = tifffile.imread(output) if suffix == "tif" else imagecodecs.png_decode(output.read_bytes())
    assert np.array_equal(found, to_depth(bicubic(to_float(image), scale=2), depth))
    if depth is np.uint8:  # Pillow makes 8 bits of 16
        with Image.open(output) as read:
            assert np.array_equal(np.asarray(read), found)


def test_of_a_large_photograph_a_part_is_looked_at(photo: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, seen = tmp_path / "photo.png", []
    image = np.full((200, 300, 3), 128, np.uint8)
    image[100:, :150] = photo[100:200, 100:250]
    Image.fromarray(image).save(path)
    monkeypatch.setattr(upscaling, "MAX_SEEN_PX", 15_000)
    monkeypatch.setattr(upscaling, "apply", lambda kind, name, pixels, *rest, **more: seen.append(pixels) or _Nothing)
    assert read_photograph(_upscaled(path)).pixels.shape == (400, 600, 3)
    assert np.array_equal(seen[0], image[100:, :150])


class _Nothing:
    kernel, warnings = None, ()


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif"])
def test_a_band_that_fails_leaves_no_file(suffix: str, photo: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, bands = tmp_path / f"photo.{suffix}", tiling.bands

    def failing(*arguments: object) -> Iterator[np.ndarray]:
        yield next(bands(*arguments))
        raise BlindSRError("the second band fails")

    Image.fromarray(photo).save(path)
    monkeypatch.setattr(tiling, "bands", failing)
    monkeypatch.setattr(tiling, "TILE_SR_PX", 200)
    [result] = blindsr.upscale(path, kernel="bicubic", sr="bicubic")
    assert "the second band fails" in result.error
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


@pytest.mark.skipif(os.name != "posix", reason="limits of file sizes are POSIX's")
@pytest.mark.parametrize("suffix", ["png", "jpg", "tif"])
def test_a_disk_that_is_full_leaves_no_file(suffix: str, tmp_path: Path) -> None:
    """A limit of the size of files stands for the disk."""
    noise = np.random.default_rng(0).integers(0, 256, (300, 300, 3), np.uint8)
    path = tmp_path / f"photo.{suffix}"
    Image.fromarray(noise).save(path)
    program = f"""
import resource, blindsr
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
[result] = blindsr.upscale({str(path)!r}, kernel="bicubic", sr="bicubic")
print(result.status, result.error)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("failed")
    assert f"photo_x2.{suffix}: File too large" in done.stdout
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
