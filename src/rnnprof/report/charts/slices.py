"""Throughput and peak memory over one axis of the grid, a line for each value of the other."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from rnnprof.report.charts.kit.axes import (
    BATCH,
    BINARY_STEPS,
    STEPS,
    GridAxis,
    apart,
    around,
    extent_pt,
    grid_axis,
    level_axis,
    log_levels,
    spread,
)
from rnnprof.report.charts.kit.lines import LINES_AT_MOST, line_style, lines_of
from rnnprof.report.charts.kit.scales import Scales, scales_for
from rnnprof.report.charts.kit.sheet import AXIS_IN, WIDTH_IN, Key, Sheet, make_sheet, mark
from rnnprof.report.charts.kit.style import (
    INK,
    MUTED,
    OKABE_ITO,
    PAPER,
    RECOMMENDED,
    SMALL_PT,
    Chart,
    style,
)
from rnnprof.report.charts.kit.units import byte_tick, rate_tick
from rnnprof.report.model import (
    NEAR_BEST_RATIO,
    Measurement,
    Outcome,
    Point,
    RunReport,
    flags,
    is_oom,
    memory_bytes,
    rate_interval,
    throughput,
)
from rnnprof.report.words import chart_legends as legends
from rnnprof.report.words import charts as words

PANEL_IN: Final = 2.6
TOP_IN: Final = 0.06
LEFT_IN: Final = 0.62
"""Beside each panel: its axis label and tick labels."""

RIGHT_IN: Final = 0.72
"""Beside each panel: the keys of its lines."""

LOG_RATE_FROM_RATIO: Final = 12.0
"""Rates that span more than this hide the lower ones on a scale that begins at zero."""

FAR_LIMIT_RATIO: Final = 64.0
"""A limit so far above what was measured would press the lines flat: it is given in words."""

LIMIT_LEVEL: Final = 0.84
"""Height of the highest line or limit in the memory panel: above it are the OOMs."""

OOM_LEVEL: Final = 0.965
OOM_PT: Final = 6.0

RING: Final[dict[str, Any]] = {
    "linestyle": "none", "marker": "o", "markersize": 11, "markerfacecolor": "none",
    "markeredgecolor": RECOMMENDED, "markeredgewidth": 1.5,
}  # fmt: skip
KNEE: Final[dict[str, Any]] = RING | {
    "marker": "D", "markersize": 7, "markeredgecolor": INK, "markeredgewidth": 0.7,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Slices:
    """What both panels share.

    Attributes:
        along, across: which of B and T runs along x, and which distinguishes the lines.
        name: of the chart, and in the ids of artists.
        places: along x, ascending.
        lines: the values that are drawn, with the index of each one's style.
        of_lines: how many there are at which anything was measured.
    """

    report: RunReport
    scales: Scales
    along: GridAxis
    across: GridAxis
    name: str
    places: tuple[int, ...]
    lines: dict[int, int]
    of_lines: int

    def known(self, line: int) -> list[Measurement]:
        """What is known along a line."""
        return [m for place in self.places if (m := self.at(place, line)) is not None]

    def at(self, place: int, line: int) -> Measurement | None:
        """What is known at a place of a line."""
        point = Point(place, line) if self.along is BATCH else Point(line, place)
        return self.report.measurements.get(point)

    def x(self, measurement: Measurement) -> int:
        """Where along x a point is."""
        return self.along.value(measurement.point)


@dataclass(frozen=True, slots=True)
class _Panel:
    """One of the two: its axes, and the number that it shows of a point."""

    name: str
    axes: Axes
    value: Callable[[Measurement], float | None]
    slices: _Slices

    def values(self, line: int) -> list[float]:
        """At each place; nan breaks the line where nothing is known."""
        known = [self.slices.at(place, line) for place in self.slices.places]
        values = [None if m is None else self.value(m) for m in known]
        return [math.nan if value is None else float(value) for value in values]

    def gid(self, what: str, line: int | None = None) -> str:
        """The id of an artist."""
        of = "" if line is None else f"{self.slices.across.letter}{line}"
        return f"{self.slices.name}-{self.name}-{what}{of}"


def slices_over_batch(report: RunReport, scales: Scales | None = None) -> Chart | None:
    """Throughput and peak memory over B, a line for each T; None where nothing was tried.

    Args:
        report: the run to draw.
        scales: of all runs on the page; of this one alone where None.
    """
    return _chart(report, scales_for(report, scales), "slices-batch", BATCH, STEPS)


def slices_over_steps(report: RunReport, scales: Scales | None = None) -> Chart | None:
    """Throughput and peak memory over T, a line for each B; as :func:`slices_over_batch`."""
    return _chart(report, scales_for(report, scales), "slices-steps", STEPS, BATCH)


def _chart(
    report: RunReport, scales: Scales, name: str, along: GridAxis, across: GridAxis
) -> Chart | None:
    if not any(m.outcome is Outcome.MEASURED or is_oom(m) for m in report.measurements.values()):
        return None
    slices = _slices_of(report, scales, name, along, across)
    title = words.slices_title(along.letter, across.letter, len(slices.lines), slices.of_lines)
    with style():
        sheet = make_sheet(title, report, TOP_IN + PANEL_IN + AXIS_IN, list(_keys(slices)))
        rate = _panel(sheet, slices, 0, "rate", throughput)
        memory = _panel(sheet, slices, 1, "memory", memory_bytes)
        _draw_rates(rate)
        _draw_memory(memory)
        for panel in (rate, memory):
            for line in slices.lines:
                _draw_line(panel, line)
            _draw_rings(panel, "advised", RING, report.advice.points)
            _draw_line_keys(panel)
        _draw_rings(rate, "knees", KNEE, sorted(report.knees))
    finding = words.slices_finding(report, along.letter, _described(slices))
    return Chart(name, title, finding, sheet.figure)


def _slices_of(
    report: RunReport, scales: Scales, name: str, along: GridAxis, across: GridAxis
) -> _Slices:
    lines_at = _lengths if across is STEPS else _batches
    lines = lines_at(report)
    keep = [across.value(r.advice.point) for r in scales.reports if r.advice.point is not None]
    chosen = lines_of(lines, scales.values(lines_at), keep)
    places = tuple(along.values(report))
    return _Slices(report, scales, along, across, name, places, chosen, len(lines))


def _lengths(report: RunReport) -> list[int]:
    return _measured_lines(report, STEPS)


def _batches(report: RunReport) -> list[int]:
    return _measured_lines(report, BATCH)


def _measured_lines(report: RunReport, across: GridAxis) -> list[int]:
    """The values at which anything was measured, ascending."""
    known = report.measurements.items()
    return sorted({across.value(p) for p, m in known if m.outcome is Outcome.MEASURED})


def _described(slices: _Slices) -> words.Slice | None:
    """The line in the finding: the recommended one, else the one with most points."""
    known = {line: slices.known(line) for line in slices.lines}
    advised = slices.report.advice.point
    line = max(known, key=lambda each: (len(known[each]), each), default=None)
    if advised is not None and slices.across.value(advised) in known:
        line = slices.across.value(advised)
    if line is None:
        return None
    name = f"{slices.across.letter}={line}"
    return words.Slice(name, slices.along.letter, slices.along.value, known[line])


# --- the panels ----------------------------------------------------------------------------------


def _panel(
    sheet: Sheet,
    slices: _Slices,
    column: int,
    name: str,
    value: Callable[[Measurement], float | None],
) -> _Panel:
    width_in = WIDTH_IN / 2 - LEFT_IN - RIGHT_IN
    axes = sheet.axes(column * WIDTH_IN / 2 + LEFT_IN, TOP_IN, width_in, PANEL_IN)
    span = slices.scales.span(slices.along.values) or (1.0, 1.0)
    grid_axis(axes, "x", slices.along, slices.places, around(span))
    axes.grid(axis="y", zorder=0)
    return _Panel(name, axes, value, slices)


def _rates(report: RunReport) -> list[float]:
    rates = map(throughput, report.measurements.values())
    return [rate for rate in rates if rate is not None]


def _peaks(report: RunReport) -> list[float]:
    peaks = map(memory_bytes, report.measurements.values())
    return [peak for peak in peaks if peak is not None]


def _draw_rates(panel: _Panel) -> None:
    axes, span = panel.axes, panel.slices.scales.span(_rates)
    axes.set_ylabel(legends.THROUGHPUT_AXIS)
    if span is None:
        _say_nothing(panel, legends.NOT_TIMED)
    elif span[0] > 0 and span[1] / span[0] > LOG_RATE_FROM_RATIO:
        log_levels(axes, (span[0] / 1.2, span[1] * 1.2), rate_tick)
    else:
        level_axis(axes, span[1], rate_tick)
    for line, index in panel.slices.lines.items():
        _draw_intervals(panel, line, index)


def _draw_intervals(panel: _Panel, line: int, index: int) -> None:
    known = panel.slices.known(line)
    bars = [(m, interval) for m in known if (interval := rate_interval(m)) is not None]
    if not bars:
        return
    rates = [throughput(m) or 0.0 for m, _ in bars]
    below = [max(0.0, r - low) for r, (_, (low, _)) in zip(rates, bars, strict=True)]
    above = [max(0.0, high - r) for r, (_, (_, high)) in zip(rates, bars, strict=True)]
    drawn = panel.axes.errorbar(
        [panel.slices.x(m) for m, _ in bars], rates, yerr=(below, above),
        fmt="none", ecolor=OKABE_ITO[index], elinewidth=0.9, capsize=2.4, zorder=3,
    )  # fmt: skip
    drawn.lines[2][0].set_gid(panel.gid("interval-", line))


def _draw_memory(panel: _Panel) -> None:
    """Peaks and limit on a logarithmic axis, out of memory above them."""
    axes, slices = panel.axes, panel.slices
    axes.set_ylabel(legends.MEMORY_AXIS)
    peaks = slices.scales.values(_peaks)
    limits = [(each.limit_bytes, each.headroom_ratio) for each in slices.scales.reports]
    far = FAR_LIMIT_RATIO * max(peaks, default=math.inf)
    near = [limit * free for limit, ratio in limits if limit <= far for free in (1.0, 1 - ratio)]
    low, high = min((*peaks, *near)) / 1.25, max((*peaks, *near))
    # so high that the highest line or limit is at its level
    top = max(low * (high / low) ** (1 / LIMIT_LEVEL), 2 * low)
    log_levels(axes, (low, top), byte_tick, BINARY_STEPS)
    _draw_limit(panel, is_near=slices.report.limit_bytes <= far)
    _draw_ooms(panel)


def _draw_limit(panel: _Panel, *, is_near: bool) -> None:
    """The limit and the headroom below it, or in words a limit far above the panel."""
    axes, report = panel.axes, panel.slices.report
    limit, level = report.limit_bytes, LIMIT_LEVEL
    text = legends.limit_above(limit)
    if is_near:
        axes.axhline(limit, color=INK, linewidth=1.2, zorder=2, gid=panel.gid("limit"))
        usable, dashed = limit * (1 - report.headroom_ratio), (0, (4, 2))
        if report.headroom_ratio > 0:
            axes.axhline(
                usable, color=MUTED, linewidth=0.8, linestyle=dashed, zorder=2,
                gid=panel.gid("headroom"),
            )  # fmt: skip
        text = legends.limit_line(limit, report.headroom_ratio)
        level = float(axes.transAxes.inverted().transform(axes.transData.transform((1, limit)))[1])
    axes.annotate(
        text, (0, level), (2, 2), xycoords="axes fraction", textcoords="offset points",
        fontsize=SMALL_PT, color=INK, va="bottom", zorder=6, gid=panel.gid("limit-words"),
    )  # fmt: skip


def _draw_ooms(panel: _Panel) -> None:
    """A cross where a size was out of memory, with the smallest value at which it was."""
    slices, least = panel.slices, dict[int, int]()
    for point, measurement in sorted(slices.report.measurements.items()):
        if is_oom(measurement):
            place, line = slices.along.value(point), slices.across.value(point)
            least[place] = min(line, least.get(place, line))
    if not least:
        return
    across = panel.axes.get_xaxis_transform()
    xs = sorted(least)
    panel.axes.plot(
        xs, [OOM_LEVEL] * len(xs), linestyle="none", marker="x", markersize=5, color=INK,
        markeredgewidth=1.2, transform=across, clip_on=False, zorder=5, gid=panel.gid("oom"),
    )  # fmt: skip
    texts = [f"{slices.across.letter}≥{least[x]}" for x in xs]
    per_pixel = 72 / panel.axes.figure.dpi
    places = [float(panel.axes.transData.transform((x, 1))[0]) * per_pixel for x in xs]
    for index in apart(places, [len(text) * 0.62 * OOM_PT for text in texts]):
        panel.axes.annotate(
            texts[index], (xs[index], OOM_LEVEL), (0, 3.5), ha="center", va="bottom",
            xycoords=across, textcoords="offset points", fontsize=OOM_PT, color=INK,
            annotation_clip=False, gid=panel.gid(f"oom-{slices.along.letter}{xs[index]}"),
        )  # fmt: skip


def _say_nothing(panel: _Panel, text: str) -> None:
    panel.axes.set_yticks([])
    panel.axes.text(
        0.5, 0.5, text, transform=panel.axes.transAxes, ha="center", va="center", color=MUTED
    )


# --- lines and marks -----------------------------------------------------------------------------


def _draw_line(panel: _Panel, line: int) -> None:
    """A line, and in the rates open marks over those whose time is less certain."""
    slices, values = panel.slices, panel.values(line)
    if all(value != value for value in values):
        return
    look = line_style(slices.lines[line], len(values))
    panel.axes.plot(slices.places, values, **look, zorder=4, gid=panel.gid("", line))
    doubtful = [m for m in slices.known(line) if flags(m)] if panel.name == "rate" else []
    if doubtful:
        look |= {"linestyle": "none", "markerfacecolor": PAPER}
        panel.axes.plot(
            [slices.x(m) for m in doubtful], [throughput(m) or 0.0 for m in doubtful], **look,
            zorder=4.5, gid=panel.gid("doubtful-", line),
        )  # fmt: skip


def _draw_rings(panel: _Panel, name: str, look: dict[str, Any], points: Sequence[Point]) -> None:
    """Marks around points that are drawn."""
    slices = panel.slices
    shown = [p for p in points if slices.across.value(p) in slices.lines]
    known = [m for p in shown if (m := slices.report.measurements.get(p)) is not None]
    values = [(slices.x(m), value) for m in known if (value := panel.value(m)) is not None]
    if values:
        small = {"markersize": 4.5} if len(values) > LINES_AT_MOST else {}
        panel.axes.plot(
            [x for x, _ in values], [value for _, value in values], **(look | small), zorder=5,
            gid=panel.gid(name),
        )  # fmt: skip


def _draw_line_keys(panel: _Panel) -> None:
    """Each line's mark and value beside the panel, at the height of the line's end."""
    slices, axes = panel.slices, panel.axes
    ends = [
        (line, value) for line in slices.lines if (value := _last(panel.values(line))) is not None
    ]
    extent, top_pt = axes.get_window_extent(), extent_pt(axes)[1]
    ys = [float(axes.transData.transform((1, value))[1]) for _, value in ends]
    heights = [(y - extent.y0) / extent.height * top_pt for y in ys]
    levels = spread(heights, 1.25 * SMALL_PT, (0.5 * SMALL_PT, top_pt - 0.5 * SMALL_PT))
    for (line, _), level in zip(ends, levels, strict=True):
        at, look = level / top_pt, line_style(slices.lines[line])
        axes.plot(
            (1.02, 1.07, 1.12), (at, at, at), **look, markevery=[1], transform=axes.transAxes,
            clip_on=False,
        )  # fmt: skip
        axes.text(
            1.14, at, f"{slices.across.letter}={line}", fontsize=SMALL_PT, va="center", color=INK,
            transform=axes.transAxes, gid=panel.gid("key-", line),
        )  # fmt: skip


def _last(values: Sequence[float]) -> float | None:
    return next((value for value in reversed(values) if value == value), None)


# --- the legend ----------------------------------------------------------------------------------


def _keys(slices: _Slices) -> Iterator[Key]:
    """What the marks mean, of those that are used."""
    report = slices.report
    shown = [m for line in slices.lines for m in slices.known(line)]
    if any(m.point in report.advice.points for m in shown):
        yield Line2D([], [], **RING | {"markersize": 8}), legends.RECOMMENDED
    if any(m.point in report.knees for m in shown):
        yield Line2D([], [], **KNEE), legends.knee(NEAR_BEST_RATIO)
    timed = [m for m in shown if rate_interval(m) is not None]
    if timed:
        words_of = legends.interval(is_within=any(m.step_time_ci_s is None for m in timed))
        yield mark("|", markersize=8, color=MUTED), words_of
    if any(flags(m) for m in shown):
        yield mark("o", markerfacecolor=PAPER, color=MUTED, markersize=4), legends.OPEN_MARK
    if any(is_oom(m) for m in report.measurements.values()):
        key = mark("x", markersize=5, markeredgewidth=1.2)
        yield key, legends.oom_from(slices.across.letter)
