"""The frontier: the largest batch that fits at each T, proven, predicted and under other limits."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import Axis, XAxis
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.path import Path
from matplotlib.ticker import NullLocator
from matplotlib.transforms import Bbox

from rnnprof.analysis.advice import CARD_SIZES, LargestSafe
from rnnprof.analysis.memory_model import MemoryModel
from rnnprof.records import Certificate, EdgeStatus, Outcome
from rnnprof.report.drawing import FILL, INK, OKABE_ITO, PAPER, RULE, SMALL_PT, Chart, style
from rnnprof.report.table import SeenEdge
from rnnprof.report.view import View
from rnnprof.units import format_bytes, format_ratio

WIDTH_IN: Final = 7.4
PANEL_IN: Final = 3.3
MARGIN_IN: Final = 0.1
TITLE_IN: Final = 0.34
AXIS_IN: Final = 0.4
"""Tick labels and the axis label below a panel."""

LEFT_IN: Final = 0.62
RIGHT_IN: Final = 1.25
"""Beside the panel: the labels of the lines."""

LEGEND_ROW_IN: Final = 0.145
EM_PER_CHARACTER: Final = 0.64
"""Width of DejaVu Sans's digits: a bound for labels that are mostly digits."""

WORD_EM: Final = 0.56
"""Mean width of DejaVu Sans in running text."""

EDGE_COLOUR: Final = OKABE_ITO[0]
TRAIN_COLOUR: Final = OKABE_ITO[1]
MODEL_COLOUR: Final = OKABE_ITO[0]
CONTOUR_COLOUR: Final = OKABE_ITO[2]
RUN_COLOUR: Final = OKABE_ITO[7]

BEYOND_OCTAVES: Final = 0.4
"""The axis of T, and what is predicted, go so far beyond the T that were asked for."""

CPU_SHARES: Final = (0.5, 2.0, 4.0)
"""Of the limit, for which a run on a CPU predicts the edge: memory is bought by doubling."""

CARDS_EACH_WAY: Final = 2
NEAR_LIMIT_RATIO: Final = 0.1
"""A card this near the limit would be drawn over the run's own edge."""

MODEL_PLACES: Final = 65

Key = tuple[Artist, str]
"""A legend's mark and its words."""

SEEN: Final = "seen"
"""The kind of an edge that no certificate tells of: between two points of the grid."""

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
class _Place:
    """What is known of the edge at one T.

    Attributes:
        kind: the certificate's status, or ``seen``.
        fits: the largest batch known to fit; of a contradiction the one above the OOM.
        fails: the smallest batch known to be out of memory.
    """

    steps: int
    kind: str
    fits: int | None
    fails: int | None

    @property
    def batches(self) -> list[int]:
        return [batch for batch in (self.fits, self.fails) if batch is not None]


@dataclass(frozen=True, slots=True)
class _Plot:
    """The axes and what is drawn on them.

    Attributes:
        steps_range, batch_range: of the axes.
        limits: bytes under which the model predicts the edge, beside the run's own limit.
    """

    axes: Axes
    view: View
    places: tuple[_Place, ...]
    steps_range: tuple[float, float]
    batch_range: tuple[float, float]
    limits: tuple[float, ...]

    def place_pt(self, steps: float, batch: float) -> tuple[float, float]:
        """Where a point stands on the sheet, in points."""
        x, y = self.axes.transData.transform((steps, batch))
        per_pixel = 72 / self.axes.figure.dpi
        return float(x) * per_pixel, float(y) * per_pixel


def frontier_chart(view: View) -> Chart | None:
    """The largest batch that fits over T; None where no edge is known and nothing fits or fails."""
    places = _places(view)
    if not places:
        return None
    title = f"Largest batch that fits under {format_bytes(view.limit_bytes)}, by time steps"
    with style():
        keys = list(_keys(view, places))
        figure, below_in = sheet(keys, PANEL_IN)
        bottom_in = below_in + AXIS_IN
        width_in = WIDTH_IN - LEFT_IN - RIGHT_IN
        axes = axes_at(figure, (LEFT_IN, bottom_in, width_in, PANEL_IN))
        axes.set_title(title, gid="frontier-title")
        plot = _plot(axes, view, places)
        _draw_axes(plot)
        _draw_oom_region(plot)
        _draw_grid_points(plot)
        _draw_model(plot)
        _draw_edges(plot)
        _draw_train_with(plot)
        _draw_numbers(plot)
    return Chart("frontier", title, _finding(view, places), figure)


# --- what is known -------------------------------------------------------------------------------


