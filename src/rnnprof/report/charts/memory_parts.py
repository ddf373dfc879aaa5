"""What the peak is made of: a bar of parts for each point along both axes of the grid."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from matplotlib.axes import Axes

from rnnprof.report.charts.kit.axes import byte_axis
from rnnprof.report.charts.kit.bars import (
    BAR_IN,
    BARS_AT_MOST,
    LEAST_BARS,
    PANEL_TITLE_IN,
    Bar,
    BarLook,
    bar_panels,
    draw_bars,
    prepare_bars,
    write_beside,
)
from rnnprof.report.charts.kit.scales import Scales, evenly, scales_for
from rnnprof.report.charts.kit.sheet import AXIS_IN, make_sheet
from rnnprof.report.charts.kit.style import (
    BLUE,
    FILL,
    GREEN,
    GREY,
    INK,
    MUTED,
    OLIVE,
    ORANGE,
    PINK,
    SKY,
    VERMILLION,
    Chart,
    style,
)
from rnnprof.report.charts.kit.units import format_bytes
from rnnprof.report.model import BREAKDOWN_PARTS, Measurement, Outcome, Point, RunReport
from rnnprof.report.words import bar_charts as words
from rnnprof.report.words import chart_legends as legends
from rnnprof.report.words.dispatch import as_text
from rnnprof.report.words.outcomes import OUTCOMES

PART_LOOKS: Final = {
    name: BarLook(legends.PARTS[name], colour, hatch)
    for name, colour, hatch in (
        ("weights", BLUE, ""),
        ("gradients", SKY, "////"),
        ("optimizer_state", GREEN, "\\\\\\\\"),
        ("input", ORANGE, "||||"),
        ("weight_casts", OLIVE, "xxxx"),
        ("saved", VERMILLION, "//"),
        ("library", GREY, "++++"),
        ("temporaries", PINK, "----"),
        ("rounding", "#b8a9d9", "xx"),
    )
}
"""The last is a light violet: Okabe and Ito have no ninth colour.  No hatch has dots or circles:
each would be a path of its own in a file."""

UNKNOWN_LOOK: Final = BarLook(legends.PARTS_UNKNOWN, FILL, "////", MUTED)


@dataclass(frozen=True, slots=True)
class _Row:
    """One bar of parts, or the word in its place.

    Attributes:
        label: ``B=8`` or ``T=16``.
        parts: bytes by part, of those that are not zero; empty where they are unknown.
        total_bytes: of the bar; None where there is none.
        reason: why the parts are unknown.
    """

    point: Point
    label: str
    parts: Mapping[str, int]
    total_bytes: int | None
    word: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class _Panel:
    """Bars along one axis of the grid.

    Attributes:
        held: ``T=128``: what is the same for all bars.
        of: so many points are along the axis.
    """

    gid: str
    held: str
    of: int
    rows: tuple[_Row, ...]

    @property
    def known(self) -> list[_Row]:
        """The rows that have a bar."""
        return [row for row in self.rows if row.total_bytes]


def memory_parts(report: RunReport, scales: Scales | None = None) -> Chart | None:
    """The breakdown at the peak, against batch and against time steps; None without any peak.

    Args:
        report: the run to draw.
        scales: of all runs on the page; of this one alone where None.
    """
    panels = _panels(report)
    if not panels:
        return None
    most_bytes = (scales_for(report, scales).span(_totals) or (1, 1))[1]
    room = max(LEAST_BARS, *(len(panel.rows) for panel in panels))
    bars_in, keys = BAR_IN * room, [look.key for look in _looks_used(panels)]
    with style():
        sheet = make_sheet(words.PARTS_TITLE, report, PANEL_TITLE_IN + bars_in + AXIS_IN, keys)
        drawn = bar_panels(sheet, [bars_in] * len(panels), len(panels))
        for axes, panel in zip(drawn, panels, strict=True):
            _draw(axes, report, panel, room, most_bytes)
    return Chart("memory-parts", words.PARTS_TITLE, _finding(panels), sheet.figure)


def _panels(report: RunReport) -> list[_Panel]:
    """By batch and by time steps; of two of which one holds the other's bars, the larger."""
    focus = _focus(report)
    if focus is None:
        return []
    by_batch = report.tried_along(focus, by_batch=True)
    by_steps = report.tried_along(focus, by_batch=False)
    panels = []
    if len(by_batch) > 1 or len(by_steps) == 1:
        rows = _rows(report, by_batch, focus, by_batch=True)
        panels.append(_Panel("by-batch", f"T={focus.time_steps}", len(by_batch), rows))
    if len(by_steps) > 1:
        rows = _rows(report, by_steps, focus, by_batch=False)
        panels.append(_Panel("by-steps", f"B={focus.batch}", len(by_steps), rows))
    return panels


