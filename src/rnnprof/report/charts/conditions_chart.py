"""Conditions over the run: the GPU's clock, heat and power, the processors, and the anchor."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from matplotlib.axes import Axes

from rnnprof.plain_text import clip
from rnnprof.report.charts.kit.axes import foot_label
from rnnprof.report.charts.kit.bars import LABEL_PT
from rnnprof.report.charts.kit.scales import Scales, scales_for
from rnnprof.report.charts.kit.sheet import (
    AXIS_IN,
    WIDTH_IN,
    Key,
    Sheet,
    legend_beside,
    make_sheet,
    mark,
    panel_title,
)
from rnnprof.report.charts.kit.style import (
    BLUE,
    GREEN,
    GREY,
    INK,
    MUTED,
    NOISY,
    OLIVE,
    PINK,
    SKY,
    SMALL_PT,
    Chart,
    style,
)
from rnnprof.report.charts.kit.units import format_ratio, format_seconds
from rnnprof.report.model import (
    TAKEN_RATIOS,
    Course,
    Pass,
    RunReport,
    Taker,
    readings_of,
    reasons_of,
    shares_of,
)
from rnnprof.report.words import chart_legends as legends
from rnnprof.report.words import run_charts as words
from rnnprof.report.words.points import TAKERS

PANEL_IN: Final = 0.62
REASON_IN: Final = 0.13
"""Height of a row of clock-event reasons."""

GAP_IN: Final = 0.36
"""A panel's title and the space above it."""

PAUSE_LABEL_IN: Final = 0.14
LEFT_IN: Final = 0.62
RIGHT_IN: Final = 1.12
"""Room for the words beside a strip: the marks' meaning, a bound, a reason."""

BESIDE: Final = 1.008
"""Where they begin, as a share of the strip's width."""

LABEL_SHARE: Final = 0.2
"""Of the width that the label of a pause takes: where two are closer, the second has none."""

PASS_PT: Final = 2.6
"""Size of a pass's mark: small, for there may be a thousand of them."""

CROSS: Final[dict[str, Any]] = {
    "marker": "x",
    "markersize": 4.5,
    "markeredgewidth": 1.3,
    "color": NOISY,
}
DEVICE: Final = (
    ("clock", "sm_clock_mhz", legends.SM_CLOCK, BLUE, ("max_sm_clock_mhz", "highest")),
    ("heat", "temperature_c", legends.TEMPERATURE, PINK, None),
    ("power", "power_w", legends.POWER, OLIVE, ("power_limit_w", "limit")),
)
"""The GPU's readings, each with its own bound, drawn where all passes agree on it."""

