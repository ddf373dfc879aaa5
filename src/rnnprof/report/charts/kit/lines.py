"""Lines that differ by colour, dash and mark."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from rnnprof.report.charts.kit.scales import evenly
from rnnprof.report.charts.kit.style import OKABE_ITO

MARKERS: Final = ("o", "s", "^", "D", "v", "P", "<", ">")
DASHES: Final[tuple[Any, ...]] = (
    "-", (0, (5, 1.5)), (0, (1, 1.2)), (0, (5, 1.5, 1, 1.5)),
    (0, (8, 2)), (0, (3, 1.2)), (0, (8, 2, 1, 2)), (0, (3, 1.2, 1, 1.2, 1, 1.2)),
)  # fmt: skip
LINES_AT_MOST: Final = len(OKABE_ITO)
"""With more lines, colours and marks no longer differ clearly."""

MANY_PLACES: Final = 24
"""More marks on a line than this are made smaller, or they would run into one another."""


def line_style(index: int, places: int = 1) -> dict[str, Any]:
    """The style of the line with this index.

    Args:
        places: so many marks stand on it.
    """
    return {
        "color": OKABE_ITO[index], "linestyle": DASHES[index], "linewidth": 1.1,
        "marker": MARKERS[index], "markersize": 4.0 if places <= MANY_PLACES else 2.6,
        "markeredgewidth": 0.9,
    }  # fmt: skip


def lines_of(
    values: Sequence[int], everywhere: Sequence[float], keep: Sequence[int | None] = ()
) -> dict[int, int]:
    """The lines of a chart, at most 8, with the index of each one's style.

    A value has the same style in the charts of all reports of a page, as far as there are enough.

    Args:
        values: those of the report, ascending.
        everywhere: those of all reports of the page, ascending.
        keep: stays.
    """
    shared = evenly([int(value) for value in everywhere], LINES_AT_MOST, *keep)
    shown = [value for value in values if value in shared]
    own = shared if shown else evenly(values, LINES_AT_MOST, *keep)
    return {value: own.index(value) for value in (shown or own)}
