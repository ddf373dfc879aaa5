"""In which phase memory peaks, and what each leaves live."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Final

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rnnprof.points.fold import by_point
from rnnprof.report.charts.kit.bars import (
    AXIS_IN,
    BLUE,
    HEADING_IN,
    LEGEND_ROW_IN,
    MARGIN_IN,
    ORANGE,
    PANEL_TITLE_IN,
    STEP_ORDER,
    WIDTH_IN,
    BarLook,
    advised_point,
    byte_axis,
    column_axes,
    draw_bars,
    draw_heading,
    draw_legend,
    prepare_bars,
    write_beside,
)
from rnnprof.report.charts.kit.style import (
    INK,
    MUTED,
    Chart,
    style,
)
from rnnprof.report.model import RunReport
from rnnprof.runfile.observations import Memory
from rnnprof.runfile.points import Outcome, Point
from rnnprof.units import format_bytes

PEAK_LOOK: Final = BarLook("peak within the phase", BLUE, "")
LIVE_LOOK: Final = BarLook("live at its end, in the last step", ORANGE, "////")


# --- the phases of a step ------------------------------------------------------------------------

PHASES_TITLE: Final = "In which phase memory peaks, and what each leaves live"
PHASE_IN: Final = 0.32
"""Two bars and the space to the next phase."""

PHASE_BAR: Final = 0.38
"""Height of each, of that."""


PHASES_SHARE: Final = 0.66
"""As :data:`BAR_SHARE`: the peak's total is followed by a word."""

PHASE_LABEL_IN: Final = 0.66


def memory_phases(report: RunReport) -> Chart | None:
    """Peak and live bytes by phase at up to four points; None where no memory pass told them."""
    memories = _memories(report)
    points = _phase_points(report, memories)
    if not points:
        return None
    phases = [n for n in STEP_ORDER if any(n in memories[p].phase_peak_bytes for p in points)]
    columns = min(2, len(points))
    rows = math.ceil(len(points) / columns)
    panel_in = PANEL_TITLE_IN + PHASE_IN * len(phases) + AXIS_IN
    height_in = HEADING_IN + rows * panel_in + LEGEND_ROW_IN + MARGIN_IN
    with style():
        figure = Figure(figsize=(WIDTH_IN, height_in))
        draw_heading(figure, PHASES_TITLE, report)
        for index, point in enumerate(points):
            top_in = HEADING_IN + index // columns * panel_in + PANEL_TITLE_IN
            axes = column_axes(
                figure, index % columns, columns, top_in, PHASE_IN * len(phases), PHASE_LABEL_IN
            )
            _draw_phases(axes, memories[point], _why(report, point, points), phases)
        draw_legend(figure, [PEAK_LOOK, LIVE_LOOK])
    finding = _phases_finding(report, [memories[point] for point in points])
    return Chart("memory-phases", PHASES_TITLE, finding, figure)


def _memories(report: RunReport) -> dict[Point, Memory]:
    """The last memory pass of each point that came through and told its phases."""
    return {
        observation.point: observation
        for observations in by_point(report.run.observations).values()
        for observation in observations
        if isinstance(observation, Memory)
        and observation.outcome is Outcome.MEASURED
        and observation.phase_peak_bytes
    }


def _phase_points(report: RunReport, memories: Mapping[Point, Memory]) -> list[Point]:
    """The point recommended, the smallest, the largest, and the longest T at its batch."""
    if not memories:
        return []
    by_size = sorted(memories, key=lambda p: (p.batch * p.time_steps, p.time_steps))
    advised = advised_point(report)
    batch = advised.batch if advised else by_size[-1].batch
    longest = max((p for p in by_size if p.batch == batch), key=_steps_of, default=by_size[-1])
    chosen = {by_size[0], longest, by_size[-1]}
    chosen |= {advised} if advised in memories and advised is not None else set()
    return [point for point in by_size if point in chosen]


def _steps_of(point: Point) -> int:
    return point.time_steps


def _why(report: RunReport, point: Point, points: Sequence[Point]) -> str:
    """What the point stands for among those drawn."""
    if point in report.advice.points:
        return ", recommended"
    if len(points) == 1:
        return ""
    return {points[0]: ", the smallest", points[-1]: ", the largest"}.get(point, ", the longest T")


def _peak_phase(memory: Memory) -> str:
    """Where the peak stands: the breakdown knows, or else the phase with the highest peak."""
    if memory.breakdown is not None:
        return memory.breakdown.phase
    return max(memory.phase_peak_bytes, key=lambda name: memory.phase_peak_bytes[name])


def _draw_phases(axes: Axes, memory: Memory, why: str, phases: Sequence[str]) -> None:
    peaks, lives = memory.phase_peak_bytes, memory.phase_live_bytes
    prepare_bars(axes, f"{memory.point}{why}", phases)
    byte_axis(axes, max([*peaks.values(), *lives.values()]), "allocated", PHASES_SHARE)
    half, gid = PHASE_BAR / 2, f"B{memory.batch}-T{memory.time_steps}"
    rows = {name: y for y, name in enumerate(phases)}
    peak_bars = [(0.0, size, rows[n] - half) for n, size in peaks.items() if n in rows]
    live_bars = [(0.0, size, rows[n] + half) for n, size in lives.items() if n in rows]
    draw_bars(axes, peak_bars, PEAK_LOOK, f"{gid}-peak", PHASE_BAR)
    draw_bars(axes, live_bars, LIVE_LOOK, f"{gid}-live", PHASE_BAR)
    highest = _peak_phase(memory)
    for name, y in rows.items():
        is_peak = name == highest
        mark = ", the peak" if is_peak else ""
        if name in peaks:
            text = format_bytes(peaks[name]) + mark
            write_beside(axes, peaks[name], y - half, text, INK, is_bold=is_peak)
        if name in lives:
            write_beside(axes, lives[name], y + half, format_bytes(lives[name]), MUTED)


def _phases_finding(report: RunReport, memories: Sequence[Memory]) -> str:
    advised = advised_point(report)
    main = next((memory for memory in memories if memory.point == advised), memories[-1])
    name = f"the recommended {main.point}" if main.point == advised else str(main.point)
    phase = _peak_phase(main)
    size = format_bytes(main.phase_peak_bytes.get(phase) or main.peak_allocated_bytes)
    live = ", ".join(f"{n} {format_bytes(s)}" for n, s in main.phase_live_bytes.items())
    sentences = [f"At {name} the peak of {size} stands in {phase}."]
    sentences += [f"Live at the end of each phase: {live}."] if live else []
    others = [memory for memory in memories if memory is not main]
    sentences += [_others_peak(phase, others)] if others else []
    leaking = [m for m in memories if m.net_bytes_per_step]
    sentences += [
        f"A step at {m.point} leaves {format_bytes(m.net_bytes_per_step)} behind." for m in leaking
    ]
    return " ".join(sentences)


def _others_peak(phase: str, others: Sequence[Memory]) -> str:
    different = [m for m in others if _peak_phase(m) != phase]
    if not different:
        where = f"the other {len(others)}" if len(others) > 1 else str(others[0].point)
        return f"It stands there at {where} as well."
    named = ", ".join(f"in {_peak_phase(m)} at {m.point}" for m in different)
    return f"It stands {named}."
