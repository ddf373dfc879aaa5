"""Where a step's time goes: its phases, the step time, and what bounds it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from rnnprof.plain_text import clip
from rnnprof.points.fold import by_point, timings_of
from rnnprof.points.measurement import Measurement
from rnnprof.points.noise import judge
from rnnprof.report.charts.kit.bars import (
    AXIS_IN,
    BAR_IN,
    BLUE,
    GREEN,
    GREY,
    HEADING_IN,
    LABEL_IN,
    LABEL_PT,
    LEGEND_ROW_IN,
    MARGIN_IN,
    PINK,
    VERMILLION,
    WIDTH_IN,
    Bar,
    BarLook,
    advised_point,
    along_batch,
    along_steps,
    axes_at,
    draw_bars,
    draw_heading,
    draw_legend,
    prepare_bars,
    row_label,
    thinned,
)
from rnnprof.report.charts.kit.style import FILL, INK, MUTED, PAPER, SMALL_PT, Chart, style
from rnnprof.report.model import RunReport, fastest, flags
from rnnprof.report.text.pieces import SHORT
from rnnprof.runfile.points import Outcome, Point
from rnnprof.units import format_ratio, format_seconds

TITLE: Final = "Where a step's time goes"

PHASE_LOOKS: Final = {
    "data": BarLook("data", PINK, "----"),
    "forward": BarLook("forward", BLUE, ""),
    "backward": BarLook("backward", VERMILLION, "////"),
    "optimizer": BarLook("optimizer", GREEN, "\\\\\\\\"),
    "other": BarLook("other", GREY, "xxxx"),
}

UNKNOWN_LOOK: Final = BarLook("phases unknown", FILL, "////", MUTED)

BOUND_MARKS: Final = {"launch": "^", "memory": "s", "compute": "o"}
NO_BOUND: Final = "none named"
"""Where no one of them explains half of the step, or where it is unknown."""

ROWS_AT_MOST: Final = 12

COLUMNS_IN: Final = 1.75
"""Room right of the bars for the step time and for what bounds it."""

TIME_IN: Final = 0.72
MARK_IN: Final = 0.94
WORD_IN: Final = 1.06
"""Where in that room the time ends, the mark stands and the word begins."""

NOTE_IN: Final = 0.17

LEAST_SHARE: Final = 0.09
"""A narrower piece of a bar has no room for its percentage."""

REASON_COLUMNS: Final = 240


@dataclass(frozen=True, slots=True)
class _Row:
    """One bar, or the heading of a group where there is no measurement."""

    label: str
    measurement: Measurement | None

    @property
    def shares(self) -> dict[str, float]:
        """The phases' parts of their sum; empty where they are unknown."""
        times = self.measurement.phase_times_s if self.measurement else {}
        total = sum(times.values())
        if not total > 0:
            return {}
        return {name: times[name] / total for name in PHASE_LOOKS if times.get(name)}


def time_phases(report: RunReport) -> Chart | None:
    """Shares of the phases along both axes of the grid; None where no point was timed."""
    focus = _focus(report)
    if focus is None:
        return None
    rows = _rows(report, focus)
    costs = phase_costs(report, [row.measurement.point for row in rows if row.measurement])
    note = _note(rows, costs)
    looks = _looks_used(rows)
    with style():
        bars_in = BAR_IN * len(rows)
        height_in = HEADING_IN + bars_in + AXIS_IN + NOTE_IN * len(note)
        figure = Figure(figsize=(WIDTH_IN, height_in + LEGEND_ROW_IN + MARGIN_IN))
        draw_heading(figure, TITLE, report)
        width_in = WIDTH_IN - 2 * MARGIN_IN - LABEL_IN - COLUMNS_IN
        box_in = (MARGIN_IN + LABEL_IN, HEADING_IN, width_in, bars_in)
        _draw_rows(axes_at(figure, box_in), rows, width_in)
        _draw_note(figure, note)
        draw_legend(figure, looks)
    return Chart("time-phases", TITLE, _finding(report, focus, rows, costs), figure)


