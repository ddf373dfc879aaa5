"""Conditions over the run: the card's clock, heat and power, the processors, and the anchor."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from statistics import median
from typing import Final

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rnnprof.analysis.disturbance import OTHERS_RATIO, STEAL_RATIO, THROTTLED_RATIO, judge
from rnnprof.analysis.fold import Drift, anchor_drift
from rnnprof.records import Conditions, DeviceConditions, Observation, Run, Timing
from rnnprof.report.breakdown import (
    AXIS_IN,
    BLUE,
    GREEN,
    HEADING_IN,
    LABEL_PT,
    LEGEND_ROW_IN,
    MARGIN_IN,
    ORANGE,
    PINK,
    SKY,
    VERMILLION,
    WIDTH_IN,
    axes_at,
    draw_heading,
)
from rnnprof.report.drawing import BASE_PT, INK, MUTED, SMALL_PT, Chart, style
from rnnprof.report.table import clip
from rnnprof.report.view import View
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

PAUSE_SHARE: Final = 0.02
"""Of the time drawn that a pause between invocations is drawn as, however long it was."""

LABEL_SHARE: Final = 0.2
"""Of the width that the label of a pause takes: where two stand closer, the second has none."""

REASON_COLUMNS: Final = 160
"""A reason of a machine may be long; the finding is to be read aloud."""

PASS_PT: Final = 2.6
"""Size of a pass's mark: small, for there may be a thousand of them."""


@dataclass(frozen=True, slots=True)
class _Pass:
    """One pass with its conditions.

    Attributes:
        x: where it stands: minutes or its number.
        disturbed: by what, or None.
    """

    x: float
    observation: Observation
    conditions: Conditions
    disturbed: str | None


@dataclass(frozen=True, slots=True)
class _Pause:
    """Between two invocations: where it is drawn, and how long it was; None where unknown."""

    x: float
    length_s: float | None


@dataclass(frozen=True, slots=True)
class _Course:
    """The passes in their order, along one axis.

    Attributes:
        places: by attempt, of every pass.
        is_timed: x is in minutes; else it is the pass's number.
        end: the right end of the axis.
    """

    places: dict[str, float]
    pauses: tuple[_Pause, ...]
    is_timed: bool
    end: float


@dataclass(frozen=True, slots=True)
class _Series:
    """Values of one kind over the passes, those unknown left out."""

    name: str
    label: str
    colour: str
    marker: str
    values: tuple[tuple[_Pass, float], ...]


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


def conditions(view: View) -> Chart | None:
    """Every pass's conditions in order of time; None where no pass told any."""
    course = _course(view.run)
    passes = _passes(view.run, course)
    drift = anchor_drift(view.run)
    if not passes and drift is None:
        return None
    panels, reasons = _panels(passes), _reasons(passes)
    heights = [PANEL_IN] * len(panels)
    heights += [REASON_IN * len(reasons) + 0.08] if reasons else []
    heights += [PANEL_IN] if drift else []
    with style():
        foot_in = AXIS_IN + LEGEND_ROW_IN * any(each.disturbed for each in passes)
        height_in = _top_in(course) + sum(heights) + GAP_IN * len(heights) + foot_in
        figure = Figure(figsize=(WIDTH_IN, height_in))
        draw_heading(figure, TITLE, view)
        strips = _strips(figure, heights, course)
        for axes, panel in zip(strips, panels, strict=False):
            _draw_panel(axes, panel)
        if reasons:
            _draw_reasons(strips[len(panels)], reasons)
        if drift:
            _draw_anchor(strips[-1], view.run, drift, course)
        _draw_pauses(strips, course)
        _draw_foot(figure, strips[-1], course, passes)
    return Chart("conditions", TITLE, _finding(course, passes, drift), figure)


# --- when ----------------------------------------------------------------------------------------


def _course(run: Run) -> _Course:
    """Minutes since the first pass with pauses taken out; numbers where the clock tells nothing."""
    began = {started.attempt: started for started in run.started}
    observed = [o for o in run.observations if o.attempt in began] or list(run.observations)
    times = [_epoch_s(began[o.attempt].at_utc) if o.attempt in began else None for o in observed]
    known = [time_s for time_s in times if time_s is not None]
    if not known or len(known) < len(observed) or max(known) <= min(known):
        return _numbered(observed)
    return _timed(observed, known)


def _epoch_s(at_utc: str) -> float | None:
    try:
        return datetime.fromisoformat(at_utc).timestamp()
    except (ValueError, OverflowError):
        return None


