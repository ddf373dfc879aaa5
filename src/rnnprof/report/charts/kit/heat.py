"""A heat map over B and T: its boxes and their numbers, its marks, its axes and its colour bar."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any, Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, PathPatch
from matplotlib.path import Path

from rnnprof.report.charts.kit.boxes import (
    EVERY_LOOK,
    LOOKS,
    PREDICTED_LOOK,
    UNKNOWN,
    UNREACHED,
    Look,
    draw_edge,
    draw_outline,
    edge_keys,
    flag_keys,
    hatched,
    ink_on,
    marker_style,
    outline_style,
    row_label,
    sign,
)
from rnnprof.report.charts.kit.labels import Corners, Label, Labels, width_em
from rnnprof.report.charts.kit.quantities import Shown
from rnnprof.report.charts.kit.sheet import MARGIN_IN, Key, Sheet
from rnnprof.report.charts.kit.style import BASE_PT, FILL, INK, PAPER, SMALL_PT
from rnnprof.report.model import Point, RunReport
from rnnprof.report.words import chart_legends as words

Place = tuple[int, int]
"""Column and row."""

LEAST_NUMBER_PT: Final = 4.5
"""What can be read in print at arm's length; below it numbers are left to the table."""

LEAST_WORD_PT: Final = 5.5
"""Below this a word is replaced by its short form."""

NUMBER_SHARE: Final = 0.74
"""Of a box's width, so that neighbours' numbers read as two and an outline has room."""

CROWDED_SHARE: Final = 0.93
"""Of a box's width for a number with flags, and for words: these stand on a patch of their own."""

HEIGHT_SHARE: Final = 0.62
"""Of a box's height."""

LEAST_TICK_PT: Final = 6.0
TICK_PAD_PT: Final = 4.0


# --- the panel -----------------------------------------------------------------------------------


@dataclass(frozen=True)  # no slots: places, looks and type size are found once
class HeatMap:
    """One panel: a quantity on the grid of a report.

    Attributes:
        name: begins the ids of its artists.
        box_in: width and height of a box.
    """

    name: str
    report: RunReport
    shown: Shown
    box_in: tuple[float, float]

    @property
    def room_pt(self) -> tuple[float, float]:
        """Width and height of a box in points."""
        return 72 * self.box_in[0], 72 * self.box_in[1]

    @property
    def panel_in(self) -> tuple[float, float]:
        """Width and height of all boxes together."""
        columns, rows = len(self.report.batches), len(self.report.time_steps)
        return columns * self.box_in[0], rows * self.box_in[1]

    @cached_property
    def places(self) -> dict[Point, Place]:
        """Column and row of every point of the grid."""
        columns = {batch: column for column, batch in enumerate(self.report.batches)}
        rows = {time_steps: row for row, time_steps in enumerate(self.report.time_steps)}
        return {p: (columns[p.batch], rows[p.time_steps]) for p in self.report.points}

    @cached_property
    def looks(self) -> dict[Look, list[Point]]:
        """The points without a number, by how they are drawn, in the order of the legend."""
        found: dict[Look, list[Point]] = {}
        for point in self.report.points:
            if point not in self.shown.values:
                found.setdefault(self._look(point), []).append(point)
        return {look: found[look] for look in EVERY_LOOK if look in found}

    def _look(self, point: Point) -> Look:
        measurement = self.report.measurements.get(point)
        if measurement is not None:
            return LOOKS.get(measurement.outcome, UNKNOWN)
        return PREDICTED_LOOK if point in self.shown.predicted else UNREACHED

    @cached_property
    def numbers_pt(self) -> float | None:
        """The type size at which every number has room; None where it could not be read."""
        shown, known = self.shown, self.report.measurements
        plain = {shown.quantity.text(value) for value in shown.values.values()}
        plain |= {shown.predicted_text(point) for point in shown.predicted}
        flagged = {shown.label(known[point]) for point in shown.values} - plain
        fitting = (
            BASE_PT,
            HEIGHT_SHARE * self.room_pt[1],
            *(NUMBER_SHARE * self.room_pt[0] / width_em(text) for text in plain),
            *(CROWDED_SHARE * self.room_pt[0] / width_em(text) for text in flagged),
        )
        size_pt = math.floor(100 * min(fitting)) / 100
        return size_pt if size_pt >= LEAST_NUMBER_PT else None

    def draw(self, axes: Axes) -> None:
        """Fill *axes*, which are as large as the panel."""
        axes.set_axis_off()
        columns, rows = len(self.report.batches), len(self.report.time_steps)
        axes.set(xlim=(-0.5, columns - 0.5), ylim=(-0.5, rows - 0.5))
        places, numbers_pt = self.places, self.numbers_pt
        _draw_ticks(axes, self)
        _draw_values(axes, self, places, numbers_pt)
        for look, points in self.looks.items():
            _draw_look(axes, self, look, {point: places[point] for point in points}, numbers_pt)
        _draw_rules(axes, columns, rows, self.room_pt)
        draw_edge(axes, self.report.edges, self.report.batches, f"{self.name}-oom-edge")
        for point in self.report.advice.points:
            if point in places:
                gid = f"{self.name}-recommended-{places[point][1]}"
                draw_outline(axes, places[point], self.room_pt, gid)