def phase_costs(report: RunReport, points: Iterable[Point]) -> list[float]:
    """What steps timed by phase took above whole steps, as shares.

    Of each point that tells it quiet: the two kinds of steps follow one another, and what
    befell one of them would pass for the cost.
    """
    groups = by_point(report.run.observations)
    costs = []
    for point in dict.fromkeys(points):
        for timing in timings_of(groups.get(point, ()))[:1]:
            is_known = timing.samples_s and timing.phase_step_samples_s
            if is_known and judge(timing.conditions) is None:
                whole_s = median(timing.samples_s)
                costs.append(median(timing.phase_step_samples_s) / whole_s - 1)
    return costs


# --- what is drawn -------------------------------------------------------------------------------


def _focus(report: RunReport) -> Point | None:
    """The point recommended, or else the fastest."""
    advised = advised_point(report)
    if advised is not None and report.measurements[advised].step_time_s:
        return advised
    best = fastest(report.measurements)
    return best.point if best else None


def _rows(report: RunReport, focus: Point) -> list[_Row]:
    """Both groups with their headings; a group of the focus alone only where there is no other."""
    by_steps, by_batch = along_steps(report, focus), along_batch(report, focus)
    rows: list[_Row] = []
    room = max(ROWS_AT_MOST // 2, ROWS_AT_MOST - len(by_batch))
    if len(by_steps) > 1 or len(by_batch) == 1:
        rows.append(_Row(_group_title(f"B={focus.batch}", "T", by_steps, room), None))
        rows += _group(report, thinned(by_steps, room, focus), by_batch=False)
    room = max(ROWS_AT_MOST // 2, ROWS_AT_MOST - len(by_steps))
    if len(by_batch) > 1:
        rows.append(_Row(_group_title(f"T={focus.time_steps}", "B", by_batch, room), None))
        rows += _group(report, thinned(by_batch, room, focus), by_batch=True)
    return rows


def _group_title(held: str, along: str, points: Sequence[Point], room: int) -> str:
    count = f", {room} of {len(points)}" if len(points) > room else ""
    return f"at {held}, by {along}{count}"


def _group(report: RunReport, points: Iterable[Point], *, by_batch: bool) -> list[_Row]:
    return [
        _Row(row_label(report, point, by_batch=by_batch), report.measurements[point])
        for point in points
    ]


def _looks_used(rows: Iterable[_Row]) -> list[BarLook]:
    timed = [row for row in rows if row.measurement and row.measurement.step_time_s]
    used = {name for row in timed for name in row.shares}
    looks = [look for name, look in PHASE_LOOKS.items() if name in used]
    return looks + ([UNKNOWN_LOOK] if any(not row.shares for row in timed) else [])


def _draw_rows(axes: Axes, rows: Sequence[_Row], width_in: float) -> None:
    prepare_bars(axes, "", [row.label if row.measurement else "" for row in rows])
    axes.set_xlim(0, 1)
    ticks = [0, 0.25, 0.5, 0.75, 1]
    axes.set_xticks(ticks, [format_ratio(tick) if tick else "0" for tick in ticks])
    axes.set_xlabel("share of the steps timed by phase", fontsize=SMALL_PT, loc="left", labelpad=2)
    axes.tick_params(axis="x", length=2)
    axes.spines["left"].set_visible(False)
    stacks: dict[str, list[Bar]] = {}
    for y, row in enumerate(rows):
        if row.measurement is None:
            axes.text(0, y + 0.1, row.label, va="center", fontsize=SMALL_PT, weight="bold")
        elif not row.measurement.step_time_s:
            word = SHORT.get(row.measurement.outcome, "not timed")
            axes.text(0.01, y, word, va="center", fontsize=LABEL_PT, color=MUTED)
        else:
            _stack(axes, stacks, y, row)
    for name, bars in stacks.items():
        draw_bars(axes, bars, PHASE_LOOKS.get(name, UNKNOWN_LOOK), f"time-{name}")
    _draw_columns(axes, rows, width_in)


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
    axes.text(time_x, 0.1, "step time", ha="right", va="center", fontsize=SMALL_PT, color=MUTED)
    axes.text(word_x, 0.1, "bound by", va="center", fontsize=SMALL_PT, color=MUTED)
    marks: dict[str, list[float]] = {}
    for y, row in enumerate(rows):
        known = row.measurement
        if known is None or not known.step_time_s:
            continue
        text = format_seconds(known.step_time_s) + flags(known)
        axes.text(time_x, y, text, ha="right", va="center", fontsize=LABEL_PT)
        word, ink = (known.bound, INK) if known.bound else (NO_BOUND, MUTED)
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


# --- in words ------------------------------------------------------------------------------------


def _note(rows: Sequence[_Row], costs: Sequence[float]) -> list[str]:
    """What the phase steps cost, and what the marks at the step times mean."""
    lines = [_cost_in_words(costs)]
    used = "".join(flags(row.measurement) for row in rows if row.measurement)
    meanings = [("~", "step time not converged"), ("!", "step time noisy")]
    marks = ", ".join(f"{mark} {meaning}" for mark, meaning in meanings if mark in used)
    return lines + ([marks] if marks else [])


def _cost_in_words(costs: Sequence[float]) -> str:
    subject = "Steps timed by phase took"
    if not costs:
        return "What timing the phases costs is unknown: no point has both quiet."
    if len(costs) == 1:
        return f"{subject} {_signed(costs[0])} against whole steps."
    return (
        f"{subject} {_signed(median(costs))} against whole steps (median; "
        f"{_signed(min(costs))} to {_signed(max(costs))})."
    )


def _signed(share: float) -> str:
    return f"{share * 100:+.1f}%"


def _draw_note(figure: Figure, lines: Sequence[str]) -> None:
    down = float(figure.get_size_inches()[1])
    bottom_in = LEGEND_ROW_IN + MARGIN_IN * 0.7
    figure.text(
        MARGIN_IN / WIDTH_IN, bottom_in / down, "\n".join(lines), fontsize=SMALL_PT, color=MUTED,
        va="bottom", linespacing=1.35, gid="note",
    )  # fmt: skip


def _finding(report: RunReport, focus: Point, rows: Sequence[_Row], costs: Sequence[float]) -> str:
    measurement = report.measurements[focus]
    name = "the recommended" if focus == advised_point(report) else "the fastest point,"
    sentences = [f"At {name} {focus} {_largest(measurement)}.", _bound_in_words(measurement)]
    sentences += _spread(rows)
    return " ".join([*sentences, _cost_in_words(costs)])


def _largest(measurement: Measurement) -> str:
    step = format_seconds(measurement.step_time_s)
    shares = _Row("", measurement).shares
    if not shares:
        return f"a step takes {step}; its phases are unknown"
    ranked = sorted(shares.items(), key=lambda part: -part[1])
    rest = ", ".join(f"{name} {format_ratio(share)}" for name, share in ranked[1:])
    largest = f"{ranked[0][0]} takes {format_ratio(ranked[0][1])} of a step of {step}"
    return f"{largest} ({rest})" if rest else largest


def _bound_in_words(measurement: Measurement) -> str:
    reason = clip(measurement.bound_reason or "the reason is unknown", REASON_COLUMNS)
    if measurement.bound is None:
        return f"No one bound is named: {reason}."
    return f"It is {measurement.bound}-bound: {reason}."


def _spread(rows: Sequence[_Row]) -> list[str]:
    """The bounds of the other points drawn, counted."""
    timed = {
        row.measurement.point: row.measurement.bound or NO_BOUND
        for row in rows
        if row.measurement and row.measurement.outcome is Outcome.MEASURED
    }
    if len(timed) < 2:
        return []
    counts: Mapping[str, int] = {
        word: list(timed.values()).count(word) for word in (*BOUND_MARKS, NO_BOUND)
    }
    told = ", ".join(f"{word} at {count}" for word, count in counts.items() if count)
    return [f"Bound of the {len(timed)} points drawn: {told}."]