def _numbered(observed: Sequence[Observation]) -> _Course:
    places = {o.attempt: float(number) for number, o in enumerate(observed, 1)}
    pauses = [
        _Pause(number + 0.5, None)
        for number, (earlier, later) in enumerate(pairwise(observed), 1)
        if earlier.request != later.request
    ]
    return _Course(places, tuple(pauses), False, max(places.values(), default=1.0))


def _timed(observed: Sequence[Observation], times_s: Sequence[float]) -> _Course:
    lengths = _pause_lengths_s(observed, times_s)
    total_s = max(times_s) - min(times_s) - sum(lengths.values()) + observed[-1].wall_s
    drawn_s = PAUSE_SHARE * max(total_s, 1.0)
    places: dict[str, float] = {}
    pauses = []
    taken_out_s, last_s = 0.0, 0.0
    for index, (observation, time_s) in enumerate(zip(observed, times_s, strict=True)):
        if index in lengths:
            taken_out_s += lengths[index] - drawn_s
            middle_s = last_s + observed[index - 1].wall_s + drawn_s / 2
            pauses.append(_Pause(middle_s / 60, lengths[index]))
        # a clock that was set back must not turn the order round
        last_s = max(last_s, time_s - times_s[0] - taken_out_s)
        places[observation.attempt] = last_s / 60
    return _Course(places, tuple(pauses), True, (last_s + observed[-1].wall_s) / 60)


def _pause_lengths_s(observed: Sequence[Observation], times_s: Sequence[float]) -> dict[int, float]:
    """By the index of the first pass of an invocation: how long nothing had run."""
    return {
        index: max(0.0, times_s[index] - times_s[index - 1] - observed[index - 1].wall_s)
        for index in range(1, len(observed))
        if observed[index].request != observed[index - 1].request
    }


# --- what ----------------------------------------------------------------------------------------


def _passes(run: Run, course: _Course) -> list[_Pass]:
    return [
        _Pass(course.places[o.attempt], o, o.conditions, judge(o.conditions))
        for o in run.observations
        if o.conditions is not None and o.attempt in course.places
    ]


def _panels(passes: Sequence[_Pass]) -> list[_Panel]:
    """The strips of which anything is known."""
    found = [
        _device_panel(passes, "clock", "SM clock, MHz", BLUE, _clock),
        _device_panel(passes, "heat", "temperature, °C", PINK, _heat),
        _device_panel(passes, "power", "power, W", ORANGE, _power),
        _cpu_panel(passes),
    ]
    return [panel for panel in found if any(series.values for series in panel.series)]


Reading = Callable[[DeviceConditions], float | None]


def _clock(device: DeviceConditions) -> float | None:
    return device.sm_clock_mhz


def _highest_clock(device: DeviceConditions) -> float | None:
    return device.max_sm_clock_mhz


def _heat(device: DeviceConditions) -> float | None:
    return device.temperature_c


def _power(device: DeviceConditions) -> float | None:
    return device.power_w


def _power_limit(device: DeviceConditions) -> float | None:
    return device.power_limit_w


BOUND_OF: Final = {"clock": (_highest_clock, "highest"), "power": (_power_limit, "limit")}
"""The card's own bounds, drawn where all passes agree on them."""


def _device_panel(
    passes: Sequence[_Pass], gid: str, title: str, colour: str, reading: Reading
) -> _Panel:
    """A reading of the card as each pass ended, while its clocks are those of work."""
    bounds: tuple[tuple[float, str], ...] = ()
    if gid in BOUND_OF:
        bound, word = BOUND_OF[gid]
        known = {value for _, value in _readings(passes, bound)}
        bounds = tuple((value, f"{word} {value:g}") for value in known) if len(known) == 1 else ()
    series = _Series(title, title, colour, "o", tuple(_readings(passes, reading)))
    return _Panel(gid, f"{title}, as each pass ended", (series,), bounds)


def _readings(passes: Iterable[_Pass], reading: Reading) -> list[tuple[_Pass, float]]:
    found = []
    for each in passes:
        device = each.conditions.device_after
        value = reading(device) if device is not None else None
        if value is not None:
            found.append((each, float(value)))
    return found


def _others_ratio(known: Conditions) -> float | None:
    if known.cpu_busy_s is None or known.cpu_own_s is None or known.wall_s <= 0:
        return None
    return max(0.0, known.cpu_busy_s - known.cpu_own_s) / known.wall_s


def _steal_ratio(known: Conditions) -> float | None:
    return _share_of(known.cpu_steal_s, known)


def _throttled_ratio(known: Conditions) -> float | None:
    return _share_of(known.throttled_s, known)


