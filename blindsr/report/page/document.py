"""The page's HTML: the table, speed and quality, a section for each image, and how all of it was made."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.resources import files
from urllib.parse import quote

import numpy as np

from blindsr.imaging.metrics import METRICS
from blindsr.report.layout import Comparison, Sheet
from blindsr.report.merge import merged_rows
from blindsr.report.page import charts
from blindsr.report.page.data import Making, Scene, speeds
from blindsr.report.page.markup import Child, Html, element, escaped, lines
from blindsr.report.page.pictures import LOSSLESS, Pictures
from blindsr.report.page.section import section
from blindsr.report.summary import MethodSummary, filled

BEST, SECOND = "<b>%s</b>", "<u>%s</u>"
COLUMNS = tuple(METRICS[name] for name in ("psnr", "ssim", "kernel_l2", "seconds_estimate", "seconds_upscale"))
LARGEST_FIRST = {METRICS[name].title for name in ("psnr", "ssim")}
THEMES = {"auto": "As the system", "light": "Light", "dark": "Dark"}


def document(
    means: Sequence[MethodSummary], per_item: Sequence[MethodSummary], scenes: Sequence[Scene], makings: Sequence[Making],
    pictures: Pictures, folder: str, progress: Callable[[int, int], None],
) -> str:  # fmt: skip
    """The whole page. `pictures` receives the images; `folder` is the name of their folder, empty if they are in the page."""
    titles = [row.title for data in _sets(means).values() for row in merged_rows(data)]
    colours = {title: number for number, title in enumerate(dict.fromkeys(titles))}
    sections = []
    for number, scene in enumerate(scenes, 1):
        sections.append(section(scene, number, pictures, colours))
        progress(number, len(scenes))
    shown = filled(COLUMNS, means)
    sheets = zip(*(Comparison(summaries, shown, paired=False).sheets(BEST, SECOND) for summaries in (means, per_item)), strict=True)
    plots = list(_scatters(means, colours))
    title = ", ".join(_sets(means))
    tables = [_table(*pair) for pair in sheets]
    parts: dict[str, tuple[str, Child]] = {
        "Table": ("table", [*tables, _legend()]),
        "Speed and quality": ("speed", element("div", plots, class_="plots") if plots else None),
        "Images": ("images", [_help(pictures), *sections]),
        "How it was made": ("making", [_making(making) for making in makings]),
    }
    parts = {heading: (name, content) for heading, (name, content) in parts.items() if content}
    body = [
        element("a", "Skip to the table", href="#table", class_="skip"),
        element("header", element("p", "blindsr report", class_="brand"), element("h1", title), _facts(colours, scenes)),
        toolbar({f"#{name}": heading for heading, (name, _) in parts.items()}),
        element("main", [part(name, heading, content) for heading, (name, content) in parts.items()]),
        element("noscript", element("p", "The tables and charts need no script; the pictures, sorting and filters do.")),
    ]
    return framed(title, body, pictures, folder)


def part(name: str, heading: str, content: Child) -> Html:
    """A section of the page under its heading; `name` is its address."""
    return element("section", element("h2", heading, id=f"{name}-heading"), content, id=name, aria_labelledby=f"{name}-heading")


def framed(title: str, body: Sequence[Html], pictures: Pictures, folder: str) -> str:
    """The whole file around a body, with the page's style, script and policy."""
    own = files("blindsr.report.page")
    style, script = (own.joinpath(name).read_text("utf-8") for name in ("page.css", "page.js"))
    images = "data: blob: 'self' file:" if folder else "data: blob:"
    policy = (
        f"default-src 'none'; script-src '{_digest(script)}'; style-src '{_digest(style)}'; img-src {images}; "
        "base-uri 'none'; form-action 'none'"
    )
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=policy),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("title", f"{title} · blindsr report"),
        element("style", Html(style)),
    )
    content = [*body, *pictures.data_blocks(), element("script", Html(script), type="module")]
    return f"<!doctype html>\n{element('html', head, element('body', content, data_folder=quote(folder) or None), lang='en')}\n"


