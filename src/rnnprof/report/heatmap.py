"""Heat maps: one quantity over batch and time steps, and the marks that they are made of."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import groupby, pairwise
from typing import Any, Final

import matplotlib as mpl
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backend_bases import GraphicsContextBase, RendererBase
from matplotlib.backends.backend_agg import RendererAgg
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.colors import LogNorm, Normalize, to_rgba
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, PathPatch, Rectangle
from matplotlib.path import Path
from matplotlib.patheffects import Normal, Stroke
from matplotlib.textpath import text_to_path
from matplotlib.transforms import IdentityTransform

from rnnprof.records import Measurement, Outcome, Point
from rnnprof.report.drawing import (
    BASE_PT,
    FILL,
    FONTS,
    INK,
    MUTED,
    PAPER,
    SMALL_PT,
    Chart,
    style,
)
from rnnprof.report.table import (
    BYTE_UNITS,
    RATE_UNITS,
    Measurements,
    SeenEdge,
    compact_bytes,
    compact_rate,
    flags,
    memory_bytes,
    rate_in_words,
    throughput,
    unit_note,
)
from rnnprof.report.view import View
from rnnprof.units import format_bytes, format_rate, format_ratio, format_seconds

LOG_FROM_RATIO: Final = 8.0
"""Values that span more than this are told apart on a logarithmic scale only."""

BLANK: Final = "–"

OUTLINE: Final = "#d55e00"
"""Vermillion of the Okabe-Ito palette; its shape tells it from the edge in grey."""


# --- the marks -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Look:
    """How a point without a number is drawn: neither hue nor hatch nor word stands alone.

    Attributes:
        name: of the outcome, and in the ids of artists.
        word: in the box.
        short: in the box where the word has no room.
        hatch: of the box, of lines: dots would make up most of a file.
        marker: in the box where no word has room.
        meaning: in the legend.
        ending: of so many points, in a sentence.
    """

    name: str
    word: str
    short: str
    hatch: str
    marker: str
    meaning: str
    ending: str


LOOKS: Final = {
    Outcome(look.name): look
    for look in (
        Look("oom", "OOM", "OOM", "////", "x", "OOM: out of memory", "out of memory"),
        Look(
            "implied_oom", "implied", "impl", "|||", ".", "implied by a smaller OOM",
            "implied out of memory",
        ),
        Look(
            "unsupported", "unsupported", "unsup", "xxxx", "s", "unsupported by the library",
            "unsupported",
        ),
        Look("timeout", "timeout", "time", "----", "d", "timeout", "timed out"),
        Look("crashed", "crashed", "crash", "\\\\\\\\", "v", "crashed", "crashed"),
        Look("failed", "failed", "fail", "++++", "P", "failed", "failed"),
    )
}  # fmt: skip

UNKNOWN: Final = Look(
    "unknown", "?", "?", "--", "?", "measured, value not known", "without this value"
)
UNREACHED: Final = Look("unreached", BLANK, BLANK, "", "_", "not reached", "not reached")
PREDICTED: Final = Look(
    "predicted", "≈", "≈", "\\\\", "≈", "≈n: predicted, not reached", "not reached but predicted"
)
EVERY_LOOK: Final = (*LOOKS.values(), UNKNOWN, UNREACHED, PREDICTED)


def hatched(look: Look) -> dict[str, Any]:
    """The style of a box without a number."""
    return {"facecolor": FILL, "edgecolor": MUTED, "linewidth": 0, "hatch": look.hatch}


def edge_path(edges: Sequence[SeenEdge], batches: Sequence[int]) -> list[tuple[float, float]]:
    """The stepped line before the first batch out of memory at each T.

    Returns:
        Corners in places of the grid: x by *batches*, y by *edges*, each place a unit wide about
        its index. A corner of nan breaks the line where nothing is known. Empty without an OOM.
    """
    if all(edge.fails is None for edge in edges):
        return []
    corners: list[tuple[float, float]] = []
    for row, edge in enumerate(edges):
        left = _edge_left(edge, batches)
        if left is None:
            corners.append((math.nan, math.nan))
        elif edge.fails is not None:
            corners += [(left, row - 0.5), (left, row + 0.5)]
        else:
            # along the grid's own border nothing was seen: only the steps to its neighbours
            corners += [(left, row - 0.5), (math.nan, math.nan), (left, row + 0.5)]
    # a stroke without length would be a dot, for the line's ends are square
    return [corner for corner, _ in groupby(corners)]


def _edge_left(edge: SeenEdge, batches: Sequence[int]) -> float | None:
    if edge.fails is not None:
        return batches.index(edge.fails.point.batch) - 0.5
    return None if edge.fits is None else len(batches) - 0.5


def draw_edge(axes: Axes, edges: Sequence[SeenEdge], batches: Sequence[int], gid: str) -> None:
    """The stepped line of :func:`edge_path`, where there is one."""
    corners = edge_path(edges, batches)
    if corners:
        line = Line2D([x for x, _ in corners], [y for _, y in corners], **edge_style())
        line.set_gid(gid)
        axes.add_line(line)


def edge_style() -> dict[str, Any]:
    """The style of the line before what is out of memory."""
    return {
        "color": INK, "linewidth": 2.6, "solid_capstyle": "projecting",
        "solid_joinstyle": "miter", "path_effects": _cased(4.4), "zorder": 5, "clip_on": False,
    }  # fmt: skip


OUTLINE_INSET_PT: Final = 2.4
OUTLINE_INSET_SHARE: Final = 0.15
"""The outline stands clear of an edge line beside it, and of the number within."""


def draw_outline(
    axes: Axes, place: tuple[int, int], room_pt: tuple[float, float], gid: str
) -> None:
    """A frame within one box, of *room_pt* points."""
    column, row = place
    inset_pt = min(OUTLINE_INSET_PT, OUTLINE_INSET_SHARE * min(room_pt))
    inset_x, inset_y = (inset_pt / room for room in room_pt)
    corner = (column - 0.5 + inset_x, row - 0.5 + inset_y)
    box = Rectangle(corner, 1 - 2 * inset_x, 1 - 2 * inset_y, **outline_style(), zorder=6)
    box.set_gid(gid)
    axes.add_patch(box)


def outline_style() -> dict[str, Any]:
    """The style of the frame about one point."""
    return {
        "fill": False, "edgecolor": OUTLINE, "linewidth": 1.8, "path_effects": _cased(3.2),
    }  # fmt: skip


def _cased(width_pt: float) -> list[Any]:
    """A line that stands out from data of any colour."""
    return [Stroke(linewidth=width_pt, foreground=PAPER), Normal()]


# --- the legend's entries ------------------------------------------------------------------------

Entry = tuple[Any, str]
"""A key of the legend, one artist or several on top of each other, and what it means."""


def edge_entries(view_edges: Sequence[SeenEdge], limit_bytes: int) -> Iterator[Entry]:
    """What the stepped line and the numbers of proven edges mean, where they are drawn."""
    if any(edge.fails is not None for edge in view_edges):
        meaning = f"out of memory at the limit ({format_bytes(limit_bytes)})"
        yield Line2D([], [], **edge_style()), meaning
    if any(edge.is_certified for edge in view_edges):
        yield sign("≤"), "B≤n: the largest batch that fits at T"


def flag_entries(measurements: Measurements) -> Iterator[Entry]:
    """What the marks behind a number mean, where they are used."""
    used = "".join(flags(measurement) for measurement in measurements.values())
    for mark, meaning in (("~", "time not converged"), ("!", "time disturbed")):
        if mark in used:
            yield sign(mark), meaning


def sign(mark: str) -> Artist:
    """A legend key that is a character."""
    return Line2D([], [], **_marker_style(mark, 5.0 if mark != BLANK else 4.0))


FORMS: Final = frozenset("x.sdvP_")
"""The markers that matplotlib draws; any other is the outline of a character."""


def _marker_style(marker: str, size_pt: float) -> dict[str, Any]:
    return {
        "linestyle": "none", "marker": marker if marker in FORMS else _outline_of(marker),
        "markersize": size_pt, "markerfacecolor": INK, "markeredgecolor": INK,
        "markeredgewidth": 0.6 if marker in FORMS else 0.0,
    }  # fmt: skip


@cache
def _outline_of(character: str) -> Path:
    """The outline of a character about its own middle."""
    glyph = _glyph(character)
    middle = (glyph.vertices.min(axis=0) + glyph.vertices.max(axis=0)) / 2
    return Path(glyph.vertices - middle, glyph.codes)


def row_label(edge: SeenEdge, gap: str) -> str:
    """T, and behind *gap* the proven edge: the line between two columns cannot tell the number."""
    if edge.is_certified and edge.certificate is not None:
        return f"{edge.steps}{gap}(B≤{edge.certificate.batch})"
    return str(edge.steps)


# --- what is shown -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Quantity:
    """What a heat map shows of each point.

    Attributes:
        name: the stem of its artists' ids.
        title: what it is; *axis*: the same on the colour bar, with its unit.
        colours: the colour map, even in lightness.
        values: by point, of those measured where it is known.
        text: a value in a few characters; *units*: what their last letters stand for.
        words: a value in a sentence.
        scale: where a value stands in the colour map.
        shows_flags: its values come of times, which may be loose or disturbed.
        predicted: by point, of those not measured.
    """

    name: str
    title: str
    axis: str
    colours: str
    values: Mapping[Point, float]
    text: Callable[[float], str]
    words: Callable[[float], str]
    scale: Normalize
    units: Mapping[str, str] = field(default_factory=dict)
    shows_flags: bool = False
    predicted: Mapping[Point, float] = field(default_factory=dict)

    @property
    def note(self) -> str:
        """What the letters behind the numbers stand for."""
        shown = (*self.values.values(), *self.predicted.values())
        return unit_note(map(self.text, shown), self.units)

    def label(self, measurement: Measurement) -> str:
        """The number of a point that has one, with its flags."""
        number = self.text(self.values[measurement.point])
        return number + (flags(measurement) if self.shows_flags else "")

    def colour(self, value: float) -> tuple[float, float, float, float]:
        """The colour of a value, sRGB with alpha."""
        return mpl.colormaps[self.colours](float(self.scale(value)))


Getter = Callable[[Measurement], float | None]


def memory_of(measurements: Measurements, predicted: Mapping[Point, float]) -> Quantity:
    """Peak memory of training, as the limit counts it."""
    title = "Peak memory"
    values = _known(measurements, memory_bytes)
    return Quantity(
        name="memory",
        title=title,
        axis=f"{title[0].lower()}{title[1:]}, bytes",
        colours="cividis",
        values=values,
        text=compact_bytes,
        words=format_bytes,
        scale=scale_of(values.values()),
        units=BYTE_UNITS,
        predicted=predicted,
    )


def time_steps_of(measurements: Measurements) -> Quantity:
    """Throughput in time steps/s."""
    values = _known(measurements, throughput)
    return Quantity(
        name="time-steps",
        title="Throughput, time steps/s",
        axis="time steps/s",
        colours="viridis",
        values=values,
        text=compact_rate,
        words=rate_in_words,
        scale=scale_of(values.values()),
        units=RATE_UNITS,
        shows_flags=True,
    )


def _sequences_of(measurements: Measurements) -> Quantity:
    values = _known(measurements, lambda m: m.sequences_per_s)
    return Quantity(
        name="sequences",
        title="Throughput, sequences/s",
        axis="sequences/s",
        colours="viridis",
        values=values,
        text=compact_rate,
        words=lambda rate: format_rate(rate).replace("/s", " sequences/s").replace("  ", " "),
        scale=scale_of(values.values()),
        units=RATE_UNITS,
        shows_flags=True,
    )


SECOND_UNITS: Final = {"s": "seconds", "m": "milliseconds", "µ": "microseconds"}


def _step_time_of(measurements: Measurements) -> Quantity:
    values = _known(measurements, lambda m: m.step_time_s)
    return Quantity(
        name="step-time",
        title="Step time",
        axis="time of a training step",
        colours="magma",
        values=values,
        text=_compact_seconds,
        words=format_seconds,
        scale=scale_of(values.values()),
        units=SECOND_UNITS,
        shows_flags=True,
    )


def _compact_seconds(seconds: float) -> str:
    """``12.3m`` for ``12.3 ms``: where many stand side by side."""
    text = format_seconds(seconds).replace(" ", "")
    return text if text[-2].isdigit() else text.removesuffix("s")


def _matmul_share_of(measurements: Measurements) -> Quantity:
    values = _known(measurements, lambda m: m.matmul_share_ratio)
    return Quantity(
        name="matmul-share",
        title="Share of a matrix product's rate",
        axis="the step's FLOP/s, as a share of a matrix product's",
        colours="magma",
        values=values,
        text=format_ratio,
        words=format_ratio,
        scale=scale_of(values.values()),
        shows_flags=True,
    )


def _known(measurements: Measurements, value_of: Getter) -> dict[Point, float]:
    """The finite values of points that were measured."""
    values = {
        point: value_of(measurement)
        for point, measurement in measurements.items()
        if measurement.outcome is Outcome.MEASURED
    }
    return {p: float(v) for p, v in values.items() if v is not None and math.isfinite(v)}


def scale_of(values: Collection[float]) -> Normalize:
    """Logarithmic where the values span much; a single value stands midway."""
    low, high = min(values, default=1.0), max(values, default=1.0)
    if low == high:
        return Normalize(low - 1, high + 1)
    is_wide = low > 0 and high / low > LOG_FROM_RATIO
    return LogNorm(low, high) if is_wide else Normalize(low, high)


EVEN_LUMINANCE: Final = 0.179
"""Black and white stand out equally from it: the root of (L + 0.05)^2 = 1.05 * 0.05."""

BLACK: Final = "#000000"
WHITE: Final = "#ffffff"
"""Ink on data: a page in dark colours leaves both as they are."""


def ink_on(colour: Sequence[float]) -> str:
    """Black or white, whichever stands out more from a colour."""
    return BLACK if luminance(colour) > EVEN_LUMINANCE else WHITE


def luminance(colour: Sequence[float]) -> float:
    """Relative luminance of an sRGB colour, as WCAG 2 defines it."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in colour[:3]]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


