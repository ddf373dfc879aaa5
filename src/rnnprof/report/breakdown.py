"""What memory goes to: the parts of the peak, and the phases of a step.

Also what the charts of bars share: looks, places on the sheet, the choice of points.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from rnnprof.analysis.fold import by_point
from rnnprof.records import CENSUS_PARTS, Measurement, Memory, Outcome, Point
from rnnprof.report.drawing import (
    BASE_PT,
    FILL,
    INK,
    MUTED,
    OKABE_ITO,
    PAPER,
    RULE,
    SMALL_PT,
    Chart,
    style,
)
from rnnprof.report.table import SHORT, clip
from rnnprof.report.view import View
from rnnprof.units import GIB, KIB, MIB, format_bytes, format_ratio

WIDTH_IN: Final = 7.4
MARGIN_IN: Final = 0.12
HEADING_IN: Final = 0.46
"""The chart's title and what was trained."""

LEGEND_ROW_IN: Final = 0.17

LEGEND_COLUMNS: Final = 6
LABEL_PT: Final = 6.5

Bar = tuple[float, float, float]
"""Where a bar begins, how long it is, and the height at which its middle stands."""


@dataclass(frozen=True, slots=True)
class Look:
    """How a series is told from the others: by its colour, and as well by its hatch.

    Attributes:
        word: in legend and finding.
        colour: of the bars.
        hatch: over the colour, as matplotlib writes hatches.
        ink: of the hatch and of the bars' edges.
    """

    word: str
    colour: str
    hatch: str
    ink: str = PAPER


BLUE, VERMILLION, GREEN, PINK, ORANGE, SKY, OLIVE, GREY = OKABE_ITO

PART_LOOKS: Final = {
    "weights": Look("weights", BLUE, ""),
    "gradients": Look("gradients", SKY, "////"),
    "optimizer_state": Look("optimizer state", GREEN, "\\\\\\\\"),
    "input": Look("input", ORANGE, "||||"),
    "weight_casts": Look("weight casts", OLIVE, "xxxx"),
    "saved": Look("saved by forward", VERMILLION, "//"),
    "library": Look("library", GREY, "++++"),
    "temporaries": Look("temporaries", PINK, "----"),
    "rounding": Look("rounding", "#b8a9d9", "xx"),
}
"""The last is a light violet: Okabe and Ito have no ninth colour.  No hatch has dots or circles:
each would be a path of its own in a file."""

UNKNOWN_LOOK: Final = Look("parts unknown", FILL, "////", MUTED)

PEAK_LOOK: Final = Look("peak within the phase", BLUE, "")
LIVE_LOOK: Final = Look("live at its end, in the last step", ORANGE, "////")

STEP_ORDER: Final = ("build", "data", "forward", "backward", "optimizer", "other")


# --- the parts of the peak -----------------------------------------------------------------------

PARTS_TITLE: Final = "What the peak is made of"
BARS_AT_MOST: Final = 12
"""More bars in half a page's width would be thinner than their labels."""

BAR_IN: Final = 0.2
AXIS_IN: Final = 0.42
"""Tick labels and the axis's own label below a panel."""

LABEL_IN: Final = 1.22
"""Room for ``T=65536, recommended`` beside the bars."""

PANEL_TITLE_IN: Final = 0.24
PANEL_GAP_IN: Final = 0.14
BAR_SHARE: Final = 0.76
"""Of a panel's width that the longest bar takes; the rest is for its total."""

LEAST_BARS: Final = 3
"""A lone bar as high as the panel would look like a wall."""

LARGEST_PARTS: Final = 3
"""So many parts are told of in words."""


def memory_parts(view: View) -> Chart | None:
    """The census at the peak, against batch and against time steps; None without any peak."""
    panels = _parts_panels(view)
    if not panels:
        return None
    looks = _looks_used(panels)
    room = max(LEAST_BARS, *(len(panel.rows) for panel in panels))
    with style():
        figure = Figure(figsize=(WIDTH_IN, _parts_height_in(room, len(looks))))
        draw_heading(figure, PARTS_TITLE, view)
        for column, panel in enumerate(panels):
            top_in = HEADING_IN + PANEL_TITLE_IN
            axes = column_axes(figure, column, len(panels), top_in, BAR_IN * room)
            _draw_parts(axes, panel, room)
        draw_legend(figure, looks)
    return Chart("memory-parts", PARTS_TITLE, _parts_finding(panels), figure)


