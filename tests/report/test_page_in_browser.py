"""The page of results in headless Chromium, opened from the disk."""

from __future__ import annotations

import base64
import io
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pages import BLUE, GREEN, ITEM, RED, SCRIPT, SIDE, WHITE
from PIL import Image

from blindsr.imaging.kernel import Kernel
from blindsr.report import page
from blindsr.report.page.photographs import PhotographsPage, ShownPhotograph

webdriver = pytest.importorskip("selenium.webdriver", reason="the package selenium is not installed")

from selenium.webdriver import ActionChains, ChromeOptions, Keys  # noqa: E402
from selenium.webdriver.chrome.service import Service  # noqa: E402
from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.remote.webdriver import WebDriver  # noqa: E402
from selenium.webdriver.remote.webelement import WebElement  # noqa: E402
from selenium.webdriver.support.ui import Select, WebDriverWait  # noqa: E402

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
CHROMEDRIVER = shutil.which("chromedriver")
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--hide-scrollbars",
)  # fmt: skip
MIN_CONTRAST = 4.5
"""WCAG 2.2, success criterion 1.4.3 (AA)."""
WAIT_SECONDS = 60

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (CHROMIUM and CHROMEDRIVER), reason="Chromium or its chromedriver is not installed"),
]


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebDriver]:
    options = ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(CHROMEDRIVER))
    yield driver
    driver.quit()


@pytest.fixture(scope="module")
def output(path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("out") / "page #1.html"
    page.write_page([path], output)
    return output


@pytest.fixture
def opened(browser: WebDriver, output: Path) -> Iterator[WebDriver]:
    """The page, just opened; at the end the console must be empty."""
    _open(browser, output)
    yield browser
    assert browser.get_log("browser") == []


def _open(browser: WebDriver, output: Path, *, width: int = 1280, height: int = 1300, dark: bool = False) -> None:
    size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "screen", "features": [scheme]})
    browser.get(output.as_uri())
    _until(browser, lambda: _script(browser, "return document.documentElement.dataset.ready") == "yes")


def _until(browser: WebDriver, condition: Callable[[], Any]) -> Any:
    return WebDriverWait(browser, WAIT_SECONDS, poll_frequency=0.05).until(lambda _: condition())


def _script(browser: WebDriver, code: str, *arguments: Any) -> Any:
    return browser.execute_script(code, *arguments)


def _all(within: WebDriver | WebElement, selector: str) -> list[WebElement]:
    return within.find_elements(By.CSS_SELECTOR, selector)


def _one(within: WebDriver | WebElement, selector: str) -> WebElement:
    return within.find_element(By.CSS_SELECTOR, selector)


def _scene(browser: WebDriver, number: int = 0) -> WebElement:
    """The section of an image, in sight and with its pictures loaded."""
    scene = _all(browser, ".scene")[number]
    _script(browser, "arguments[0].scrollIntoView({block: 'center'})", _one(scene, ".stage"))
    loaded = "return [...arguments[0].querySelectorAll('img')].every((i) => i.complete && i.naturalWidth)"
    _until(browser, lambda: _script(browser, loaded, scene))
    return scene


def _pixels(element: WebElement) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(element.screenshot_as_base64))).convert("RGB")).astype(int)


def _is(pixel: np.ndarray, colour: tuple[int, int, int]) -> bool:
    return bool(np.abs(pixel - colour).max() < 25)


def _shown(browser: WebDriver, column: int) -> list[str]:
    """The texts in a column of the table, of the rows that are shown."""
    return [_all(row, "td, th")[column].text for row in _all(browser, "tbody tr") if row.is_displayed()]


def _choose(scene: WebElement, side: str, title: str) -> None:
    Select(_one(scene, f"select.{side}")).select_by_visible_text(title)


def test_names_are_text_and_nothing_runs(opened: WebDriver) -> None:
    assert _script(opened, "return typeof evil") == "undefined"
    assert SCRIPT in _shown(opened, 2)
    assert _one(opened, ".scene h3 bdi").text == ITEM.replace("\n", "?")