def rounded(length_in: float) -> float:
    """Down to a quarter of a point, to keep the SVG small: it repeats such numbers at every box."""
    return math.floor(4 * 72 * length_in + 1e-6) / (4 * 72)


def left_in(report: RunReport) -> float:
    """Room left of the boxes: the axis's label, and the labels of the rows."""
    widest_em = max(width_em(row_label(edge, " ")) for edge in report.edges)
    return rounded(MARGIN_IN + (2.2 + widest_em) * SMALL_PT / 72)


def label_axes(sheet: Sheet, heat: HeatMap, left: float, top: float) -> None:
    """What the axes are, beside a panel whose boxes begin at *left* and *top*, in inches."""
    width, height = heat.panel_in
    batches = words.BATCH_AXIS + _log2_note(heat.report.batches)
    time_steps = words.STEPS_AXIS + _log2_note(heat.report.time_steps)
    middle, below = left + width / 2, sheet.top_in + top + height + 0.22
    sheet.write(middle, below, batches, ha="center", gid=f"{heat.name}-x-axis")
    beside = left - left_in(heat.report) + MARGIN_IN / 2
    sheet.write(
        beside,
        sheet.top_in + top + height / 2,
        time_steps,
        rotation=90,
        va="center",
        gid=f"{heat.name}-y-axis",
    )


def _log2_note(values: Sequence[int]) -> str:
    """Boxes of one size are a log2 axis where each value is so many times two as the last."""
    ratios = {high / low for low, high in pairwise(values)}
    is_log2 = len(values) > 2 and len(ratios) == 1 and math.log2(*ratios).is_integer()
    return words.LOG2_AXIS if is_log2 else ""


def _draw_ticks(axes: Axes, heat: HeatMap) -> None:
    """The grid's own values along the axes, as far as they have room."""
    room_pt, numbers = heat.room_pt, [str(batch) for batch in heat.report.batches]
    size_pt, shown = _spaced(numbers, room_pt[0], max(map(width_em, numbers)) + 0.6)
    below = -0.5 - (TICK_PAD_PT + size_pt / 2) / room_pt[1]
    columns = [Label((column, below), text, INK) for column, text in shown]
    axes.add_artist(Labels(columns, size_pt, f"{heat.name}-batches"))
    labels = [row_label(edge, " ") for edge in heat.report.edges]
    size_pt, shown = _spaced(labels, room_pt[1], 1.1)
    beside = -0.5 - TICK_PAD_PT / room_pt[0]
    rows = [Label((beside, row), text, INK, align=1.0) for row, text in shown]
    axes.add_artist(Labels(rows, size_pt, f"{heat.name}-steps"))


def _spaced(
    texts: Sequence[str], room_pt: float, extent_em: float
) -> tuple[float, list[tuple[int, str]]]:
    """A type size, and each text with its index, or every second or third where they collide."""
    size_pt = max(LEAST_TICK_PT, min(SMALL_PT, room_pt / extent_em))
    every = max(1, math.ceil(extent_em * size_pt / room_pt - 1e-9))
    return size_pt, list(enumerate(texts))[::every]


# --- boxes ---------------------------------------------------------------------------------------


def _draw_values(
    axes: Axes, heat: HeatMap, places: dict[Point, Place], numbers_pt: float | None
) -> None:
    """The boxes of the points with a value, and their numbers."""
    shown = heat.shown
    if not shown.values:
        return
    colours, at = shown.colours(), [places[point] for point in shown.values]
    boxes = PolyCollection(list(_corners(at, 0.5, 0.5)), facecolors=colours, edgecolors="none")
    boxes.set(gid=f"{heat.name}-values", clip_on=False)
    axes.add_collection(boxes, autolim=False)
    if numbers_pt is not None:
        texts = [shown.label(heat.report.measurements[point]) for point in shown.values]
        labels = map(Label, at, texts, map(ink_on, colours))
        axes.add_artist(Labels(tuple(labels), numbers_pt, f"{heat.name}-numbers"))


def _corners(
    places: Sequence[tuple[float, float]], half_width: float | Sequence[float], half_height: float
) -> Corners:
    """The corners of a box about each place: (places, 4, 2)."""
    centres = np.array(places, dtype=float)[:, None, :]
    signs = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)], dtype=float)
    halves = np.empty((len(places), 1, 2))
    halves[:, 0, 0], halves[:, 0, 1] = half_width, half_height
    return centres + signs * halves


def _stretches(places: Iterable[Place]) -> Corners:
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