# --- the heat maps of a report -------------------------------------------------------------------


def heatmaps(view: View) -> tuple[Chart, ...]:
    """A heat map over B and T for each quantity that is known, peak memory first.

    Peak memory has one even where no point was measured: it shows how they ended.  Empty without
    any point.
    """
    if not view.places:
        return ()
    known, edges = view.measurements, view.edges
    quantities = (
        memory_of(known, _predicted(view)),
        _step_time_of(known),
        time_steps_of(known),
        _sequences_of(known),
        _matmul_share_of(known),
    )
    shown = [each for each in quantities if each.values or each.name == "memory"]
    return tuple(_heatmap(view, edges, quantity) for quantity in shown)


def _predicted(view: View) -> dict[Point, float]:
    """The memory model's bytes where a point was asked for and not reached."""
    if view.model is None:
        return {}
    unreached = [point for point in view.places if point not in view.measurements]
    return {point: view.model.predict_bytes(point) for point in unreached}


def _heatmap(view: View, edges: Sequence[SeenEdge], quantity: Quantity) -> Chart:
    name = f"heatmap-{quantity.name}"
    with style():
        chart = _map(view, edges, quantity)
        figure = Figure(figsize=(WIDTH_IN, chart.height_in))
        axes = figure.add_axes(chart.panel_rect)
        axes.set_axis_off()
        axes.set(xlim=(-0.5, chart.sheet.columns - 0.5), ylim=(-0.5, chart.sheet.rows - 0.5))
        _draw_titles(figure, axes, chart)
        _draw_ticks(axes, chart, name)
        _draw_values(axes, chart, f"{name}-numbers")
        for look, places in chart.looks.items():
            _draw_look(axes, chart, look, places)
        _draw_rules(axes, chart)
        draw_edge(axes, edges, chart.batches, f"{name}-oom-edge")
        for place in chart.advised:
            draw_outline(axes, place, chart.sheet.room_pt, f"{name}-recommended-{place[1]}")
        _draw_bar(figure, chart)
        draw_legend(figure, chart.legend, MARGIN_IN, chart.notes_in + chart.legend_in - 0.02)
        _draw_notes(figure, chart)
    return Chart(name, quantity.title, _finding(chart), figure)