def test_the_policy_stops_what_others_would_add(browser: WebDriver, output: Path) -> None:
    _open(browser, output)
    found = browser.execute_async_script(
        """
        const done = arguments[0], seen = [];
        document.addEventListener("securitypolicyviolation", (event) => seen.push(event.effectiveDirective));
        document.body.insertAdjacentHTML("beforeend", "<p style='color: red' onclick='evil = 1'>x</p><img src='http://127.0.0.1:9/x.png'>");
        document.body.lastChild.previousSibling.click();
        fetch("http://127.0.0.1:9/").catch(() => setTimeout(() => done(seen), 200));
        """
    )
    assert {"style-src-attr", "script-src-attr", "img-src", "connect-src"} <= set(found)
    assert _script(browser, "return typeof evil") == "undefined"
    browser.get_log("browser")


def test_the_table_is_sorted_by_mouse_and_by_keyboard(opened: WebDriver) -> None:
    heads = _all(opened, "thead th[aria-sort]")
    psnr = next(n for n, head in enumerate(heads) if head.text.startswith("PSNR"))
    first = _shown(opened, psnr)
    assert len(first) == 4

    def numbers() -> list[float]:
        return [float(text) for text in _shown(opened, psnr)]

    _one(heads[psnr], "button").click()
    assert numbers() == sorted(map(float, first), reverse=True)
    assert heads[psnr].get_attribute("aria-sort") == "descending"
    opened.switch_to.active_element.send_keys(Keys.ENTER)
    assert numbers() == sorted(map(float, first))
    assert heads[psnr].get_attribute("aria-sort") == "ascending"
    opened.switch_to.active_element.send_keys(Keys.SPACE)
    assert _shown(opened, psnr) == first
    error = next(n for n, head in enumerate(heads) if head.text.startswith("kernel error"))
    _one(heads[error], "button").click()
    assert [text == "–" for text in _shown(opened, error)] == [False, True, True, True]  # absent numbers are last


def test_rows_are_filtered_by_method_and_by_image(opened: WebDriver) -> None:
    methods, images = _one(opened, "#methods"), _one(opened, "#items")
    methods.send_keys("BICUBIC, quart")
    assert _shown(opened, 2) == ["Bicubic interpolation", "Quarters"]
    assert _one(opened, ".count").text == "2 of 4 rows"
    assert {tile.text.split("\n")[0] for tile in _all(_scene(opened), ".tile") if tile.is_displayed()} == {
        "Bicubic interpolation", "Quarters", "Truth",
    }  # fmt: skip
    images.send_keys("Z")
    assert _shown(opened, 0) == ["z", "z"]
    assert [scene.is_displayed() for scene in _all(opened, ".scene")] == [False, True]
    for field in (methods, images):
        field.clear()
        field.send_keys(" ", Keys.BACKSPACE)
    assert len(_shown(opened, 2)) == 4
    _all(opened, ".rows input")[1].send_keys(Keys.SPACE)
    assert len(_shown(opened, 2)) == 8


