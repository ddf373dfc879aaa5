"""Where a training step's time goes: its phases, the step time, and what bounds it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from rnnprof.report.charts.kit.axes import foot_label
from rnnprof.report.charts.kit.bars import (
    BAR_IN,
    LABEL_IN,
    LABEL_PT,
    Bar,
    BarLook,
    draw_bars,
    prepare_bars,
)
from rnnprof.report.charts.kit.scales import Scales, evenly
from rnnprof.report.charts.kit.sheet import AXIS_IN, MARGIN_IN, WIDTH_IN, make_sheet
from rnnprof.report.charts.kit.style import (
    FILL,
    INK,
    MUTED,
    PAPER,
    PHASE_COLOURS,
    SMALL_PT,
    Chart,
    style,
)
from rnnprof.report.charts.kit.units import format_ratio, format_seconds
from rnnprof.report.model import Measurement, Point, RunReport, fastest, flags
from rnnprof.report.words import bar_charts as words
from rnnprof.report.words import chart_legends as legends
from rnnprof.report.words.outcomes import OUTCOMES

PHASE_LOOKS: Final = {
    name: BarLook(name, PHASE_COLOURS[name], hatch)
    for name, hatch in (
        ("data", "----"), ("forward", ""), ("backward", "////"), ("optimizer", "\\\\\\\\"),
        ("other", "xxxx"),
    )
}  # fmt: skip
UNKNOWN_LOOK: Final = BarLook(legends.PHASES_UNKNOWN, FILL, "////", MUTED)

BOUND_MARKS: Final = {"launch": "^", "memory": "s", "compute": "o"}
ROWS_AT_MOST: Final = 12

COLUMNS_IN: Final = 1.75
"""Room right of the bars for the step time and for what bounds it."""

TIME_IN: Final = 0.72
MARK_IN: Final = 0.94
WORD_IN: Final = 1.06
"""Where in that room the time ends, the mark is and the word begins."""

LEAST_SHARE: Final = 0.09
"""A narrower piece of a bar has no room for its percentage."""


@dataclass(frozen=True, slots=True)
class _Row:
    """One bar, or the heading of a group where there is no measurement."""

    label: str
    measurement: Measurement | None

    @property
    def is_timed(self) -> bool:
        """Whether it has a bar."""
        return self.measurement is not None and bool(self.measurement.step_time_s)

    @property
    def shares(self) -> dict[str, float]:
        """The phases' parts of their sum; empty where they are unknown."""
        times = self.measurement.phase_times_s if self.measurement else {}
        total = sum(times.values())
        if not total > 0:
            return {}
        return {name: times[name] / total for name in PHASE_LOOKS if times.get(name)}


def time_phases(report: RunReport, scales: Scales | None = None) -> Chart | None:
    """Shares of the phases along both axes of the grid; None where no point was timed.

    Args:
        report: the run to draw.
        scales: not used: a share is of one on every page.
    """
    del scales
    focus = _focus(report)
    if focus is None:
        return None
    rows = _rows(report, focus)
    drawn = {row.measurement.point: row.measurement for row in rows if row.measurement}
    costs = report.phase_costs(drawn)
    notes = words.time_notes(costs, "".join(map(flags, drawn.values())))
    bars_in, keys = BAR_IN * len(rows), [look.key for look in _looks_used(rows)]
    with style():
        sheet = make_sheet(words.TIME_TITLE, report, bars_in + AXIS_IN, keys, notes)
        width_in = WIDTH_IN - 2 * MARGIN_IN - LABEL_IN - COLUMNS_IN
        axes = sheet.axes(MARGIN_IN + LABEL_IN, 0, width_in, bars_in)
        _draw_rows(axes, rows)
        _draw_columns(axes, rows, width_in)
    measurement = report.measurements[focus]
    shares = _Row("", measurement).shares
    finding = words.time_finding(report, measurement, shares, drawn, costs)
    return Chart("time-phases", words.TIME_TITLE, finding, sheet.figure)


def _focus(report: RunReport) -> Point | None:
    """The recommended point, or else the fastest."""
    if report.advised is not None and report.measurements[report.advised].step_time_s:
        return report.advised
    best = fastest(report.measurements)
    return best.point if best else None


def _rows(report: RunReport, focus: Point) -> list[_Row]:
    """Both groups with their headings; a group of the focus alone only where there is no other."""
    by_steps = report.tried_along(focus, by_batch=False)
    by_batch = report.tried_along(focus, by_batch=True)
    rows: list[_Row] = []
    if len(by_steps) > 1 or len(by_batch) == 1:
        rows += _group(report, focus, by_steps, len(by_batch), by_batch=False)
    if len(by_batch) > 1:
        rows += _group(report, focus, by_batch, len(by_steps), by_batch=True)
    return rows


