"""What memory goes to: the parts of the peak, and the phases of a step.

Also what the charts of bars share: looks, places on the sheet, the choice of points.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rnnprof.plain_text import clip
from rnnprof.points.measurement import Measurement
from rnnprof.report.charts.kit.bars import (
    AXIS_IN,
    BAR_IN,
    BARS_AT_MOST,
    BLUE,
    GREEN,
    GREY,
    HEADING_IN,
    LEAST_BARS,
    LEGEND_COLUMNS,
    LEGEND_ROW_IN,
    MARGIN_IN,
    OLIVE,
    ORANGE,
    PANEL_TITLE_IN,
    PINK,
    SKY,
    VERMILLION,
    WIDTH_IN,
    Bar,
    BarLook,
    advised_point,
    along_batch,
    along_steps,
    byte_axis,
    column_axes,
    draw_bars,
    draw_heading,
    draw_legend,
    prepare_bars,
    row_label,
    thinned,
    write_beside,
)
from rnnprof.report.charts.kit.style import (
    FILL,
    INK,
    MUTED,
    Chart,
    style,
)
from rnnprof.report.model import RunReport
from rnnprof.report.text.pieces import SHORT
from rnnprof.runfile.observations import BREAKDOWN_PARTS
from rnnprof.runfile.points import Outcome, Point
from rnnprof.units import format_bytes, format_ratio

PART_LOOKS: Final = {
    "weights": BarLook("weights", BLUE, ""),
    "gradients": BarLook("gradients", SKY, "////"),
    "optimizer_state": BarLook("optimizer state", GREEN, "\\\\\\\\"),
    "input": BarLook("input", ORANGE, "||||"),
    "weight_casts": BarLook("weight casts", OLIVE, "xxxx"),
    "saved": BarLook("saved by forward", VERMILLION, "//"),
    "library": BarLook("library", GREY, "++++"),
    "temporaries": BarLook("temporaries", PINK, "----"),
    "rounding": BarLook("rounding", "#b8a9d9", "xx"),
}
"""The last is a light violet: Okabe and Ito have no ninth colour.  No hatch has dots or circles:
each would be a path of its own in a file."""

UNKNOWN_LOOK: Final = BarLook("parts unknown", FILL, "////", MUTED)


# --- the parts of the peak -----------------------------------------------------------------------

PARTS_TITLE: Final = "What the peak is made of"

LARGEST_PARTS: Final = 3
"""So many parts are told of in words."""


def memory_parts(report: RunReport) -> Chart | None:
    """The breakdown at the peak, against batch and against time steps; None without any peak."""
    panels = _parts_panels(report)
    if not panels:
        return None
    looks = _looks_used(panels)
    room = max(LEAST_BARS, *(len(panel.rows) for panel in panels))
    with style():
        figure = Figure(figsize=(WIDTH_IN, _parts_height_in(room, len(looks))))
        draw_heading(figure, PARTS_TITLE, report)
        for column, panel in enumerate(panels):
            top_in = HEADING_IN + PANEL_TITLE_IN
            axes = column_axes(figure, column, len(panels), top_in, BAR_IN * room)
            _draw_parts(axes, panel, room)
        draw_legend(figure, looks)
    return Chart("memory-parts", PARTS_TITLE, _parts_finding(panels), figure)


def _parts_height_in(bars: int, looks: int) -> float:
    legend_in = LEGEND_ROW_IN * math.ceil(looks / LEGEND_COLUMNS)
    return HEADING_IN + PANEL_TITLE_IN + BAR_IN * bars + AXIS_IN + legend_in + MARGIN_IN


@dataclass(frozen=True, slots=True)
class _Row:
    """One bar of parts, or the word that stands in its place.

    Attributes:
        parts: bytes by part, of those that are not zero; empty where they are unknown.
        total_bytes: of the bar; None where there is none.
        reason: why the parts are unknown.
    """

    point: Point
    label: str
    parts: Mapping[str, int]
    total_bytes: int | None
    word: str
    reason: str | None


@dataclass(frozen=True, slots=True)
class _Panel:
    """Bars along one axis of the grid, the other held.

    Attributes:
        held: ``T=128``: what is the same for all bars.
    """

    gid: str
    title: str
    held: str
    rows: tuple[_Row, ...]

    @property
    def known(self) -> list[_Row]:
        """The rows that have a bar."""
        return [row for row in self.rows if row.total_bytes]


def _parts_panels(report: RunReport) -> list[_Panel]:
    """By batch and by time steps; of two of which one holds the other's bars, the larger."""
    focus = _parts_focus(report)
    if focus is None:
        return []
    by_batch, by_steps = along_batch(report, focus), along_steps(report, focus)
    panels = []
    if len(by_batch) > 1 or len(by_steps) == 1:
        panels.append(_panel(report, focus, by_batch, by_batch=True))
    if len(by_steps) > 1:
        panels.append(_panel(report, focus, by_steps, by_batch=False))
    return panels


def _parts_focus(report: RunReport) -> Point | None:
    """The point recommended, or the largest batch at the longest T whose bytes are known."""
    advised = advised_point(report)
    known = [point for point, m in report.measurements.items() if m.breakdown is not None]
    known = known or [p for p, m in report.measurements.items() if _total_bytes(m)]
    if advised is not None and _total_bytes(report.measurements[advised]):
        return advised
    return max(known, key=lambda point: (point.time_steps, point.batch), default=None)


