"""Throughput and peak memory over one axis of the grid, a line for each value of the other."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import NullLocator

from rnnprof.advice.recommendation import NEAR_BEST_RATIO
from rnnprof.points.measurement import Measurement
from rnnprof.report.charts.kit.curves import (
    AXIS_IN,
    MARGIN_IN,
    WIDTH_IN,
    Key,
    apart,
    axes_at,
    log2_ticks,
    sheet,
    sign,
    spread,
)
from rnnprof.report.charts.kit.style import INK, MUTED, OKABE_ITO, PAPER, SMALL_PT, Chart, style
from rnnprof.report.charts.slices_lines import (
    MAX_LINES,
    MEMORY,
    OVER_BATCH,
    OVER_STEPS,
    Axis,
    Slices,
    is_oom,
    rate_interval,
    slices_of,
)
from rnnprof.report.charts.slices_words import finding
from rnnprof.report.model import RunReport, flags, memory_bytes, throughput
from rnnprof.report.text.pieces import compact_bytes, compact_rate
from rnnprof.runfile.points import Outcome
from rnnprof.units import format_bytes, format_ratio

PANEL_IN: Final = 2.6
LEFT_IN: Final = 0.62
"""Beside each panel: its axis label and tick labels."""

RIGHT_IN: Final = 0.72
"""Beside each panel: the keys of its lines."""

MARKERS: Final = ("o", "s", "^", "D", "v", "P", "<", ">")
DASHES: Final[tuple[Any, ...]] = (
    "-", (0, (5, 1.5)), (0, (1, 1.2)), (0, (5, 1.5, 1, 1.5)),
    (0, (8, 2)), (0, (3, 1.2)), (0, (8, 2, 1, 2)), (0, (3, 1.2, 1, 1.2, 1, 1.2)),
)  # fmt: skip

LOG_RATE_FROM_RATIO: Final = 12.0
"""Rates that span more than this hide the lower ones on a scale that begins at zero."""

FAR_LIMIT_RATIO: Final = 64.0
"""A limit so far above what was measured would press the lines flat: it is told in words."""

LIMIT_LEVEL: Final = 0.84
"""Height of the highest line or limit in the memory panel: above it stand the OOMs."""

OOM_LEVEL: Final = 0.965


@dataclass(frozen=True, slots=True)
class _Panel:
    """One of the two: its axes, and the number that it shows of a point."""

    name: str
    axes: Axes
    value: Callable[[Measurement], float | None]
    slices: Slices

    def values(self, line: int) -> list[float]:
        """At each place; nan breaks the line where nothing is known."""
        known = [None if m is None else self.value(m) for m in self.slices.along(line)]
        return [math.nan if value is None else float(value) for value in known]

    def all_values(self) -> list[float]:
        values = [value for line in self.slices.lines for value in self.values(line)]
        return [value for value in values if value == value]


def slices_over_batch(report: RunReport) -> Chart | None:
    """Throughput and peak memory over B, a line for each T; None where nothing was tried."""
    return _chart(report, OVER_BATCH)


def slices_over_steps(report: RunReport) -> Chart | None:
    """Throughput and peak memory over T, a line for each B; None where nothing was tried."""
    return _chart(report, OVER_STEPS)


def _chart(report: RunReport, axis: Axis) -> Chart | None:
    if not any(m.outcome is Outcome.MEASURED or is_oom(m) for m in report.measurements.values()):
        return None
    slices = slices_of(report, axis)
    title = _title(slices)
    with style():
        figure, below_in = sheet(list(_keys(slices)), PANEL_IN)
        rate, memory = _panels(slices, figure, below_in)
        figure.text(
            MARGIN_IN / WIDTH_IN, 1 - 0.7 * MARGIN_IN / figure.get_size_inches()[1], title,
            ha="left", va="top", fontsize=SMALL_PT + 2, gid=f"{axis.name}-title",
        )  # fmt: skip
        _draw_rates(rate)
        _draw_memory(memory)
        for panel in (rate, memory):
            _draw_lines(panel)
            _draw_rings(panel)
            _draw_line_keys(panel)
    return Chart(axis.name, title, finding(slices), figure)


def _title(slices: Slices) -> str:
    axis, shown = slices.axis, len(slices.lines)
    some = f", {shown} of {slices.of_lines} {axis.across} shown" if shown < slices.of_lines else ""
    over = "batch" if axis is OVER_BATCH else "time steps"
    return f"Throughput and peak memory over {over} {axis.along}{some}"


# --- the panels ----------------------------------------------------------------------------------


def _panels(slices: Slices, figure: Figure, below_in: float) -> tuple[_Panel, _Panel]:
    width_in = WIDTH_IN / 2 - LEFT_IN - RIGHT_IN
    bottom_in = below_in + AXIS_IN
    shares: list[tuple[str, Callable[[Measurement], float | None]]] = [
        ("rate", throughput), ("memory", memory_bytes),
    ]  # fmt: skip
    panels = []
    for column, (name, value) in enumerate(shares):
        left_in = column * WIDTH_IN / 2 + LEFT_IN
        axes = axes_at(figure, (left_in, bottom_in, width_in, PANEL_IN))
        axes.set_xscale("log", base=2)
        span = max(2.0, slices.places[-1] / slices.places[0])
        beyond = span**0.05
        axes.set_xlim(slices.places[0] / beyond, slices.places[-1] * beyond)
        log2_ticks(axes.xaxis, slices.places)
        axes.set_xlabel(slices.axis.label)
        axes.grid(axis="y", zorder=0)
        panels.append(_Panel(name, axes, value, slices))
    return panels[0], panels[1]


def _draw_rates(panel: _Panel) -> None:
    axes, values = panel.axes, panel.all_values()
    axes.set_ylabel("throughput, time steps/s")
    if not values:
        _say_nothing(panel, "no point was timed")
        return
    is_wide = min(values) > 0 and max(values) / min(values) > LOG_RATE_FROM_RATIO
    if is_wide:
        axes.set_yscale("log", base=2)
        _set_log_levels(axes, min(values) / 1.2, max(values) * 1.2, RATE_STEPS, compact_rate)
    else:
        axes.set_ylim(0, (max(values) or 1.0) * 1.08)
        ticks = [float(tick) for tick in axes.get_yticks() if tick <= axes.get_ylim()[1]]
        axes.set_yticks(ticks, ["0" if tick == 0 else _round(compact_rate(tick)) for tick in ticks])
    for place, line in enumerate(panel.slices.lines):
        _draw_intervals(panel, place, line)


def _draw_intervals(panel: _Panel, place: int, line: int) -> None:
    known = [m for m in panel.slices.along(line) if m is not None]
    bars = [(m, interval) for m in known if (interval := rate_interval(m)) is not None]
    if not bars:
        return
    rates = [throughput(m) or 0.0 for m, _ in bars]
    below = [max(0.0, r - low) for r, (_, (low, _)) in zip(rates, bars, strict=True)]
    above = [max(0.0, high - r) for r, (_, (_, high)) in zip(rates, bars, strict=True)]
    drawn = panel.axes.errorbar(
        [panel.slices.axis.place(m.point) for m, _ in bars], rates, yerr=(below, above),
        fmt="none", ecolor=OKABE_ITO[place], elinewidth=0.9, capsize=2.4, zorder=3,
    )  # fmt: skip
    drawn.lines[2][0].set_gid(_gid(panel, f"interval-{panel.slices.axis.across}{line}"))


RATE_STEPS: Final = (1, 2, 5)
BYTE_STEPS: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)


def _set_log_levels(
    axes: Axes, low: float, high: float, parts: Sequence[int], text: Callable[[float], str]
) -> None:
    """Round ticks on a logarithmic axis of y, as many as can stand apart."""
    axes.set_ylim(low, high)
    unit = 1024 if parts is BYTE_STEPS else 10
    exponents = range(math.floor(math.log(low, unit)), math.ceil(math.log(high, unit)) + 1)
    ticks = [step * float(unit) ** e for e in exponents for step in parts]
    ticks = [tick for tick in ticks if low <= tick <= high]
    room_pt = axes.get_window_extent().height * 72 / axes.figure.dpi
    places = [math.log(tick / low) / math.log(high / low) * room_pt for tick in ticks]
    kept = apart(places, [1.6 * SMALL_PT] * len(places))
    axes.set_yticks([ticks[i] for i in kept], [_round(text(ticks[i])) for i in kept])
    axes.yaxis.set_minor_locator(NullLocator())


def _round(text: str) -> str:
    """``64M`` for ``64.0M``: a tick is a round number."""
    return re.sub(r"\.0+(?=\D|$)", "", text)


def _draw_memory(panel: _Panel) -> None:
    axes, slices, values = panel.axes, panel.slices, panel.all_values()
    axes.set_ylabel(MEMORY)
    axes.set_yscale("log", base=2)
    limit = slices.report.limit_bytes
    shows_limit = limit <= FAR_LIMIT_RATIO * max(values, default=limit)
    if not values:
        shows_limit = True
    levels = [*values, *((float(limit), slices.usable_bytes) if shows_limit else ())]
    low = min(levels) / 1.25
    # the OOMs stand above everything that was measured
    high = low * (max(levels) / low) ** (1 / LIMIT_LEVEL)
    _set_log_levels(axes, low, max(high, 2 * low), BYTE_STEPS, compact_bytes)
    if shows_limit:
        _draw_limit(panel)
    else:
        why = "above this panel"
        _note(panel, f"limit {format_bytes(limit)}: {why}", LIMIT_LEVEL)
    _draw_ooms(panel)


def _draw_limit(panel: _Panel) -> None:
    axes, slices = panel.axes, panel.slices
    limit, headroom = slices.report.limit_bytes, slices.report.headroom_ratio
    axes.axhline(limit, color=INK, linewidth=1.2, zorder=2, gid=_gid(panel, "limit"))
    text = f"limit {format_bytes(limit)}"
    if headroom > 0:
        axes.axhline(
            slices.usable_bytes, color=MUTED, linewidth=0.8, linestyle=(0, (4, 2)), zorder=2,
            gid=_gid(panel, "headroom"),
        )  # fmt: skip
        text += f"; dashed: {format_ratio(headroom)} headroom"
    _, level = axes.transAxes.inverted().transform(axes.transData.transform((1, limit)))
    _note(panel, text, float(level))


def _note(panel: _Panel, text: str, level: float) -> None:
    """Words just above a level of the panel."""
    panel.axes.annotate(
        text, (0, level), (2, 2), xycoords="axes fraction", textcoords="offset points",
        fontsize=SMALL_PT, color=INK, va="bottom", zorder=6, gid=_gid(panel, "limit-words"),
    )  # fmt: skip


def _draw_ooms(panel: _Panel) -> None:
    """A cross where a size ran out of memory, with the smallest value that did."""
    slices, axis = panel.slices, panel.slices.axis
    least: dict[int, int] = {}
    for point, measurement in sorted(slices.report.measurements.items()):
        if is_oom(measurement):
            place = axis.place(point)
            least[place] = min(axis.line(point), least.get(place, axis.line(point)))
    if not least:
        return
    across = panel.axes.get_xaxis_transform()
    panel.axes.plot(
        sorted(least), [OOM_LEVEL] * len(least), linestyle="none", marker="x", markersize=5,
        color=INK, markeredgewidth=1.2, transform=across, clip_on=False, zorder=5,
        gid=_gid(panel, "oom"),
    )  # fmt: skip
    _draw_oom_words(panel, [(place, least[place]) for place in sorted(least)])


def _draw_oom_words(panel: _Panel, ooms: Sequence[tuple[int, int]]) -> None:
    per_pixel = 72 / panel.axes.figure.dpi
    texts = [f"{panel.slices.axis.across}≥{least}" for _, least in ooms]
    places = [float(panel.axes.transData.transform((x, 1))[0]) * per_pixel for x, _ in ooms]
    for index in apart(places, [len(text) * 0.62 * OOM_PT for text in texts]):
        panel.axes.annotate(
            texts[index], (ooms[index][0], OOM_LEVEL), (0, 3.5), ha="center", va="bottom",
            xycoords=panel.axes.get_xaxis_transform(), textcoords="offset points",
            fontsize=OOM_PT, color=INK, annotation_clip=False,
            gid=_gid(panel, f"oom-{panel.slices.axis.along}{ooms[index][0]}"),
        )  # fmt: skip


OOM_PT: Final = 6.0


def _say_nothing(panel: _Panel, words: str) -> None:
    panel.axes.set_yticks([])
    panel.axes.text(
        0.5, 0.5, words, transform=panel.axes.transAxes, ha="center", va="center", color=MUTED
    )


# --- lines and marks -----------------------------------------------------------------------------


def _draw_lines(panel: _Panel) -> None:
    for place, line in enumerate(panel.slices.lines):
        values = panel.values(line)
        if any(value == value for value in values):
            panel.axes.plot(
                panel.slices.places, values, **_line_style(place, len(values)), zorder=4,
                gid=_gid(panel, f"{panel.slices.axis.across}{line}"),
            )  # fmt: skip
            _draw_doubtful(panel, place, line)


MANY_PLACES: Final = 24
"""More marks on a line than this are made smaller, or they would run into one another."""


def _line_style(place: int, places: int = 1) -> dict[str, Any]:
    return {
        "color": OKABE_ITO[place], "linestyle": DASHES[place], "linewidth": 1.1,
        "marker": MARKERS[place], "markersize": 4.0 if places <= MANY_PLACES else 2.6,
        "markeredgewidth": 0.9,
    }  # fmt: skip


def _draw_doubtful(panel: _Panel, place: int, line: int) -> None:
    """Open marks over those whose time is less certain; memory does not depend on it."""
    if panel.name != "rate":
        return
    doubtful = [m for m in panel.slices.along(line) if m is not None and flags(m)]
    if doubtful:
        look = _line_style(place, len(panel.slices.places))
        look |= {"linestyle": "none", "markerfacecolor": PAPER}
        panel.axes.plot(
            [panel.slices.axis.place(m.point) for m in doubtful],
            [throughput(m) or 0.0 for m in doubtful], **look, zorder=4.5,
            gid=_gid(panel, f"doubtful-{panel.slices.axis.across}{line}"),
        )  # fmt: skip


def _draw_rings(panel: _Panel) -> None:
    """Around the points recommended, and around the knees."""
    slices = panel.slices
    marks = {"advised": list(slices.report.advice.points), "knees": sorted(slices.knees)}
    for name, points in marks.items():
        shown = [p for p in points if slices.axis.line(p) in slices.lines]
        known = [m for p in shown if (m := slices.report.measurements.get(p)) is not None]
        values = [(m, value) for m in known if (value := panel.value(m)) is not None]
        if values and (name == "advised" or panel.name == "rate"):
            panel.axes.plot(
                [slices.axis.place(m.point) for m, _ in values], [value for _, value in values],
                **_ring(name, len(values)), zorder=5, gid=_gid(panel, name),
            )  # fmt: skip


_RING: Final[dict[str, Any]] = {
    "linestyle": "none", "markerfacecolor": "none", "markeredgecolor": INK,
}  # fmt: skip
RINGS: Final[dict[str, dict[str, Any]]] = {
    "advised": _RING | {"marker": "o", "markersize": 11, "markeredgewidth": 1.5},
    "knees": _RING | {"marker": "D", "markersize": 7, "markeredgewidth": 0.7},
}


def _ring(name: str, count: int) -> dict[str, Any]:
    return RINGS[name] | ({"markersize": 4.5} if count > MAX_LINES else {})


def _draw_line_keys(panel: _Panel) -> None:
    """Each line's mark and value beside the panel, at the height of the line's end."""
    slices, axes = panel.slices, panel.axes
    ends = [(place, value) for place in range(len(slices.lines))
            if (value := _last(panel.values(slices.lines[place]))) is not None]  # fmt: skip
    extent = axes.get_window_extent()
    per_pixel = 72 / axes.figure.dpi
    top_pt = extent.height * per_pixel
    heights = [
        float(axes.transData.transform((1, value))[1] - extent.y0) * per_pixel for _, value in ends
    ]
    levels = spread(heights, 1.25 * SMALL_PT, (0.5 * SMALL_PT, top_pt - 0.5 * SMALL_PT))
    for (place, _), level in zip(ends, levels, strict=True):
        at = level / top_pt
        look = _line_style(place)
        axes.plot(
            (1.02, 1.07, 1.12), (at, at, at), **look, markevery=[1], transform=axes.transAxes,
            clip_on=False,
        )  # fmt: skip
        axes.text(
            1.14, at, f"{slices.axis.across}={slices.lines[place]}", fontsize=SMALL_PT, va="center",
            color=INK, transform=axes.transAxes,
            gid=_gid(panel, f"key-{slices.axis.across}{slices.lines[place]}"),
        )  # fmt: skip


def _last(values: Sequence[float]) -> float | None:
    return next((value for value in reversed(values) if value == value), None)


def _gid(panel: _Panel, what: str) -> str:
    return f"{panel.slices.axis.name}-{panel.name}-{what}"


# --- the legend ----------------------------------------------------------------------------------


def _keys(slices: Slices) -> Iterator[Key]:
    """What the marks mean, of those that are used; the lines have keys of their own."""
    known = slices.report.measurements.values()
    shown = [m for line in slices.lines for m in slices.along(line) if m is not None]
    if any(m.point in slices.report.advice.points for m in shown):
        yield Line2D([], [], **RINGS["advised"]), "recommended batch at its T"
    if any(m.point in slices.knees for m in shown):
        near = format_ratio(NEAR_BEST_RATIO)
        yield (
            Line2D([], [], **RINGS["knees"]),
            f"smallest B within {near} of the best rate at its T",
        )
    if any(rate_interval(m) is not None for m in shown):
        is_within = any(m.step_time_ci_s is None for m in shown if rate_interval(m) is not None)
        words = "within a process" if is_within else "over processes"
        yield sign("|", markersize=8, color=MUTED), f"95% interval {words}"
    if any(flags(m) for m in shown):
        mark = sign("o", markerfacecolor=PAPER, color=MUTED, markersize=4)
        yield mark, "open mark: not converged, or noisy"
    if any(is_oom(m) for m in known):
        words = f"out of memory, run or implied, from this {slices.axis.across} on"
        yield sign("x", markersize=5, color=INK, markeredgewidth=1.2), words