def _focus(report: RunReport) -> Point | None:
    """The recommended point, or the largest batch at the longest T whose bytes are known."""
    known = [point for point, m in report.measurements.items() if m.breakdown is not None]
    known = known or [p for p, m in report.measurements.items() if _total_bytes(m)]
    if report.advised is not None and _total_bytes(report.measurements[report.advised]):
        return report.advised
    return max(known, key=lambda point: (point.time_steps, point.batch), default=None)


def _rows(
    report: RunReport, points: Sequence[Point], focus: Point, *, by_batch: bool
) -> tuple[_Row, ...]:
    return tuple(
        _row(report.measurements[p], f"B={p.batch}" if by_batch else f"T={p.time_steps}")
        for p in evenly(points, BARS_AT_MOST, focus)
    )


def _row(measurement: Measurement, label: str) -> _Row:
    point, total = measurement.point, _total_bytes(measurement)
    breakdown = measurement.breakdown
    if total is None:
        word = OUTCOMES[measurement.outcome].word or legends.PEAK_UNKNOWN
        return _Row(point, label, {}, None, word)
    if breakdown is None:
        reason = as_text(measurement.breakdown_reason) or words.NOT_RECORDED
        return _Row(point, label, {}, total, reason=reason)
    return _Row(point, label, {name: size for name, size in breakdown.parts().items() if size},
                total)  # fmt: skip


def _total_bytes(measurement: Measurement) -> int | None:
    """The sum of the breakdown, or the allocator's peak where there is none."""
    if measurement.outcome is not Outcome.MEASURED:
        return None
    if measurement.breakdown is not None:
        return sum(measurement.breakdown.parts().values()) or None
    return measurement.peak_allocated_bytes


def _totals(report: RunReport) -> Iterator[float]:
    """Of all bars, for the axis of bytes."""
    for panel in _panels(report):
        yield from (row.total_bytes or 0 for row in panel.rows)


def _looks_used(panels: Iterable[_Panel]) -> list[BarLook]:
    rows = [row for panel in panels for row in panel.known]
    used = {name for row in rows for name in row.parts}
    looks = [PART_LOOKS[name] for name in BREAKDOWN_PARTS if name in used]
    return looks + ([UNKNOWN_LOOK] if any(not row.parts for row in rows) else [])


def _draw(axes: Axes, report: RunReport, panel: _Panel, room: int, most_bytes: float) -> None:
    along = "batch B" if panel.gid == "by-batch" else "time steps T"
    title = legends.panel_of(panel.held, along, len(panel.rows), panel.of)
    advised = report.advice.points
    labels = [legends.row_label(r.label, is_recommended=r.point in advised) for r in panel.rows]
    prepare_bars(axes, title, labels, room)
    byte_axis(axes, most_bytes, legends.PEAK_AXIS)
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
        draw_bars(axes, bars, PART_LOOKS.get(name, UNKNOWN_LOOK), f"{panel.gid}-{name}")


def _finding(panels: Sequence[_Panel]) -> str:
    told_of = [panel for panel in panels if len(panel.known) > 1] or panels[:1]
    sentences = []
    for panel in told_of:
        first, last = (
            (row.label, row.point, row.total_bytes or 0)
            for row in (panel.known[0], panel.known[-1])
        )
        sentences.append(words.peaks_along(panel.held, first, last))
    rows = {row.point: row for panel in panels for row in panel.known}
    with_parts = [row for row in rows.values() if row.parts]
    if with_parts:
        largest = max(with_parts, key=lambda row: row.total_bytes or 0)
        sentences.append(words.made_of(largest.point, largest.parts))
    without = [row for row in rows.values() if row.reason]
    if without:
        points = [row.point for row in without]
        sentences.append(words.parts_unknown(points, without[0].reason))
    return " ".join(sentences)