def _parts_height_in(bars: int, looks: int) -> float:
    legend_in = LEGEND_ROW_IN * math.ceil(looks / LEGEND_COLUMNS)
    return HEADING_IN + PANEL_TITLE_IN + BAR_IN * bars + AXIS_IN + legend_in + MARGIN_IN


@dataclass(frozen=True, slots=True)
class _Row:
    """One bar of parts, or the word that stands in its place.

    Attributes:
        parts: bytes by part, of those that are not zero; empty where they are unknown.
        total_bytes: of the bar; None where there is none.
        reason: why the parts are unknown.
    """

    point: Point
    label: str
    parts: Mapping[str, int]
    total_bytes: int | None
    word: str
    reason: str | None


@dataclass(frozen=True, slots=True)
class _Panel:
    """Bars along one axis of the grid, the other held.

    Attributes:
        held: ``T=128``: what is the same for all bars.
    """

    gid: str
    title: str
    held: str
    rows: tuple[_Row, ...]

    @property
    def known(self) -> list[_Row]:
        """The rows that have a bar."""
        return [row for row in self.rows if row.total_bytes]


def _parts_panels(view: View) -> list[_Panel]:
    """By batch and by time steps; of two of which one holds the other's bars, the larger."""
    focus = _parts_focus(view)
    if focus is None:
        return []
    by_batch, by_steps = along_batch(view, focus), along_steps(view, focus)
    panels = []
    if len(by_batch) > 1 or len(by_steps) == 1:
        panels.append(_panel(view, focus, by_batch, by_batch=True))
    if len(by_steps) > 1:
        panels.append(_panel(view, focus, by_steps, by_batch=False))
    return panels


def _parts_focus(view: View) -> Point | None:
    """The point recommended, or the largest batch at the longest T whose bytes are known."""
    advised = advised_point(view)
    known = [point for point, m in view.measurements.items() if m.census is not None]
    known = known or [p for p, m in view.measurements.items() if _total_bytes(m)]
    if advised is not None and _total_bytes(view.measurements[advised]):
        return advised
    return max(known, key=lambda point: (point.steps, point.batch), default=None)


def _panel(view: View, focus: Point, places: Sequence[Point], *, by_batch: bool) -> _Panel:
    chosen = thinned(places, BARS_AT_MOST, focus)
    count = f", {len(chosen)} of {len(places)}" if len(chosen) < len(places) else ""
    held = f"T={focus.steps}" if by_batch else f"B={focus.batch}"
    along = "batch B" if by_batch else "time steps T"
    return _Panel(
        "by-batch" if by_batch else "by-steps",
        f"at {held}, by {along}{count}",
        held,
        tuple(_row(view, point, by_batch=by_batch) for point in chosen),
    )


def _row(view: View, point: Point, *, by_batch: bool) -> _Row:
    measurement = view.measurements[point]
    label = row_label(view, point, by_batch=by_batch)
    total, census = _total_bytes(measurement), measurement.census
    if total is None:
        word = SHORT.get(measurement.outcome, "peak unknown")
        return _Row(point, label, {}, None, word, None)
    if census is None:
        reason = measurement.census_reason or "no memory pass was recorded"
        return _Row(point, label, {}, total, "", reason)
    parts = {name: size for name, size in census.parts().items() if size}
    return _Row(point, label, parts, total, "", None)


def _total_bytes(measurement: Measurement) -> int | None:
    """The sum of the census, or the allocator's peak where there is none."""
    if measurement.outcome is not Outcome.MEASURED:
        return None
    if measurement.census is not None:
        return sum(measurement.census.parts().values()) or None
    return measurement.peak_allocated_bytes


def _looks_used(panels: Iterable[_Panel]) -> list[Look]:
    rows = [row for panel in panels for row in panel.known]
    used = {name for row in rows for name in row.parts}
    looks = [PART_LOOKS[name] for name in CENSUS_PARTS if name in used]
    return looks + ([UNKNOWN_LOOK] if any(not row.parts for row in rows) else [])


