"""Charts of bars: their sheet, their look, and which points they show."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from rnnprof.plain_text import clip
from rnnprof.report.charts.kit.style import (
    BASE_PT,
    MUTED,
    OKABE_ITO,
    PAPER,
    RULE,
    SMALL_PT,
)
from rnnprof.report.model import RunReport
from rnnprof.runfile.points import Outcome, Point
from rnnprof.units import GIB, KIB, MIB

WIDTH_IN: Final = 7.4
MARGIN_IN: Final = 0.12
HEADING_IN: Final = 0.46
"""The chart's title and what was trained."""

LEGEND_ROW_IN: Final = 0.17

LEGEND_COLUMNS: Final = 6
LABEL_PT: Final = 6.5

Bar = tuple[float, float, float]
"""Where a bar begins, how long it is, and the height at which its middle stands."""


@dataclass(frozen=True, slots=True)
class BarLook:
    """How a series is told from the others: by its colour, and as well by its hatch.

    Attributes:
        word: in legend and finding.
        colour: of the bars.
        hatch: over the colour, as matplotlib writes hatches.
        ink: of the hatch and of the bars' edges.
    """

    word: str
    colour: str
    hatch: str
    ink: str = PAPER


BLUE, VERMILLION, GREEN, PINK, ORANGE, SKY, OLIVE, GREY = OKABE_ITO

STEP_ORDER: Final = ("build", "data", "forward", "backward", "optimizer", "other")
BARS_AT_MOST: Final = 12
"""More bars in half a page's width would be thinner than their labels."""

BAR_IN: Final = 0.2
AXIS_IN: Final = 0.42
"""Tick labels and the axis's own label below a panel."""

LABEL_IN: Final = 1.22
"""Room for ``T=65536, recommended`` beside the bars."""

PANEL_TITLE_IN: Final = 0.24
PANEL_GAP_IN: Final = 0.14
BAR_SHARE: Final = 0.76
"""Of a panel's width that the longest bar takes; the rest is for its total."""

LEAST_BARS: Final = 3
"""A lone bar as high as the panel would look like a wall."""


# --- shared by charts of bars --------------------------------------------------------------------


def advised_point(report: RunReport) -> Point | None:
    """The main recommendation, if its point was measured."""
    point = report.advice.point
    return point if point in report.measurements else None


def along_batch(report: RunReport, focus: Point) -> list[Point]:
    """The points at the focus's T, by batch: those that were run."""
    return [p for p in _run_points(report) if p.time_steps == focus.time_steps]


def along_steps(report: RunReport, focus: Point) -> list[Point]:
    """The points at the focus's batch, by time steps: those that were run."""
    return [p for p in _run_points(report) if p.batch == focus.batch]


def _run_points(report: RunReport) -> list[Point]:
    return [
        point
        for point in report.points
        if (m := report.measurements.get(point)) and m.outcome is not Outcome.IMPLIED_OOM
    ]


def thinned(points: Sequence[Point], at_most: int, keep: Point) -> list[Point]:
    """At most so many of *points*, evenly spread, the first, the last and *keep* among them."""
    if len(points) <= at_most:
        return list(points)
    last = len(points) - 1
    places = [round(index * last / (at_most - 1)) for index in range(at_most)]
    wanted = points.index(keep) if keep in points else 0
    if wanted not in places:
        inner = range(1, at_most - 1)
        places[min(inner, key=lambda i: abs(places[i] - wanted))] = wanted
    return [points[place] for place in places]


def row_label(report: RunReport, point: Point, *, by_batch: bool) -> str:
    """``B=128`` or ``T=128``, and whether it is the point recommended."""
    label = f"B={point.batch}" if by_batch else f"T={point.time_steps}"
    return f"{label}, recommended" if point in report.advice.points else label


def column_axes(
    figure: Figure,
    column: int,
    columns: int,
    top_in: float,
    height_in: float,
    label_in: float = LABEL_IN,
) -> Axes:
    """Axes in one of so many equal columns, with room for labels at the left."""
    share_in = (WIDTH_IN - 2 * MARGIN_IN - (columns - 1) * PANEL_GAP_IN) / columns
    left_in = MARGIN_IN + column * (share_in + PANEL_GAP_IN) + label_in
    return axes_at(figure, (left_in, top_in, share_in - label_in, height_in))


