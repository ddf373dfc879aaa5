"""Charts of curves: their sheet, logarithmic axes, and labels that keep apart."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import Axis, XAxis
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import NullLocator

from rnnprof.report.charts.kit.style import (
    SMALL_PT,
)

WIDTH_IN: Final = 7.4
PANEL_IN: Final = 3.3
MARGIN_IN: Final = 0.1
TITLE_IN: Final = 0.34
AXIS_IN: Final = 0.4
"""Tick labels and the axis label below a panel."""

LEGEND_ROW_IN: Final = 0.145
EM_PER_CHARACTER: Final = 0.64
"""Width of DejaVu Sans's digits: a bound for labels that are mostly digits."""

WORD_EM: Final = 0.56
"""Mean width of DejaVu Sans in running text."""

Key = tuple[Artist, str]
"""A legend's mark and its words."""


def in_words(name: str, values: Sequence[int]) -> str:
    """``T=16``, ``T=16 and T=32``, or for more the first, the last and how many."""
    if len(values) <= 2:
        return " and ".join(f"{name}={value}" for value in values)
    return f"{len(values)} {name} from {values[0]} to {values[-1]}"


# --- what slices share ---------------------------------------------------------------------------


def sign(marker: str, **look: Any) -> Line2D:
    """A legend's key that is a mark without a line."""
    return Line2D([], [], linestyle="none", marker=marker, **look)


def sheet(keys: Sequence[Key], panel_in: float) -> tuple[Figure, float]:
    """A figure with room for panels of a height, its legend drawn at the bottom.

    Returns:
        The figure, and the height in inches below the panels' axis labels.
    """
    longest = max((len(words) for _, words in keys), default=1)
    entry_in = (longest * WORD_EM + 4.0) * SMALL_PT / 72
    columns = max(1, int((WIDTH_IN - 2 * MARGIN_IN) / entry_in))
    below_in = MARGIN_IN + math.ceil(len(keys) / columns) * LEGEND_ROW_IN
    height_in = TITLE_IN + panel_in + AXIS_IN + below_in
    figure = Figure(figsize=(WIDTH_IN, height_in))
    if keys:
        figure.legend(
            [artist for artist, _ in keys], [words for _, words in keys], loc="lower left",
            bbox_to_anchor=(MARGIN_IN / WIDTH_IN, 0.4 * MARGIN_IN / height_in), ncols=columns,
            borderpad=0, borderaxespad=0, labelspacing=0.35, handlelength=2.2, columnspacing=1.4,
        )  # fmt: skip
    return figure, below_in


def axes_at(figure: Figure, box_in: tuple[float, float, float, float]) -> Axes:
    """Axes at left, bottom, width and height in inches."""
    width_in, height_in = figure.get_size_inches()
    left, bottom, across, up = box_in
    return figure.add_axes((left / width_in, bottom / height_in, across / width_in, up / height_in))


def log2_ticks(axis: Axis, values: Sequence[int]) -> None:
    """Ticks at these values, ascending, and labels at those whose labels stand apart."""
    is_across = isinstance(axis, XAxis)
    extent = axis.axes.get_window_extent()
    low, high = axis.get_view_interval()
    room = (extent.width if is_across else extent.height) * 72 / axis.axes.figure.dpi
    places = [math.log(value / low) / math.log(high / low) * room for value in values]
    sizes = [
        len(str(value)) * EM_PER_CHARACTER * SMALL_PT if is_across else SMALL_PT for value in values
    ]
    shown = {values[place] for place in apart(places, sizes)}
    axis.set_ticks(values, labels=[str(v) if v in shown else "" for v in values])
    axis.set_minor_locator(NullLocator())
    axis.set_tick_params(length=2.5)


def apart(places: Sequence[float], sizes: Sequence[float]) -> list[int]:
    """Which of things that are centred at ascending *places* to keep, so that none touch.

    The first and the last stay, if there is room for both.
    """
    kept: list[int] = []
    for index in range(len(places)):
        is_last = index == len(places) - 1
        while kept and not _is_clear(places, sizes, kept[-1], index) and is_last and len(kept) > 1:
            kept.pop()
        if not kept or _is_clear(places, sizes, kept[-1], index):
            kept.append(index)
    return kept


GAP_PT: Final = 3.0


def _is_clear(places: Sequence[float], sizes: Sequence[float], one: int, other: int) -> bool:
    return places[other] - places[one] >= (sizes[one] + sizes[other]) / 2 + GAP_PT


def spread(
    places: Sequence[float], gap: float, bounds: tuple[float, float] = (-math.inf, math.inf)
) -> list[float]:
    """*places* moved apart by at least *gap*, in their order, as little and as evenly as needed.

    They stay within *bounds* where these have room for all.
    """
    order = sorted(range(len(places)), key=lambda index: places[index])
    groups: list[tuple[float, int]] = []  # the middle of a run of neighbours, and how many
    for index in order:
        middle, count = _within((places[index], 1), gap, bounds)
        while groups and middle - groups[-1][0] < gap * (count + groups[-1][1]) / 2:
            other, others = groups.pop()
            joined = (middle * count + other * others) / (count + others), count + others
            middle, count = _within(joined, gap, bounds)
        groups.append((middle, count))
    moved = [middle + gap * (i - (n - 1) / 2) for middle, n in groups for i in range(n)]
    placed = dict(zip(order, moved, strict=True))
    return [placed[index] for index in range(len(places))]


def _within(group: tuple[float, int], gap: float, bounds: tuple[float, float]) -> tuple[float, int]:
    middle, count = group
    half = gap * (count - 1) / 2
    return max(bounds[0] + half, min(middle, bounds[1] - half)), count