def _draw_parts(axes: Axes, panel: _Panel, room: int) -> None:
    most = max((row.total_bytes or 0 for row in panel.rows), default=0)
    prepare_bars(axes, panel.title, [row.label for row in panel.rows], room)
    byte_axis(axes, most, "allocated at the peak")
    stacks: dict[str, list[Bar]] = {}
    for y, row in enumerate(panel.rows):
        if row.total_bytes and not row.parts:
            stacks.setdefault("unknown", []).append((0, row.total_bytes, y))
        start = 0
        for name, size in row.parts.items():
            stacks.setdefault(name, []).append((start, size, y))
            start += size
        text = row.word or format_bytes(row.total_bytes)
        write_beside(axes, row.total_bytes or 0, y, text, MUTED if row.word else INK)
    for name, bars in stacks.items():
        look = PART_LOOKS.get(name, UNKNOWN_LOOK)
        draw_bars(axes, bars, look, f"{panel.gid}-{name}")


def _parts_finding(panels: Sequence[_Panel]) -> str:
    sentences = [_course(panel) for panel in panels if len(panel.known) > 1]
    sentences = sentences or [_course(panel) for panel in panels[:1]]
    rows = {row.point: row for panel in panels for row in panel.known}
    sentences += _made_of(rows.values())
    return " ".join([*sentences, *_parts_unknown(rows.values())])


def _course(panel: _Panel) -> str:
    first, last = panel.known[0], panel.known[-1]
    if first is last:
        return f"At {first.point} the allocator's peak is {format_bytes(first.total_bytes)}."
    return (
        f"At {panel.held} the allocator's peak goes from {format_bytes(first.total_bytes)} at "
        f"{_varied(panel, first)} to {format_bytes(last.total_bytes)} at {_varied(panel, last)}."
    )


def _varied(panel: _Panel, row: _Row) -> str:
    by_batch = panel.gid == "by-batch"
    return f"B={row.point.batch}" if by_batch else f"T={row.point.steps}"


def _made_of(rows: Iterable[_Row]) -> list[str]:
    """The largest parts of the largest bar."""
    known = [row for row in rows if row.parts]
    if not known:
        return []
    largest = max(known, key=lambda row: row.total_bytes or 0)
    total = largest.total_bytes or 1
    parts = sorted(largest.parts.items(), key=lambda part: -part[1])[:LARGEST_PARTS]
    named = ", ".join(f"{PART_LOOKS[name].word} {format_ratio(s / total)}" for name, s in parts)
    return [f"Of the largest drawn, {largest.point}: {named}."]


REASON_COLUMNS: Final = 200


def _parts_unknown(rows: Iterable[_Row]) -> list[str]:
    without = [row for row in rows if row.reason]
    if not without:
        return []
    places = f"{without[0].point}"
    if len(without) > 1:
        places += f" and {len(without) - 1} more"
    reason = clip(without[0].reason or "", REASON_COLUMNS)
    return [f"The parts are unknown at {places}: {reason}."]


# --- the phases of a step ------------------------------------------------------------------------

PHASES_TITLE: Final = "In which phase memory peaks, and what each leaves live"
PHASE_IN: Final = 0.32
"""Two bars and the space to the next phase."""

PHASE_BAR: Final = 0.38
"""Height of each, of that."""


PHASES_SHARE: Final = 0.66
"""As :data:`BAR_SHARE`: the peak's total is followed by a word."""

PHASE_LABEL_IN: Final = 0.66


def memory_phases(view: View) -> Chart | None:
    """Peak and live bytes by phase at up to four points; None where no memory pass told them."""
    memories = _memories(view)
    points = _phase_points(view, memories)
    if not points:
        return None
    phases = [n for n in STEP_ORDER if any(n in memories[p].phase_peak_bytes for p in points)]
    columns = min(2, len(points))
    rows = math.ceil(len(points) / columns)
    panel_in = PANEL_TITLE_IN + PHASE_IN * len(phases) + AXIS_IN
    height_in = HEADING_IN + rows * panel_in + LEGEND_ROW_IN + MARGIN_IN
    with style():
        figure = Figure(figsize=(WIDTH_IN, height_in))
        draw_heading(figure, PHASES_TITLE, view)
        for index, point in enumerate(points):
            top_in = HEADING_IN + index // columns * panel_in + PANEL_TITLE_IN
            axes = column_axes(
                figure, index % columns, columns, top_in, PHASE_IN * len(phases), PHASE_LABEL_IN
            )
            _draw_phases(axes, memories[point], _why(view, point, points), phases)
        draw_legend(figure, [PEAK_LOOK, LIVE_LOOK])
    finding = _phases_finding(view, [memories[point] for point in points])
    return Chart("memory-phases", PHASES_TITLE, finding, figure)


