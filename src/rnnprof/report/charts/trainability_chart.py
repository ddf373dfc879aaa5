"""Reach against lag, what a sequence is worth over B, and time to a target over B."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from matplotlib.axes import Axes

from rnnprof.report.charts.kit.axes import BATCH, around, grid_axis, level_axis, log_levels
from rnnprof.report.charts.kit.lines import line_style, lines_of
from rnnprof.report.charts.kit.scales import Scales, scales_for
from rnnprof.report.charts.kit.sheet import AXIS_IN, WIDTH_IN, Sheet, legend_beside, make_sheet
from rnnprof.report.charts.kit.style import MUTED, OKABE_ITO, RECOMMENDED, SMALL_PT, Chart, style
from rnnprof.report.charts.kit.units import format_seconds, rate_tick
from rnnprof.report.model import Goodput, NoiseAt, ReachAt, RunReport, ToTarget, efficiency
from rnnprof.report.words import chart_legends as legends
from rnnprof.report.words import run_charts as words

PANEL_IN: Final = 2.5
TOP_IN: Final = 0.06
LEFT_IN: Final = 0.66
BETWEEN_IN: Final = 0.72
RIGHT_IN: Final = 1.66
"""Beside the last panel: its legend."""

LEAST_RATIO: Final = 1e-8
"""Below it a gradient is drawn as nothing."""

LARGEST_BATCH: Final = 4096
"""To which what a sequence is worth is drawn, where no larger batch was measured."""

MISSED_LEVEL: Final = 0.03
DEFAULT_REACH_RATIO: Final = 1e-3
DASHED: Final = (0, (4, 2))


def _panels(sheet: Sheet, count: int) -> list[Axes]:
    """So many panels of one width."""
    room_in = WIDTH_IN - LEFT_IN - RIGHT_IN - (count - 1) * BETWEEN_IN
    width_in = room_in / count
    lefts = [LEFT_IN + column * (width_in + BETWEEN_IN) for column in range(count)]
    return [sheet.axes(left_in, TOP_IN, width_in, PANEL_IN) for left_in in lefts]


# --- reach ---------------------------------------------------------------------------------------


def reach_chart(report: RunReport, scales: Scales | None = None) -> Chart | None:
    """Gradient norm against lag, a line for each T; None where none was found.

    Args:
        report: the run to draw.
        scales: of all runs on the page; of this one alone where None.
    """
    known = _known_reach(report)
    if not known:
        return None
    shared = scales_for(report, scales)
    lines = lines_of(_reach_lengths(report), shared.values(_reach_lengths))
    study = report.trainability.study
    threshold = study.reach_ratio if study else DEFAULT_REACH_RATIO
    # by T, that after the most training steps
    last = {each.time_steps: each for each in sorted(known, key=lambda each: each.train_steps)}
    with style():
        sheet = make_sheet(words.REACH_TITLE, report, TOP_IN + PANEL_IN + AXIS_IN)
        (axes,) = _panels(sheet, 1)
        for time_steps, index in lines.items():
            for each in known:
                if each.time_steps == time_steps:
                    _draw_reach(axes, each, index, is_last=each is last[time_steps])
        axes.axhline(threshold, color=MUTED, linewidth=0.8, linestyle=(0, (1, 2)))
        axes.annotate(
            legends.threshold(threshold), (1.0, threshold), xycoords=("axes fraction", "data"),
            xytext=(-3, 2), textcoords="offset points", fontsize=SMALL_PT, color=MUTED, ha="right",
        )  # fmt: skip
        low, high = shared.span(_ratios) or (threshold, 1.0)
        log_levels(axes, (min(low, threshold) / 1.6, high * 1.6), "{:g}".format)
        axes.set_xlim(*_lags(shared))
        axes.set(xlabel=legends.LAG_AXIS, ylabel=legends.GRADIENT_AXIS)
        axes.grid(axis="y")
        legend_beside(axes, legends.AFTER_TRAINING)
    finding = words.reach_finding(last[time_steps] for time_steps in lines)
    return Chart("reach", words.REACH_TITLE, finding, sheet.figure)


def _known_reach(report: RunReport) -> list[ReachAt]:
    return [e for e in report.trainability.reach if e.reach is not None and any(e.reach.ratios)]


def _reach_lengths(report: RunReport) -> list[int]:
    return sorted({each.time_steps for each in _known_reach(report)})


def _points(each: ReachAt) -> list[tuple[int, float, tuple[float, float]]]:
    """Lag, ratio and its spread, of those that are drawn."""
    assert each.reach is not None
    pairs = zip(each.reach.ratios, each.reach.spread, strict=True)
    return [(lag, r, s) for lag, (r, s) in enumerate(pairs) if r and s and r >= LEAST_RATIO]


def _ratios(report: RunReport) -> Iterator[float]:
    for each in _known_reach(report):
        yield from (ratio for _, ratio, _ in _points(each))


def _last_lags(report: RunReport) -> Iterator[float]:
    for each in _known_reach(report):
        yield max((lag for lag, _, _ in _points(each)), default=0)


def _lags(scales: Scales) -> tuple[float, float]:
    last = (scales.span(_last_lags) or (0, 1))[1] or 1
    return -0.05 * last, 1.05 * last


def _draw_reach(axes: Axes, each: ReachAt, index: int, *, is_last: bool) -> None:
    points = _points(each)
    lags = [lag for lag, _, _ in points]
    look = _solid(index, max(1, len(lags) // 8)) | ({} if is_last else _dashed(index))
    label = legends.trained(each.time_steps, each.train_steps)
    axes.plot(lags, [ratio for _, ratio, _ in points], **look, label=label)
    if is_last:
        low = [max(LEAST_RATIO, spread[0]) for _, _, spread in points]
        high = [spread[1] for _, _, spread in points]
        axes.fill_between(lags, low, high, color=OKABE_ITO[index], alpha=0.15, linewidth=0)


def _solid(index: int, every: int = 1) -> dict[str, Any]:
    known = line_style(index)
    return {
        "color": known["color"], "marker": known["marker"], "linewidth": 1.5, "markersize": 3.5,
        "markevery": every,
    }  # fmt: skip


def _dashed(index: int) -> dict[str, Any]:
    return {"color": OKABE_ITO[index], "linewidth": 0.9, "linestyle": DASHED}


# --- worth ---------------------------------------------------------------------------------------


def worth_chart(report: RunReport, scales: Scales | None = None) -> Chart | None:
    """Efficiency over B by the noise scale, and goodput where throughput is known too.

    Args:
        report: the run to draw.
        scales: of all runs on the page; of this one alone where None.
    """
    noise = _known_noise(report)
    if not noise:
        return None
    shared = scales_for(report, scales)
    lines = lines_of(sorted(noise), shared.values(_known_noise))
    goodput = {each.time_steps: each for each in report.advice.goodput}
    largest = int(max((shared.span(BATCH.values) or (1, 1))[1], LARGEST_BATCH))
    with style():
        sheet = make_sheet(words.WORTH_TITLE, report, TOP_IN + PANEL_IN + AXIS_IN)
        panels = _panels(sheet, 2 if goodput else 1)
        for time_steps, index in lines.items():
            _draw_efficiency(panels[0], noise[time_steps], index, largest)
        panels[0].set(ylabel=legends.WORTH_AXIS, ylim=(0, 1.03))
        powers = [2**power for power in range(0, int(math.log2(largest)) + 1, 2)]
        _batch_axis(panels[0], powers, (1, largest))
        if goodput:
            _draw_goodputs(panels[1], goodput, lines, shared)
        legend_beside(panels[-1])
    finding = words.worth_finding([noise[time_steps] for time_steps in lines], goodput)
    return Chart("worth", words.WORTH_TITLE, finding, sheet.figure)


def _known_noise(report: RunReport) -> dict[int, NoiseAt]:
    lengths = {each.time_steps for each in report.trainability.noise}
    known = {time_steps: report.trainability.noise_at(time_steps) for time_steps in lengths}
    return {time_steps: each for time_steps, each in known.items() if each is not None}


def _draw_efficiency(axes: Axes, each: NoiseAt, index: int, largest: int) -> None:
    scale = each.scale
    assert scale is not None
    assert scale.sequences is not None
    batches = [2 ** (power / 4) for power in range(int(4 * math.log2(largest)) + 1)]
    curve = [efficiency(scale.sequences, batch, 1) for batch in batches]
    label = words.noise_label(each.time_steps, scale.sequences)
    axes.plot(batches, curve, **_solid(index, 8), label=label)
    if scale.interval is not None:
        low, high = (
            [1.0 if math.isinf(end) else efficiency(end, batch, 1) for batch in batches]
            for end in scale.interval
        )
        axes.fill_between(batches, low, high, color=OKABE_ITO[index], alpha=0.15, linewidth=0)


def _goodput_rates(report: RunReport) -> Iterator[float]:
    for each in report.advice.goodput:
        yield from (point.sequences_per_s for point in each.points)


def _goodput_batches(report: RunReport) -> Iterator[float]:
    for each in report.advice.goodput:
        yield from (point.point.batch for point in each.points)


def _draw_goodputs(
    axes: Axes, goodput: Mapping[int, Goodput], lines: Mapping[int, int], scales: Scales
) -> None:
    for time_steps, index in lines.items():
        if time_steps in goodput:
            _draw_goodput(axes, goodput[time_steps], index)
    axes.set_ylabel(legends.GOODPUT_AXIS)
    level_axis(axes, (scales.span(_goodput_rates) or (0, 1))[1], rate_tick)
    batches = sorted({point.point.batch for each in goodput.values() for point in each.points})
    _batch_axis(axes, batches, scales.span(_goodput_batches) or (1, 1))


def _draw_goodput(axes: Axes, each: Goodput, index: int) -> None:
    batches = [point.point.batch for point in each.points]
    rates = [point.sequences_per_s for point in each.points]
    axes.plot(batches, rates, **_dashed(index), label=legends.as_run(each.time_steps))
    worth = [point.goodput_per_s for point in each.points]
    axes.plot(batches, worth, **_solid(index), label=legends.by_worth(each.time_steps))
    best = worth[batches.index(each.batch)]
    axes.plot([each.batch], [best], "o", markersize=9, markerfacecolor="none",
              markeredgecolor=RECOMMENDED)  # fmt: skip


# --- time to a target ----------------------------------------------------------------------------


def target_chart(report: RunReport, scales: Scales | None = None) -> Chart | None:
    """Seconds and sequences to the target over B, a line for each T; None where none was tried.

    Args:
        report: the run to draw.
        scales: of all runs on the page; of this one alone where None.
    """
    found = report.trainability.to_target
    if not found:
        return None
    shared = scales_for(report, scales)
    lines = lines_of(_target_lengths(report), shared.values(_target_lengths))
    title = words.target_title(found[0].target_loss)
    with style():
        sheet = make_sheet(title, report, TOP_IN + PANEL_IN + AXIS_IN)
        times, sequences = panels = _panels(sheet, 2)
        for time_steps, index in lines.items():
            at = [each for each in found if each.point.time_steps == time_steps]
            _draw_target(times, at, index, lambda each: each.train_s)
            _draw_spread(times, at, index)
            _draw_target(sequences, at, index, lambda each: each.sequences)
        times.set_ylabel(legends.TRAIN_TIME_AXIS)
        sequences.set_ylabel(legends.SEQUENCES_AXIS)
        _log_axis(times, shared.span(_train_times), format_seconds)
        _log_axis(sequences, shared.span(_sequences), rate_tick)
        for axes in panels:
            batches = sorted({each.point.batch for each in found})
            _batch_axis(axes, batches, shared.span(_target_batches) or (1, 1))
        if any(each.train_s is None for each in found):
            sequences.plot([], [], "x", color=MUTED, markersize=5, label=legends.NOT_REACHED)
        legend_beside(sequences)
    finding = words.target_finding(found)
    return Chart("time-to-target", words.TARGET_NAME, finding, sheet.figure)


def _target_lengths(report: RunReport) -> list[int]:
    return sorted({each.point.time_steps for each in report.trainability.to_target})


def _target_batches(report: RunReport) -> list[int]:
    return [each.point.batch for each in report.trainability.to_target]


def _train_times(report: RunReport) -> Iterator[float]:
    for each in report.trainability.to_target:
        yield from (value for value in (each.train_s, *(each.spread_s or ())) if value)


def _sequences(report: RunReport) -> list[float]:
    return [each.sequences for each in report.trainability.to_target if each.sequences]


def _draw_target(
    axes: Axes, found: Sequence[ToTarget], index: int, value: Callable[[ToTarget], float | None]
) -> None:
    """A line through the points that reached it; a cross at the foot for one that did not."""
    known = [(each.point.batch, number) for each in found if (number := value(each)) is not None]
    label = f"T={found[0].point.time_steps}"
    axes.plot([b for b, _ in known], [number for _, number in known], **_solid(index), label=label)
    missed = [each.point.batch for each in found if value(each) is None]
    axes.plot(missed, [MISSED_LEVEL] * len(missed), "x", color=OKABE_ITO[index], markersize=5,
              clip_on=False, transform=axes.get_xaxis_transform())  # fmt: skip


def _draw_spread(axes: Axes, found: Iterable[ToTarget], index: int) -> None:
    """Over the seeds, of the points that reached it."""
    for each in found:
        if each.train_s is not None and each.spread_s is not None:
            axes.vlines(each.point.batch, *each.spread_s, color=OKABE_ITO[index], linewidth=0.8)


def _log_axis(axes: Axes, span: tuple[float, float] | None, text: Callable[[float], str]) -> None:
    if span is not None:
        log_levels(axes, (span[0] / 1.3, span[1] * 1.3), text)


def _batch_axis(axes: Axes, batches: Sequence[int], span: tuple[float, float]) -> None:
    grid_axis(axes, "x", BATCH, batches, around(span))
    axes.grid(axis="y")
