"""The frontier: the largest batch that fits at each T, proven, predicted and under other limits."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.path import Path
from matplotlib.transforms import Bbox

from rnnprof.breakdown.memory_model import MemoryModel
from rnnprof.report.charts.frontier_places import SEEN, Spot, advised_in, other_limits, places_of
from rnnprof.report.charts.frontier_words import finding
from rnnprof.report.charts.kit.curves import (
    AXIS_IN,
    EM_PER_CHARACTER,
    PANEL_IN,
    WIDTH_IN,
    Key,
    axes_at,
    log2_ticks,
    sheet,
    sign,
    spread,
)
from rnnprof.report.charts.kit.style import (
    FILL,
    INK,
    OKABE_ITO,
    PAPER,
    RULE,
    SMALL_PT,
    Chart,
    style,
)
from rnnprof.report.model import RunReport
from rnnprof.runfile.certificates import EdgeStatus
from rnnprof.runfile.points import Outcome
from rnnprof.units import format_bytes, format_ratio

LEFT_IN: Final = 0.62
RIGHT_IN: Final = 1.25
"""Beside the panel: the labels of the lines."""

EDGE_COLOUR: Final = OKABE_ITO[0]
TRAIN_COLOUR: Final = OKABE_ITO[1]
MODEL_COLOUR: Final = OKABE_ITO[0]
CONTOUR_COLOUR: Final = OKABE_ITO[2]
RUN_COLOUR: Final = OKABE_ITO[7]

BEYOND_OCTAVES: Final = 0.4
"""The axis of T, and what is predicted, go so far beyond the T that were asked for."""

MODEL_PLACES: Final = 65

ARROW: Final = Path(
    [(0, 0.25), (0, 1), (-0.22, 0.72), (0, 1), (0.22, 0.72)],
    [Path.MOVETO, Path.LINETO, Path.MOVETO, Path.LINETO, Path.LINETO],
)
"""A marker that points up from just above its place."""


@dataclass(frozen=True, slots=True)
class _Look:
    """How the edges of one kind are drawn.

    Attributes:
        word: beside the mark; empty where a number stands there.
        meaning: in the legend.
    """

    marker: str
    size_pt: float
    is_filled: bool
    word: str
    meaning: str


LOOKS: Final = {
    EdgeStatus.CERTIFIED: _Look("o", 5.5, True, "", "certified: the largest batch that fits"),
    EdgeStatus.CAPPED: _Look("o", 5.5, False, "", "capped: fits at the largest batch asked for"),
    EdgeStatus.NOTHING_FITS: _Look("X", 6.5, True, "nothing fits", "nothing fits, proven"),
    EdgeStatus.UNSUPPORTED: _Look("P", 6.5, False, "unsupported", "unsupported by the library"),
    EdgeStatus.NON_MONOTONE: _Look(
        "s", 5.5, False, "non-monotone", "non-monotone: fits above an OOM"
    ),
    EdgeStatus.NOT_STATIONARY: _Look(
        "^", 6.0, False, "not stationary", "not stationary: each training step leaves memory"
    ),
    EdgeStatus.BATCH_NOT_USED: _Look(
        "v", 6.0, False, "batch not used", "batch not used: the data gave fewer sequences"
    ),
    EdgeStatus.INDETERMINATE: _Look("D", 5.0, False, "indeterminate", "indeterminate: not proven"),
    SEEN: _Look("_", 8.0, True, "", "not certified: between points of the grid"),
}


@dataclass(frozen=True, slots=True)
class _Plot:
    """The axes and what is drawn on them.

    Attributes:
        steps_range, batch_range: of the axes.
        limits: bytes under which the model predicts the edge, beside the run's own limit.
    """

    axes: Axes
    report: RunReport
    places: tuple[Spot, ...]
    steps_range: tuple[float, float]
    batch_range: tuple[float, float]
    limits: tuple[float, ...]

    def place_pt(self, time_steps: float, batch: float) -> tuple[float, float]:
        """Where a point stands on the sheet, in points."""
        x, y = self.axes.transData.transform((time_steps, batch))
        per_pixel = 72 / self.axes.figure.dpi
        return float(x) * per_pixel, float(y) * per_pixel


def frontier_chart(report: RunReport) -> Chart | None:
    """The largest batch that fits over T; None where no edge is known and nothing fits or fails."""
    places = places_of(report)
    if not places:
        return None
    title = f"Largest batch that fits under {format_bytes(report.limit_bytes)}, by time steps"
    with style():
        keys = list(_keys(report, places))
        figure, below_in = sheet(keys, PANEL_IN)
        bottom_in = below_in + AXIS_IN
        width_in = WIDTH_IN - LEFT_IN - RIGHT_IN
        axes = axes_at(figure, (LEFT_IN, bottom_in, width_in, PANEL_IN))
        axes.set_title(title, gid="frontier-title")
        plot = _plot(axes, report, places)
        _draw_axes(plot)
        _draw_oom_region(plot)
        _draw_grid_points(plot)
        _draw_model(plot)
        _draw_edges(plot)
        _draw_train_with(plot)
        _draw_numbers(plot)
    return Chart("frontier", title, finding(report, places), figure)


# --- the axes ------------------------------------------------------------------------------------


def _plot(axes: Axes, report: RunReport, places: tuple[Spot, ...]) -> _Plot:
    time_steps = [*report.time_steps, *(place.time_steps for place in places)]
    beyond = 2**BEYOND_OCTAVES
    steps_range = (min(time_steps) / beyond, max(time_steps) * beyond)
    limits = other_limits(report)
    batches = [batch for place in places for batch in place.batches]
    batches += [*report.batches, *(advice.batch or 1 for advice in advised_in(report))]
    return _Plot(axes, report, places, steps_range, _batch_range(report, batches, limits), limits)


CONTOUR_ROOM: Final = 4.0
"""Contours may widen the axis of B so many times, no more: the frontier is what is shown."""


def _batch_range(
    report: RunReport, batches: Sequence[int], limits: Sequence[float]
) -> tuple[float, float]:
    """About all batches, and the contours' ends at the longest T as far as there is room."""
    low, high = float(min(batches, default=1)), float(max(batches, default=2))
    longest = max((*report.time_steps, *(c.time_steps for c in report.frontier)))
    ends = [report.model.edge(longest, limit) for limit in limits] if report.model else []
    ends = [max(1.0, low / CONTOUR_ROOM, min(end, high * CONTOUR_ROOM)) for end in ends]
    return max(0.7, min((low, *ends)) / 1.5), max((high, *ends)) * 2


