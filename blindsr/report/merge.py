"""Summaries merged into rows of a table: a method of one series of runs at several scales is one row."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from blindsr.pipeline.published import PublishedRow
from blindsr.report.summary import MethodSummary
from blindsr.storage.result import RESULT_FILE

UNTYPED_LAST = 99
Series = tuple[str, str]
"""A pipeline's name, and the folder of its results where several files of that pipeline have the same scale."""


@dataclass
class MergedRow:
    """A row: its title, its summary at each scale, and the key of the published row to compare with.

    A row without any summary is that published row itself.
    """

    item: str
    type: int
    title: str
    published: str
    at: dict[int, MethodSummary] = field(default_factory=dict)


def merged_rows(summaries: Sequence[MethodSummary], published: Iterable[PublishedRow] = ()) -> list[MergedRow]:
    """Rows sorted by item, then type (none: last), in the order of first appearance, then published rows without a summary.

    Numbers are never combined: files with the same method at the same scale give a row each, with titles that distinguish them.
    """
    series = _series(summaries)
    titles = _titles(summaries, series)
    rows: dict[tuple[str, int, str, Series], MergedRow] = {}
    for summary in summaries:
        of = series[summary.origin.path]
        place = (summary.item, summary.type, summary.method, of)
        row = rows.setdefault(place, MergedRow(summary.item, summary.type, titles[summary.method, of], summary.published))
        row.at[summary.scale] = summary
    found = list(rows.values())
    measured, scales = {summary.published for summary in summaries}, {summary.scale for summary in summaries}
    found += [
        MergedRow("", row.type or 0, f"{row.method} (published)", row.key)
        for row in published
        if row.key not in measured and scales & row.scores.keys()
    ]
    items = {item: n for n, item in enumerate(dict.fromkeys(row.item for row in found))}
    return sorted(found, key=lambda row: (items[row.item], row.type or UNTYPED_LAST))


def _series(summaries: Iterable[MethodSummary]) -> dict[Path, Series]:
    """Which series of runs each file belongs to: those of one pipeline's name, unless two of them hold the same scale."""
    pipelines: dict[str, dict[Path, set[int]]] = {}
    for summary in summaries:
        pipelines.setdefault(summary.origin.pipeline, {}).setdefault(summary.origin.path, set()).add(summary.scale)
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


def _titles(summaries: Iterable[MethodSummary], series: dict[Path, Series]) -> dict[tuple[str, Series], str]:
    """The title of each method of each series: its name, and what distinguishes it from others of that name."""
    named: dict[str, dict[Series, None]] = {}
    for summary in summaries:
        named.setdefault(summary.method, {})[series[summary.origin.path]] = None
    titles = {}
    for method, of in named.items():
        several = len({pipeline for pipeline, _ in of}) > 1
        for pipeline, folder in of:
            distinct = ", ".join(text for text in (pipeline if several else "", folder) if text)
            titles[method, (pipeline, folder)] = f"{method} [{distinct}]" if distinct and len(of) > 1 else method
    return titles