def _places(view: View) -> tuple[_Place, ...]:
    proven = {certificate.steps: _proven(certificate) for certificate in view.frontier}
    seen = {edge.steps: _seen(edge) for edge in view.edges if edge.steps not in proven}
    known = {steps: place for steps, place in (proven | seen).items() if _is_known(place)}
    return tuple(known[steps] for steps in sorted(known))


def _is_known(place: _Place) -> bool:
    return place.kind != SEEN or bool(place.batches)


def _proven(certificate: Certificate) -> _Place:
    fits = certificate.batch
    if certificate.status is EdgeStatus.NON_MONOTONE and certificate.fits is not None:
        fits = certificate.fits.batch
    fails = certificate.fails.batch if certificate.fails is not None else None
    return _Place(certificate.steps, certificate.status, fits, fails)


def _seen(edge: SeenEdge) -> _Place:
    return _Place(edge.steps, SEEN, edge.fits, edge.fails.point.batch if edge.fails else None)


def _other_limits(view: View) -> tuple[float, ...]:
    """The limits of contours: common cards about the limit, or shares of it."""
    if view.model is None:
        return ()
    if view.run.header.environment.get("device") != "cuda":
        return tuple(share * view.limit_bytes for share in CPU_SHARES)
    below = [size for size in CARD_SIZES if size < (1 - NEAR_LIMIT_RATIO) * view.limit_bytes]
    above = [size for size in CARD_SIZES if size > (1 + NEAR_LIMIT_RATIO) * view.limit_bytes]
    return tuple(map(float, below[-CARDS_EACH_WAY:] + above[:CARDS_EACH_WAY]))


def _advised(view: View) -> list[LargestSafe]:
    return [advice for advice in view.advice.largest_safe if advice.batch is not None]


# --- the axes ------------------------------------------------------------------------------------


def _plot(axes: Axes, view: View, places: tuple[_Place, ...]) -> _Plot:
    steps = [*view.steps, *(place.steps for place in places)]
    beyond = 2**BEYOND_OCTAVES
    steps_range = (min(steps) / beyond, max(steps) * beyond)
    limits = _other_limits(view)
    batches = [batch for place in places for batch in place.batches]
    batches += [*view.batches, *(advice.batch or 1 for advice in _advised(view))]
    return _Plot(axes, view, places, steps_range, _batch_range(view, batches, limits), limits)


CONTOUR_ROOM: Final = 4.0
"""Contours may widen the axis of B so many times, no more: the frontier is what is shown."""


def _batch_range(
    view: View, batches: Sequence[int], limits: Sequence[float]
) -> tuple[float, float]:
    """About all batches, and the contours' ends at the longest T as far as there is room."""
    low, high = float(min(batches, default=1)), float(max(batches, default=2))
    longest = max((*view.steps, *(c.steps for c in view.frontier)))
    ends = [view.model.edge(longest, limit) for limit in limits] if view.model else []
    ends = [max(1.0, low / CONTOUR_ROOM, min(end, high * CONTOUR_ROOM)) for end in ends]
    return max(0.7, min((low, *ends)) / 1.5), max((high, *ends)) * 2


def _draw_axes(plot: _Plot) -> None:
    axes, view = plot.axes, plot.view
    for set_scale, set_limits, limits in (
        (axes.set_xscale, axes.set_xlim, plot.steps_range),
        (axes.set_yscale, axes.set_ylim, plot.batch_range),
    ):
        set_scale("log", base=2)
        set_limits(*limits)
    log2_ticks(axes.xaxis, sorted({*view.steps, *(p.steps for p in plot.places)}))
    log2_ticks(axes.yaxis, _batch_ticks(plot))
    axes.set_xlabel("time steps T")
    axes.set_ylabel("batch B, sequences")


def _batch_ticks(plot: _Plot) -> list[int]:
    """The grid's batches, and doublings of the largest as far as the axis goes."""
    low, high = plot.batch_range
    ticks = list(plot.view.batches) or [2 ** max(0, math.ceil(math.log2(low)))]
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
    corners = [*(place.steps for place in plot.places), plot.steps_range[1]]
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


def _oom_floors(places: Sequence[_Place]) -> list[float]:
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
        places = [p for p, m in sorted(plot.view.measurements.items()) if m.outcome is outcome]
        if places:
            plot.axes.plot(
                [p.steps for p in places], [p.batch for p in places], linestyle="none",
                marker=marker, markersize=size_pt, color=RUN_COLOUR, markeredgewidth=0.6,
                zorder=1, gid=f"frontier-run-{outcome.value}",
            )  # fmt: skip