TAKER_MARKS: Final = ((SKY, "o"), (GREY, "^"), (GREEN, "s"))


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
        span: what the axis of y holds, in all runs of the page.
        text: a tick as text.
    """

    gid: str
    title: str
    series: tuple[_Series, ...]
    span: tuple[float, float]
    bounds: tuple[tuple[float, str], ...] = ()
    text: Callable[[float], str] = "{:g}".format
    from_zero: bool = False


def conditions(report: RunReport, scales: Scales | None = None) -> Chart | None:
    """Every pass's conditions in order of time; None where no pass recorded any.

    Each run has its own axis of time; what was read has the same range in all of them.

    Args:
        report: the run to draw.
        scales: of all runs on the page; of this one alone where None.
    """
    passes, drift, course = report.passes, report.drift, report.course
    if not passes and drift is None:
        return None
    shared = scales_for(report, scales)
    panels, reasons = _panels(report, shared), reasons_of(passes)
    heights = [PANEL_IN] * len(panels)
    heights += [REASON_IN * len(reasons) + 0.08] if reasons else []
    heights += [PANEL_IN] if drift else []
    room_in = sum(heights) + GAP_IN * len(heights) + PAUSE_LABEL_IN * bool(course.pauses)
    with style():
        keys = list(_keys(passes))
        sheet = make_sheet(words.CONDITIONS_TITLE, report, room_in + AXIS_IN - 0.1, keys)
        strips = _strips(sheet, heights, course)
        for axes, panel in zip(strips, panels, strict=False):
            _draw_panel(axes, panel)
        if reasons:
            _draw_reasons(strips[len(panels)], reasons)
        if drift:
            _draw_anchor(strips[-1], report, shared)
        _draw_pauses(strips, course)
        has_pauses = bool(course.pauses)
        foot_label(strips[-1], legends.time_axis(is_timed=course.is_timed, has_pauses=has_pauses))
    finding = words.conditions_finding(report)
    return Chart("conditions", words.CONDITIONS_TITLE, finding, sheet.figure)


def _keys(passes: Sequence[Pass]) -> Iterator[Key]:
    noisy = sum(each.noisy is not None for each in passes)
    if noisy:
        yield mark(**CROSS), legends.noisy_passes(noisy, len(passes))


# --- what is known -------------------------------------------------------------------------------


def _panels(report: RunReport, scales: Scales) -> list[_Panel]:
    """The strips of which anything is known."""
    found = []
    for gid, field, title, colour, bound in DEVICE:
        values = tuple(readings_of(report.passes, field))
        span = scales.span(READINGS[field])
        if values and span:
            series = _Series(title, title, colour, "o", values)
            bounds = _bounds(report, *bound) if bound else ()
            found.append(_Panel(gid, legends.as_ended(title), (series,), span, bounds))
    cpu = _cpu_panel(report, scales)
    return [*found, *([cpu] if cpu else [])]


def _readings(report: RunReport, field: str) -> list[float]:
    return [value for _, value in readings_of(report.passes, field)]


READINGS: Final = {field: partial(_readings, field=field) for _, field, *_ in DEVICE}


def _bounds(report: RunReport, field: str, word: str) -> tuple[tuple[float, str], ...]:
    known = set(_readings(report, field))
    return tuple((value, f"{word} {value:g}") for value in known) if len(known) == 1 else ()


def _cpu_panel(report: RunReport, scales: Scales) -> _Panel | None:
    """Who took processors; steal and throttling only where there were any."""
    series, drawn = [], []
    for taker, (colour, marker) in zip(Taker, TAKER_MARKS, strict=True):
        words, values = TAKERS[taker], tuple(shares_of(report.passes, taker))
        if any(value for _, value in values) or (values and taker is Taker.OTHERS):
            series.append(_Series(taker.value, words.short, colour, marker, values))
            drawn.append(taker)
    if not drawn:
        return None
    title = legends.cpu_panel([(TAKERS[taker].short, TAKEN_RATIOS[taker]) for taker in drawn])
    bounds = tuple((TAKEN_RATIOS[taker], "") for taker in drawn)
    span = scales.span(_shares) or (0.0, 1.0)
    return _Panel("cpu", title, tuple(series), span, bounds, format_ratio, from_zero=True)


def _shares(report: RunReport) -> Iterator[float]:
    for taker in Taker:
        yield from (share for _, share in shares_of(report.passes, taker))


def _changes(report: RunReport) -> list[float]:
    """The anchor's step times relative to its first without noise, in per cent."""
    if report.drift is None:
        return []
    first_s = report.drift.medians_s[0]
    return [(median_s / first_s - 1) * 100 for _, median_s, _ in report.anchor_timings()]


# --- how -----------------------------------------------------------------------------------------


def _strips(sheet: Sheet, heights: Sequence[float], course: Course) -> list[Axes]:
    """Axes one below the other along the same x; only the last has its ticks labelled."""
    strips: list[Axes] = []
    top_in = PAUSE_LABEL_IN * bool(course.pauses) - 0.12
    for height_in in heights:
        top_in += GAP_IN
        axes = sheet.axes(LEFT_IN, top_in, WIDTH_IN - LEFT_IN - RIGHT_IN, height_in)
        first = 0.0 if course.is_timed else 1.0
        margin = 0.015 * max(course.end - first, 0.1)
        axes.set_xlim(first - margin, course.end + margin)
        axes.tick_params(axis="x", length=2, labelbottom=len(strips) + 1 == len(heights))
        top_in += height_in
        strips.append(axes)
    return strips


def _draw_panel(axes: Axes, panel: _Panel) -> None:
    panel_title(axes, panel.title, SMALL_PT + 0.5)
    for series in panel.series:
        axes.plot(
            [each.x for each, _ in series.values], [value for _, value in series.values],
            linestyle="none", marker=series.marker, markersize=PASS_PT, markeredgewidth=0,
            color=series.colour, label=series.label, gid=f"{panel.gid}-{series.name}",
            clip_on=False,
        )  # fmt: skip
    _draw_crosses(axes, _noisy_places(panel), f"{panel.gid}-noisy")
    _set_range(axes, panel)
    for bound, word in panel.bounds:
        if bound <= axes.get_ylim()[1]:
            axes.axhline(bound, color=MUTED, linewidth=0.6, linestyle=(0, (4, 3)), zorder=1)
            _write_beside(axes, bound, word)
    if panel.gid == "cpu":
        legend_beside(
            axes, top=1.12, borderaxespad=0, borderpad=0.1, handletextpad=0.0, labelspacing=0.3,
            fontsize=LABEL_PT,
        )  # fmt: skip


