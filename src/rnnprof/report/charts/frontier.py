"""The frontier: the largest batch at each T, certified, predicted and under other limits."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.path import Path
from matplotlib.transforms import Bbox

from rnnprof.report.charts.kit.axes import (
    BATCH,
    EM_PER_CHARACTER,
    STEPS,
    extent_pt,
    grid_axis,
    spread,
)
from rnnprof.report.charts.kit.scales import Scales, scales_for
from rnnprof.report.charts.kit.sheet import AXIS_IN, WIDTH_IN, Key, make_sheet, mark
from rnnprof.report.charts.kit.style import (
    FILL,
    GREY,
    INK,
    LARGEST_BATCH,
    OOM_HATCH,
    PAPER,
    PREDICTED,
    RULE,
    SAFE,
    SMALL_PT,
    Chart,
    style,
)
from rnnprof.report.model import (
    GPU_SIZES,
    SEEN,
    EdgeAt,
    EdgeStatus,
    MemoryModel,
    Outcome,
    RunReport,
)
from rnnprof.report.words import chart_legends as legends
from rnnprof.report.words import charts as words

PANEL_IN: Final = 3.3
TOP_IN: Final = 0.06
LEFT_IN: Final = 0.62
RIGHT_IN: Final = 1.25
"""Beside the panel: the labels of the lines."""

CPU_SHARES: Final = (0.5, 2.0, 4.0)
"""Of the limit, for which a run on a CPU predicts the largest batch: memory is sold by doubling."""

GPUS_EACH_WAY: Final = 2
NEAR_LIMIT_RATIO: Final = 0.1
"""A GPU this near the limit would be drawn over the run's own line."""

BEYOND_OCTAVES: Final = 0.4
"""The axis of T, and what is predicted, go so far beyond the T that were requested."""

CONTOUR_ROOM: Final = 4.0
"""Contours may widen the axis of B so many times, no more: the frontier is what is shown."""

MODEL_PLACES: Final = 65

ARROW: Final = Path(
    [(0, 0.25), (0, 1), (-0.22, 0.72), (0, 1), (0.22, 0.72)],
    [Path.MOVETO, Path.LINETO, Path.MOVETO, Path.LINETO, Path.LINETO],
)
"""A marker that points up from just above its place."""

LOOKS: Final = {
    EdgeStatus.CERTIFIED: ("o", 5.5, True),
    EdgeStatus.CAPPED: ("o", 5.5, False),
    EdgeStatus.NOTHING_FITS: ("X", 6.5, True),
    EdgeStatus.UNSUPPORTED: ("P", 6.5, False),
    EdgeStatus.NON_MONOTONE: ("s", 5.5, False),
    EdgeStatus.NOT_STATIONARY: ("^", 6.0, False),
    EdgeStatus.BATCH_NOT_USED: ("v", 6.0, False),
    EdgeStatus.INDETERMINATE: ("D", 5.0, False),
    SEEN: ("_", 8.0, True),
}
"""The marker of each kind, its size in points, and whether it is filled."""

SETTLED: Final = frozenset({EdgeStatus.CERTIFIED, EdgeStatus.NOTHING_FITS})
"""Both sides of these are a granularity apart."""

RUN_MARKS: Final = (
    (Outcome.MEASURED, ".", 2.5, legends.GRID_FITS),
    (Outcome.OOM, "x", 3.2, legends.GRID_OOM),
)

_SAFE: Final[dict[str, Any]] = {
    "linestyle": "none", "marker": 6, "markersize": 5, "color": SAFE, "markeredgewidth": 0.8,
}  # fmt: skip
SAFE_STYLES: Final[dict[bool, dict[str, Any]]] = {
    True: _SAFE, False: _SAFE | {"markerfacecolor": PAPER},
}  # fmt: skip
"""By whether the batch was run itself: a triangle whose tip is the batch, clear of its number."""