def _draw_axes(plot: _Plot) -> None:
    axes, report = plot.axes, plot.report
    for set_scale, set_limits, limits in (
        (axes.set_xscale, axes.set_xlim, plot.steps_range),
        (axes.set_yscale, axes.set_ylim, plot.batch_range),
    ):
        set_scale("log", base=2)
        set_limits(*limits)
    log2_ticks(axes.xaxis, sorted({*report.time_steps, *(p.time_steps for p in plot.places)}))
    log2_ticks(axes.yaxis, _batch_ticks(plot))
    axes.set_xlabel("time steps T")
    axes.set_ylabel("batch B, sequences")


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


def _draw_oom_region(plot: _Plot) -> None:
    """What an OOM at no longer a T rules out: more time steps take no less memory."""
    floors = _oom_floors(plot.places)
    if all(math.isnan(floor) for floor in floors):
        return
    corners = [*(place.time_steps for place in plot.places), plot.steps_range[1]]
    # each level from its T to the next, corner by corner: a step would lose one before a gap
    region = plot.axes.fill_between(
        [corner for pair in pairwise(corners) for corner in pair],
        [floor for floor in floors for _ in range(2)], plot.batch_range[1],
        facecolor=FILL, edgecolor=RULE, hatch="////", linewidth=0, zorder=0.5,
    )  # fmt: skip
    region.set_gid("frontier-oom")
    ends = [end for end, floor in zip(corners[1:], floors, strict=True) if floor == floor]
    plot.axes.annotate(
        "out of memory", (ends[-1], plot.batch_range[1]), (-5, -5), textcoords="offset points",
        ha="right", va="top", fontsize=SMALL_PT, color=INK, zorder=7, bbox=_paper(),
    )  # fmt: skip


