"""The rows as tables."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

import numpy as np
from scipy.stats import spearmanr
from scoring import INTERPOLATION, TRUE, Row

MIN_RANKED = 3
"""Images of which a rank correlation is computed, at least."""


def as_csv(rows: Sequence[Row]) -> str:
    """Every row, in full precision."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(Row._fields)
    writer.writerows(rows)
    return file.getvalue()


def from_csv(text: str) -> list[Row]:
    """The rows of `as_csv`."""
    texts = len(Row._fields) - len(Row._field_defaults)
    return [Row(*cells[:texts], *map(float, cells[texts:])) for cells in list(csv.reader(io.StringIO(text)))[1:]]


def as_markdown(rows: Sequence[Row], about: str) -> str:
    """A table for each part, and one of the estimators."""
    estimators = [name for name in dict.fromkeys(row.kernel for row in rows) if name not in (INTERPOLATION, TRUE)]
    parts = dict.fromkeys(row.part for row in rows)
    tables = [f"## {part}\n\n{_part_table([row for row in rows if row.part == part], estimators)}" for part in parts]
    intro = f"{about}. Cells: mean relative L2 error of the kernel (worst image), mean PSNR (dB) on Y."
    return "\n\n".join([intro, *tables, *([f"## estimators\n\n{_estimator_table(rows, estimators)}"] if estimators else [])]) + "\n"


def _part_table(rows: Sequence[Row], estimators: Sequence[str]) -> str:
    conditions = list(dict.fromkeys(row.condition for row in rows))
    lines = [["", "images", INTERPOLATION, *estimators, TRUE]]
    for condition in [*conditions, *(["all"] if len(conditions) > 1 else [])]:
        chosen = [row for row in rows if condition in (row.condition, "all")]
        of = {name: [row for row in chosen if row.kernel == name] for name in (INTERPOLATION, *estimators, TRUE)}
        bounds = [f"{np.mean([row.psnr for row in of[name]]):.2f}" for name in (INTERPOLATION, TRUE)]
        lines.append([condition, str(len(of[TRUE])), bounds[0], *(_cell(of[name]) for name in estimators), bounds[1]])
    return _table(lines)


def _cell(rows: Sequence[Row]) -> str:
    done = [row for row in rows if np.isfinite(row.error)]
    if not done:
        return "none"
    errors = [row.error for row in done]
    missing = f" ({len(done)} of {len(rows)} images)" if len(done) < len(rows) else ""
    return f"{np.mean(errors):.3f} ({max(errors):.2f}), {np.mean([row.psnr for row in done]):.2f}{missing}"


def _estimator_table(rows: Sequence[Row], estimators: Sequence[str]) -> str:
    """Over all parts: error, PSNR against the bounds, time, and how well the error that it expects tells the real one."""
    lines = [
        [
            "",
            "error",
            "gain over bicubic interpolation, dB",
            "loss against the true kernel, dB",
            "most",
            "rank correlation",
            "seconds",
        ]
    ]
    bounds = {(row.part, row.condition, row.image, row.kernel): row.psnr for row in rows if row.kernel in (INTERPOLATION, TRUE)}
    for name in estimators:
        done = [row for row in rows if row.kernel == name and np.isfinite(row.error)]
        if not done:
            continue
        gains, losses = (
            np.array([sign * (row.psnr - bounds[row.part, row.condition, row.image, bound]) + 0.0 for row in done])
            for sign, bound in ((1, INTERPOLATION), (-1, TRUE))
        )
        numbers = [np.mean([row.error for row in done]), gains.mean(), losses.mean(), losses.max()]
        cells = [f"{numbers[0]:.3f}", *(f"{number:.2f}" for number in numbers[1:]), _rank_correlation(done)]
        lines.append([name, *cells, f"{np.median([row.seconds for row in done]):.2f}"])
    return _table(lines)


def _rank_correlation(rows: Sequence[Row]) -> str:
    """Spearman's, of the expected and the real error; none where no error is expected."""
    told = [(row.expected_error, row.error) for row in rows if np.isfinite(row.expected_error)]
    return f"{spearmanr(*zip(*told, strict=True)).statistic:.2f}" if len(told) >= MIN_RANKED else "none"


def _table(lines: Sequence[Sequence[str]]) -> str:
    head, *body = lines
    return "\n".join(f"| {' | '.join(line)} |" for line in [head, ["---"] * len(head), *body])