Place = tuple[int, int]
"""Column and row."""

Corners = np.ndarray[Any, np.dtype[np.float64]]

WIDTH_IN: Final = 7.4
MARGIN_IN: Final = 0.1
HEAD_IN: Final = 40 / 72
"""The title, and beside it the colour bar with its label and its numbers."""

AXIS_IN: Final = 0.42
"""Tick labels and the axis label below the panel."""

LARGEST_BOX_IN: Final = (1.4, 0.4)
LEAST_BOX_HEIGHT_IN: Final = 0.115
"""A box in which a marker still shows its form."""

FULL_HEIGHT_IN: Final = 3.6
"""Boxes shrink from this height of the panel on, until they are at their least."""


@dataclass(frozen=True, slots=True)
class _Sheet:
    """The panel's place: beside labels of the rows that are so wide."""

    left_in: float
    columns: int
    rows: int

    @property
    def panel_in(self) -> tuple[float, float]:
        """Width and height."""
        box_width_in = (WIDTH_IN - MARGIN_IN - self.left_in) / self.columns
        box_height_in = max(LEAST_BOX_HEIGHT_IN, FULL_HEIGHT_IN / self.rows)
        return (
            self.columns * _rounded(min(LARGEST_BOX_IN[0], box_width_in)),
            self.rows * _rounded(min(LARGEST_BOX_IN[1], box_height_in)),
        )

    @property
    def room_pt(self) -> tuple[float, float]:
        """Width and height of a box in points."""
        width_in, height_in = self.panel_in
        return 72 * width_in / self.columns, 72 * height_in / self.rows


