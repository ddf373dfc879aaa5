"""Conditions over the run: the GPU's clock, heat and power, the processors, and the anchor."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rnnprof.plain_text import clip
from rnnprof.points.fold import Drift
from rnnprof.points.noise import judge
from rnnprof.report.charts.conditions_course import (
    TAKERS,
    Course,
    Pass,
    Reading,
    clock_of,
    course_of,
    heat_of,
    highest_clock,
    passes_of,
    power_limit,
    power_of,
    readings_of,
    reasons_of,
    shares_of,
)
from rnnprof.report.charts.conditions_words import finding_of
from rnnprof.report.charts.kit.bars import (
    AXIS_IN,
    BLUE,
    GREEN,
    HEADING_IN,
    LABEL_PT,
    LEGEND_ROW_IN,
    MARGIN_IN,
    ORANGE,
    PINK,
    VERMILLION,
    WIDTH_IN,
    axes_at,
    draw_heading,
)
from rnnprof.report.charts.kit.style import BASE_PT, INK, MUTED, SMALL_PT, Chart, style
from rnnprof.report.model import RunReport
from rnnprof.runfile.observations import Timing
from rnnprof.runfile.records import Run
from rnnprof.units import format_duration, format_ratio, format_seconds

TITLE: Final = "Conditions over the run"

PANEL_IN: Final = 0.62
REASON_IN: Final = 0.13
"""Height of a row of clock-event reasons."""

GAP_IN: Final = 0.36
"""A panel's title and the space above it."""

LEFT_IN: Final = 0.62
RIGHT_IN: Final = 1.12
"""Room for the words beside a strip: the marks' meaning, a bound, a reason."""

BESIDE: Final = 1.008
"""Where they begin, as a share of the strip's width."""

PAUSE_LABEL_IN: Final = 0.14

LABEL_SHARE: Final = 0.2
"""Of the width that the label of a pause takes: where two stand closer, the second has none."""

PASS_PT: Final = 2.6
"""Size of a pass's mark: small, for there may be a thousand of them."""


@dataclass(frozen=True, slots=True)
class _Series:
    """Values of one kind over the passes, those unknown left out."""

    name: str
    label: str
    colour: str
    marker: str
    values: tuple[tuple[Pass, float], ...]


@dataclass(frozen=True, slots=True)
class _Panel:
    """A strip of the chart.

    Attributes:
        bounds: lines to compare with: a value and its word.
        text: a tick as text.
    """

    gid: str
    title: str
    series: tuple[_Series, ...]
    bounds: tuple[tuple[float, str], ...] = ()
    text: Callable[[float], str] = "{:g}".format
    from_zero: bool = False


def conditions(report: RunReport) -> Chart | None:
    """Every pass's conditions in order of time; None where no pass told any."""
    course = course_of(report.run)
    passes = passes_of(report.run, course)
    drift = report.drift
    if not passes and drift is None:
        return None
    panels, reasons = _panels(passes), reasons_of(passes)
    heights = [PANEL_IN] * len(panels)
    heights += [REASON_IN * len(reasons) + 0.08] if reasons else []
    heights += [PANEL_IN] if drift else []
    with style():
        foot_in = AXIS_IN + LEGEND_ROW_IN * any(each.noisy for each in passes)
        height_in = _top_in(course) + sum(heights) + GAP_IN * len(heights) + foot_in
        figure = Figure(figsize=(WIDTH_IN, height_in))
        draw_heading(figure, TITLE, report)
        strips = _strips(figure, heights, course)
        for axes, panel in zip(strips, panels, strict=False):
            _draw_panel(axes, panel)
        if reasons:
            _draw_reasons(strips[len(panels)], reasons)
        if drift:
            _draw_anchor(strips[-1], report.run, drift, course)
        _draw_pauses(strips, course)
        _draw_foot(figure, strips[-1], course, passes)
    return Chart("conditions", TITLE, finding_of(course, passes, drift), figure)


def _panels(passes: Sequence[Pass]) -> list[_Panel]:
    """The strips of which anything is known."""
    found = [
        _device_panel(passes, "clock", "SM clock, MHz", BLUE, clock_of),
        _device_panel(passes, "heat", "temperature, °C", PINK, heat_of),
        _device_panel(passes, "power", "power, W", ORANGE, power_of),
        _cpu_panel(passes),
    ]
    return [panel for panel in found if any(series.values for series in panel.series)]


BOUND_OF: Final = {"clock": (highest_clock, "highest"), "power": (power_limit, "limit")}
"""The GPU's own bounds, drawn where all passes agree on them."""


