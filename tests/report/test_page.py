"""The page of results, without a browser: what it holds, what it allows, and what is refused."""

import base64
import errno
import hashlib
import io
import os
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import h5py
import numpy as np
import pytest
from click.testing import CliRunner
from click.testing import Result as Outcome
from pages import ITEM, SCRIPT, SIDE, result
from PIL import Image

from blindsr.cli import cli
from blindsr.imaging.kernel import Kernel
from blindsr.imaging.metrics import psnr_y
from blindsr.imaging.writer import write_png
from blindsr.report import page
from blindsr.report.page import charts, pictures
from blindsr.report.page.markup import element, escaped
from blindsr.storage.result import open_result

OLD = Path(__file__).parents[1] / "data" / "result-0.1.0.h5"
VOID = {"img", "input", "meta"}


class Page(HTMLParser):
    """A page as a browser's parser sees it: elements with their attributes, texts, and whether every tag is closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.texts: list[str] = []
        self.inside: dict[str, str] = {}
        self.open: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] in ("script", "style"):
            attributes = self.elements[-1][1]
            name = attributes.get("id") or ("module" if attributes.get("type") == "module" else self.open[-1])
            self.inside[name] = self.inside.get(name, "") + data
        else:
            self.texts.append(data)

    def all(self, tag: str, **attributes: str) -> list[dict[str, str]]:
        wanted = {name.rstrip("_").replace("_", "-"): value for name, value in attributes.items()}
        return [found for name, found in self.elements if name == tag and wanted.items() <= found.items()]

    def picture(self, name: str) -> np.ndarray:
        return np.asarray(Image.open(io.BytesIO(base64.b64decode(self.inside[f"p-{name}"], validate=True))))


@pytest.fixture(scope="module")
def text(path: Path) -> str:
    output = path.parent / "page.html"
    assert page.write_page([path], output) is None
    return output.read_text("utf-8")


@pytest.fixture(scope="module")
def parsed(text: str) -> Page:
    return Page(text)


def _report(*arguments: object) -> Outcome:
    return CliRunner().invoke(cli, ["report", *map(str, arguments)])


def _refusal(*arguments: object) -> str:
    """The one line that a command is refused with."""
    outcome = _report(*arguments)
    assert outcome.exit_code == 2
    assert outcome.output.count("\n") == 1
    return outcome.output.strip()


def test_the_policy_allows_nothing_but_the_pages_own_script_style_and_pictures(parsed: Page) -> None:
    policy = parsed.all("meta", http_equiv="Content-Security-Policy")[0]["content"]
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    digests = {
        name: base64.b64encode(hashlib.sha256(parsed.inside[name].encode()).digest()).decode() for name in ("module", "style")
    }
    assert rules == {
        "default-src": "'none'", "script-src": f"'sha256-{digests['module']}'", "style-src": f"'sha256-{digests['style']}'",
        "img-src": "data: blob:", "base-uri": "'none'", "form-action": "'none'",
    }  # fmt: skip
    assert not [name for _, attributes in parsed.elements for name in attributes if name.startswith("on") or name == "style"]


def test_nothing_is_loaded_from_elsewhere(parsed: Page) -> None:
    addresses = [
        value for _, found in parsed.elements for name, value in found.items() if name in ("src", "href", "data", "action")
    ]
    assert {address[:5] for address in addresses if not address.startswith("#")} == {"data:"}
    assert "url(" not in parsed.inside["style"]
    assert not re.search(r"fetch|import|https?:", parsed.inside["module"])


def test_names_are_text(parsed: Page, text: str) -> None:
    assert {found["type"] for found in parsed.all("script")} == {"module", "text/plain"}
    assert parsed.texts.count(SCRIPT) > 2
    shown = ITEM.replace("\n", "?")
    assert parsed.texts.count(shown) > 2
    assert parsed.all("tr", data_item=shown, data_method=SCRIPT)
    assert "onerror" not in {name for _, attributes in parsed.elements for name in attributes}
    assert text.isprintable() or not re.search(r"[\x00-\x08\x0b-\x1f]", text)


def test_the_numbers_are_those_of_the_summary(parsed: Page, path: Path) -> None:
    with open_result(path) as opened:
        numbers = opened.metrics("z", "Ground truth")
        mean = opened.columns["psnr"][opened.columns["method"] == "Ground truth"].mean()
    joined = "\n".join(parsed.texts)
    assert f"\nGround truth\n{mean:.2f}\n" in joined
    assert f"\nz\n4\nGround truth\n{numbers['psnr']:.2f}\n{numbers['ssim']:.4f}\n" in joined


def test_pictures_are_the_images(parsed: Page, path: Path) -> None:
    tiles = [found["data-picture"] for found in parsed.all("img") if "data-picture" in found and "class" not in found]
    assert len(tiles) == 2 * 5  # the four methods and the truth; bicubic interpolation is one of the methods
    with open_result(path) as opened:
        wanted = [opened.sr(ITEM, method) for method in opened.methods] + [opened.image(ITEM, "hr")]
    for name, image in zip(tiles[:5], wanted, strict=True):
        np.testing.assert_array_equal(parsed.picture(name), image)


def test_kernels_are_side_by_side_on_one_scale(parsed: Page, path: Path) -> None:
    sources = [found["src"] for found in parsed.all("img") if found["alt"].startswith("Kernel:")]
    images = [np.asarray(Image.open(io.BytesIO(base64.b64decode(source.split(",")[1])))).sum(axis=2) for source in sources]
    assert len({image.shape for image in images}) == 1
    with open_result(path) as opened:
        true = opened.kernel(ITEM).array
    row, column = np.unravel_index(images[0].argmax(), images[0].shape)
    wanted = np.unravel_index(true.argmax(), true.shape)
    centre = [(size - 1) // 2 for size in true.shape]
    assert (row - images[0].shape[0] // 2, column - images[0].shape[1] // 2) == tuple(np.subtract(wanted, centre))
    assert images[0].max() == images[1].max()  # the sharper bicubic kernel has the brightest colour, too


def test_curves_weights_and_settings_are_there(parsed: Page) -> None:
    paths = [found["d"] for found in parsed.all("path") if "line" in found.get("class", "")]
    assert len(paths) == 1
    assert paths[0].count("L") == charts.MAX_POINTS - 1
    assert {"numpy", "Pipeline file", "seeds", "Training curves"} <= {
        word for text in parsed.texts for word in (text, *text.split())
    }


@pytest.mark.slow
def test_scales_are_side_by_side(path: Path, tmp_path: Path, photo: np.ndarray) -> None:
    other = result(tmp_path, photo, scale=4)
    page.write_page([path, other], output := tmp_path / "both.html")
    found = Page(output.read_text("utf-8"))
    heads = [head["aria-label"] for head in found.all("button") if head.get("aria-label", "").startswith("×")]
    assert [head for head in heads if "PSNR" in head] == ["×2 PSNR (dB)", "×4 PSNR (dB)"]
    assert [column["colspan"] for column in found.all("th", scope="colgroup")] == [str(len(heads) // 2)] * 2
    assert len(found.all("article", class_="scene")) == 4
    assert len(found.all("tbody")) == 1


def test_many_images_are_in_a_folder_beside_the_page(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page, "MAX_ITEMS_INSIDE", 1)
    output = tmp_path / "my page.html"
    assert _report(path, "-o", output).exit_code == 0
    found = Page(output.read_text("utf-8"))
    assert found.all("body", data_folder="my%20page_files")
    folder = tmp_path / "my page_files"
    names = {found["data-picture"] for found in found.all("img") if "data-picture" in found}
    assert {file.name for file in folder.iterdir()} == {f"{name}.webp" for name in names}
    for name in ("0123456789abcdef.webp", "mine.webp"):
        (folder / name).touch()
    assert _refusal(path, "-o", output).endswith(f"{output}: exists already; choose another --output, or replace it with --force")
    output.unlink()
    assert f"{folder}: exists already" in _refusal(path, "-o", output)
    assert _report(path, "-o", output, "--force").exit_code == 0
    assert {file.name for file in folder.iterdir()} == {*(f"{name}.webp" for name in names), "mine.webp"}


def test_the_page_is_beside_the_first_result_by_default(path: Path, tmp_path: Path) -> None:
    shutil.copy(path, tmp_path / "result.h5")
    outcome = _report(tmp_path)
    assert outcome.output.startswith(f"{tmp_path / 'report.html'}: ")
    assert (tmp_path / "report.html").stat().st_size > 10_000


def test_an_old_result_has_its_page(tmp_path: Path) -> None:
    outcome = _report(OLD, "-o", tmp_path / "old.html")
    assert outcome.exit_code == 0, outcome.output
    assert Page((tmp_path / "old.html").read_text("utf-8")).all("article", class_="scene")


def test_photographs_without_truth_have_a_page(tmp_path: Path, photo: np.ndarray) -> None:
    write_png(tmp_path / "night.png", photo[:60, :80])
    (tmp_path / "p.yaml").write_text("name: p\nscale: 2\nmethods: {A: {sr: bicubic}}\n")
    ran = CliRunner().invoke(cli, ["run", str(tmp_path / "p.yaml"), "--lr", str(tmp_path / "night.png"), "--workers", "0",
                                   "--out", str(tmp_path / "runs")])  # fmt: skip
    assert ran.exit_code == 0, ran.output
    folder = next((tmp_path / "runs").glob("p-*"))
    assert _report(folder).exit_code == 0
    found = Page((folder / "report.html").read_text("utf-8"))
    assert "Speed and quality" not in found.texts
    assert not found.all("img", class_="map")
    assert "PSNR (dB)" not in found.texts


def test_wrong_input_gets_one_line(path: Path, tmp_path: Path) -> None:
    existing = tmp_path / "there.html"
    existing.write_text("mine")
    message = "exists already; choose another --output, or replace it with --force"
    assert _refusal(path, "-o", existing) == f"error: {existing}: {message}"
    assert existing.read_text() == "mine"
    assert _refusal(path, "-o", tmp_path / "no" / "page.html").endswith(f"there is no folder {tmp_path / 'no'}")
    assert _refusal(path, "-o", existing / "page.html").endswith(f"there is no folder {existing}")
    assert "a page is written as .html, .htm, not as '.h5'" in _refusal(path, "-o", path, "--force")
    (tmp_path / "folder.html").mkdir()
    assert _refusal(path, "-o", tmp_path / "folder.html").endswith("is a folder; name another file")
    assert _refusal(tmp_path / "nothing.h5").endswith("nothing.h5: no such file")
    assert "there.html: not a readable result file" in _refusal(existing, "-o", tmp_path / "new.html")
    assert not (tmp_path / "new.html").exists()


def test_a_page_that_may_not_be_written_gets_one_line(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(**given: object) -> None:  # as a file system does; root may do all
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), given["dir"])

    monkeypatch.setattr("tempfile.TemporaryFile", refused)
    assert "page.html: permission denied" in _refusal(path, "-o", tmp_path / "page.html")


def test_a_result_without_images_gets_one_line(path: Path, tmp_path: Path) -> None:
    shutil.copy(path, copy := tmp_path / "result.h5")
    with h5py.File(copy, "r+") as file:
        for item in file["items"].values():
            for method in item["methods"].values():
                del method["0/images"]
    assert f"{copy}: has no SR images to show" in _refusal(path, copy, "-o", tmp_path / "page.html")


def test_an_image_that_is_missing_leaves_the_others(path: Path, tmp_path: Path) -> None:
    shutil.copy(path, copy := tmp_path / "result.h5")
    with h5py.File(copy, "r+") as file:
        del file[f"items/{ITEM}/images"]
        del file["items/z/methods/1/0/images"]
        del file["items/z/kernel"]
    assert _report(copy).exit_code == 0


def test_an_error_map_has_the_rms_of_each_block() -> None:
    # A grey of 10 levels more is 10 * 219 / 255 on Y; half of the columns of a block with it gives that by sqrt(2).
    size = 2 * pictures.MAX_MAP_PX
    hr = np.full((4, size, 3), 100, np.uint8)
    sr = hr.copy()
    sr[:2] += 10
    sr[2:, ::2] += 10
    found = pictures.error_map(sr, hr)
    assert found is not None
    np.testing.assert_allclose(found, np.repeat([[10 * 219 / 255], [10 * 219 / 255 / 2**0.5]], size // 2, axis=1), rtol=1e-9)
    assert pictures.error_map(sr, hr[:, 1:]) is None


def test_kernels_of_different_sizes_have_one_centre() -> None:
    large, small = np.zeros((13, 13)), np.zeros((7, 7))
    large[6, 6], small[3, 3], small[3, 5] = 1, 0.5, 0.5
    a, b = pictures.framed([large, small])
    assert a.shape == b.shape == (5, 5)  # what is empty in both is cut off, equally on all sides
    assert np.argwhere(a).tolist() == [[2, 2]]
    assert np.argwhere(b).tolist() == [[2, 2], [2, 4]]
    assert len(pictures.framed([Kernel.bicubic(2).array])) == 1


def test_the_quality_of_pictures_follows_from_their_number(tmp_path: Path) -> None:
    qualities = [pictures.Pictures(pixels, None).quality for pixels in (1e6, 20e6, 60e6, 1e10)]
    assert qualities == [100, 95, 90, 80]
    assert pictures.Pictures(1e10, tmp_path).quality == 95


def test_many_pictures_are_compressed_but_close(photo: np.ndarray) -> None:
    found = pictures.Pictures(50e6, None)
    found.add(photo)
    data = base64.b64decode(re.search(">(.*)<", found.data_blocks()[0])[1])
    assert len(data) < 0.4 * photo.shape[0] * photo.shape[1]
    assert psnr_y(np.asarray(Image.open(io.BytesIO(data))), photo, shave=0) > 38


def test_sixteen_bits_are_shown_with_eight() -> None:
    found = pictures.Pictures(1, None)
    image = np.full((8, 8, 3), 128 * 257, np.uint16)
    assert found.add(image) == found.add(np.full((8, 8, 3), 128, np.uint8))
    assert len(found.data_blocks()) == 1


@pytest.mark.parametrize(
    ("values", "log", "ticks"),
    [
        ((0.0, 10.0), False, [0, 2, 4, 6, 8, 10]),
        ((22.8, 37.5), False, [25, 30, 35]),
        ((0.1, 200.0), True, [0.1, 1, 10, 100]),
        ((3.0, 3.0), False, [2.9, 3.0, 3.1]),
    ],
)
def test_axes_have_round_numbers(values: tuple[float, float], log: bool, ticks: list[float]) -> None:
    axis = charts.Axis.of(np.array(values), 0, 100, log=log)
    assert set(np.round(ticks, 6)) <= set(np.round(axis.ticks(), 6))
    assert len(axis.ticks()) <= charts.MAX_TICKS + 2


def test_text_is_escaped_and_html_is_not_escaped_twice() -> None:
    assert element("p", "<&>", title='"\n') == '<p title="&quot;?">&lt;&amp;&gt;</p>'
    assert escaped(element("b", "x")) == "<b>x</b>"
    assert SIDE % 2 == 0