RUN_MARKS: Final = (
    (Outcome.MEASURED, ".", 2.5, "point of the grid that fitted"),
    (Outcome.OOM, "x", 3.2, "point of the grid out of memory"),
)


def _draw_model(plot: _Plot) -> None:
    """The edge predicted under the limit and under others, labelled at the right."""
    model = plot.view.model
    if model is None:
        return
    ends: list[tuple[float, str]] = []
    for limit in (plot.view.limit_bytes, *plot.limits):
        is_own = limit == plot.view.limit_bytes
        steps, batches = _predicted(plot, model, limit)
        if not any(batch == batch for batch in batches):
            continue
        look = _model_style() if is_own else _contour_style()
        gid = "frontier-model" if is_own else f"frontier-limit-{round(limit)}"
        plot.axes.plot(steps, batches, **look, zorder=2, gid=gid)
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
    steps = [low * (high / low) ** part for part in share]
    if model.lengths > 1:
        edges = [model.edge(length, limit) for length in steps]
    elif len(plot.places) == 1:
        edges = [model.edge(plot.places[0].steps, limit)] * len(steps)
    else:
        edges = [math.nan] * len(steps)
    least, most = plot.batch_range
    return steps, [edge if max(1.0, least) <= edge <= most else math.nan for edge in edges]


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
            [place.steps for place in line], [place.fits or 0 for place in line],
            drawstyle="steps-post", color=EDGE_COLOUR, linewidth=1.6, zorder=3,
            gid=f"frontier-line-T{start}",
        )  # fmt: skip
    open_ended = [p for p in plot.places if p.kind not in SETTLED and len(p.batches) == 2]
    if open_ended:
        axes.vlines(
            [p.steps for p in open_ended], [min(p.batches) for p in open_ended],
            [max(p.batches) for p in open_ended], colors=EDGE_COLOUR, linewidth=1.0, zorder=3,
        ).set_gid("frontier-intervals")  # fmt: skip
    failing = [p for p in plot.places if p.kind not in SETTLED and p.fails is not None]
    if failing:
        axes.plot(
            [p.steps for p in failing], [p.fails or 0 for p in failing], linestyle="none",
            marker="x", markersize=5, color=EDGE_COLOUR, zorder=4, gid="frontier-fails",
        )  # fmt: skip
    _draw_marks(plot)


SETTLED: Final = frozenset({EdgeStatus.CERTIFIED, EdgeStatus.NOTHING_FITS})
"""Both sides of these lie a granularity apart."""


def _certified_lines(places: Sequence[_Place]) -> Iterator[tuple[int, list[_Place]]]:
    """Runs of neighbours that are certified."""
    line: list[_Place] = []
    for place in (*places, None):
        if place is not None and place.kind == EdgeStatus.CERTIFIED:
            line.append(place)
            continue
        if len(line) > 1:
            yield line[0].steps, line
        line = []


def _draw_marks(plot: _Plot) -> None:
    for kind, look in LOOKS.items():
        places = [place for place in plot.places if place.kind == kind]
        if places:
            plot.axes.plot(
                [place.steps for place in places], [_level(plot, place) for place in places],
                **_mark_style(look), zorder=5, gid=f"frontier-{kind}", clip_on=False,
            )  # fmt: skip
    upward = [place for place in plot.places if _is_upward(place)]
    if upward:
        plot.axes.plot(
            [place.steps for place in upward], [place.fits or 0 for place in upward],
            linestyle="none", marker=ARROW, markersize=26, markerfacecolor="none",
            color=EDGE_COLOUR, markeredgewidth=1.2, zorder=5, gid="frontier-upward",
        )  # fmt: skip


def _is_upward(place: _Place) -> bool:
    """Whether more may fit than was tried."""
    is_open = place.kind in (EdgeStatus.CAPPED, SEEN)
    return is_open and place.fits is not None and place.fails is None


def _level(plot: _Plot, place: _Place) -> float:
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
        advised = [a for a in _advised(plot.view) if a.is_measured is is_measured]
        if advised:
            plot.axes.plot(
                [a.steps for a in advised], [a.batch or 0 for a in advised], **style_of,
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
    marks = [plot.place_pt(place.steps, _level(plot, place)) for place in plot.places]
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
                text, (place.steps, _level(plot, place)), (aside, 3.5), textcoords="offset points",
                fontsize=SMALL_PT, color=INK, ha="left", va="bottom", zorder=7, bbox=_paper(),
                gid=f"frontier-number-T{place.steps}",
            )  # fmt: skip


def _number(place: _Place) -> str:
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