def _oom_floors(places: Sequence[Spot]) -> list[float]:
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
        places = [p for p, m in sorted(plot.report.measurements.items()) if m.outcome is outcome]
        if places:
            plot.axes.plot(
                [p.time_steps for p in places], [p.batch for p in places], linestyle="none",
                marker=marker, markersize=size_pt, color=RUN_COLOUR, markeredgewidth=0.6,
                zorder=1, gid=f"frontier-run-{outcome.value}",
            )  # fmt: skip


RUN_MARKS: Final = (
    (Outcome.MEASURED, ".", 2.5, "point of the grid that fitted"),
    (Outcome.OOM, "x", 3.2, "point of the grid out of memory"),
)


def _draw_model(plot: _Plot) -> None:
    """The edge predicted under the limit and under others, labelled at the right."""
    model = plot.report.model
    if model is None:
        return
    ends: list[tuple[float, str]] = []
    for limit in (plot.report.limit_bytes, *plot.limits):
        is_own = limit == plot.report.limit_bytes
        time_steps, batches = _predicted(plot, model, limit)
        if not any(batch == batch for batch in batches):
            continue
        look = _model_style() if is_own else _contour_style()
        gid = "frontier-model" if is_own else f"frontier-limit-{round(limit)}"
        plot.axes.plot(time_steps, batches, **look, zorder=2, gid=gid)
        if batches[-1] == batches[-1]:
            text = format_bytes(limit)
            ends.append((batches[-1], f"{text}, the limit" if is_own else f"{text}, predicted"))
    _draw_ends(plot, ends)


def _predicted(plot: _Plot, model: MemoryModel, limit: float) -> tuple[list[float], list[float]]:
    """The edge over the axis of T; nan where it is off the axes.

    A model of one T alone knows nothing of others: it tells of this T, if it is all there is.
    """
    low, high = plot.steps_range
    share = [place / (MODEL_PLACES - 1) for place in range(MODEL_PLACES)]
    time_steps = [low * (high / low) ** part for part in share]
    if model.lengths > 1:
        edges = [model.edge(length, limit) for length in time_steps]
    elif len(plot.places) == 1:
        edges = [model.edge(plot.places[0].time_steps, limit)] * len(time_steps)
    else:
        edges = [math.nan] * len(time_steps)
    least, most = plot.batch_range
    return time_steps, [edge if max(1.0, least) <= edge <= most else math.nan for edge in edges]


def _model_style() -> dict[str, Any]:
    return {"color": MODEL_COLOUR, "linestyle": (0, (4, 2)), "linewidth": 0.9}


def _contour_style() -> dict[str, Any]:
    return {"color": CONTOUR_COLOUR, "linestyle": (0, (1, 1.6)), "linewidth": 1.0}


def _draw_ends(plot: _Plot, ends: Sequence[tuple[float, str]]) -> None:
    """Labels beside the right ends of lines, apart from one another."""
    right = plot.steps_range[1]
    places_pt = [plot.place_pt(right, batch)[1] for batch, _ in ends]
    extent = plot.axes.get_window_extent()
    bounds = (extent.y0 * 72 / plot.axes.figure.dpi, extent.y1 * 72 / plot.axes.figure.dpi)
    for (batch, text), place, spread_to in zip(
        ends, places_pt, spread(places_pt, 1.25 * SMALL_PT, bounds), strict=True
    ):
        plot.axes.annotate(
            text, (right, batch), (4, spread_to - place), textcoords="offset points",
            ha="left", va="center", fontsize=SMALL_PT, color=INK, annotation_clip=False,
        )  # fmt: skip