def _rounded(length_in: float) -> float:
    """Down to a quarter of a point: a file repeats such numbers at every box."""
    return math.floor(4 * 72 * length_in + 1e-6) / (4 * 72)


@dataclass(frozen=True, slots=True)
class _Map:
    """One heat map.

    Attributes:
        places: column and row of every point of the grid.
        looks: the places without a number, by how they are drawn.
        advised: the places of the recommended points that are on the grid.
        numbers_pt: type size of the numbers; None where they would be too small to be read.
        notes: what else to know, a line each.
    """

    view: View
    edges: Sequence[SeenEdge]
    quantity: Quantity
    batches: tuple[int, ...]
    places: Mapping[Point, Place]
    looks: Mapping[Look, Sequence[Place]]
    advised: Sequence[Place]
    sheet: _Sheet
    numbers_pt: float | None
    legend: Sequence[Entry]
    notes: Sequence[str]

    @property
    def legend_in(self) -> float:
        """Height of the legend."""
        rows = math.ceil(len(self.legend) / legend_columns(self.legend, WIDTH_IN))
        return rows * LEGEND_ROW_EM * SMALL_PT / 72 + (MARGIN_IN if rows else 0)

    @property
    def notes_in(self) -> float:
        """Height of the notes."""
        return MARGIN_IN / 2 + len(self.notes) * LINE_EM * SMALL_PT / 72

    @property
    def below_in(self) -> float:
        """Height of all that is below the panel."""
        return _rounded(AXIS_IN + self.legend_in + self.notes_in)

    @property
    def height_in(self) -> float:
        """Height of the figure."""
        return HEAD_IN + self.sheet.panel_in[1] + self.below_in

    @property
    def panel_rect(self) -> tuple[float, float, float, float]:
        """The panel as shares of the figure."""
        return self.rect(self.sheet.left_in, self.below_in, *self.sheet.panel_in)

    def rect(
        self, left_in: float, bottom_in: float, width_in: float, height_in: float
    ) -> tuple[float, float, float, float]:
        """Inches as the shares of the figure in which matplotlib places axes."""
        height = self.height_in
        return left_in / WIDTH_IN, bottom_in / height, width_in / WIDTH_IN, height_in / height


def _map(view: View, edges: Sequence[SeenEdge], quantity: Quantity) -> _Map:
    batches = view.batches
    columns = {batch: column for column, batch in enumerate(batches)}
    rows = {edge.steps: row for row, edge in enumerate(edges)}
    places = {point: (columns[point.batch], rows[point.steps]) for point in view.places}
    looks: dict[Look, list[Place]] = {}
    for point, place in places.items():
        if point not in quantity.values:
            looks.setdefault(_look(point, view, quantity), []).append(place)
    advised = [places[point] for point in view.advice.points if point in places]
    sheet = _Sheet(_left_in(edges), len(columns), len(rows))
    numbers_pt = _numbers_pt(view, quantity, sheet.room_pt)
    legend = tuple(_entries(view, edges, quantity, looks, bool(advised), sheet.room_pt))
    notes = tuple(_notes(len(places), sheet, numbers_pt, quantity))
    return _Map(
        view, edges, quantity, batches, places, looks, advised, sheet, numbers_pt, legend, notes
    )