def _keys(view: View, places: Sequence[_Place]) -> Iterator[Key]:
    """What the marks mean, of those that are used."""
    kinds = {place.kind for place in places}
    for kind, look in LOOKS.items():
        if kind in kinds:
            yield Line2D([], [], **_mark_style(look)), look.meaning
    for is_measured, words in ((True, "measured"), (False, "predicted")):
        if any(a.is_measured is is_measured for a in _advised(view)):
            free = format_ratio(view.headroom_ratio)
            yield (
                Line2D([], [], **TRAIN_STYLES[is_measured]),
                f"largest safe batch: {free} of the limit kept free ({words})",
            )
    if view.model is not None:
        # rounded up, for it is a bound; what errs less needs no more digits
        worst = math.ceil(1000 * view.model.worst_error_ratio) / 1000 or 0.001
        words = f"memory model's edge (within {format_ratio(worst)} of its samples)"
        yield Line2D([], [], **_model_style()), words
        yield Line2D([], [], **_contour_style()), "the same under another limit"
    for outcome, marker, size_pt, meaning in RUN_MARKS:
        if any(m.outcome is outcome for m in view.measurements.values()):
            yield sign(marker, markersize=size_pt, color=RUN_COLOUR), meaning
    if any(floor == floor for floor in _oom_floors(places)):
        region = Patch(facecolor=FILL, edgecolor=RULE, hatch="////", linewidth=0)
        yield region, "ruled out: out of memory at this T or shorter"


# --- the sentence --------------------------------------------------------------------------------


def _finding(view: View, places: Sequence[_Place]) -> str:
    limit = format_bytes(view.limit_bytes)
    clauses = [
        *_certified(places, limit),
        *_others(places),
        *_seen_in_words(places, limit),
        *_train_in_words(view),
    ]
    return " ".join(f"{clause[0].upper()}{clause[1:]}." for clause in clauses)


def _certified(places: Sequence[_Place], limit: str) -> Iterator[str]:
    known = [place for place in places if place.kind == EdgeStatus.CERTIFIED]
    if not known:
        return
    first, last = known[0], known[-1]
    if first is last:
        yield f"the largest batch that fits under {limit} at T={first.steps} is B={first.fits}"
        return
    goes = "falls" if (first.fits or 0) > (last.fits or 0) else "goes"
    yield (
        f"the largest batch that fits under {limit} {goes} from B={first.fits} at "
        f"T={first.steps} to B={last.fits} at T={last.steps}, certified at "
        f"{len(known)} of {len(places)} T"
    )


def _others(places: Sequence[_Place]) -> Iterator[str]:
    """The T at which no largest batch is proven, by why."""
    for kind, words in (
        (EdgeStatus.CAPPED, "even the largest batch asked for fits at"),
        (EdgeStatus.NOTHING_FITS, "nothing fits at"),
        (EdgeStatus.UNSUPPORTED, "the library does not support"),
        (EdgeStatus.NON_MONOTONE, "a batch fits above one out of memory at"),
        (EdgeStatus.NOT_STATIONARY, "each training step leaves memory at"),
        (EdgeStatus.BATCH_NOT_USED, "a training step does not use the batch at"),
        (EdgeStatus.INDETERMINATE, "the edge is not proven at"),
    ):
        steps = [place.steps for place in places if place.kind == kind]
        if steps:
            yield f"{words} {in_words('T', steps)}"


def _seen_in_words(places: Sequence[_Place], limit: str) -> Iterator[str]:
    known = [place for place in places if place.kind == SEEN]
    both = [place for place in known if len(place.batches) == 2]
    fitting = [place for place in known if place.fits is not None]
    if both:
        last = both[-1]
        yield (
            f"no edge is certified here, but under {limit} at T={last.steps} the grid shows "
            f"B={last.fits} to fit and B={last.fails} to be out of memory"
        )
    elif fitting:
        last = fitting[-1]
        yield f"under {limit} B={last.fits}, the largest tried, fits at T={last.steps}"
    elif known:
        yield f"nothing that was tried fits under {limit}"


def _train_in_words(view: View) -> Iterator[str]:
    advised = _advised(view)
    if advised:
        each = [f"B={advice.batch} at T={advice.steps}" for advice in advised]
        few = each if len(each) <= 2 else [each[0], each[-1]]
        free = format_ratio(view.headroom_ratio)
        yield f"with {free} of the limit kept free, the largest safe batch is {' and '.join(few)}"


def in_words(name: str, values: Sequence[int]) -> str:
    """``T=16``, ``T=16 and T=32``, or for more the first, the last and how many."""
    if len(values) <= 2:
        return " and ".join(f"{name}={value}" for value in values)
    return f"{len(values)} {name} from {values[0]} to {values[-1]}"