def _draw_edges(plot: _Plot) -> None:
    axes = plot.axes
    for start, line in _certified_lines(plot.places):
        axes.plot(
            [place.time_steps for place in line], [place.fits or 0 for place in line],
            drawstyle="steps-post", color=EDGE_COLOUR, linewidth=1.6, zorder=3,
            gid=f"frontier-line-T{start}",
        )  # fmt: skip
    open_ended = [p for p in plot.places if p.kind not in SETTLED and len(p.batches) == 2]
    if open_ended:
        axes.vlines(
            [p.time_steps for p in open_ended], [min(p.batches) for p in open_ended],
            [max(p.batches) for p in open_ended], colors=EDGE_COLOUR, linewidth=1.0, zorder=3,
        ).set_gid("frontier-intervals")  # fmt: skip
    failing = [p for p in plot.places if p.kind not in SETTLED and p.fails is not None]
    if failing:
        axes.plot(
            [p.time_steps for p in failing], [p.fails or 0 for p in failing], linestyle="none",
            marker="x", markersize=5, color=EDGE_COLOUR, zorder=4, gid="frontier-fails",
        )  # fmt: skip
    _draw_marks(plot)


SETTLED: Final = frozenset({EdgeStatus.CERTIFIED, EdgeStatus.NOTHING_FITS})
"""Both sides of these lie a granularity apart."""


def _certified_lines(places: Sequence[Spot]) -> Iterator[tuple[int, list[Spot]]]:
    """Runs of neighbours that are certified."""
    line: list[Spot] = []
    for place in (*places, None):
        if place is not None and place.kind == EdgeStatus.CERTIFIED:
            line.append(place)
            continue
        if len(line) > 1:
            yield line[0].time_steps, line
        line = []


def _draw_marks(plot: _Plot) -> None:
    for kind, look in LOOKS.items():
        places = [place for place in plot.places if place.kind == kind]
        if places:
            plot.axes.plot(
                [place.time_steps for place in places], [_level(plot, place) for place in places],
                **_mark_style(look), zorder=5, gid=f"frontier-{kind}", clip_on=False,
            )  # fmt: skip
    upward = [place for place in plot.places if _is_upward(place)]
    if upward:
        plot.axes.plot(
            [place.time_steps for place in upward], [place.fits or 0 for place in upward],
            linestyle="none", marker=ARROW, markersize=26, markerfacecolor="none",
            color=EDGE_COLOUR, markeredgewidth=1.2, zorder=5, gid="frontier-upward",
        )  # fmt: skip


def _is_upward(place: Spot) -> bool:
    """Whether more may fit than was tried."""
    is_open = place.kind in (EdgeStatus.CAPPED, SEEN)
    return is_open and place.fits is not None and place.fails is None


def _level(plot: _Plot, place: Spot) -> float:
    """Where an edge is marked: at what fits, else at what does not, else at the bottom."""
    return float(next(iter(place.batches), plot.batch_range[0]))


def _mark_style(look: _Look) -> dict[str, Any]:
    return {
        "linestyle": "none", "marker": look.marker, "markersize": look.size_pt,
        "color": EDGE_COLOUR, "markerfacecolor": EDGE_COLOUR if look.is_filled else PAPER,
        "markeredgewidth": 1.2,
    }  # fmt: skip


def _draw_train_with(plot: _Plot) -> None:
    for is_measured, style_of in TRAIN_STYLES.items():
        advised = [a for a in advised_in(plot.report) if a.is_measured is is_measured]
        if advised:
            plot.axes.plot(
                [a.time_steps for a in advised], [a.batch or 0 for a in advised], **style_of,
                zorder=6, gid=f"frontier-train-{'measured' if is_measured else 'predicted'}",
            )  # fmt: skip