def _memories(view: View) -> dict[Point, Memory]:
    """The last memory pass of each point that came through and told its phases."""
    return {
        observation.point: observation
        for observations in by_point(view.run.observations).values()
        for observation in observations
        if isinstance(observation, Memory)
        and observation.outcome is Outcome.MEASURED
        and observation.phase_peak_bytes
    }


def _phase_points(view: View, memories: Mapping[Point, Memory]) -> list[Point]:
    """The point recommended, the smallest, the largest, and the longest T at its batch."""
    if not memories:
        return []
    by_size = sorted(memories, key=lambda p: (p.batch * p.steps, p.steps))
    advised = advised_point(view)
    batch = advised.batch if advised else by_size[-1].batch
    longest = max((p for p in by_size if p.batch == batch), key=_steps_of, default=by_size[-1])
    chosen = {by_size[0], longest, by_size[-1]}
    chosen |= {advised} if advised in memories and advised is not None else set()
    return [point for point in by_size if point in chosen]


def _steps_of(point: Point) -> int:
    return point.steps


def _why(view: View, point: Point, points: Sequence[Point]) -> str:
    """What the point stands for among those drawn."""
    if point in view.advice.points:
        return ", recommended"
    if len(points) == 1:
        return ""
    return {points[0]: ", the smallest", points[-1]: ", the largest"}.get(point, ", the longest T")


def _peak_phase(memory: Memory) -> str:
    """Where the peak stands: the census knows, or else the phase with the highest peak."""
    if memory.census is not None:
        return memory.census.phase
    return max(memory.phase_peak_bytes, key=lambda name: memory.phase_peak_bytes[name])


def _draw_phases(axes: Axes, memory: Memory, why: str, phases: Sequence[str]) -> None:
    peaks, lives = memory.phase_peak_bytes, memory.phase_live_bytes
    prepare_bars(axes, f"{memory.point}{why}", phases)
    byte_axis(axes, max([*peaks.values(), *lives.values()]), "allocated", PHASES_SHARE)
    half, gid = PHASE_BAR / 2, f"B{memory.batch}-T{memory.steps}"
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


def _phases_finding(view: View, memories: Sequence[Memory]) -> str:
    advised = advised_point(view)
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


# --- shared by charts of bars --------------------------------------------------------------------


def advised_point(view: View) -> Point | None:
    """The main recommendation, if its point was measured."""
    point = view.advice.point
    return point if point in view.measurements else None


def along_batch(view: View, focus: Point) -> list[Point]:
    """The points at the focus's T, by batch: those that were run."""
    return [p for p in _run_points(view) if p.steps == focus.steps]


def along_steps(view: View, focus: Point) -> list[Point]:
    """The points at the focus's batch, by time steps: those that were run."""
    return [p for p in _run_points(view) if p.batch == focus.batch]


def _run_points(view: View) -> list[Point]:
    return [
        point
        for point in view.places
        if (m := view.measurements.get(point)) and m.outcome is not Outcome.IMPLIED_OOM
    ]


def thinned(points: Sequence[Point], at_most: int, keep: Point) -> list[Point]:
    """At most so many of *points*, evenly spread, the first, the last and *keep* among them."""
    if len(points) <= at_most:
        return list(points)
    last = len(points) - 1
    places = [round(index * last / (at_most - 1)) for index in range(at_most)]
    wanted = points.index(keep) if keep in points else 0
    if wanted not in places:
        inner = range(1, at_most - 1)
        places[min(inner, key=lambda i: abs(places[i] - wanted))] = wanted
    return [points[place] for place in places]


def row_label(view: View, point: Point, *, by_batch: bool) -> str:
    """``B=128`` or ``T=128``, and whether it is the point recommended."""
    label = f"B={point.batch}" if by_batch else f"T={point.steps}"
    return f"{label}, recommended" if point in view.advice.points else label


def column_axes(
    figure: Figure,
    column: int,
    columns: int,
    top_in: float,
    height_in: float,
    label_in: float = LABEL_IN,
) -> Axes:
    """Axes in one of so many equal columns, with room for labels at the left."""
    share_in = (WIDTH_IN - 2 * MARGIN_IN - (columns - 1) * PANEL_GAP_IN) / columns
    left_in = MARGIN_IN + column * (share_in + PANEL_GAP_IN) + label_in
    return axes_at(figure, (left_in, top_in, share_in - label_in, height_in))