def _look(point: Point, view: View, quantity: Quantity) -> Look:
    measurement = view.measurements.get(point)
    if measurement is not None:
        return LOOKS.get(measurement.outcome, UNKNOWN)
    return PREDICTED if point in quantity.predicted else UNREACHED


def _left_in(edges: Sequence[SeenEdge]) -> float:
    """Room for the labels of the rows, and for the axis label beside them."""
    widest_em = max(width_em(row_label(edge, " ")) for edge in edges)
    return _rounded(MARGIN_IN + (2.2 + widest_em) * SMALL_PT / 72)


def _entries(
    view: View,
    edges: Sequence[SeenEdge],
    quantity: Quantity,
    looks: Collection[Look],
    has_advised: bool,
    room_pt: tuple[float, float],
) -> Iterator[Entry]:
    """What the marks mean, of those that are used."""
    yield from edge_entries(edges, view.limit_bytes)
    if has_advised:
        yield Patch(**outline_style()), "recommended batch at T"
    for look in EVERY_LOOK:
        if look in looks:
            yield _key(look, room_pt), look.meaning
    if quantity.shows_flags:
        yield from flag_entries(view.measurements)


def _key(look: Look, room_pt: tuple[float, float]) -> Any:
    """The box of a look, and in it the marker that stands for its word where none has room."""
    box = Patch(**hatched(look))
    if _word(look, room_pt):
        return (box, sign(look.word)) if len(look.word) == 1 else box
    return box, Line2D([], [], **_marker_style(look.marker, _marker_pt(room_pt)))


def _notes(
    places: int, sheet: _Sheet, numbers_pt: float | None, quantity: Quantity
) -> Iterator[str]:
    if numbers_pt is None:
        yield f"{places:,} points are too many for numbers here: the table has them."
    if quantity.predicted:
        yield "Predicted are the bytes that the limit counts, by the memory model."
    if places < sheet.columns * sheet.rows:
        yield "Where there is no box, nothing was asked for."


# --- the panel -----------------------------------------------------------------------------------


def _draw_titles(figure: Figure, axes: Axes, chart: _Map) -> None:
    """What is drawn, and what the axes are."""
    quantity, (left, bottom, width, height) = chart.quantity, chart.panel_rect
    title = quantity.title + ("" if _has_bar(quantity) else quantity.note)
    axes.set_title(title, loc="left", fontsize=BASE_PT + 1, weight="bold", pad=7)
    batches = "batch B, sequences" + _log2_note(chart.batches)
    steps = "time steps T" + _log2_note([edge.steps for edge in chart.edges])
    below = bottom - (AXIS_IN - 0.2) / chart.height_in
    figure.text(left + width / 2, below, batches, ha="center", va="top", gid="x-axis")
    beside = MARGIN_IN / 2 / WIDTH_IN
    figure.text(beside, bottom + height / 2, steps, rotation=90, va="center", gid="y-axis")


LEAST_TICK_PT: Final = 6.0
TICK_PAD_PT: Final = 4.0


def _draw_ticks(axes: Axes, chart: _Map, name: str) -> None:
    """The grid's own values along the axes, as far as they have room."""
    room_pt, numbers = chart.sheet.room_pt, [str(batch) for batch in chart.batches]
    size_pt, shown = _spaced(numbers, room_pt[0], max(map(width_em, numbers)) + 0.6)
    below = -0.5 - (TICK_PAD_PT + size_pt / 2) / room_pt[1]
    columns = [Label((column, below), text, INK) for column, text in shown]
    axes.add_artist(Labels(columns, size_pt, f"{name}-batches"))
    size_pt, shown = _spaced([row_label(edge, " ") for edge in chart.edges], room_pt[1], 1.1)
    beside = -0.5 - TICK_PAD_PT / room_pt[0]
    rows = [Label((beside, row), text, INK, align=1.0) for row, text in shown]
    axes.add_artist(Labels(rows, size_pt, f"{name}-steps"))


def _spaced(
    texts: Sequence[str], room_pt: float, extent_em: float
) -> tuple[float, list[tuple[int, str]]]:
    """A type size, and each text with its index, or every second or third where they collide."""
    size_pt = max(LEAST_TICK_PT, min(SMALL_PT, room_pt / extent_em))
    every = max(1, math.ceil(extent_em * size_pt / room_pt - 1e-9))
    return size_pt, list(enumerate(texts))[::every]


def _log2_note(values: Sequence[int]) -> str:
    """Boxes of one size are a log2 axis where each value is so many times two as the last."""
    ratios = {high / low for low, high in pairwise(values)}
    is_log2 = len(values) > 2 and len(ratios) == 1 and math.log2(*ratios).is_integer()
    return " (log2 axis)" if is_log2 else ""


def _draw_values(axes: Axes, chart: _Map, gid: str) -> None:
    """The boxes of the points with a value, and their numbers."""
    quantity, known = chart.quantity, chart.quantity.values
    if not known:
        return
    colours = mpl.colormaps[quantity.colours](quantity.scale(np.array(list(known.values()))))
    places = [chart.places[point] for point in known]
    boxes = PolyCollection(list(_corners(places, 0.5, 0.5)), facecolors=colours, edgecolors="none")
    boxes.set(gid=gid.replace("numbers", "values"), clip_on=False)
    axes.add_collection(boxes, autolim=False)
    if chart.numbers_pt is not None:
        texts = [quantity.label(chart.view.measurements[point]) for point in known]
        inks = [ink_on(colour) for colour in colours.tolist()]
        labels = map(Label, places, texts, inks)
        axes.add_artist(Labels(tuple(labels), chart.numbers_pt, gid))


