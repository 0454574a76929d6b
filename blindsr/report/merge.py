"""Lines of one set of images merged into rows: the same method of the same series of runs at several scales is one row."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from blindsr.pipeline.published import PublishedRow
from blindsr.report.lines import Line
from blindsr.storage.result import RESULT_FILE

UNTYPED_LAST = 99
Series = tuple[str, str]
"""A pipeline's name, and the folder of its results where files of that pipeline would otherwise claim the same place."""


@dataclass
class Entry:
    """A row to be: what it is called, its line at each scale, and the published row that it answers to.

    Without any line it is that published row itself.
    """

    item: str
    type: int
    title: str
    published: str
    at: dict[int, Line] = field(default_factory=dict)


def entries(lines: Sequence[Line], published: Iterable[PublishedRow] = ()) -> list[Entry]:
    """Rows grouped by item, then type (none: last), in the order of first appearance, then published rows that have no line.

    Numbers are never combined: files that hold the same method at the same scale give a row each, named by what tells them apart.
    """
    series = _series(lines)
    titles = _titles(lines, series)
    rows: dict[tuple[str, int, str, Series], Entry] = {}
    for line in lines:
        of = series[line.origin.path]
        place = (line.item, line.type, line.method, of)
        entry = rows.setdefault(place, Entry(line.item, line.type, titles[line.method, of], line.published))
        entry.at[line.scale] = line
    found = list(rows.values())
    measured, scales = {line.published for line in lines}, {line.scale for line in lines}
    found += [
        Entry("", row.type or 0, f"{row.method} (published)", row.key)
        for row in published
        if row.key not in measured and scales & row.scores.keys()
    ]
    items = {item: n for n, item in enumerate(dict.fromkeys(entry.item for entry in found))}
    return sorted(found, key=lambda entry: (items[entry.item], entry.type or UNTYPED_LAST))


def _series(lines: Iterable[Line]) -> dict[Path, Series]:
    """Which series of runs each file belongs to: those of one pipeline's name, unless two of them hold the same scale."""
    pipelines: dict[str, dict[Path, set[int]]] = {}
    for line in lines:
        pipelines.setdefault(line.origin.pipeline, {}).setdefault(line.origin.path, set()).add(line.scale)
    found: dict[Path, Series] = {}
    for pipeline, files in pipelines.items():
        for places in (dict.fromkeys(files, ""), {path: _folder(path) for path in files}, {path: str(path) for path in files}):
            found |= {path: (pipeline, place) for path, place in places.items()}
            taken = [(places[path], scale) for path, scales in files.items() for scale in scales]
            if len(set(taken)) == len(taken):
                break
    return found


def _folder(path: Path) -> str:
    """The folder that a run was told to write to: ``OUT`` of ``OUT/NAME-DATA-xSCALE/result.h5``."""
    return str(path.parent.parent if path.name == RESULT_FILE else path)


def _titles(lines: Iterable[Line], series: dict[Path, Series]) -> dict[tuple[str, Series], str]:
    """What each method of each series is called: its name, and what tells it from others of that name."""
    named: dict[str, dict[Series, None]] = {}
    for line in lines:
        named.setdefault(line.method, {})[series[line.origin.path]] = None
    titles = {}
    for method, of in named.items():
        several = len({pipeline for pipeline, _ in of}) > 1
        for pipeline, folder in of:
            apart = ", ".join(text for text in (pipeline if several else "", folder) if text)
            titles[method, (pipeline, folder)] = f"{method} [{apart}]" if apart and len(of) > 1 else method
    return titles