_TRAIN: Final[dict[str, Any]] = {
    "linestyle": "none", "marker": 6, "markersize": 5, "color": TRAIN_COLOUR,
    "markeredgewidth": 0.8,
}  # fmt: skip
TRAIN_STYLES: Final[dict[bool, dict[str, Any]]] = {
    True: _TRAIN,
    False: _TRAIN | {"markerfacecolor": PAPER},
}
"""By whether the batch was run itself: a triangle whose tip is the batch, clear of the edge."""


def _draw_numbers(plot: _Plot) -> None:
    """Each edge's number or word beside its mark, as far as they stand apart."""
    marks = [plot.place_pt(place.time_steps, _level(plot, place)) for place in plot.places]
    taken = [Bbox.from_bounds(x - 3, y - 3, 6, 6) for x, y in marks]
    # from the longest T down: there memory binds, and there the number must not be missing
    for place, (x, y) in reversed(list(zip(plot.places, marks, strict=True))):
        text = _number(place)
        width = (len(text) * EM_PER_CHARACTER + 0.3) * SMALL_PT
        right = plot.axes.get_window_extent().x1 * 72 / plot.axes.figure.dpi
        aside = 4.5 if x + 5 + width < right else -4.5 - width
        box = Bbox.from_bounds(x + aside, y + 2.5, width, 1.2 * SMALL_PT)
        if text and not box.count_overlaps(taken):
            taken.append(box)
            plot.axes.annotate(
                text, (place.time_steps, _level(plot, place)), (aside, 3.5),
                textcoords="offset points",
                fontsize=SMALL_PT, color=INK, ha="left", va="bottom", zorder=7, bbox=_paper(),
                gid=f"frontier-number-T{place.time_steps}",
            )  # fmt: skip


def _number(place: Spot) -> str:
    look = LOOKS[place.kind]
    if look.word:
        return look.word
    if place.kind == EdgeStatus.CERTIFIED:
        return str(place.fits)
    if place.fits is None:
        return "none tried fits"
    if place.fails is None:
        return f"≥{place.fits}"
    if place.fails < place.fits:
        return f"{place.fits} fits, {place.fails} OOM"
    return f"{place.fits}–{place.fails}"


def _paper() -> dict[str, Any]:
    return {"facecolor": PAPER, "edgecolor": "none", "linewidth": 0, "pad": 0.6}


# --- the legend ----------------------------------------------------------------------------------


def _keys(report: RunReport, places: Sequence[Spot]) -> Iterator[Key]:
    """What the marks mean, of those that are used."""
    kinds = {place.kind for place in places}
    for kind, look in LOOKS.items():
        if kind in kinds:
            yield Line2D([], [], **_mark_style(look)), look.meaning
    for is_measured, words in ((True, "measured"), (False, "predicted")):
        if any(a.is_measured is is_measured for a in advised_in(report)):
            free = format_ratio(report.headroom_ratio)
            yield (
                Line2D([], [], **TRAIN_STYLES[is_measured]),
                f"largest safe batch: {free} of the limit kept free ({words})",
            )
    if report.model is not None:
        # rounded up, for it is a bound; what errs less needs no more digits
        worst = math.ceil(1000 * report.model.worst_error_ratio) / 1000 or 0.001
        words = f"largest batch by the memory model (within {format_ratio(worst)} of its samples)"
        yield Line2D([], [], **_model_style()), words
        yield Line2D([], [], **_contour_style()), "the same under another limit"
    for outcome, marker, size_pt, meaning in RUN_MARKS:
        if any(m.outcome is outcome for m in report.measurements.values()):
            yield sign(marker, markersize=size_pt, color=RUN_COLOUR), meaning
    if any(floor == floor for floor in _oom_floors(places)):
        region = Patch(facecolor=FILL, edgecolor=RULE, hatch="////", linewidth=0)
        yield region, "ruled out: out of memory at this T or shorter"