def axes_at(figure: Figure, box_in: tuple[float, float, float, float]) -> Axes:
    """Axes at left, top, width and height, in inches from the sheet's upper left corner."""
    left, top, width, height = box_in
    across, down = figure.get_size_inches()
    return figure.add_axes(
        (left / across, 1 - (top + height) / down, width / across, height / down)
    )


def draw_heading(figure: Figure, title: str, view: View) -> None:
    """What is drawn, and of which workload on which device."""
    across, down = (float(size) for size in figure.get_size_inches())
    left = MARGIN_IN / across
    figure.text(
        left, 1 - 0.08 / down, title, fontsize=BASE_PT + 2, weight="bold", va="top", gid="title"
    )
    header = view.run.header
    device = clip(str(header.environment.get("device_name") or "unknown device"), 45)
    subject = f"{clip(header.workload.describe(), 60)}, on {device}"
    y = 1 - 0.29 / down
    drawn = figure.text(left, y, subject, fontsize=SMALL_PT, color=MUTED, va="top", gid="subject")
    room_px = (across - 2 * MARGIN_IN) * figure.dpi
    width_px = drawn.get_window_extent().width
    if width_px > room_px:
        drawn.set_fontsize(SMALL_PT * room_px / width_px)


def draw_legend(figure: Figure, looks: Sequence[Look]) -> None:
    """The looks with their words, at the foot of the sheet."""
    # as many in each row, for a legend is filled column by column
    rows = math.ceil(len(looks) / LEGEND_COLUMNS)
    columns = math.ceil(len(looks) / max(1, rows))
    keys = [Patch(facecolor=k.colour, edgecolor=k.ink, hatch=k.hatch, linewidth=0.3) for k in looks]
    figure.legend(
        keys, [look.word for look in looks], loc="lower left", ncols=max(1, columns),
        bbox_to_anchor=(MARGIN_IN / WIDTH_IN, 0.0), borderaxespad=0.4, borderpad=0,
        handlelength=2.2, handleheight=1.1, columnspacing=1.4, labelspacing=0.35,
    )  # fmt: skip


def prepare_bars(axes: Axes, title: str, labels: Sequence[str], room: int = 0) -> None:
    """A panel with room for so many bars, the first at the top."""
    axes.set_title(title, fontsize=BASE_PT, loc="left", pad=5)
    axes.set_ylim(max(room, len(labels)) - 0.5, -0.5)
    axes.set_yticks(range(len(labels)), list(labels))
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_color(RULE)


def draw_bars(axes: Axes, bars: Sequence[Bar], look: Look, gid: str, height: float = 0.72) -> None:
    """Horizontal bars of one look, as one collection."""
    corners = [
        [(x, y - height / 2), (x + w, y - height / 2), (x + w, y + height / 2), (x, y + height / 2)]
        for x, w, y in bars
    ]
    axes.add_collection(
        PolyCollection(
            corners, facecolors=look.colour, edgecolors=look.ink, hatch=look.hatch or None,
            linewidths=0.3, gid=gid,
        ),
        autolim=False,
    )  # fmt: skip


def write_beside(
    axes: Axes, x: float, y: float, text: str, ink: str, *, is_bold: bool = False
) -> None:
    """A label just right of a bar's end."""
    apart = 0.012 * axes.get_xlim()[1]
    weight = "bold" if is_bold else "normal"
    axes.text(
        x + apart, y, text, va="center", fontsize=LABEL_PT, color=ink, weight=weight,
        bbox={"facecolor": PAPER, "linewidth": 0, "pad": 0.2},
    )  # fmt: skip


UNITS: Final = {"TiB": GIB << 10, "GiB": GIB, "MiB": MIB, "KiB": KIB, "B": 1}


def byte_axis(axes: Axes, most_bytes: float, label: str, share: float = BAR_SHARE) -> None:
    """An axis of bytes from zero, its ticks at two to four multiples of a power of two."""
    step = 1 << max(0, math.ceil(math.log2(max(most_bytes, 1) / 4)))
    unit = next(name for name, size in UNITS.items() if size <= step)
    ticks = range(0, int(most_bytes) + 1, step)
    axes.set_xlim(0, max(most_bytes, 1) / share)
    axes.set_xticks(list(ticks), [str(tick // UNITS[unit]) for tick in ticks])
    axes.set_xlabel(f"{label}, {unit}", fontsize=SMALL_PT, loc="left", labelpad=2)
    axes.grid(axis="x")
    axes.set_axisbelow(True)
    axes.tick_params(axis="x", length=2)