def _panel(report: RunReport, focus: Point, places: Sequence[Point], *, by_batch: bool) -> _Panel:
    chosen = thinned(places, BARS_AT_MOST, focus)
    count = f", {len(chosen)} of {len(places)}" if len(chosen) < len(places) else ""
    held = f"T={focus.time_steps}" if by_batch else f"B={focus.batch}"
    along = "batch B" if by_batch else "time steps T"
    return _Panel(
        "by-batch" if by_batch else "by-steps",
        f"at {held}, by {along}{count}",
        held,
        tuple(_row(report, point, by_batch=by_batch) for point in chosen),
    )


def _row(report: RunReport, point: Point, *, by_batch: bool) -> _Row:
    measurement = report.measurements[point]
    label = row_label(report, point, by_batch=by_batch)
    total, breakdown = _total_bytes(measurement), measurement.breakdown
    if total is None:
        word = SHORT.get(measurement.outcome, "peak unknown")
        return _Row(point, label, {}, None, word, None)
    if breakdown is None:
        reason = measurement.breakdown_reason or "no memory pass was recorded"
        return _Row(point, label, {}, total, "", reason)
    parts = {name: size for name, size in breakdown.parts().items() if size}
    return _Row(point, label, parts, total, "", None)


def _total_bytes(measurement: Measurement) -> int | None:
    """The sum of the breakdown, or the allocator's peak where there is none."""
    if measurement.outcome is not Outcome.MEASURED:
        return None
    if measurement.breakdown is not None:
        return sum(measurement.breakdown.parts().values()) or None
    return measurement.peak_allocated_bytes


def _looks_used(panels: Iterable[_Panel]) -> list[BarLook]:
    rows = [row for panel in panels for row in panel.known]
    used = {name for row in rows for name in row.parts}
    looks = [PART_LOOKS[name] for name in BREAKDOWN_PARTS if name in used]
    return looks + ([UNKNOWN_LOOK] if any(not row.parts for row in rows) else [])


def _draw_parts(axes: Axes, panel: _Panel, room: int) -> None:
    most = max((row.total_bytes or 0 for row in panel.rows), default=0)
    prepare_bars(axes, panel.title, [row.label for row in panel.rows], room)
    byte_axis(axes, most, "allocated at the peak")
    stacks: dict[str, list[Bar]] = {}
    for y, row in enumerate(panel.rows):
        if row.total_bytes and not row.parts:
            stacks.setdefault("unknown", []).append((0, row.total_bytes, y))
        start = 0
        for name, size in row.parts.items():
            stacks.setdefault(name, []).append((start, size, y))
            start += size
        text = row.word or format_bytes(row.total_bytes)
        write_beside(axes, row.total_bytes or 0, y, text, MUTED if row.word else INK)
    for name, bars in stacks.items():
        look = PART_LOOKS.get(name, UNKNOWN_LOOK)
        draw_bars(axes, bars, look, f"{panel.gid}-{name}")


def _parts_finding(panels: Sequence[_Panel]) -> str:
    sentences = [_course(panel) for panel in panels if len(panel.known) > 1]
    sentences = sentences or [_course(panel) for panel in panels[:1]]
    rows = {row.point: row for panel in panels for row in panel.known}
    sentences += _made_of(rows.values())
    return " ".join([*sentences, *_parts_unknown(rows.values())])


def _course(panel: _Panel) -> str:
    first, last = panel.known[0], panel.known[-1]
    if first is last:
        return f"At {first.point} the allocator's peak is {format_bytes(first.total_bytes)}."
    return (
        f"At {panel.held} the allocator's peak goes from {format_bytes(first.total_bytes)} at "
        f"{_varied(panel, first)} to {format_bytes(last.total_bytes)} at {_varied(panel, last)}."
    )


def _varied(panel: _Panel, row: _Row) -> str:
    by_batch = panel.gid == "by-batch"
    return f"B={row.point.batch}" if by_batch else f"T={row.point.time_steps}"


def _made_of(rows: Iterable[_Row]) -> list[str]:
    """The largest parts of the largest bar."""
    known = [row for row in rows if row.parts]
    if not known:
        return []
    largest = max(known, key=lambda row: row.total_bytes or 0)
    total = largest.total_bytes or 1
    parts = sorted(largest.parts.items(), key=lambda part: -part[1])[:LARGEST_PARTS]
    named = ", ".join(f"{PART_LOOKS[name].word} {format_ratio(s / total)}" for name, s in parts)
    return [f"Of the largest drawn, {largest.point}: {named}."]


REASON_COLUMNS: Final = 200


def _parts_unknown(rows: Iterable[_Row]) -> list[str]:
    without = [row for row in rows if row.reason]
    if not without:
        return []
    places = f"{without[0].point}"
    if len(without) > 1:
        places += f" and {len(without) - 1} more"
    reason = clip(without[0].reason or "", REASON_COLUMNS)
    return [f"The parts are unknown at {places}: {reason}."]