def _device_panel(
    passes: Sequence[Pass], gid: str, title: str, colour: str, reading: Reading
) -> _Panel:
    """A reading of the GPU as each pass ended, while its clocks are those of work."""
    bounds: tuple[tuple[float, str], ...] = ()
    if gid in BOUND_OF:
        bound, word = BOUND_OF[gid]
        known = {value for _, value in readings_of(passes, bound)}
        bounds = tuple((value, f"{word} {value:g}") for value in known) if len(known) == 1 else ()
    series = _Series(title, title, colour, "o", tuple(readings_of(passes, reading)))
    return _Panel(gid, f"{title}, as each pass ended", (series,), bounds)


def _cpu_panel(passes: Sequence[Pass]) -> _Panel:
    """Who took processors; steal and throttling only where there were any."""
    series, bounds, drawn = [], [], []
    for taker in TAKERS:
        values = shares_of(passes, taker)
        if any(value for _, value in values) or (values and taker is TAKERS[0]):
            series.append(
                _Series(taker.name, taker.short, taker.colour, taker.marker, tuple(values))
            )
            bounds.append((taker.limit, ""))
            drawn.append(taker)
    told = ", ".join(f"{t.short} above {format_ratio(t.limit)}" for t in drawn)
    title = f"processor time taken, of one processor; disturbs (dashed): {told}"
    return _Panel("cpu", title, tuple(series), tuple(bounds), format_ratio, from_zero=True)


# --- how -----------------------------------------------------------------------------------------


def _top_in(course: Course) -> float:
    return HEADING_IN - MARGIN_IN + PAUSE_LABEL_IN * bool(course.pauses)


def _strips(figure: Figure, heights: Sequence[float], course: Course) -> list[Axes]:
    """Axes one below the other along the same x; only the last has its ticks labelled."""
    strips: list[Axes] = []
    top_in = _top_in(course)
    for height_in in heights:
        top_in += GAP_IN
        width_in = WIDTH_IN - LEFT_IN - RIGHT_IN
        axes = axes_at(figure, (LEFT_IN, top_in, width_in, height_in))
        first = 0.0 if course.is_timed else 1.0
        margin = 0.015 * max(course.end - first, 0.1)
        axes.set_xlim(first - margin, course.end + margin)
        axes.tick_params(axis="x", length=2, labelbottom=len(strips) + 1 == len(heights))
        top_in += height_in
        strips.append(axes)
    return strips


def _draw_panel(axes: Axes, panel: _Panel) -> None:
    axes.set_title(panel.title, fontsize=SMALL_PT + 0.5, loc="left", pad=4)
    for series in panel.series:
        _draw_series(axes, panel, series)
    _draw_crosses(axes, _noisy_places(panel), f"{panel.gid}-noisy")
    values = [value for series in panel.series for _, value in series.values]
    _set_range(axes, panel, values)
    for bound, word in panel.bounds:
        if bound <= axes.get_ylim()[1]:
            axes.axhline(bound, color=MUTED, linewidth=0.6, linestyle=(0, (4, 3)), zorder=1)
            _write_beside(axes, bound, word)
    if panel.gid == "cpu":
        axes.legend(
            loc="upper left", bbox_to_anchor=(1.0, 1.12), borderaxespad=0, borderpad=0.1,
            handletextpad=0.0, labelspacing=0.3, fontsize=LABEL_PT,
        )  # fmt: skip


def _write_beside(axes: Axes, y: float, text: str) -> None:
    axes.text(
        BESIDE, y, text, transform=axes.get_yaxis_transform(), va="center", fontsize=LABEL_PT,
        color=MUTED,
    )  # fmt: skip


def _draw_series(axes: Axes, panel: _Panel, series: _Series) -> None:
    axes.plot(
        [each.x for each, _ in series.values], [value for _, value in series.values],
        linestyle="none", marker=series.marker, markersize=PASS_PT, markeredgewidth=0,
        color=series.colour, label=series.label, gid=f"{panel.gid}-{series.name}", clip_on=False,
    )  # fmt: skip


def _noisy_places(panel: _Panel) -> list[tuple[float, float]]:
    """Of each noisy pass its highest value: where several series tell of it, one cross."""
    highest: dict[float, float] = {}
    for series in panel.series:
        for each, value in series.values:
            if each.noisy is not None:
                highest[each.x] = max(value, highest.get(each.x, value))
    return sorted(highest.items())


def _draw_crosses(axes: Axes, places: Sequence[tuple[float, float]], gid: str) -> None:
    if places:
        axes.plot(
            [x for x, _ in places], [y for _, y in places], linestyle="none", marker="x",
            markersize=4.5, markeredgewidth=1.1, color=VERMILLION, gid=gid, clip_on=False,
        )  # fmt: skip