def _draw_look(
    axes: Axes, heat: HeatMap, look: Look, places: dict[Point, Place], numbers_pt: float | None
) -> None:
    """The boxes of points without a value, and a word or a marker in each."""
    gid, room_pt, at = f"{heat.name}-{look.name}", heat.room_pt, list(places.values())
    boxes = PathPatch(_boxes(_stretches(at)), **hatched(look), gid=gid)
    axes.add_patch(boxes)
    word = word_of(look, room_pt)
    if look is PREDICTED_LOOK and numbers_pt is not None:
        texts = [heat.shown.predicted_text(point) for point in places]
        _draw_words(axes, at, texts, numbers_pt, room_pt, f"{gid}-words")
    elif word and look is not PREDICTED_LOOK:
        size_pt = _word_pt(word, room_pt)
        _draw_words(axes, at, [word] * len(at), size_pt, room_pt, f"{gid}-words")
    else:
        xs, ys = zip(*at, strict=True)
        drawn = marker_style(look.marker, _marker_pt(room_pt))
        axes.add_line(Line2D(xs, ys, **drawn, gid=f"{gid}-markers"))


def _draw_words(
    axes: Axes,
    places: Sequence[Place],
    texts: Sequence[str],
    size_pt: float,
    room_pt: tuple[float, float],
    gid: str,
) -> None:
    """Words on patches that keep the hatch away from them."""
    halves_in = [rounded((width_em(text) / 2 + 0.25) * size_pt / 72) for text in texts]
    half_width = [72 * half_in / room_pt[0] for half_in in halves_in]
    half_height = 72 * rounded(min(0.45 * room_pt[1], 0.6 * size_pt) / 72) / room_pt[1]
    pads = _boxes(_corners(places, half_width, half_height))
    axes.add_patch(PathPatch(pads, facecolor=FILL, edgecolor="none", zorder=1.5))
    labels = [Label(place, text, INK) for place, text in zip(places, texts, strict=True)]
    axes.add_artist(Labels(labels, size_pt, gid))


def word_of(look: Look, room_pt: tuple[float, float]) -> str:
    """The longest name of a look that can be read in a box; empty for none."""
    names = ((look.words.word, LEAST_WORD_PT), (look.words.least, LEAST_NUMBER_PT))
    return next((word for word, least in names if _word_pt(word, room_pt) >= least), "")


def _word_pt(word: str, room_pt: tuple[float, float]) -> float:
    width_pt = CROWDED_SHARE * room_pt[0] / (width_em(word) + 0.3)
    return math.floor(100 * min(SMALL_PT, width_pt, HEIGHT_SHARE * room_pt[1])) / 100


def _marker_pt(room_pt: tuple[float, float]) -> float:
    return min(4.0, 0.5 * min(room_pt))


def _draw_rules(axes: Axes, columns: int, rows: int, room_pt: tuple[float, float]) -> None:
    """Lines of the paper's colour between the boxes."""
    upright = [[(x - 0.5, -0.5), (x - 0.5, rows - 0.5)] for x in range(columns + 1)]
    level = [[(-0.5, y - 0.5), (columns - 0.5, y - 0.5)] for y in range(rows + 1)]
    width_pt = min(1.0, 0.06 * min(room_pt))
    rules = LineCollection(upright + level, colors=PAPER, linewidths=width_pt, zorder=2)
    axes.add_collection(rules, autolim=False)


# --- around the panel ----------------------------------------------------------------------------


def heat_keys(maps: Sequence[HeatMap]) -> Iterator[Key]:
    """What the marks of maps of one report mean, of those that are used."""
    report = maps[0].report
    yield from edge_keys(report.edges, report.limit_bytes)
    if set(report.advice.points) & set(report.points):
        yield Patch(**outline_style()), words.RECOMMENDED
    used = {look for heat in maps for look in heat.looks}
    for look in EVERY_LOOK:
        if look in used:
            yield _key(look, maps[0].room_pt), look.words.meaning
    if any(heat.shown.quantity.shows_flags for heat in maps):
        yield from flag_keys(report.measurements)


def _key(look: Look, room_pt: tuple[float, float]) -> Any:
    """The box of a look, and in it the marker that stands for its word where none has room."""
    box, word = Patch(**hatched(look)), look.words.word
    if word_of(look, room_pt):
        return (box, sign(word)) if len(word) == 1 else box
    return box, Line2D([], [], **marker_style(look.marker, _marker_pt(room_pt)))


def draw_colour_bar(
    sheet: Sheet, shown: Shown, box_in: tuple[float, float, float, float], gid: str, title: str = ""
) -> None:
    """The colour bar at left, top, width and height, with its values at its ends and midway."""
    axes = sheet.axes(*box_in)
    axes.set_gid(gid)
    colours = shown.quantity.colours
    axes.imshow([np.linspace(0, 1, 256)], cmap=colours, extent=(0, 1, 0, 1), aspect="auto")
    axes.set_axis_off()
    if title:
        axes.set_title(title, fontsize=SMALL_PT, loc="left", pad=2)
    below = -(1.5 + SMALL_PT / 2) / (72 * box_in[3])
    values = {share: float(shown.scale.inverse(share)) for share in (0.0, 0.5, 1.0)}
    labels = [
        Label((share, below), shown.quantity.text(value), INK, align=share)
        for share, value in values.items()
    ]
    axes.add_artist(Labels(labels, SMALL_PT, f"{gid}-labels"))