def _digest(text: str) -> str:
    """A hash that a Content-Security-Policy allows an inline script or style by."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _sets(summaries: Sequence[MethodSummary]) -> dict[str, list[MethodSummary]]:
    found: dict[str, list[MethodSummary]] = {}
    for summary in summaries:
        found.setdefault(summary.origin.data, []).append(summary)
    return found


def _facts(colours: dict[str, int], scenes: Sequence[Scene]) -> Html:
    images = len({(scene.data, scene.item) for scene in scenes})
    scales = " and ".join(f"×{scale}" for scale in sorted({scene.scale for scene in scenes}))
    texts = (f"{images} image{'s' * (images != 1)}", f"{len(colours)} method{'s' * (len(colours) != 1)}", scales)
    return element("p", " · ".join(texts), class_="facts")


def toolbar(links: Mapping[str, str], *, methods: bool = True) -> Html:
    """Links to the sections, by their addresses, and the filters: those of methods only where there are `methods`."""

    def field(label: str, control: Html) -> Html:
        return element("label", element("span", label), control)

    def search(name: str, example: str) -> Html:
        return element("input", type="search", id=name, placeholder=example, autocomplete="off", spellcheck="false")

    themes = element("select", [element("option", text, value=name) for name, text in THEMES.items()], id="theme")
    return element(
        "div",
        element("nav", [element("a", text, href=address) for address, text in links.items()], aria_label="Sections"),
        element(
            "div",
            field("Methods", search("methods", "srmd, zssr")) if methods else None,
            field("Images", search("items", "all")),
            field("Colours", themes),
            class_="filters", role="search", aria_label="Filters",
        ),
        class_="toolbar",
    )  # fmt: skip


def _table(means: Sheet, per_item: Sheet) -> Html:
    heads = [head for head in per_item.text_heads if head != "item"]
    numbers = len(means.heads)
    top = [element("th", f"×{scale}", scope="colgroup", colspan=numbers) for scale in means.scales] if len(means.scales) > 1 else []
    rows = [element("tr", element("td", class_="image"), element("td", colspan=len(heads)), top, class_="scales")] if top else []
    columns = [_head(head, "text") for head in ("image", *heads)]
    for scale in means.scales:
        columns += [_head(head, "number", f"×{scale} " if top else "") for head in means.heads]
    rows.append(element("tr", columns))
    body = [_row("", row.texts, row.cells) for row in means.rows]
    body += [_row(row.texts[0], row.texts[1:], row.cells) for row in per_item.rows]
    choice = element(
        "fieldset",
        element("legend", "Rows"),
        [
            element("label", element("input", type="radio", name=f"rows-{means.title}", value=value, checked=not value), text)
            for value, text in (("", "Means"), ("each", "Each image"))
        ],
    )
    caption = element("caption", element("bdi", means.title))
    grid = element("table", caption, element("thead", rows), element("tbody", body), class_="means")
    notes = [element("p", note, class_="note") for note in means.notes]
    status = element("output", class_="count", aria_live="polite")
    scroll = element("div", grid, class_="scroll", tabindex=0, role="region", aria_label=f"Table {means.title}")
    return element("div", element("div", choice, status, class_="rows"), scroll, notes, class_="sheet")


def _head(text: str, kind: str, before: str = "") -> Html:
    first = "descending" if text in LARGEST_FIRST else "ascending"
    label = f"{before}{text}" if before else None
    button = element("button", text, type="button", data_first=first, aria_label=label)
    return element("th", button, scope="col", aria_sort="none", class_=f"{kind} {'image' if text == 'image' else ''}".strip())


def _row(item: str, texts: Sequence[str], cells: Sequence[str]) -> Html:
    *others, method = texts
    return element(
        "tr",
        element("td", element("bdi", item or "mean"), class_="image"),
        [element("td", text) for text in others],
        element("th", element("bdi", method), scope="row"),
        [element("td", Html(cell), class_="number") for cell in cells],  # numbers, which `BEST` and `SECOND` mark
        data_method=method, data_item=item, hidden=bool(item),
    )  # fmt: skip


def _legend() -> Html:
    parts = [Html("<b>Best</b>"), " and ", Html("<u>second best</u>"), ", without methods that know the true kernel."]
    return element("p", parts, " Choose a heading to sort.", class_="note")


def _help(pictures: Pictures) -> Html:
    text = "Drag across an image to move the divider; click a place to enlarge it in all pictures."
    exact = f" Pictures are WebP of quality {pictures.quality}; the results hold the exact pixels."
    return element("p", text, "" if pictures.quality == LOSSLESS else exact, class_="note")


def _scatters(means: Sequence[MethodSummary], colours: dict[str, int]) -> Iterator[Html]:
    for place, methods in speeds(means).items():
        points = [charts.Series(title, colours[title], np.array([[seconds, psnr]])) for title, seconds, psnr in methods]
        caption = element("figcaption", element("bdi", place), ": mean PSNR against mean seconds an image")
        yield element("figure", caption, charts.scatter(f"Speed and quality, {place}", points, "seconds", "PSNR (dB)"))


def _making(making: Making) -> Html:
    facts = [(element("dt", name), element("dd", text)) for name, text in making.facts]
    pipeline = element("details", element("summary", "Pipeline file"), element("pre", lines(making.pipeline)))
    return element("article", element("h3", escaped(making.title)), element("dl", facts), pipeline if making.pipeline else None)