def _write_beside(axes: Axes, y: float, text: str) -> None:
    axes.text(
        BESIDE, y, text, transform=axes.get_yaxis_transform(), va="center", fontsize=LABEL_PT,
        color=MUTED,
    )  # fmt: skip


def _noisy_places(panel: _Panel) -> list[tuple[float, float]]:
    """Of each noisy pass its highest value: where several series show it, one cross."""
    highest: dict[float, float] = {}
    for series in panel.series:
        for each, value in series.values:
            if each.noisy is not None:
                highest[each.x] = max(value, highest.get(each.x, value))
    return sorted(highest.items())


def _draw_crosses(axes: Axes, places: Sequence[tuple[float, float]], gid: str) -> None:
    if places:
        xs, ys = zip(*places, strict=True)
        axes.plot(xs, ys, **CROSS, linestyle="none", gid=gid, clip_on=False)


def _set_range(axes: Axes, panel: _Panel) -> None:
    """Room about the values, and for the bound where it is near; three ticks at most."""
    low, high = panel.span
    bounds = [bound for bound, _ in panel.bounds]
    if panel.from_zero:
        low, high = 0.0, max(high, *bounds)
    elif bounds and max(bounds) < 2 * high:
        high = max(high, *bounds)
    room = 0.12 * (high - low) or 0.05 * abs(high) or 1.0
    limits = (low if panel.from_zero else low - room, high + room)
    axes.set_ylim(*limits)
    axes.locator_params(axis="y", nbins=3)
    ticks = [tick for tick in axes.get_yticks() if low - room <= tick <= high + room]
    axes.set_yticks(ticks, [panel.text(tick) for tick in ticks])
    axes.set_ylim(*limits)
    axes.grid(axis="y")
    axes.set_axisbelow(True)


def _draw_reasons(axes: Axes, reasons: dict[str, list[float]]) -> None:
    panel_title(axes, legends.as_ended(legends.EVENT_REASONS), SMALL_PT + 0.5)
    for row, (name, places) in enumerate(reasons.items()):
        axes.plot(
            places, [row] * len(places), linestyle="none", marker="|", markersize=5,
            color=INK, gid=f"reason-{clip(name, 40)}",
        )  # fmt: skip
        _write_beside(axes, row, f"{clip(name, 18)}, {len(places)}")
    axes.set_ylim(len(reasons) - 0.4, -0.6)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)


def _draw_anchor(axes: Axes, report: RunReport, scales: Scales) -> None:
    """The anchor's step time relative to its first without noise, in per cent."""
    drift, timings = report.drift, report.anchor_timings()
    assert drift is not None
    places = [
        (x, change, noisy) for (x, _, noisy), change in zip(timings, _changes(report), strict=True)
    ]
    calm = [(x, change) for x, change, noisy in places if not noisy]
    axes.plot(
        [x for x, _ in calm], [change for _, change in calm], color=GREEN, marker="D",
        markersize=3.6, linewidth=1.0, gid="anchor",
    )  # fmt: skip
    _draw_crosses(axes, [(x, change) for x, change, noisy in places if noisy], "anchor-noisy")
    title = legends.anchor_panel(drift.point, format_seconds(drift.medians_s[0]))
    panel_title(axes, title, SMALL_PT + 0.5)
    span = scales.span(_changes) or (0.0, 0.0)
    _set_range(axes, _Panel("anchor", title, (), span, text=_change))
    if calm:
        _write_beside(axes, calm[-1][1], legends.drift_label(drift.ratio))


def _change(percent: float) -> str:
    return f"{percent:+,.0f}%" if abs(percent) >= 100 else f"{percent:+.3g}%"


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
        strips[0].text(
            pause.x, 1.34, legends.resumed(pause.length_s),
            transform=strips[0].get_xaxis_transform(), fontsize=LABEL_PT, color=MUTED,
            ha="right" if is_late else "left", va="bottom", gid="resumed",
        )  # fmt: skip
