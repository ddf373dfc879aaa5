"""Reach against lag, what a sequence is worth over B, and time to a target over B."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Final

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from rnnprof.report.charts.kit.curves import log2_ticks
from rnnprof.report.charts.kit.style import MUTED, OKABE_ITO, SMALL_PT, TITLE_PT, Chart, style
from rnnprof.report.model import RunReport
from rnnprof.study.goodput import Goodput
from rnnprof.study.noise_scale import efficiency
from rnnprof.study.trainability import NoiseAt, ReachAt, ToTarget, Trainability
from rnnprof.units import format_rate, format_seconds

SIZE_IN: Final = (7.2, 3.4)
TALL_IN: Final = (7.2, 3.6)
MARKERS: Final = ("o", "s", "^", "D", "v", "P", "X", "*")
"""Told apart without colour too."""

MOST_LINES: Final = len(MARKERS)
LEAST_RATIO: Final = 1e-8
"""Below it a gradient is drawn as nothing."""

LARGEST_BATCH: Final = 4096
"""To which what a sequence is worth is drawn, where no larger batch was measured."""

FEW_DECADES: Final = 2.5
"""Below it labels at 1, 2 and 5 of each decade stand apart."""

LEFT, RIGHT, BOTTOM, TOP, BETWEEN = 0.1, 0.78, 0.15, 0.86, 0.42


def reach_chart(report: RunReport) -> Chart | None:
    """Gradient norm against lag, a line for each T; None where none was found."""
    known = [each for each in report.trainability.reach if _has_ratios(each)]
    if not known:
        return None
    lengths = _shown(sorted({each.time_steps for each in known}))
    threshold = report.trainability.study.reach_ratio if report.trainability.study else 1e-3
    with style():
        figure, (axes,) = _sheet("How far the gradient of the last step's loss reaches back", 1)
        last = _latest(known)
        for index, time_steps in enumerate(lengths):
            for each in known:
                if each.time_steps == time_steps:
                    _draw_reach(axes, each, index, is_last=each is last[time_steps])
        axes.axhline(threshold, color=MUTED, linewidth=0.8, linestyle=(0, (1, 2)))
        axes.annotate(
            f"reach: {threshold:g}", (1.0, threshold), xycoords=("axes fraction", "data"),
            xytext=(-3, 2), textcoords="offset points", fontsize=SMALL_PT, color=MUTED, ha="right",
        )  # fmt: skip
        _log_scale(axes, "{:g}".format)
        axes.set_xlabel("lag k, time steps before the last")
        axes.set_ylabel("|dL/dx| over that of the last step")
        axes.grid(axis="y")
        axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), title="after training")
    return Chart("reach", "Gradient reach", _reach_finding(last, lengths), figure)


def _has_ratios(each: ReachAt) -> bool:
    return each.reach is not None and any(ratio for ratio in each.reach.ratios)


def _latest(known: Sequence[ReachAt]) -> dict[int, ReachAt]:
    """By T, that after the most training steps."""
    return {each.time_steps: each for each in sorted(known, key=lambda each: each.train_steps)}


def _draw_reach(axes: Axes, each: ReachAt, index: int, *, is_last: bool) -> None:
    assert each.reach is not None
    pairs = list(zip(each.reach.ratios, each.reach.spread, strict=True))
    points = [(lag, r, s) for lag, (r, s) in enumerate(pairs) if r and s and r >= LEAST_RATIO]
    lags = [lag for lag, _, _ in points]
    colour = OKABE_ITO[index]
    when = f"{each.train_steps} steps" if each.train_steps else "none"
    axes.plot(
        lags, [ratio for _, ratio, _ in points], color=colour,
        linewidth=1.5 if is_last else 0.9, linestyle="-" if is_last else (0, (4, 2)),
        marker=MARKERS[index], markersize=3, markevery=max(1, len(lags) // 8),
        label=f"T={each.time_steps}, {when}",
    )  # fmt: skip
    if is_last:
        low = [max(LEAST_RATIO, spread[0]) for _, _, spread in points]
        high = [spread[1] for _, _, spread in points]
        axes.fill_between(lags, low, high, color=colour, alpha=0.15, linewidth=0)


def _reach_finding(last: dict[int, ReachAt], lengths: Sequence[int]) -> str:
    told = []
    for time_steps in lengths:
        reach = last[time_steps].reach
        assert reach is not None
        least = "at least " if reach.is_cut else ""
        told.append(
            f"T={time_steps}: {reach.trend.value.replace('_', ' ')}, {least}{reach.reach} steps"
        )
    return "; ".join(told) + "."


def worth_chart(report: RunReport) -> Chart | None:
    """Efficiency over B by the noise scale, and goodput where throughput is known too."""
    noise = _known_noise(report.trainability)
    if not noise:
        return None
    shown = [noise[time_steps] for time_steps in _shown(sorted(noise))]
    goodput = {each.time_steps: each for each in report.advice.goodput}
    with style():
        figure, panels = _sheet("What a sequence is worth at each batch", 2 if goodput else 1)
        largest = max([LARGEST_BATCH, *report.batches])
        for index, each in enumerate(shown):
            _draw_efficiency(panels[0], each, index, largest)
        panels[0].set_ylabel("worth of a sequence, B=1 is 1")
        panels[0].set_ylim(0, 1.03)
        _batch_axis(panels[0], [2**power for power in range(0, int(math.log2(largest)) + 1, 2)])
        if goodput:
            for index, each in enumerate(shown):
                if each.time_steps in goodput:
                    _draw_goodput(panels[1], goodput[each.time_steps], index)
            panels[1].set_ylabel("sequences/s, by worth")
            panels[1].set_ylim(bottom=0)
            batches = {point.point.batch for each in goodput.values() for point in each.points}
            _batch_axis(panels[1], sorted(batches))
        panels[-1].legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return Chart("worth", "What a sequence is worth", _worth_finding(shown, goodput), figure)


def _known_noise(found: Trainability) -> dict[int, NoiseAt]:
    lengths = {each.time_steps for each in found.noise}
    known = {time_steps: found.noise_at(time_steps) for time_steps in lengths}
    return {time_steps: each for time_steps, each in known.items() if each is not None}


def _draw_efficiency(axes: Axes, each: NoiseAt, index: int, largest: int) -> None:
    scale = each.scale
    assert scale is not None
    assert scale.sequences is not None
    batches = [2 ** (power / 4) for power in range(int(4 * math.log2(largest)) + 1)]
    curve = [efficiency(scale.sequences, batch, 1) for batch in batches]
    label = f"T={each.time_steps}, noise {scale.sequences:.3g}"
    axes.plot(batches, curve, color=OKABE_ITO[index], linewidth=1.5, label=label,
              marker=MARKERS[index], markersize=3, markevery=8)  # fmt: skip
    if scale.interval is not None:
        low, high = (
            [1.0 if math.isinf(end) else efficiency(end, batch, 1) for batch in batches]
            for end in scale.interval
        )
        axes.fill_between(batches, low, high, color=OKABE_ITO[index], alpha=0.15, linewidth=0)


def _draw_goodput(axes: Axes, each: Goodput, index: int) -> None:
    batches = [point.point.batch for point in each.points]
    colour = OKABE_ITO[index]
    axes.plot(
        batches, [point.sequences_per_s for point in each.points], color=colour, linewidth=0.9,
        linestyle=(0, (4, 2)), label=f"T={each.time_steps}, as they run",
    )  # fmt: skip
    worth = [point.goodput_per_s for point in each.points]
    axes.plot(batches, worth, color=colour, linewidth=1.5, marker=MARKERS[index], markersize=3,
              label=f"T={each.time_steps}, by worth")  # fmt: skip
    chosen = batches.index(each.batch)
    axes.plot([each.batch], [worth[chosen]], "o", markersize=9, markerfacecolor="none",
              markeredgecolor=colour)  # fmt: skip


def _worth_finding(shown: Sequence[NoiseAt], goodput: dict[int, Goodput]) -> str:
    told = []
    for each in shown:
        assert each.scale is not None
        text = f"T={each.time_steps}: noise scale {each.scale.sequences:.3g} sequences"
        if each.time_steps in goodput:
            text += f", best goodput at B={goodput[each.time_steps].batch} (ringed)"
        told.append(text)
    return "; ".join(told) + "."


def target_chart(report: RunReport) -> Chart | None:
    """Seconds and sequences to the target over B, a line for each T; None where none was tried."""
    found = report.trainability.to_target
    if not found:
        return None
    lengths = _shown(sorted({each.point.time_steps for each in found}))
    with style():
        figure, panels = _sheet(f"To a loss of {found[0].target_loss:g}, medians over seeds", 2)
        for index, time_steps in enumerate(lengths):
            at = [each for each in found if each.point.time_steps == time_steps]
            _draw_target(panels[0], at, index, lambda each: each.train_s, has_spread=True)
            _draw_target(panels[1], at, index, lambda each: each.sequences, has_spread=False)
        units: Sequence[tuple[str, Callable[[float], str]]] = (
            ("time of training", format_seconds), ("sequences", _count),
        )  # fmt: skip
        for axes, (label, shown) in zip(panels, units, strict=True):
            if any(each.train_s for each in found):
                _log_scale(axes, shown)
            axes.set_ylabel(label)
            _batch_axis(axes, sorted({each.point.batch for each in found}))
        if any(each.train_s is None for each in found):
            panels[-1].plot([], [], "x", color=MUTED, markersize=5, label="not reached in time")
        panels[-1].legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return Chart("time-to-target", "Time to a target loss", _target_finding(found), figure)


def _draw_target(
    axes: Axes,
    found: Sequence[ToTarget],
    index: int,
    value: Callable[[ToTarget], float | None],
    *,
    has_spread: bool,
) -> None:
    """A line through the points that came to it; a cross at the foot for one that did not."""
    colour = OKABE_ITO[index]
    known = [(each, number) for each in found if (number := value(each)) is not None]
    axes.plot(
        [each.point.batch for each, _ in known], [number for _, number in known], color=colour,
        linewidth=1.5, marker=MARKERS[index], markersize=4, label=f"T={found[0].point.time_steps}",
    )  # fmt: skip
    for each, _ in known if has_spread else ():
        if each.spread_s is not None:
            axes.vlines(each.point.batch, *each.spread_s, color=colour, linewidth=0.8)
    missed = [each.point.batch for each in found if value(each) is None]
    axes.plot(missed, [0.03] * len(missed), "x", color=colour, markersize=5, clip_on=False,
              transform=axes.get_xaxis_transform())  # fmt: skip


def _target_finding(found: Sequence[ToTarget]) -> str:
    told = []
    for time_steps in sorted({each.point.time_steps for each in found}):
        at = [each for each in found if each.point.time_steps == time_steps]
        known = [each for each in at if each.train_s is not None]
        if not known:
            told.append(f"T={time_steps}: no batch came to it in the time given (crosses)")
            continue
        best = min(known, key=lambda each: each.train_s or math.inf)
        missed = len(at) - len(known)
        also = f"; {missed} of {len(at)} batches did not come to it (crosses)" if missed else ""
        quickest = f"B={best.point.batch} is quickest, {format_seconds(best.train_s)}"
        told.append(f"T={time_steps}: {quickest}{also}")
    return "; ".join(told) + "."


def _sheet(title: str, count: int) -> tuple[Figure, list[Axes]]:
    figure = Figure(figsize=SIZE_IN if count == 1 else TALL_IN)
    panels = list(figure.subplots(1, count, squeeze=False)[0])
    figure.subplots_adjust(LEFT, BOTTOM, RIGHT, TOP, wspace=BETWEEN)
    figure.text(0.02, 0.95, title, fontsize=TITLE_PT - 2, ha="left", va="top")
    return figure, panels


def _count(value: float) -> str:
    return format_rate(value).removesuffix("/s").strip()


def _log_scale(axes: Axes, shown: Callable[[float], str]) -> None:
    """A logarithmic axis with a few labels in plain text: no mathematics is typeset here."""
    axes.set_yscale("log")
    low, high = axes.get_ylim()
    decades = math.log10(high / low)
    subs: Sequence[float] = (1, 2, 5) if decades < FEW_DECADES else (1,)
    axes.yaxis.set_major_locator(LogLocator(10, subs=subs, numticks=12))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: shown(value)))


def _batch_axis(axes: Axes, batches: Sequence[int]) -> None:
    axes.set_xscale("log", base=2)
    axes.set_xlabel("batch B, sequences")
    axes.set_xlim(batches[0] / 1.1, batches[-1] * 1.1)
    log2_ticks(axes.xaxis, batches)
    axes.grid(axis="y")


def _shown(lengths: Sequence[int]) -> tuple[int, ...]:
    """At most eight, evenly: the first and the last among them."""
    if len(lengths) <= MOST_LINES:
        return tuple(lengths)
    last = len(lengths) - 1
    return tuple(lengths[round(index * last / (MOST_LINES - 1))] for index in range(MOST_LINES))