def test_the_divider_moves_by_mouse_and_by_keyboard(opened: WebDriver) -> None:
    scene = _scene(opened)
    _choose(scene, "left", SCRIPT)
    _choose(scene, "right", "Quarters")
    stage = _one(scene, ".stage")

    def left_part() -> float:
        """How much of a row through the top quarters is red."""
        row = _pixels(stage)[stage.size["height"] // 8]
        return float(np.mean([_is(pixel, RED) for pixel in row]))

    assert left_part() == pytest.approx(0.5, abs=0.05)
    quarter = stage.size["width"] // 4
    ActionChains(opened).move_to_element_with_offset(stage, -quarter, -quarter).click().perform()  # the loupe is there now
    ActionChains(opened).move_to_element_with_offset(stage, 0, quarter).click_and_hold().move_by_offset(
        quarter, 0
    ).release().perform()
    assert left_part() == pytest.approx(0.75, abs=0.05)
    divider = _one(stage, "input")
    assert float(divider.get_attribute("value")) == pytest.approx(75, abs=1)
    divider.send_keys(Keys.HOME)
    assert left_part() < 0.05
    divider.send_keys(*[Keys.ARROW_RIGHT] * 10)
    assert left_part() == pytest.approx(0.1, abs=0.04)
    assert divider.get_attribute("aria-valuetext") == f"10 % {SCRIPT}"


def test_a_place_is_enlarged_in_all_pictures(opened: WebDriver) -> None:
    scene = _scene(opened)
    stage, loupe = _one(scene, ".stage"), _one(scene, ".loupe")
    tile = next(tile for tile in _all(scene, ".tile") if tile.text.startswith("Quarters"))
    lens = _one(tile, ".lens")

    def middle() -> np.ndarray:
        pixels = _pixels(lens)
        return pixels[len(pixels) // 2, len(pixels) // 2]

    Select(_one(scene, ".zoom")).select_by_visible_text("8×")
    quarter = stage.size["width"] // 4, stage.size["height"] // 4
    for (right, down), colour in (((-1, -1), BLUE), ((1, -1), GREEN), ((-1, 1), WHITE), ((1, 1), RED)):
        x, y = right * quarter[0], down * quarter[1]
        ActionChains(opened).move_to_element_with_offset(stage, x, y).click().perform()
        assert _is(middle(), colour)
        box, frame = loupe.rect, stage.rect
        assert box["x"] + box["width"] / 2 - frame["x"] == pytest.approx(frame["width"] / 2 + x, abs=frame["width"] / 20)
    assert loupe.accessible_name == f"Enlarged place: column {3 * SIDE // 4}, row {3 * SIDE // 4}"
    loupe.send_keys(*[Keys.ARROW_LEFT] * 6)  # 8 pixels each, half of the image
    assert _is(middle(), WHITE)
    loupe.send_keys(Keys.SHIFT, Keys.ARROW_UP)
    assert loupe.accessible_name == f"Enlarged place: column {SIDE // 4}, row {3 * SIDE // 4 - 1}"
    loupe.send_keys("+")
    assert Select(_one(scene, ".zoom")).first_selected_option.text == "16×"
    # One pixel of the picture is 16 of the screen: the borders of the quarters are where they belong.
    for _ in range(3):
        loupe.send_keys(Keys.ARROW_RIGHT)
    row = _pixels(lens)[lens.size["height"] // 2]
    border = int(np.argmax([_is(pixel, RED) for pixel in row]))
    assert border == pytest.approx(len(row) / 2, abs=2)


def test_choices_carry_over_to_all_images(opened: WebDriver) -> None:
    scene = _scene(opened)
    tile = next(tile for tile in _all(scene, ".tile") if tile.text.startswith("Truth"))
    tile.send_keys(Keys.ENTER)
    assert tile.get_attribute("aria-pressed") == "true"
    _choose(scene, "left", "Quarters")
    _one(scene, ".everywhere").click()
    other = _scene(opened, 1)
    assert [Select(_one(other, f"select.{side}")).first_selected_option.text for side in ("left", "right")] == ["Quarters", "Truth"]
    assert _one(other, ".tag.left").text == "Quarters"


def test_pictures_beside_the_page_are_loaded_when_they_come_into_sight(
    browser: WebDriver, path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page, "MAX_ITEMS_INSIDE", 1)
    output = tmp_path / "more #1 & 'all'.html"
    assert page.write_page([path], output) == tmp_path / "more #1 & 'all'_files"
    _open(browser, output, height=200)
    assert not _script(browser, "return [...document.images].some((image) => image.src.endsWith('.webp'))")
    scene = _scene(browser)
    assert "/more%20" in _one(scene, ".lens img").get_attribute("src")
    assert browser.get_log("browser") == []


@pytest.mark.parametrize("dark", [False, True])
def test_texts_have_contrast(browser: WebDriver, output: Path, dark: bool) -> None:
    _open(browser, output, dark=dark)
    _scene(browser)
    found = _script(
        browser,
        """
        const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
        const rgba = (colour) => {
          canvas.clearRect(0, 0, 1, 1);
          canvas.fillStyle = colour;
          canvas.fillRect(0, 0, 1, 1);
          return [...canvas.getImageData(0, 0, 1, 1).data];
        };
        const ground = (element) => {
          for (; element; element = element.parentElement) {
            const colour = rgba(getComputedStyle(element).backgroundColor);
            if (colour[3]) return colour;
          }
        };
        return [...document.querySelectorAll("body *:not(script, option, bdi, title)")]
          .filter((element) => [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim()) && !element.closest(".stage"))
          .map((element) => {
            const style = getComputedStyle(element);
            return [element.outerHTML.slice(0, 60), rgba(element instanceof SVGElement ? style.fill : style.color), ground(element)];
          });
        """,
    )
    assert len(found) > 50
    assert any(sum(ground[:3]) < 150 for _, _, ground in found) == dark
    poor = {text: ratio for text, ink, ground in found if (ratio := _contrast(ink, ground)) < MIN_CONTRAST}
    assert not poor


def _contrast(a: list[int], b: list[int]) -> float:
    """The contrast ratio of WCAG 2.2."""
    light, dark = sorted((_luminance(colour[:3]) for colour in (a, b)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def _luminance(rgb: list[int]) -> float:
    parts = np.array(rgb) / 255
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def test_controls_have_names_roles_and_a_visible_focus(opened: WebDriver) -> None:
    _scene(opened)
    controls = [each for each in _all(opened, "button, input, select, a, summary, [tabindex='0']") if each.is_displayed()]
    assert len(controls) > 25
    assert not [each.get_attribute("outerHTML")[:80] for each in controls if not each.accessible_name]
    assert _one(opened, ".stage input").aria_role == "slider"  # it is shown by its handle
    assert {"combobox", "searchbox", "button", "radio", "link"} <= {each.aria_role for each in controls}
    assert not [image.get_attribute("outerHTML")[:80] for image in _all(opened, "img:not([alt])")]
    assert not _script(
        opened, "const ids = [...document.querySelectorAll('[id]')].map((e) => e.id); return ids.length !== new Set(ids).size"
    )
    for landmark in ("main", "nav", "header"):
        assert len(_all(opened, landmark)) == 1
    body = _one(opened, "body")
    outlines = []
    _script(opened, "document.activeElement.blur(); scrollTo(0, 0)")
    for _ in range(12):
        body.send_keys(Keys.TAB) if not outlines else opened.switch_to.active_element.send_keys(Keys.TAB)
        outlines.append(opened.switch_to.active_element.value_of_css_property("outline-style"))
    assert "none" not in outlines


def test_a_phone_needs_no_sideways_scrolling(browser: WebDriver, output: Path) -> None:
    _open(browser, output, width=360, height=740)
    _scene(browser)
    assert _script(browser, "return document.documentElement.scrollWidth") <= 360
    assert all(control.rect["x"] + control.rect["width"] <= 360 for control in _all(browser, ".controls select, .filters input"))
    assert browser.get_log("browser") == []


def test_the_colours_are_chosen(opened: WebDriver) -> None:
    ground = "return getComputedStyle(document.documentElement).backgroundColor"
    light = _script(opened, ground)
    Select(_one(opened, "#theme")).select_by_visible_text("Dark")
    assert _script(opened, ground) != light
    Select(_one(opened, "#theme")).select_by_visible_text("Light")
    assert _script(opened, ground) == light


def test_it_prints(opened: WebDriver) -> None:
    _scene(opened)
    printed = base64.b64decode(opened.print_page())
    assert printed.startswith(b"%PDF")
    assert printed.count(b"/Type /Page\n") >= 2


@pytest.mark.parametrize("folder", [False, True])
def test_a_page_of_photographs_has_two_pictures_and_a_divider(
    folder: bool, browser: WebDriver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pictures in the page, and in a folder beside it."""
    monkeypatch.setattr("blindsr.report.page.photographs.MAX_INSIDE", 1 if folder else 20)
    made = PhotographsPage(tmp_path / "photographs.html", 3)
    red, blue = (np.full((SIDE, SIDE, 3), colour, np.uint8) for colour in (RED, BLUE))
    made.add(ShownPhotograph(ITEM, "96 × 96 pixels", red, blue, None, Kernel.gaussian(1.0, 2), [("blur", SCRIPT)], [ITEM]))
    made.add(ShownPhotograph("night.jpg", "96 × 96 pixels", blue, red))
    made.add(ShownPhotograph("broken.png", "failed", remarks=[SCRIPT]))
    made.write()
    assert (tmp_path / "photographs_files").is_dir() == folder
    _open(browser, tmp_path / "photographs.html")
    scene = _scene(browser)
    pixels = _pixels(_one(scene, ".stage"))
    middle = pixels.shape[0] // 4
    assert _is(pixels[middle, pixels.shape[1] // 4], RED)
    assert _is(pixels[middle, 3 * pixels.shape[1] // 4], BLUE)
    assert [tile.text for tile in _all(scene, ".tile .title")] == ["Bicubic interpolation", "Result"]
    assert SCRIPT in scene.text
    search = _one(browser, "#items")
    search.send_keys("night, broken")
    assert [each.is_displayed() for each in _all(browser, ".scene")] == [False, True, True]
    assert not _script(browser, "return window.evil ?? null")
    unnamed = "return [...document.querySelectorAll('select, input, button')].filter((e) => !(e.ariaLabel || e.textContent.trim() || e.closest('label')))"
    assert _script(browser, unnamed) == []
    assert browser.get_log("browser") == []