def _set_range(axes: Axes, panel: _Panel, values: Sequence[float]) -> None:
    """Room about the values, and for the bound where it is near; three ticks at most."""
    low, high = min(values), max(values)
    bounds = [bound for bound, _ in panel.bounds]
    if panel.from_zero:
        low, high = 0.0, max(high, *bounds)
    elif bounds and max(bounds) < 2 * high:
        high = max(high, *bounds)
    room = 0.12 * (high - low) or 0.05 * abs(high) or 1.0
    axes.set_ylim(low if panel.from_zero else low - room, high + room)
    axes.locator_params(axis="y", nbins=3)
    ticks = [tick for tick in axes.get_yticks() if low - room <= tick <= high + room]
    axes.set_yticks(ticks, [panel.text(tick) for tick in ticks])
    axes.set_ylim(low if panel.from_zero else low - room, high + room)
    axes.grid(axis="y")
    axes.set_axisbelow(True)


def _draw_reasons(axes: Axes, reasons: dict[str, list[float]]) -> None:
    axes.set_title("clock-event reasons, as each pass ended", fontsize=SMALL_PT + 0.5, pad=4)
    for row, (name, places) in enumerate(reasons.items()):
        axes.plot(
            places, [row] * len(places), linestyle="none", marker="|", markersize=5,
            color=INK, gid=f"reason-{clip(name, 40)}",
        )  # fmt: skip
    axes.set_ylim(len(reasons) - 0.4, -0.6)
    axes.set_yticks([])
    for row, (name, places) in enumerate(reasons.items()):
        _write_beside(axes, row, f"{clip(name, 18)}, {len(places)}")
    axes.spines["left"].set_visible(False)


def _draw_anchor(axes: Axes, run: Run, drift: Drift, course: Course) -> None:
    """The anchor's step time relative to its first quiet one, in per cent."""
    first_s = drift.medians_s[0]
    timed = [
        (course.places[o.attempt], (median(o.samples_s) / first_s - 1) * 100, judge(o.conditions))
        for o in _anchor_timings(run, drift)
        if o.attempt in course.places
    ]
    calm = [(x, change) for x, change, noisy in timed if noisy is None]
    axes.plot(
        [x for x, _ in calm], [change for _, change in calm], color=GREEN, marker="D",
        markersize=3.6, linewidth=1.0, gid="anchor",
    )  # fmt: skip
    _draw_crosses(axes, [(x, c) for x, c, hit in timed if hit is not None], "anchor-noisy")
    title = f"anchor {drift.point}: step time relative to its first, {format_seconds(first_s)}"
    panel = _Panel("anchor", title, (), text=_change)
    axes.set_title(title, fontsize=SMALL_PT + 0.5, pad=4)
    _set_range(axes, panel, [change for _, change, _ in timed] or [0.0])
    if calm:
        _write_beside(axes, calm[-1][1], f"drift {format_ratio(drift.ratio)}")


def _change(percent: float) -> str:
    return f"{percent:+,.0f}%" if abs(percent) >= 100 else f"{percent:+.3g}%"


def _anchor_timings(run: Run, drift: Drift) -> list[Timing]:
    return [
        o for o in run.observations
        if isinstance(o, Timing) and o.point == drift.point and o.samples_s
    ]  # fmt: skip


def _draw_pauses(strips: Sequence[Axes], course: Course) -> None:
    """A line through all strips at each pause, labelled above where there is room."""
    for axes in strips:
        for pause in course.pauses:
            axes.axvline(pause.x, color=MUTED, linewidth=0.8, linestyle=(0, (1, 1.5)), gid="pause")
    left, right = strips[0].get_xlim()
    room = LABEL_SHARE * (right - left)
    free_from = left
    for pause in course.pauses:
        is_late = pause.x + room > right
        if pause.x - is_late * room < free_from:
            continue
        free_from = pause.x + (not is_late) * room
        length = f" after {format_duration(pause.length_s)}" if pause.length_s else ""
        strips[0].text(
            pause.x, 1.34, f"resumed{length}", transform=strips[0].get_xaxis_transform(),
            fontsize=LABEL_PT, color=MUTED, ha="right" if is_late else "left", va="bottom",
            gid="resumed",
        )  # fmt: skip


def _draw_foot(figure: Figure, lowest: Axes, course: Course, passes: Sequence[Pass]) -> None:
    label = "minutes since the first pass" if course.is_timed else "pass, in order"
    label += ", pauses taken out" if course.is_timed and course.pauses else ""
    lowest.set_xlabel(label, fontsize=SMALL_PT, loc="left", labelpad=2)
    noisy = sum(each.noisy is not None for each in passes)
    down = float(figure.get_size_inches()[1])
    y = (MARGIN_IN / 2) / down
    if noisy:
        mark = MARGIN_IN / WIDTH_IN
        figure.text(
            mark, y, "×", fontsize=BASE_PT + 2, color=VERMILLION, weight="bold", va="bottom"
        )
        text = f"noisy: {noisy} of {len(passes)} passes"
        figure.text(mark + 0.022, y, text, fontsize=SMALL_PT, va="bottom", gid="noisy")