def axes_at(figure: Figure, box_in: tuple[float, float, float, float]) -> Axes:
    """Axes at left, top, width and height, in inches from the sheet's upper left corner."""
    left, top, width, height = box_in
    across, down = figure.get_size_inches()
    return figure.add_axes(
        (left / across, 1 - (top + height) / down, width / across, height / down)
    )


def draw_heading(figure: Figure, title: str, report: RunReport) -> None:
    """What is drawn, and of which workload on which device."""
    across, down = (float(size) for size in figure.get_size_inches())
    left = MARGIN_IN / across
    figure.text(
        left, 1 - 0.08 / down, title, fontsize=BASE_PT + 2, weight="bold", va="top", gid="title"
    )
    header = report.run.header
    device = clip(str(header.environment.get("device_name") or "unknown device"), 45)
    subject = f"{clip(header.workload.describe(), 60)}, on {device}"
    y = 1 - 0.29 / down
    drawn = figure.text(left, y, subject, fontsize=SMALL_PT, color=MUTED, va="top", gid="subject")
    room_px = (across - 2 * MARGIN_IN) * figure.dpi
    width_px = drawn.get_window_extent().width
    if width_px > room_px:
        drawn.set_fontsize(SMALL_PT * room_px / width_px)


def draw_legend(figure: Figure, looks: Sequence[BarLook]) -> None:
    """The looks with their words, at the foot of the sheet."""
    # as many in each row, for a legend is filled column by column
    rows = math.ceil(len(looks) / LEGEND_COLUMNS)
    columns = math.ceil(len(looks) / max(1, rows))
    keys = [Patch(facecolor=k.colour, edgecolor=k.ink, hatch=k.hatch, linewidth=0.3) for k in looks]
    figure.legend(
        keys, [look.word for look in looks], loc="lower left", ncols=max(1, columns),
        bbox_to_anchor=(MARGIN_IN / WIDTH_IN, 0.0), borderaxespad=0.4, borderpad=0,
        handlelength=2.2, handleheight=1.1, columnspacing=1.4, labelspacing=0.35,
    )  # fmt: skip


def prepare_bars(axes: Axes, title: str, labels: Sequence[str], room: int = 0) -> None:
    """A panel with room for so many bars, the first at the top."""
    axes.set_title(title, fontsize=BASE_PT, loc="left", pad=5)
    axes.set_ylim(max(room, len(labels)) - 0.5, -0.5)
    axes.set_yticks(range(len(labels)), list(labels))
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_color(RULE)


def draw_bars(
    axes: Axes, bars: Sequence[Bar], look: BarLook, gid: str, height: float = 0.72
) -> None:
    """Horizontal bars of one look, as one collection."""
    corners = [
        [(x, y - height / 2), (x + w, y - height / 2), (x + w, y + height / 2), (x, y + height / 2)]
        for x, w, y in bars
    ]
    axes.add_collection(
        PolyCollection(
            corners, facecolors=look.colour, edgecolors=look.ink, hatch=look.hatch or None,
            linewidths=0.3, gid=gid,
        ),
        autolim=False,
    )  # fmt: skip


def write_beside(
    axes: Axes, x: float, y: float, text: str, ink: str, *, is_bold: bool = False
) -> None:
    """A label just right of a bar's end."""
    apart = 0.012 * axes.get_xlim()[1]
    weight = "bold" if is_bold else "normal"
    axes.text(
        x + apart, y, text, va="center", fontsize=LABEL_PT, color=ink, weight=weight,
        bbox={"facecolor": PAPER, "linewidth": 0, "pad": 0.2},
    )  # fmt: skip


UNITS: Final = {"TiB": GIB << 10, "GiB": GIB, "MiB": MIB, "KiB": KIB, "B": 1}


def byte_axis(axes: Axes, most_bytes: float, label: str, share: float = BAR_SHARE) -> None:
    """An axis of bytes from zero, its ticks at two to four multiples of a power of two."""
    step = 1 << max(0, math.ceil(math.log2(max(most_bytes, 1) / 4)))
    unit = next(name for name, size in UNITS.items() if size <= step)
    ticks = range(0, int(most_bytes) + 1, step)
    axes.set_xlim(0, max(most_bytes, 1) / share)
    axes.set_xticks(list(ticks), [str(tick // UNITS[unit]) for tick in ticks])
    axes.set_xlabel(f"{label}, {unit}", fontsize=SMALL_PT, loc="left", labelpad=2)
    axes.grid(axis="x")
    axes.set_axisbelow(True)
    axes.tick_params(axis="x", length=2)