def _group(
    report: RunReport, focus: Point, points: Sequence[Point], others: int, *, by_batch: bool
) -> list[_Row]:
    """A heading and its bars: as many as the other group leaves room for."""
    shown = evenly(points, max(ROWS_AT_MOST // 2, ROWS_AT_MOST - others), focus)
    held, along = (f"T={focus.time_steps}", "B") if by_batch else (f"B={focus.batch}", "T")
    rows = [_Row(legends.panel_of(held, along, len(shown), len(points)), None)]
    for point in shown:
        value = f"B={point.batch}" if by_batch else f"T={point.time_steps}"
        label = legends.row_label(value, is_recommended=point in report.advice.points)
        rows.append(_Row(label, report.measurements[point]))
    return rows


def _looks_used(rows: Iterable[_Row]) -> list[BarLook]:
    timed = [row for row in rows if row.is_timed]
    used = {name for row in timed for name in row.shares}
    looks = [look for name, look in PHASE_LOOKS.items() if name in used]
    return looks + ([UNKNOWN_LOOK] if any(not row.shares for row in timed) else [])


# --- what is drawn -------------------------------------------------------------------------------


def _draw_rows(axes: Axes, rows: Sequence[_Row]) -> None:
    prepare_bars(axes, "", [row.label if row.measurement else "" for row in rows])
    axes.set_xlim(0, 1)
    ticks = [0, 0.25, 0.5, 0.75, 1]
    axes.set_xticks(ticks, [format_ratio(tick) if tick else "0" for tick in ticks])
    foot_label(axes, legends.SHARES_AXIS)
    axes.spines["left"].set_visible(False)
    stacks: dict[str, list[Bar]] = {}
    for y, row in enumerate(rows):
        if row.measurement is None:
            axes.text(0, y + 0.1, row.label, va="center", fontsize=SMALL_PT, weight="bold")
        elif not row.is_timed:
            word = OUTCOMES[row.measurement.outcome].word or legends.NO_TIME
            axes.text(0.01, y, word, va="center", fontsize=LABEL_PT, color=MUTED)
        else:
            _stack(axes, stacks, y, row)
    for name, bars in stacks.items():
        draw_bars(axes, bars, PHASE_LOOKS.get(name, UNKNOWN_LOOK), f"time-{name}")


def _stack(axes: Axes, stacks: dict[str, list[Bar]], y: int, row: _Row) -> None:
    """Put a row's pieces to those of the other rows, and write the shares that have room."""
    if not row.shares:
        stacks.setdefault("unknown", []).append((0, 1, y))
    start = 0.0
    for name, share in row.shares.items():
        stacks.setdefault(name, []).append((start, share, y))
        if share >= LEAST_SHARE:
            axes.text(
                start + share / 2, y, format_ratio(share), ha="center", va="center",
                fontsize=LABEL_PT, zorder=4, bbox={"facecolor": PAPER, "linewidth": 0, "pad": 0.9},
            )  # fmt: skip
        start += share


def _draw_columns(axes: Axes, rows: Sequence[_Row], width_in: float) -> None:
    """Right of the bars: the step time, and what bounds the step, as a mark and a word."""
    time_x, mark_x, word_x = (1 + inches / width_in for inches in (TIME_IN, MARK_IN, WORD_IN))
    head: dict[str, Any] = {"va": "center", "fontsize": SMALL_PT, "color": MUTED}
    axes.text(time_x, 0.1, legends.STEP_TIME_HEAD, ha="right", **head)
    axes.text(word_x, 0.1, legends.BOUND_HEAD, **head)
    marks: dict[str, list[float]] = {}
    for y, row in enumerate(rows):
        known = row.measurement
        if known is None or not row.is_timed:
            continue
        text = format_seconds(known.step_time_s) + flags(known)
        axes.text(time_x, y, text, ha="right", va="center", fontsize=LABEL_PT)
        word, ink = (known.bound, INK) if known.bound else (legends.NO_BOUND, MUTED)
        axes.text(word_x, y, word, va="center", fontsize=LABEL_PT, color=ink)
        if known.bound in BOUND_MARKS:
            marks.setdefault(known.bound, []).append(y)
    for bound, places in marks.items():
        axes.add_line(
            Line2D(
                [mark_x] * len(places), places, linestyle="none", marker=BOUND_MARKS[bound],
                color=INK, markersize=3.6, clip_on=False, gid=f"bound-{bound}",
            )
        )  # fmt: skip