def _corners(
    places: Sequence[tuple[float, float]], half_width: float | Sequence[float], half_height: float
) -> Corners:
    """The corners of a box about each place: (places, 4, 2)."""
    centres = np.array(places, dtype=float)[:, None, :]
    signs = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)], dtype=float)
    halves = np.empty((len(places), 1, 2))
    halves[:, 0, 0], halves[:, 0, 1] = half_width, half_height
    return centres + signs * halves


def _stretches(places: Sequence[Place]) -> Corners:
    """The corners of boxes about all neighbours in a row together: (stretches, 4, 2)."""
    stretches: list[list[int]] = []
    for row, column in sorted((row, column) for column, row in places):
        if stretches and stretches[-1][1:] == [column - 1, row]:
            stretches[-1][1] = column
        else:
            stretches.append([column, column, row])
    centres = [((first + last) / 2, row) for first, last, row in stretches]
    half_widths = [(last - first + 1) / 2 for first, last, _ in stretches]
    return _corners(centres, half_widths, 0.5)


def _boxes(corners: Corners) -> Path:
    """All boxes as one path: one hatch is drawn, not one for each."""
    closed = np.concatenate([corners, corners[:, :1]], axis=1)
    one = [Path.MOVETO, Path.LINETO, Path.LINETO, Path.LINETO, Path.CLOSEPOLY]
    return Path(closed.reshape(-1, 2), np.tile(np.array(one, dtype=Path.code_type), len(corners)))


def _draw_look(axes: Axes, chart: _Map, look: Look, places: Sequence[Place]) -> None:
    """The boxes of points without a value, and a word or a marker in each."""
    boxes = PathPatch(_boxes(_stretches(places)), **hatched(look))
    gid = f"heatmap-{chart.quantity.name}-{look.name}"
    boxes.set_gid(gid)
    axes.add_patch(boxes)
    room_pt = chart.sheet.room_pt
    word = _word(look, room_pt)
    if look is PREDICTED and chart.numbers_pt is not None:
        inverse = {place: point for point, place in chart.places.items()}
        texts = [_predicted_text(chart.quantity, inverse[place]) for place in places]
        _draw_words(axes, places, texts, chart.numbers_pt, room_pt, f"{gid}-words")
    elif word and look is not PREDICTED:
        size_pt = _word_pt(word, room_pt)
        _draw_words(axes, places, [word] * len(places), size_pt, room_pt, f"{gid}-words")
    else:
        xs, ys = zip(*places, strict=True)
        style_of = _marker_style(look.marker, _marker_pt(room_pt))
        axes.add_line(Line2D(xs, ys, **style_of, gid=f"{gid}-markers"))


def _draw_words(
    axes: Axes,
    places: Sequence[Place],
    texts: Sequence[str],
    size_pt: float,
    room_pt: tuple[float, float],
    gid: str,
) -> None:
    """Words on patches that keep the hatch away from them."""
    halves_in = [_rounded((width_em(text) / 2 + 0.25) * size_pt / 72) for text in texts]
    half_width = [72 * half_in / room_pt[0] for half_in in halves_in]
    half_height = 72 * _rounded(min(0.45 * room_pt[1], 0.6 * size_pt) / 72) / room_pt[1]
    pads = _boxes(_corners(places, half_width, half_height))
    axes.add_patch(PathPatch(pads, facecolor=FILL, edgecolor="none", zorder=1.5))
    labels = [Label(place, text, INK) for place, text in zip(places, texts, strict=True)]
    axes.add_artist(Labels(labels, size_pt, gid))


def _marker_pt(room_pt: tuple[float, float]) -> float:
    return min(4.0, 0.5 * min(room_pt))


def _draw_rules(axes: Axes, chart: _Map) -> None:
    """Lines of the paper's colour between the boxes."""
    columns, rows = chart.sheet.columns, chart.sheet.rows
    upright = [[(x - 0.5, -0.5), (x - 0.5, rows - 0.5)] for x in range(columns + 1)]
    level = [[(-0.5, y - 0.5), (columns - 0.5, y - 0.5)] for y in range(rows + 1)]
    width_pt = min(1.0, 0.06 * min(chart.sheet.room_pt))
    rules = LineCollection(upright + level, colors=PAPER, linewidths=width_pt, zorder=2)
    axes.add_collection(rules, autolim=False)


# --- labels in the boxes -------------------------------------------------------------------------

LEAST_NUMBER_PT: Final = 4.5
"""What can be read in print at arm's length; below it numbers are left to the table."""

NUMBER_SHARE: Final = 0.8
"""Of a box's width, so that neighbours' numbers read as two and an outline has room."""

CROWDED_SHARE: Final = 0.93
"""Of a box's width for a number with flags, and for words: these stand on a patch of their own."""

HEIGHT_SHARE: Final = 0.62
"""Of a box's height."""


