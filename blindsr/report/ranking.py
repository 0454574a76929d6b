"""Which numbers of a column are best and second best."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from math import isnan


class Mark(Enum):
    """What a number is among its competitors."""

    NONE = "none"
    BEST = "best"
    SECOND = "second"


def marks(values: Sequence[float], *, higher_is_better: bool) -> list[Mark]:
    """Mark the best and the second best of `values`; NaN does not compete.

    Equal values share a mark, so give them as they are displayed. A single competitor is not marked.
    """
    competitors = [value for value in values if not isnan(value)]
    if len(competitors) < 2:
        return [Mark.NONE] * len(values)
    ranked = dict(zip(sorted(set(competitors), reverse=higher_is_better), (Mark.BEST, Mark.SECOND), strict=False))
    return [Mark.NONE if isnan(value) else ranked.get(value, Mark.NONE) for value in values]
