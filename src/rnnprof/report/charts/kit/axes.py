"""Axes over B and T and over what is measured: scales, ticks, and labels that keep apart."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from matplotlib.axes import Axes
from matplotlib.ticker import NullLocator

from rnnprof.report.charts.kit.style import SMALL_PT
from rnnprof.report.model import Point, RunReport
from rnnprof.report.words.chart_legends import BATCH_AXIS, STEPS_AXIS
from rnnprof.units import GIB, KIB, MIB

EM_PER_CHARACTER: Final = 0.64
"""Width of DejaVu Sans's digits: a bound for labels that are mostly digits."""

GAP_PT: Final = 3.0
"""Between labels."""


# --- B and T -------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False, slots=True)
class GridAxis:
    """One of the two axes of a grid.

    Attributes:
        letter: B or T.
        label: of the axis.
        value: of a point.
    """

    letter: str
    label: str
    value: Callable[[Point], int]

    def values(self, report: RunReport) -> list[int]:
        """Those of the report's points, ascending."""
        return sorted({self.value(point) for point in report.points})


BATCH: Final = GridAxis("B", BATCH_AXIS, lambda point: point.batch)
STEPS: Final = GridAxis("T", STEPS_AXIS, lambda point: point.time_steps)


def grid_axis(
    axes: Axes, side: str, axis: GridAxis, ticks: Sequence[int], span: tuple[float, float]
) -> None:
    """Make ``x`` or ``y`` a logarithmic axis over B or T, with the grid's own values as ticks."""
    if side == "x":
        axes.set_xscale("log", base=2)
        axes.set(xlim=span, xlabel=axis.label)
    else:
        axes.set_yscale("log", base=2)
        axes.set(ylim=span, ylabel=axis.label)
    log2_ticks(axes, side, ticks)


def around(span: tuple[float, float], share: float = 0.05) -> tuple[float, float]:
    """A range on a logarithmic axis with so much of it free at both ends."""
    beyond = max(2.0, span[1] / span[0]) ** share
    return span[0] / beyond, span[1] * beyond


def log2_ticks(axes: Axes, side: str, values: Sequence[int]) -> None:
    """Ticks at these values, ascending, and labels at those whose labels stand apart."""
    is_across = side == "x"
    axis = axes.xaxis if is_across else axes.yaxis
    low, high = axis.get_view_interval()
    room_pt = extent_pt(axes)[0 if is_across else 1]
    places = [math.log(value / low) / math.log(high / low) * room_pt for value in values]
    sizes = [
        len(str(value)) * EM_PER_CHARACTER * SMALL_PT if is_across else SMALL_PT for value in values
    ]
    shown = {values[place] for place in apart(places, sizes)}
    axis.set_ticks(values, labels=[str(v) if v in shown else "" for v in values])
    axis.set_minor_locator(NullLocator())
    axis.set_tick_params(length=2.5)


def extent_pt(axes: Axes) -> tuple[float, float]:
    """Width and height of a panel, in points."""
    extent, per_pixel = axes.get_window_extent(), 72 / axes.figure.dpi
    return extent.width * per_pixel, extent.height * per_pixel


# --- what is measured ----------------------------------------------------------------------------

DECIMAL_STEPS: Final = (1, 2, 5)
FINE_STEPS: Final = (1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8)
BINARY_STEPS: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
TICKS_AT_LEAST: Final = 3


def log_levels(
    axes: Axes,
    span: tuple[float, float],
    text: Callable[[float], str],
    steps: Sequence[float] = DECIMAL_STEPS,
) -> None:
    """A logarithmic axis of y with round ticks, as many as can stand apart.

    Args:
        span: the range that is drawn.
        steps: :data:`DECIMAL_STEPS` of each power of ten, which become finer or coarser where
            there are few ticks or too many, or :data:`BINARY_STEPS` of each power of 1024.
    """
    is_binary = steps is BINARY_STEPS
    axes.set_yscale("log", base=2 if is_binary else 10)
    axes.set_ylim(*span)
    unit = 1024 if is_binary else 10
    ticks = _levels(span, unit, steps)
    kept = _apart_levels(axes, span, ticks)
    if not is_binary and len(ticks) < TICKS_AT_LEAST:
        ticks = _levels(span, unit, FINE_STEPS)
        kept = _apart_levels(axes, span, ticks)
    elif not is_binary and len(kept) < len(ticks):
        kept = _apart_levels(axes, span, _levels(span, unit, (1,)))
    axes.set_yticks(kept, [text(tick) for tick in kept])
    axes.yaxis.set_minor_locator(NullLocator())


def _levels(span: tuple[float, float], unit: int, steps: Sequence[float]) -> list[float]:
    low, high = span
    exponents = range(math.floor(math.log(low, unit)), math.ceil(math.log(high, unit)) + 1)
    ticks = [step * float(unit) ** exponent for exponent in exponents for step in steps]
    return [tick for tick in ticks if low <= tick <= high]


def _apart_levels(axes: Axes, span: tuple[float, float], ticks: Sequence[float]) -> list[float]:
    low, high = span
    room_pt = extent_pt(axes)[1]
    places = [math.log(tick / low) / math.log(high / low) * room_pt for tick in ticks]
    return [ticks[index] for index in apart(places, [1.6 * SMALL_PT] * len(places))]


def level_axis(axes: Axes, high: float, text: Callable[[float], str]) -> None:
    """A linear axis of y from zero to a little above *high*."""
    axes.set_ylim(0, (high or 1.0) * 1.08)
    ticks = [float(tick) for tick in axes.get_yticks() if tick <= axes.get_ylim()[1]]
    axes.set_yticks(ticks, ["0" if tick == 0 else text(tick) for tick in ticks])


UNITS: Final = {"TiB": GIB << 10, "GiB": GIB, "MiB": MIB, "KiB": KIB, "B": 1}
BAR_SHARE: Final = 0.76
"""Of a panel's width that the longest bar takes; the rest is for its total."""


def byte_axis(axes: Axes, most_bytes: float, label: str, share: float = BAR_SHARE) -> None:
    """An axis of x in bytes from zero, its ticks at two to four multiples of a power of two."""
    step = 1 << max(0, math.ceil(math.log2(max(most_bytes, 1) / 4)))
    unit = next(name for name, size in UNITS.items() if size <= step)
    ticks = range(0, int(most_bytes) + 1, step)
    axes.set_xlim(0, max(most_bytes, 1) / share)
    axes.set_xticks(list(ticks), [str(tick // UNITS[unit]) for tick in ticks])
    foot_label(axes, f"{label}, {unit}")
    axes.grid(axis="x")
    axes.set_axisbelow(True)


def foot_label(axes: Axes, label: str) -> None:
    """The label of an axis of x that is read with its bars: small, at the left."""
    axes.set_xlabel(label, fontsize=SMALL_PT, loc="left", labelpad=2)
    axes.tick_params(axis="x", length=2)


# --- labels --------------------------------------------------------------------------------------


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