def _numbers_pt(view: View, quantity: Quantity, room_pt: tuple[float, float]) -> float | None:
    """The type size at which every number has room; None where it could not be read."""
    plain = {quantity.text(value) for value in quantity.values.values()}
    plain |= {_predicted_text(quantity, point) for point in quantity.predicted}
    flagged = {quantity.label(view.measurements[point]) for point in quantity.values} - plain
    fitting = (
        BASE_PT,
        HEIGHT_SHARE * room_pt[1],
        *(NUMBER_SHARE * room_pt[0] / width_em(text) for text in plain),
        *(CROWDED_SHARE * room_pt[0] / width_em(text) for text in flagged),
    )
    size_pt = math.floor(100 * min(fitting)) / 100
    return size_pt if size_pt >= LEAST_NUMBER_PT else None


def _predicted_text(quantity: Quantity, point: Point) -> str:
    return f"≈{quantity.text(quantity.predicted[point])}"


def _word(look: Look, room_pt: tuple[float, float]) -> str:
    """The longest name of a look that can be read in a box; empty for none."""
    for word, least_pt in ((look.word, LEAST_WORD_PT), (look.short, LEAST_NUMBER_PT)):
        if _word_pt(word, room_pt) >= least_pt:
            return word
    return ""


LEAST_WORD_PT: Final = 5.5
"""Below this a word is replaced by its short form."""


def _word_pt(word: str, room_pt: tuple[float, float]) -> float:
    width_pt = CROWDED_SHARE * room_pt[0] / (width_em(word) + 0.3)
    return math.floor(100 * min(SMALL_PT, width_pt, HEIGHT_SHARE * room_pt[1])) / 100


def width_em(text: str) -> float:
    """Width of *text* in DejaVu Sans, as a share of its type size."""
    return sum(_glyph(character).advance_em for character in text)


@dataclass(frozen=True, slots=True)
class _Glyph:
    """A character of DejaVu Sans in type sizes: its outline, and the way to the next character."""

    vertices: Corners
    codes: np.ndarray[Any, np.dtype[np.uint8]]
    advance_em: float


@cache
def _glyph(character: str) -> _Glyph:
    size = text_to_path.FONT_SCALE
    font = FontProperties(family=FONTS[0], size=size)
    outline, steps = text_to_path.get_text_path(font, character, ismath=False)
    # between two others a blank has its width as well
    between, beside = (
        text_to_path.get_text_width_height_descent(text, font, ismath=False)[0]
        for text in (f"n{character}n", "nn")
    )
    vertices = np.array(outline, dtype=float).reshape(-1, 2) / size
    return _Glyph(vertices, np.array(steps, dtype=np.uint8), float(between - beside) / size)


@dataclass(frozen=True, slots=True)
class Label:
    """A short text at a place of the grid.

    Attributes:
        align: the share of its width that is left of the place.
    """

    place: tuple[float, float]
    text: str
    ink: str
    align: float = 0.5


CAPITAL_EM: Final = 0.73
"""Height of DejaVu Sans's digits and capitals, by which a label stands in the middle."""


class Labels(Artist):
    """Short texts of one size, in the places of their axes.

    As many ``Text`` would look the same, but each lays itself out and repeats its style: for a
    grid of 400 points that is most of the time and of the file.
    """

    def __init__(self, labels: Sequence[Label], size_pt: float, gid: str) -> None:
        super().__init__()
        self.labels, self.size_pt = tuple(labels), round(size_pt, 2)
        self.set_gid(gid)
        self.set_zorder(7)

    def draw(self, renderer: RendererBase) -> None:
        """Draw each text by itself where a file keeps text, and all at once where it is pixels."""
        renderer.open_group("labels", self.get_gid())
        context = renderer.new_gc()
        if isinstance(renderer, RendererAgg):
            self._draw_outlines(renderer, context)
        else:
            self._draw_texts(renderer, context)
        context.restore()
        renderer.close_group("labels")
        self.stale = False

    def _draw_texts(self, renderer: RendererBase, context: GraphicsContextBase) -> None:
        font = FontProperties(family=FONTS[:2], size=self.size_pt)
        height_px = renderer.get_canvas_width_height()[1]
        for label, x, y in self._starts(renderer):
            context.set_foreground(label.ink)
            # a hundredth is less than can be seen, and further digits fill the file
            below = round(height_px - y if renderer.flipy() else y, 2)
            renderer.draw_text(context, round(x, 2), below, label.text, font, 0)

    def _draw_outlines(self, renderer: RendererBase, context: GraphicsContextBase) -> None:
        size_px = float(np.asarray(renderer.points_to_pixels(self.size_pt)))
        vertices: dict[str, list[Corners]] = defaultdict(list)
        codes: dict[str, list[np.ndarray[Any, np.dtype[np.uint8]]]] = defaultdict(list)
        for label, x, y in self._starts(renderer):
            for glyph in map(_glyph, label.text):
                vertices[label.ink].append(glyph.vertices * size_px + np.array((x, y)))
                codes[label.ink].append(glyph.codes)
                x += glyph.advance_em * size_px
        context.set_linewidth(0)
        for ink, parts in vertices.items():
            every = Path(np.concatenate(parts), np.concatenate(codes[ink]))
            renderer.draw_path(context, every, IdentityTransform(), to_rgba(ink))

    def _starts(self, renderer: RendererBase) -> Iterator[tuple[Label, float, float]]:
        """Each label with the left end of its base line, in pixels."""
        assert self.axes is not None
        size_px = float(np.asarray(renderer.points_to_pixels(self.size_pt)))
        places = self.axes.transData.transform([label.place for label in self.labels])
        for label, (x, y) in zip(self.labels, places.tolist(), strict=True):
            width_px = width_em(label.text) * size_px
            yield label, x - label.align * width_px, y - CAPITAL_EM * size_px / 2