def _share_of(taken_s: float | None, known: Conditions) -> float | None:
    return None if taken_s is None or known.wall_s <= 0 else taken_s / known.wall_s


@dataclass(frozen=True, slots=True)
class _Taker:
    """Who takes processor time: which share, above which it disturbs, and how it is drawn."""

    name: str
    short: str
    ratio: Callable[[Conditions], float | None]
    limit: float
    colour: str
    marker: str


TAKERS: Final = (
    _Taker("other processes", "others", _others_ratio, OTHERS_RATIO, SKY, "o"),
    _Taker("hypervisor (steal)", "steal", _steal_ratio, STEAL_RATIO, ORANGE, "^"),
    _Taker(
        "cgroup's quota (throttling)", "throttling", _throttled_ratio, THROTTLED_RATIO, GREEN, "s"
    ),
)


def _cpu_panel(passes: Sequence[_Pass]) -> _Panel:
    """Who took processors; steal and throttling only where there were any."""
    series, bounds, drawn = [], [], []
    for taker in TAKERS:
        values = _shares(passes, taker)
        if any(value for _, value in values) or (values and taker is TAKERS[0]):
            series.append(
                _Series(taker.name, taker.short, taker.colour, taker.marker, tuple(values))
            )
            bounds.append((taker.limit, ""))
            drawn.append(taker)
    told = ", ".join(f"{t.short} above {format_ratio(t.limit)}" for t in drawn)
    title = f"processor time taken, of one processor; disturbs (dashed): {told}"
    return _Panel("cpu", title, tuple(series), tuple(bounds), format_ratio, from_zero=True)


def _shares(passes: Iterable[_Pass], taker: _Taker) -> list[tuple[_Pass, float]]:
    shares = [(each, taker.ratio(each.conditions)) for each in passes]
    return [(each, share) for each, share in shares if share is not None]


def _reasons(passes: Iterable[_Pass]) -> dict[str, list[float]]:
    """Where each clock-event reason was in force, the most frequent first."""
    found: dict[str, list[float]] = {}
    for each in passes:
        device = each.conditions.device_after
        for reason in (device.event_reasons if device else None) or ():
            found.setdefault(reason, []).append(each.x)
    return dict(sorted(found.items(), key=lambda item: (-len(item[1]), item[0])))


# --- how -----------------------------------------------------------------------------------------


def _top_in(course: _Course) -> float:
    return HEADING_IN - MARGIN_IN + PAUSE_LABEL_IN * bool(course.pauses)


def _strips(figure: Figure, heights: Sequence[float], course: _Course) -> list[Axes]:
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
    _draw_crosses(axes, _disturbed_places(panel), f"{panel.gid}-disturbed")
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


def _disturbed_places(panel: _Panel) -> list[tuple[float, float]]:
    """Of each disturbed pass its highest value: where several series tell of it, one cross."""
    highest: dict[float, float] = {}
    for series in panel.series:
        for each, value in series.values:
            if each.disturbed is not None:
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


def _draw_anchor(axes: Axes, run: Run, drift: Drift, course: _Course) -> None:
    """The anchor's step time relative to its first undisturbed one, in per cent."""
    first_s = drift.medians_s[0]
    timed = [
        (course.places[o.attempt], (median(o.samples_s) / first_s - 1) * 100, judge(o.conditions))
        for o in _anchor_timings(run, drift)
        if o.attempt in course.places
    ]
    calm = [(x, change) for x, change, disturbed in timed if disturbed is None]
    axes.plot(
        [x for x, _ in calm], [change for _, change in calm], color=GREEN, marker="D",
        markersize=3.6, linewidth=1.0, gid="anchor",
    )  # fmt: skip
    _draw_crosses(axes, [(x, c) for x, c, hit in timed if hit is not None], "anchor-disturbed")
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


def _draw_pauses(strips: Sequence[Axes], course: _Course) -> None:
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


def _draw_foot(figure: Figure, lowest: Axes, course: _Course, passes: Sequence[_Pass]) -> None:
    label = "minutes since the first pass" if course.is_timed else "pass, in order"
    label += ", pauses taken out" if course.is_timed and course.pauses else ""
    lowest.set_xlabel(label, fontsize=SMALL_PT, loc="left", labelpad=2)
    disturbed = sum(each.disturbed is not None for each in passes)
    down = float(figure.get_size_inches()[1])
    y = (MARGIN_IN / 2) / down
    if disturbed:
        mark = MARGIN_IN / WIDTH_IN
        figure.text(
            mark, y, "×", fontsize=BASE_PT + 2, color=VERMILLION, weight="bold", va="bottom"
        )
        text = f"disturbed: {disturbed} of {len(passes)} passes"
        figure.text(mark + 0.022, y, text, fontsize=SMALL_PT, va="bottom", gid="disturbed")


