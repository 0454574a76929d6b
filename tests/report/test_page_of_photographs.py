"""The page of `blindsr upscale --report`: what is in it, what a large photograph shows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import blindsr
from blindsr.api.photographs import guard, showing
from blindsr.api.photographs.reading import read_photograph
from blindsr.api.photographs.showing import Preview
from blindsr.imaging.kernel import Kernel
from blindsr.imaging.reader import to_depth, to_float
from blindsr.imaging.resize import bicubic
from blindsr.report.page.photographs import PhotographsPage, ShownPhotograph

SIDE = 96
RED, BLUE = (220, 30, 30), (30, 30, 220)
HARD = 'a "b"\n<img src=x onerror="evil = 1"> 模糊'


def _flat(colour: tuple[int, int, int]) -> np.ndarray:
    return np.full((SIDE, SIDE, 3), colour, np.uint8)


@pytest.fixture
def output(tmp_path: Path) -> Path:
    """A page of a photograph with a hard name, red before and blue after, of one without texture, and of one that failed."""
    page = PhotographsPage(tmp_path / "page.html", 3)
    facts = [("blur", "1.4 x 0.9 px at 30 degrees, like a slight motion"), (HARD, HARD)]
    page.add(ShownPhotograph(HARD, "96 × 96 pixels", _flat(RED), _flat(BLUE), None, Kernel.gaussian(1.0, 2), facts, [HARD]))
    page.add(ShownPhotograph("night.jpg", "96 × 96 pixels", _flat(RED), _flat(RED)))
    page.add(ShownPhotograph("broken.png", "failed", remarks=["no such file"]))
    page.write()
    return tmp_path / "page.html"


def test_names_facts_and_remarks_are_text(output: Path) -> None:
    text = output.read_text("utf-8")
    assert "3 photographs" in text
    assert "like a slight motion</dd>" in text
    assert text.count("&lt;img src=x onerror=&quot;evil = 1&quot;&gt; 模糊") >= 4
    assert "<img src=x" not in text
    assert "<li>no such file</li>" in text
    assert 'alt="Kernel that the result was made with"' in text


def test_the_part_of_a_large_photograph_is_its_most_textured(
    photo: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = np.full((240, 300, 3), 128, np.uint8)
    image[120:, 150:] = photo[100:220, 100:250]
    path = tmp_path / "photo.png"
    Image.fromarray(image).save(path)
    monkeypatch.setattr(showing, "MAX_SHOWN_PX", 4 * 120 * 150)
    preview = Preview.of(read_photograph(path), 2)
    assert preview.place == (slice(240, 480), slice(300, 600))
    assert np.array_equal(preview.before, to_depth(bicubic(to_float(image), scale=2), np.uint8)[240:, 300:])
    bands = np.random.default_rng(0).integers(0, 256, (480, 600, 3), np.uint8)
    passed = list(preview.watched(iter(np.split(bands, [100, 250, 400]))))
    assert np.array_equal(np.concatenate(passed), bands)
    assert np.array_equal(preview.after, bands[240:, 300:])


@pytest.mark.parametrize(("height", "width"), [(100, 100), (1000, 300), (300, 1000), (2, 9000), (9000, 2)])
def test_a_part_is_no_larger_than_asked_for(height: int, width: int) -> None:
    rows, columns = guard.most_textured(np.zeros((height, width, 3), np.uint8), 10_000)
    assert 0 <= rows.start < rows.stop <= height
    assert 0 <= columns.start < columns.stop <= width
    assert 9_000 <= (rows.stop - rows.start) * (columns.stop - columns.start) <= 10_000


def test_a_page_of_results_is_shown_as_they_are(photo: np.ndarray, tmp_path: Path) -> None:
    from blindsr.api.photographs.places import places
    from blindsr.api.photographs.upscaling import UpscaleSettings, upscale_all
    from blindsr.components.registry import Registry
    from blindsr.execution.events import Listener

    path = tmp_path / "gray.png"
    Image.fromarray(photo[:60, :80, 1]).save(path)
    settings = UpscaleSettings(Registry.discover(), kernel="bicubic", sr="bicubic", previews=True, device="cpu")
    [result] = upscale_all(places([path], None, 2), settings, Listener())
    found = showing.shown(result)
    assert found.about == "160 × 120 pixels"
    assert np.array_equal(found.after, blindsr.read_image(result.output).pixels)
    assert dict(found.facts)["blur"] == str(result.blur)


def test_a_page_is_made_from_python_and_results_keep_no_pictures(small_photo: Path, tmp_path: Path) -> None:
    options = {"kernel": "bicubic", "sr": "bicubic", "device": "cpu", "report": tmp_path / "page.html"}
    [result] = blindsr.upscale(small_photo, out=tmp_path / "out", **options)
    assert result.preview is None
    assert f"<bdi>{small_photo.name}</bdi>" in (tmp_path / "page.html").read_text()
    with pytest.raises(
        blindsr.BlindSRError, match=r"page.html: exists already; choose another `report`, or replace it with `force`"
    ):
        blindsr.upscale(small_photo, out=tmp_path / "other", **options)
    assert not (tmp_path / "other").exists()