OWN_LINE: Final[dict[str, Any]] = {
    "color": PREDICTED, "linestyle": (0, (4, 2)), "linewidth": 1.0,
}  # fmt: skip
CONTOUR: Final[dict[str, Any]] = OWN_LINE | {"linestyle": (0, (1, 1.6))}
OOM_REGION: Final[dict[str, Any]] = {
    "facecolor": FILL, "edgecolor": RULE, "hatch": OOM_HATCH, "linewidth": 0,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Plot:
    """The axes and what is drawn on them.

    Attributes:
        steps_range, batch_range: of the axes.
    """

    axes: Axes
    report: RunReport
    steps_range: tuple[float, float]
    batch_range: tuple[float, float]

    def place_pt(self, time_steps: float, batch: float) -> tuple[float, float]:
        """Where a point is on the sheet, in points."""
        x, y = self.axes.transData.transform((time_steps, batch))
        per_pixel = 72 / self.axes.figure.dpi
        return float(x) * per_pixel, float(y) * per_pixel


def frontier_chart(report: RunReport, scales: Scales | None = None) -> Chart | None:
    """The largest batch that fits over T; None where none is known and nothing fits or fails.

    Args:
        report: the run to draw.
        scales: of all runs on the page; of this one alone where None.
    """
    if not report.largest:
        return None
    title, shared = words.frontier_title(report), scales_for(report, scales)
    steps = shared.span(_all_steps) or (1.0, 1.0)
    batches = shared.span(_batch_range) or (1.0, 2.0)
    with style():
        sheet = make_sheet(title, report, TOP_IN + PANEL_IN + AXIS_IN, list(_keys(report)))
        axes = sheet.axes(LEFT_IN, TOP_IN, WIDTH_IN - LEFT_IN - RIGHT_IN, PANEL_IN)
        beyond = 2**BEYOND_OCTAVES
        plot = _Plot(axes, report, (steps[0] / beyond, steps[1] * beyond), batches)
        grid_axis(axes, "x", STEPS, _all_steps(report), plot.steps_range)
        grid_axis(axes, "y", BATCH, _batch_ticks(plot), plot.batch_range)
        _draw_oom_region(plot)
        _draw_grid_points(plot)
        _draw_model(plot)
        _draw_largest(plot)
        _draw_safe(plot)
        _draw_numbers(plot)
    return Chart("frontier", title, words.frontier_finding(report), sheet.figure)


# --- the axes ------------------------------------------------------------------------------------


def _all_steps(report: RunReport) -> list[int]:
    return sorted({*report.time_steps, *(place.time_steps for place in report.largest)})


def other_limits(report: RunReport) -> tuple[float, ...]:
    """The limits of contours in bytes: common GPUs about the limit, or shares of it."""
    if report.model is None:
        return ()
    if report.run.environment.get("device") != "cuda":
        return tuple(share * report.limit_bytes for share in CPU_SHARES)
    below = [size for size in GPU_SIZES if size < (1 - NEAR_LIMIT_RATIO) * report.limit_bytes]
    above = [size for size in GPU_SIZES if size > (1 + NEAR_LIMIT_RATIO) * report.limit_bytes]
    return tuple(map(float, below[-GPUS_EACH_WAY:] + above[:GPUS_EACH_WAY]))


def _batch_range(report: RunReport) -> tuple[float, float]:
    """About all batches, and the contours' ends at the longest T as far as there is room."""
    batches = [batch for place in report.largest for batch in place.batches]
    batches += [*report.batches, *(safe.batch or 1 for safe in report.safe)]
    low, high = float(min(batches, default=1)), float(max(batches, default=2))
    longest, model = max(_all_steps(report), default=1), report.model
    ends = [model.edge(longest, limit) for limit in other_limits(report)] if model else []
    ends = [max(1.0, low / CONTOUR_ROOM, min(end, high * CONTOUR_ROOM)) for end in ends]
    return max(0.7, min((low, *ends)) / 1.5), max((high, *ends)) * 2


def _batch_ticks(plot: _Plot) -> list[int]:
    """The grid's batches, and doublings of the largest as far as the axis goes."""
    low, high = plot.batch_range
    ticks = list(plot.report.batches) or [2 ** max(0, math.ceil(math.log2(low)))]
    while ticks[-1] * 2 <= high:
        ticks.append(ticks[-1] * 2)
    while ticks[0] % 2 == 0 and ticks[0] // 2 >= low:
        ticks.insert(0, ticks[0] // 2)
    return ticks


# --- what is drawn -------------------------------------------------------------------------------


def _scatter(plot: _Plot, places: Iterable[tuple[float, float]], gid: str, **look: Any) -> None:
    """Marks at these T and batches, if there are any."""
    known = list(places)
    if known:
        look = {"linestyle": "none"} | look
        plot.axes.plot([x for x, _ in known], [y for _, y in known], **look, gid=gid)


def _draw_oom_region(plot: _Plot) -> None:
    """What an OOM at no longer a T rules out: more time steps take no less memory."""
    floors = _oom_floors(plot.report.largest)
    if all(math.isnan(floor) for floor in floors):
        return
    corners = [*(place.time_steps for place in plot.report.largest), plot.steps_range[1]]
    # each level from its T to the next, corner by corner: a step would lose one before a gap
    plot.axes.fill_between(
        [corner for pair in pairwise(corners) for corner in pair],
        [floor for floor in floors for _ in range(2)], plot.batch_range[1],
        **OOM_REGION, zorder=0.5,
    ).set_gid("frontier-oom")  # fmt: skip
    ends = [end for end, floor in zip(corners[1:], floors, strict=True) if floor == floor]
    plot.axes.annotate(
        legends.OUT_OF_MEMORY, (ends[-1], plot.batch_range[1]), (-5, -5),
        textcoords="offset points", ha="right", va="top", fontsize=SMALL_PT, color=INK, zorder=7,
        bbox=_paper(),
    )  # fmt: skip


def _oom_floors(places: Sequence[EdgeAt]) -> list[float]:
    """At each T the smallest batch ruled out there, nan for none; it holds up to the next T.

    Where a batch fits that an OOM at a shorter T rules out, nothing is.
    """
    floors: list[float] = []
    floor = math.nan
    for place in places:
        floor = float(place.fails) if place.fails is not None else floor
        if place.fits is not None and place.fits >= floor:
            floor = math.nan
        floors.append(floor)
    return floors


def _draw_grid_points(plot: _Plot) -> None:
    """What was run, faint."""
    for outcome, marker, size_pt, _ in RUN_MARKS:
        points = [p for p, m in sorted(plot.report.measurements.items()) if m.outcome is outcome]
        _scatter(
            plot, [(p.time_steps, p.batch) for p in points], f"frontier-run-{outcome.value}",
            marker=marker, markersize=size_pt, color=GREY, markeredgewidth=0.6, zorder=1,
        )  # fmt: skip


def _draw_model(plot: _Plot) -> None:
    """The largest batch predicted under the limit and under others, labelled at the right."""
    report, ends = plot.report, list[tuple[float, str]]()
    if report.model is None:
        return
    for limit in (report.limit_bytes, *other_limits(report)):
        is_own = limit == report.limit_bytes
        time_steps, batches = _predicted(plot, report.model, limit)
        if all(batch != batch for batch in batches):
            continue
        gid = "frontier-model" if is_own else f"frontier-limit-{round(limit)}"
        plot.axes.plot(time_steps, batches, **(OWN_LINE if is_own else CONTOUR), zorder=2, gid=gid)
        if batches[-1] == batches[-1]:
            ends.append((batches[-1], legends.limit_label(limit, is_own=is_own)))
    _draw_ends(plot, ends)


def _predicted(plot: _Plot, model: MemoryModel, limit: float) -> tuple[list[float], list[float]]:
    """The predicted batch over the axis of T; nan where it is off the axes.

    A model of one T alone knows nothing of others: it is drawn if that T is all there is.
    """
    low, high = plot.steps_range
    share = [place / (MODEL_PLACES - 1) for place in range(MODEL_PLACES)]
    time_steps = [low * (high / low) ** part for part in share]
    largest = plot.report.largest
    if model.lengths > 1:
        batches = [model.edge(length, limit) for length in time_steps]
    elif len(largest) == 1:
        batches = [model.edge(largest[0].time_steps, limit)] * len(time_steps)
    else:
        batches = [math.nan] * len(time_steps)
    least, most = plot.batch_range
    return time_steps, [b if max(1.0, least) <= b <= most else math.nan for b in batches]


def _draw_ends(plot: _Plot, ends: Sequence[tuple[float, str]]) -> None:
    """Labels beside the right ends of lines, apart from one another."""
    right = plot.steps_range[1]
    places_pt = [plot.place_pt(right, batch)[1] for batch, _ in ends]
    low_pt = plot.place_pt(right, plot.batch_range[0])[1]
    bounds = (low_pt, low_pt + extent_pt(plot.axes)[1])
    for (batch, text), place, spread_to in zip(
        ends, places_pt, spread(places_pt, 1.25 * SMALL_PT, bounds), strict=True
    ):
        plot.axes.annotate(
            text, (right, batch), (4, spread_to - place), textcoords="offset points",
            ha="left", va="center", fontsize=SMALL_PT, color=INK, annotation_clip=False,
        )  # fmt: skip


def _draw_largest(plot: _Plot) -> None:
    """Lines between certified neighbours, intervals where both sides are known, and marks."""
    places = plot.report.largest
    for line in _certified_lines(places):
        _scatter(
            plot, [(place.time_steps, place.fits or 0) for place in line],
            f"frontier-line-T{line[0].time_steps}", linestyle="-", drawstyle="steps-post",
            color=LARGEST_BATCH, linewidth=1.6, zorder=3,
        )  # fmt: skip
    loose = [p for p in places if p.kind not in SETTLED]
    open_ended = [p for p in loose if len(p.batches) == 2]
    if open_ended:
        plot.axes.vlines(
            [p.time_steps for p in open_ended], [min(p.batches) for p in open_ended],
            [max(p.batches) for p in open_ended], colors=LARGEST_BATCH, linewidth=1.0, zorder=3,
        ).set_gid("frontier-intervals")  # fmt: skip
    _scatter(
        plot, [(p.time_steps, p.fails) for p in loose if p.fails is not None], "frontier-fails",
        marker="x", markersize=5, color=INK, zorder=4,
    )  # fmt: skip
    for kind in LOOKS:
        _scatter(
            plot, [(p.time_steps, _level(plot, p)) for p in places if p.kind == kind],
            f"frontier-{kind}", **_mark_style(kind), zorder=5, clip_on=False,
        )  # fmt: skip
    _scatter(
        plot, [(p.time_steps, p.fits or 0) for p in places if _is_upward(p)], "frontier-upward",
        marker=ARROW, markersize=26, markerfacecolor="none", color=LARGEST_BATCH,
        markeredgewidth=1.2, zorder=5,
    )  # fmt: skip


def _certified_lines(places: Sequence[EdgeAt]) -> Iterator[list[EdgeAt]]:
    """Runs of neighbours that are certified."""
    line: list[EdgeAt] = []
    for place in (*places, None):
        if place is not None and place.kind == EdgeStatus.CERTIFIED:
            line.append(place)
            continue
        if len(line) > 1:
            yield line
        line = []


def _is_upward(place: EdgeAt) -> bool:
    """Whether more may fit than was tried."""
    is_open = place.kind in (EdgeStatus.CAPPED, SEEN)
    return is_open and place.fits is not None and place.fails is None


def _level(plot: _Plot, place: EdgeAt) -> float:
    """Where a mark is: at what fits, else at what does not, else at the bottom."""
    return float(next(iter(place.batches), plot.batch_range[0]))


def _mark_style(kind: str) -> dict[str, Any]:
    marker, size_pt, is_filled = LOOKS[kind]
    return {
        "linestyle": "none", "marker": marker, "markersize": size_pt, "color": LARGEST_BATCH,
        "markerfacecolor": LARGEST_BATCH if is_filled else PAPER, "markeredgewidth": 1.2,
    }  # fmt: skip


def _draw_safe(plot: _Plot) -> None:
    for is_measured, look in SAFE_STYLES.items():
        safe = [each for each in plot.report.safe if each.is_measured is is_measured]
        gid = f"frontier-train-{'measured' if is_measured else 'predicted'}"
        _scatter(plot, [(s.time_steps, s.batch or 0) for s in safe], gid, **look, zorder=6)


def _draw_numbers(plot: _Plot) -> None:
    """Each largest batch, or a word, beside its mark, as far as they are apart."""
    places, axes = plot.report.largest, plot.axes
    marks = [plot.place_pt(place.time_steps, _level(plot, place)) for place in places]
    taken = [Bbox.from_bounds(x - 3, y - 3, 6, 6) for x, y in marks]
    right = axes.get_window_extent().x1 * 72 / axes.figure.dpi
    # from the longest T down: there memory binds, and there the number must not be missing
    for place, (x, y) in reversed(list(zip(places, marks, strict=True))):
        text = _number(place)
        width = (len(text) * EM_PER_CHARACTER + 0.3) * SMALL_PT
        aside = 4.5 if x + 5 + width < right else -4.5 - width
        box = Bbox.from_bounds(x + aside, y + 2.5, width, 1.2 * SMALL_PT)
        if text and not box.count_overlaps(taken):
            taken.append(box)
            axes.annotate(
                text, (place.time_steps, _level(plot, place)), (aside, 3.5),
                textcoords="offset points", fontsize=SMALL_PT, color=INK, ha="left", va="bottom",
                zorder=7, bbox=_paper(), gid=f"frontier-number-T{place.time_steps}",
            )  # fmt: skip


def _number(place: EdgeAt) -> str:
    word = legends.FRONTIER[place.kind][0]
    if word or place.kind == EdgeStatus.CERTIFIED:
        return word or str(place.fits)
    return legends.largest_in_words(place.fits, place.fails)


def _paper() -> dict[str, Any]:
    return {"facecolor": PAPER, "edgecolor": "none", "linewidth": 0, "pad": 0.6}


# --- the legend ----------------------------------------------------------------------------------


def _keys(report: RunReport) -> Iterator[Key]:
    """What the marks mean, of those that are used."""
    kinds = {place.kind for place in report.largest}
    for kind in LOOKS:
        if kind in kinds:
            yield Line2D([], [], **_mark_style(kind)), legends.FRONTIER[kind][1]
    for is_measured, look in SAFE_STYLES.items():
        if any(safe.is_measured is is_measured for safe in report.safe):
            key = Line2D([], [], **look)
            yield key, legends.safe(report.headroom_ratio, is_measured=is_measured)
    if report.model is not None:
        yield Line2D([], [], **OWN_LINE), legends.by_model(report.model.worst_error_ratio)
        yield Line2D([], [], **CONTOUR), legends.OTHER_LIMIT
    for outcome, marker, size_pt, meaning in RUN_MARKS:
        if any(m.outcome is outcome for m in report.measurements.values()):
            yield mark(marker, markersize=size_pt, color=GREY), meaning
    if any(floor == floor for floor in _oom_floors(report.largest)):
        yield Patch(**OOM_REGION), legends.RULED_OUT