# --- what slices share ---------------------------------------------------------------------------


def sign(marker: str, **look: Any) -> Line2D:
    """A legend's key that is a mark without a line."""
    return Line2D([], [], linestyle="none", marker=marker, **look)


def sheet(keys: Sequence[Key], panel_in: float) -> tuple[Figure, float]:
    """A figure with room for panels of a height, its legend drawn at the bottom.

    Returns:
        The figure, and the height in inches below the panels' axis labels.
    """
    longest = max((len(words) for _, words in keys), default=1)
    entry_in = (longest * WORD_EM + 4.0) * SMALL_PT / 72
    columns = max(1, int((WIDTH_IN - 2 * MARGIN_IN) / entry_in))
    below_in = MARGIN_IN + math.ceil(len(keys) / columns) * LEGEND_ROW_IN
    height_in = TITLE_IN + panel_in + AXIS_IN + below_in
    figure = Figure(figsize=(WIDTH_IN, height_in))
    if keys:
        figure.legend(
            [artist for artist, _ in keys], [words for _, words in keys], loc="lower left",
            bbox_to_anchor=(MARGIN_IN / WIDTH_IN, 0.4 * MARGIN_IN / height_in), ncols=columns,
            borderpad=0, borderaxespad=0, labelspacing=0.35, handlelength=2.2, columnspacing=1.4,
        )  # fmt: skip
    return figure, below_in


def axes_at(figure: Figure, box_in: tuple[float, float, float, float]) -> Axes:
    """Axes at left, bottom, width and height in inches."""
    width_in, height_in = figure.get_size_inches()
    left, bottom, across, up = box_in
    return figure.add_axes((left / width_in, bottom / height_in, across / width_in, up / height_in))


def log2_ticks(axis: Axis, values: Sequence[int]) -> None:
    """Ticks at these values, ascending, and labels at those whose labels stand apart."""
    is_across = isinstance(axis, XAxis)
    extent = axis.axes.get_window_extent()
    low, high = axis.get_view_interval()
    room = (extent.width if is_across else extent.height) * 72 / axis.axes.figure.dpi
    places = [math.log(value / low) / math.log(high / low) * room for value in values]
    sizes = [
        len(str(value)) * EM_PER_CHARACTER * SMALL_PT if is_across else SMALL_PT for value in values
    ]
    shown = {values[place] for place in apart(places, sizes)}
    axis.set_ticks(values, labels=[str(v) if v in shown else "" for v in values])
    axis.set_minor_locator(NullLocator())
    axis.set_tick_params(length=2.5)


def apart(places: Sequence[float], sizes: Sequence[float]) -> list[int]:
    """Which of things that are centred at ascending *places* to keep, so that none touch.

    The first and the last stay, if there is room for both.
    """
    kept: list[int] = []
    for index in range(len(places)):
        is_last = index == len(places) - 1
        while kept and not _is_clear(places, sizes, kept[-1], index) and is_last and len(kept) > 1:
            kept.pop()
        if not kept or _is_clear(places, sizes, kept[-1], index):
            kept.append(index)
    return kept


GAP_PT: Final = 3.0


def _is_clear(places: Sequence[float], sizes: Sequence[float], one: int, other: int) -> bool:
    return places[other] - places[one] >= (sizes[one] + sizes[other]) / 2 + GAP_PT


def spread(
    places: Sequence[float], gap: float, bounds: tuple[float, float] = (-math.inf, math.inf)
) -> list[float]:
    """*places* moved apart by at least *gap*, in their order, as little and as evenly as needed.

    They stay within *bounds* where these have room for all.
    """
    order = sorted(range(len(places)), key=lambda index: places[index])
    groups: list[tuple[float, int]] = []  # the middle of a run of neighbours, and how many
    for index in order:
        middle, count = _within((places[index], 1), gap, bounds)
        while groups and middle - groups[-1][0] < gap * (count + groups[-1][1]) / 2:
            other, others = groups.pop()
            joined = (middle * count + other * others) / (count + others), count + others
            middle, count = _within(joined, gap, bounds)
        groups.append((middle, count))
    moved = [middle + gap * (i - (n - 1) / 2) for middle, n in groups for i in range(n)]
    placed = dict(zip(order, moved, strict=True))
    return [placed[index] for index in range(len(places))]


def _within(group: tuple[float, int], gap: float, bounds: tuple[float, float]) -> tuple[float, int]:
    middle, count = group
    half = gap * (count - 1) / 2
    return max(bounds[0] + half, min(middle, bounds[1] - half)), count
