"""In which phase memory peaks, and what each leaves live."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Final

from matplotlib.axes import Axes

from rnnprof.report.charts.kit.axes import byte_axis
from rnnprof.report.charts.kit.bars import (
    PANEL_TITLE_IN,
    BarLook,
    bar_panels,
    draw_bars,
    prepare_bars,
    write_beside,
)
from rnnprof.report.charts.kit.scales import Scales, scales_for
from rnnprof.report.charts.kit.sheet import AXIS_IN, make_sheet
from rnnprof.report.charts.kit.style import GREY, INK, MUTED, PHASE_COLOURS, Chart, style
from rnnprof.report.charts.kit.units import format_bytes
from rnnprof.report.model import Memory, Point, RunReport
from rnnprof.report.words import bar_charts as words
from rnnprof.report.words import chart_legends as legends

PEAK_LOOK: Final = BarLook(legends.PEAK_OF_PHASE, GREY, "")
LIVE_LOOK: Final = BarLook(legends.LIVE_AT_END, GREY, "////")
"""Grey in the legend alone: each phase has its own colour, as in the chart of its time."""

PHASE_IN: Final = 0.32
"""Two bars and the space to the next phase."""

PHASE_BAR: Final = 0.38
"""Height of each, of that."""

PHASES_SHARE: Final = 0.66
"""As :data:`~rnnprof.report.charts.kit.axes.BAR_SHARE`: the peak's total is followed by a word."""

LABEL_IN: Final = 0.66


def memory_phases(report: RunReport, scales: Scales | None = None) -> Chart | None:
    """Peak and live bytes by phase at up to four points; None where no memory pass knows them.

    Args:
        report: the run to draw.
        scales: of all runs on the page; of this one alone where None.
    """
    why = _points(report)
    if not why:
        return None
    memories, columns = report.memories, min(2, len(why))
    phases = [n for n in PHASE_COLOURS if any(n in memories[p].phase_peak_bytes for p in why)]
    bars_in = PHASE_IN * len(phases)
    panels_in = math.ceil(len(why) / columns) * (PANEL_TITLE_IN + bars_in + AXIS_IN)
    shared = scales_for(report, scales)
    with style():
        keys = [PEAK_LOOK.key, LIVE_LOOK.key]
        sheet = make_sheet(words.PHASES_TITLE, report, panels_in, keys)
        panels = bar_panels(sheet, [bars_in] * len(why), columns, LABEL_IN)
        for axes, (point, reason) in zip(panels, why.items(), strict=True):
            most_bytes = (shared.span(SIZES[reason]) or (1, 1))[1]
            _draw(axes, memories[point], reason, phases, most_bytes)
    finding = words.phases_finding(report, [memories[point] for point in why])
    return Chart("memory-phases", words.PHASES_TITLE, finding, sheet.figure)


def _points(report: RunReport) -> dict[Point, str]:
    """The recommended point, the smallest, the largest, and the longest T at its batch, with why.

    They are in the order of their size.
    """
    memories, advised = report.memories, report.advised
    by_size = sorted(memories, key=lambda p: (p.batch * p.time_steps, p.time_steps))
    if not by_size:
        return {}
    batch = advised.batch if advised else by_size[-1].batch
    at_batch = [point for point in by_size if point.batch == batch] or by_size[-1:]
    chosen = {by_size[0], max(at_batch, key=lambda p: p.time_steps), by_size[-1]}
    chosen |= {advised} if advised in memories and advised is not None else set()
    points = [point for point in by_size if point in chosen]
    why = dict.fromkeys(points, words.LONGEST)
    why |= {points[0]: words.SMALLEST, points[-1]: words.LARGEST}
    why |= {points[0]: ""} if len(points) == 1 else {}
    return why | {p: words.RECOMMENDED for p in points if p in report.advice.points}


def _sizes(report: RunReport, reason: str) -> Iterator[float]:
    for point, why in _points(report).items():
        if why == reason:
            memory = report.memories[point]
            yield from (*memory.phase_peak_bytes.values(), *memory.phase_live_bytes.values())


REASONS: Final = ("", words.SMALLEST, words.LARGEST, words.LONGEST, words.RECOMMENDED)
SIZES: Final = {reason: partial(_sizes, reason=reason) for reason in REASONS}
"""The bytes of the point that is drawn for a reason: in one run the smallest and the largest are
far apart, and between runs each is compared with its like."""


def _draw(axes: Axes, memory: Memory, why: str, phases: Sequence[str], most_bytes: float) -> None:
    peaks, lives = memory.phase_peak_bytes, memory.phase_live_bytes
    prepare_bars(axes, f"{memory.point}{why}", phases)
    byte_axis(axes, most_bytes, legends.ALLOCATED_AXIS, PHASES_SHARE)
    half, gid = PHASE_BAR / 2, f"B{memory.batch}-T{memory.time_steps}"
    highest = words.peak_phase(memory)
    rows = {name: y for y, name in enumerate(phases)}
    for known, look, shift, name in (
        (peaks, PEAK_LOOK, -half, "peak"), (lives, LIVE_LOOK, half, "live"),
    ):  # fmt: skip
        sizes = {n: size for n, size in known.items() if n in rows}
        bars = [(0.0, float(size), rows[n] + shift) for n, size in sizes.items()]
        colours = [PHASE_COLOURS[n] for n in sizes]
        draw_bars(axes, bars, look, f"{gid}-{name}", PHASE_BAR, colours)
    for name, y in rows.items():
        is_peak = name == highest
        if name in peaks:
            text = format_bytes(peaks[name]) + (legends.THE_PEAK if is_peak else "")
            write_beside(axes, peaks[name], y - half, text, INK, is_bold=is_peak)
        if name in lives:
            write_beside(axes, lives[name], y + half, format_bytes(lives[name]), MUTED)