# --- around the panel ----------------------------------------------------------------------------

BAR_IN: Final = (3.2, 0.09)
"""As wide as its label may be."""

TITLE_IN: Final = 3.6
"""Room for the title left of the bar."""


def _has_bar(quantity: Quantity) -> bool:
    return len(set(quantity.values.values())) > 1


def _draw_bar(figure: Figure, chart: _Map) -> None:
    """The colour bar, labelled with what it shows, at its ends and midway."""
    quantity = chart.quantity
    if not _has_bar(quantity):
        return
    # beside the title, also where the panel is narrow
    right_in = max(TITLE_IN + BAR_IN[0], chart.sheet.left_in + chart.sheet.panel_in[0])
    top_in = chart.height_in - 0.22
    rect = chart.rect(right_in - BAR_IN[0], top_in - BAR_IN[1], *BAR_IN)
    gid = f"heatmap-{quantity.name}-bar"
    axes = figure.add_axes(rect, gid=gid)
    axes.imshow([np.linspace(0, 1, 256)], cmap=quantity.colours, extent=(0, 1, 0, 1), aspect="auto")
    axes.set_axis_off()
    axes.set_title(quantity.axis + quantity.note, fontsize=SMALL_PT, loc="left", pad=2)
    below = -(1.5 + SMALL_PT / 2) / (72 * BAR_IN[1])
    labels = [
        Label((share, below), quantity.text(float(quantity.scale.inverse(share))), INK, align=share)
        for share in (0.0, 0.5, 1.0)
    ]
    axes.add_artist(Labels(labels, SMALL_PT, f"{gid}-labels"))


CHARACTER_EM: Final = 0.55
"""Mean width of DejaVu Sans in running text."""

KEY_IN: Final = 0.5
LINE_EM: Final = 1.4
LEGEND_ROW_EM: Final = 1.58


def legend_columns(legend: Sequence[Entry], width_in: float) -> int:
    """So many entries stand side by side."""
    longest = max((len(text) for _, text in legend), default=0)
    return max(1, int(width_in / (KEY_IN + longest * CHARACTER_EM * SMALL_PT / 72)))


def draw_legend(figure: Figure, entries: Sequence[Entry], left_in: float, top_in: float) -> None:
    """The legend below the panels, its upper left corner so far from the figure's lower left."""
    if not entries:
        return
    width_in, height_in = figure.get_size_inches()
    legend = figure.legend(
        [artist for artist, _ in entries], [label for _, label in entries],
        loc="upper left", bbox_to_anchor=(left_in / width_in, top_in / height_in),
        ncols=legend_columns(entries, width_in), fontsize=SMALL_PT, frameon=False,
        handlelength=2.4, handleheight=1.2, borderpad=0, borderaxespad=0, labelspacing=0.35,
    )  # fmt: skip
    legend.set_in_layout(False)


def _draw_notes(figure: Figure, chart: _Map) -> None:
    if chart.notes:
        left, bottom, _, _ = chart.rect(MARGIN_IN, MARGIN_IN / 2, 0, 0)
        text = "\n".join(chart.notes)
        figure.text(left, bottom, text, fontsize=SMALL_PT, color=MUTED, va="bottom", gid="notes")


# --- the sentence --------------------------------------------------------------------------------


def _finding(chart: _Map) -> str:
    sentences = (_range_in_words(chart), _endings_in_words(chart), _edge_in_words(chart))
    return " ".join(f"{sentence}." for sentence in sentences if sentence)


def _range_in_words(chart: _Map) -> str:
    """The least and the greatest value, and where they stand."""
    quantity, known = chart.quantity, chart.quantity.values
    subject = quantity.title.partition(",")[0]
    if not known:
        return f"{subject} is known at none of {_points(len(chart.places))}"
    low, high = min(known, key=lambda p: known[p]), max(known, key=lambda p: known[p])
    if known[low] == known[high]:
        others = f" and {_points(len(known) - 1)} more" if len(known) > 1 else ""
        return f"{subject} is {quantity.words(known[low])} at {low}{others}"
    return (
        f"{subject} lies between {quantity.words(known[low])} at {low} and "
        f"{quantity.words(known[high])} at {high}, known at {len(known)} of "
        f"{_points(len(chart.places))}"
    )


def _points(count: int) -> str:
    return f"{count:,} point{'' if count == 1 else 's'}"


def _endings_in_words(chart: _Map) -> str:
    """How many points ended in each other way."""
    looks = [look for look in EVERY_LOOK if look in chart.looks]
    return ", ".join(f"{_points(len(chart.looks[look]))} {look.ending}" for look in looks)


def _edge_in_words(chart: _Map) -> str:
    """The proven edge at the longest T that has one."""
    proven = [edge.certificate for edge in chart.edges if edge.is_certified]
    if not proven or proven[-1] is None or chart.quantity.name != "memory":
        return ""
    limit = format_bytes(chart.view.limit_bytes)
    return f"B={proven[-1].batch} is the largest that fits at T={proven[-1].steps} under {limit}"
