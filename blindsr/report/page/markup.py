"""HTML and SVG from Python, escaped: whatever is no `Html` becomes text."""

from __future__ import annotations

import html
from collections.abc import Iterable

from blindsr.errors import printable

VOID = frozenset({"img", "input", "meta"})
"""Elements without content and end tag."""


class Html(str):
    """Text that is HTML already."""

    __slots__ = ()


Child = str | int | None | Iterable["Child"]


def escaped(text: str) -> Html:
    """Text as HTML, for content and for quoted attributes; control characters become ``?``.

    >>> escaped('<script>"')
    '&lt;script&gt;&quot;'
    """
    return text if isinstance(text, Html) else Html(html.escape(printable(text)))


def element(tag: str, *children: Child, **attributes: str | float | bool | None) -> Html:
    """An element. Attributes: ``class_`` is class, ``data_item`` is data-item; True has no value, False and None are left out.

    >>> element("p", "a < b", element("b", "!"), class_="note", hidden=True)
    '<p class="note" hidden>a &lt; b<b>!</b></p>'
    """
    parts = [tag]
    for name, value in attributes.items():
        if value is not None and value is not False:
            key = name.rstrip("_").replace("_", "-")
            parts.append(key if value is True else f'{key}="{escaped(str(value))}"')
    start = f"<{' '.join(parts)}>"
    return Html(start if tag in VOID else f"{start}{_joined(children)}</{tag}>")


def lines(text: str) -> Html:
    """A text of several lines, for ``<pre>``."""
    return Html("\n".join(map(escaped, text.splitlines())))


def _joined(children: Child) -> str:
    if children is None:
        return ""
    if isinstance(children, str | int):
        return escaped(str(children)) if not isinstance(children, Html) else children
    return "".join(map(_joined, children))