# --- in words ------------------------------------------------------------------------------------


def _finding(course: _Course, passes: Sequence[_Pass], drift: Drift | None) -> str:
    sentences = [_length(course, passes), *_disturbed(passes), *_drifted(drift)]
    return " ".join([*sentences, *_extremes(passes), *_unknown(passes)])


def _length(course: _Course, passes: Sequence[_Pass]) -> str:
    subject = f"{len(passes)} {'pass' if len(passes) == 1 else 'passes'} told their conditions"
    if course.is_timed:
        subject += f", over {format_duration(course.end * 60)}"
    if not course.pauses:
        return f"{subject}."
    times = "once" if len(course.pauses) == 1 else f"{len(course.pauses)} times"
    return f"{subject}; the run was resumed {times}."


def _disturbed(passes: Sequence[_Pass]) -> list[str]:
    hit = [each for each in passes if each.disturbed is not None]
    if not hit:
        return ["None was disturbed."] if passes else []
    timings = sum(isinstance(each.observation, Timing) for each in hit)
    first = hit[0]
    kind = type(first.observation).__name__.lower()
    reason = clip(first.disturbed or "", REASON_COLUMNS)
    were = "was" if len(hit) == 1 else "were"
    count = f"{len(hit)} {were} disturbed, {timings} of them timing"
    # rates belong to the device, and to no point
    place = "" if kind == "calibration" else f" at {first.observation.point}"
    return [f"{count}; first the {kind} pass{place}: {reason}."]


def _drifted(drift: Drift | None) -> list[str]:
    if drift is None:
        return ["The drift is unknown: no anchor was timed twice undisturbed."]
    timed = f"The anchor {drift.point} was timed {len(drift.medians_s)} times undisturbed"
    last = _signed((drift.medians_s[-1] / drift.medians_s[0] - 1) * 100)
    drifted = f"its step time drifted by {format_ratio(drift.ratio)}"
    return [f"{timed}: {drifted}, the last {last} against the first."]


def _signed(percent: float) -> str:
    return f"{percent:+.2g}%"


def _extremes(passes: Sequence[_Pass]) -> list[str]:
    """The range of what is drawn."""
    sentences = []
    readings = (("SM clock", _clock, "MHz"), ("temperature", _heat, "°C"), ("power", _power, "W"))
    for name, reading, unit in readings:
        values = [value for _, value in _readings(passes, reading)]
        if values:
            sentences.append(f"{name} {min(values):.4g} to {max(values):.4g} {unit}")
    for taker in TAKERS:
        shares = [share for _, share in _shares(passes, taker)]
        if shares:
            most = f"at most {format_ratio(max(shares))} of a processor"
            sentences.append(f"{taker.name} took {most if max(shares) else 'nothing'}")
    reasons = [f"{name} in {len(at)}" for name, at in _reasons(passes).items()]
    sentences += [f"clock-event reasons: {', '.join(reasons)}"] if reasons else []
    text = "; ".join(sentences)
    return [f"{text[0].upper()}{text[1:]}."] if text else []


DRAWN_FIELDS: Final = {
    "sm_clock_mhz": "the SM clock",
    "temperature_c": "the temperature",
    "power_w": "the power",
    "event_reasons": "the clock-event reasons",
    "cpu_own_s": "what other processes took",
    "cpu_busy_s": "what other processes took",
    "cpu_steal_s": "the hypervisor's steal",
    "throttled_s": "the throttling",
}
"""Of the facts of a pass those that are drawn, in words."""


def _unknown(passes: Sequence[_Pass]) -> list[str]:
    """What no pass could tell or some could not, with the first reason."""
    counts: Counter[str] = Counter()
    reasons: dict[str, str] = {}
    for each in passes:
        device = each.conditions.device_after
        told = {**each.conditions.unknown, **(device.unknown if device else {})}
        drawn = {DRAWN_FIELDS[name]: why for name, why in told.items() if name in DRAWN_FIELDS}
        counts.update(drawn.keys())
        reasons = {**drawn, **reasons}
    parts = [
        f"{name} in {_of(counts[name], len(passes))} ({clip(reasons[name], REASON_COLUMNS)})"
        for name in dict.fromkeys(DRAWN_FIELDS.values())
        if counts[name]
    ]
    return [f"Unknown: {'; '.join(parts)}."] if parts else []


def _of(count: int, total: int) -> str:
    return "all passes" if count == total else f"{count} of {total} passes"
