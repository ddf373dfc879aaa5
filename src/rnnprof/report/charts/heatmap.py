"""Heat maps: one quantity over batch and time steps, and the marks that they are made of."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Sequence
from itertools import pairwise
from typing import Any, Final

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, PathPatch
from matplotlib.path import Path

from rnnprof.report.charts.heatmap_sheet import (
    AXIS_IN,
    BAR_IN,
    TITLE_IN,
    Map,
    Place,
    Sheet,
    has_bar,
    numbers_pt_of,
    predicted_text,
    rounded,
    word_of,
    word_pt,
)
from rnnprof.report.charts.heatmap_words import finding_of
from rnnprof.report.charts.kit.boxes import (
    EVERY_LOOK,
    LOOKS,
    MARGIN_IN,
    PREDICTED,
    UNKNOWN,
    UNREACHED,
    WIDTH_IN,
    Entry,
    Look,
    draw_edge,
    draw_legend,
    draw_outline,
    edge_entries,
    flag_entries,
    hatched,
    ink_on,
    marker_style,
    outline_style,
    row_label,
    sign,
)
from rnnprof.report.charts.kit.labels import Corners, Label, Labels, width_em
from rnnprof.report.charts.kit.quantities import (
    Quantity,
    matmul_share_of,
    memory_of,
    sequences_of,
    step_time_of,
    time_steps_of,
)
from rnnprof.report.charts.kit.style import (
    BASE_PT,
    FILL,
    INK,
    MUTED,
    PAPER,
    SMALL_PT,
    Chart,
    style,
)
from rnnprof.report.model import RunReport, SeenEdge
from rnnprof.runfile.points import Point

# --- the heat maps of a report -------------------------------------------------------------------


def heatmaps(report: RunReport) -> tuple[Chart, ...]:
    """A heat map over B and T for each quantity that is known, peak memory first.

    Peak memory has one even where no point was measured: it shows how they ended.  Empty without
    any point.
    """
    if not report.points:
        return ()
    known, edges = report.measurements, report.edges
    quantities = (
        memory_of(known, _predicted(report)),
        step_time_of(known),
        time_steps_of(known),
        sequences_of(known),
        matmul_share_of(known),
    )
    shown = [each for each in quantities if each.values or each.name == "memory"]
    return tuple(_heatmap(report, edges, quantity) for quantity in shown)


def _predicted(report: RunReport) -> dict[Point, float]:
    """The memory model's bytes where a point was asked for and not reached."""
    if report.model is None:
        return {}
    unreached = [point for point in report.points if point not in report.measurements]
    return {point: report.model.predict_bytes(point) for point in unreached}


def _heatmap(report: RunReport, edges: Sequence[SeenEdge], quantity: Quantity) -> Chart:
    name = f"heatmap-{quantity.name}"
    with style():
        chart = _map(report, edges, quantity)
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
    return Chart(name, quantity.title, finding_of(chart), figure)


def _map(report: RunReport, edges: Sequence[SeenEdge], quantity: Quantity) -> Map:
    batches = report.batches
    columns = {batch: column for column, batch in enumerate(batches)}
    rows = {edge.time_steps: row for row, edge in enumerate(edges)}
    places = {point: (columns[point.batch], rows[point.time_steps]) for point in report.points}
    looks: dict[Look, list[Place]] = {}
    for point, place in places.items():
        if point not in quantity.values:
            looks.setdefault(_look(point, report, quantity), []).append(place)
    advised = [places[point] for point in report.advice.points if point in places]
    sheet = Sheet(_left_in(edges), len(columns), len(rows))
    numbers_pt = numbers_pt_of(report, quantity, sheet.room_pt)
    legend = tuple(_entries(report, edges, quantity, looks, bool(advised), sheet.room_pt))
    notes = tuple(_notes(len(places), sheet, numbers_pt, quantity))
    return Map(
        report, edges, quantity, batches, places, looks, advised, sheet, numbers_pt, legend, notes
    )


def _look(point: Point, report: RunReport, quantity: Quantity) -> Look:
    measurement = report.measurements.get(point)
    if measurement is not None:
        return LOOKS.get(measurement.outcome, UNKNOWN)
    return PREDICTED if point in quantity.predicted else UNREACHED


def _left_in(edges: Sequence[SeenEdge]) -> float:
    """Room for the labels of the rows, and for the axis label beside them."""
    widest_em = max(width_em(row_label(edge, " ")) for edge in edges)
    return rounded(MARGIN_IN + (2.2 + widest_em) * SMALL_PT / 72)


def _entries(
    report: RunReport,
    edges: Sequence[SeenEdge],
    quantity: Quantity,
    looks: Collection[Look],
    has_advised: bool,
    room_pt: tuple[float, float],
) -> Iterator[Entry]:
    """What the marks mean, of those that are used."""
    yield from edge_entries(edges, report.limit_bytes)
    if has_advised:
        yield Patch(**outline_style()), "recommended batch at T"
    for look in EVERY_LOOK:
        if look in looks:
            yield _key(look, room_pt), look.meaning
    if quantity.shows_flags:
        yield from flag_entries(report.measurements)


def _key(look: Look, room_pt: tuple[float, float]) -> Any:
    """The box of a look, and in it the marker that stands for its word where none has room."""
    box = Patch(**hatched(look))
    if word_of(look, room_pt):
        return (box, sign(look.word)) if len(look.word) == 1 else box
    return box, Line2D([], [], **marker_style(look.marker, _marker_pt(room_pt)))


def _notes(
    places: int, sheet: Sheet, numbers_pt: float | None, quantity: Quantity
) -> Iterator[str]:
    if numbers_pt is None:
        yield f"{places:,} points are too many for numbers here: the table has them."
    if quantity.predicted:
        yield "Predicted are the bytes that the limit counts, by the memory model."
    if places < sheet.columns * sheet.rows:
        yield "Where there is no box, nothing was asked for."


# --- the panel -----------------------------------------------------------------------------------


def _draw_titles(figure: Figure, axes: Axes, chart: Map) -> None:
    """What is drawn, and what the axes are."""
    quantity, (left, bottom, width, height) = chart.quantity, chart.panel_rect
    title = quantity.title + ("" if has_bar(quantity) else quantity.note)
    axes.set_title(title, loc="left", fontsize=BASE_PT + 1, weight="bold", pad=7)
    batches = "batch B, sequences" + _log2_note(chart.batches)
    time_steps = "time steps T" + _log2_note([edge.time_steps for edge in chart.edges])
    below = bottom - (AXIS_IN - 0.2) / chart.height_in
    figure.text(left + width / 2, below, batches, ha="center", va="top", gid="x-axis")
    beside = MARGIN_IN / 2 / WIDTH_IN
    figure.text(beside, bottom + height / 2, time_steps, rotation=90, va="center", gid="y-axis")


LEAST_TICK_PT: Final = 6.0
TICK_PAD_PT: Final = 4.0


def _draw_ticks(axes: Axes, chart: Map, name: str) -> None:
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


def _draw_values(axes: Axes, chart: Map, gid: str) -> None:
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
        texts = [quantity.label(chart.report.measurements[point]) for point in known]
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


def _draw_look(axes: Axes, chart: Map, look: Look, places: Sequence[Place]) -> None:
    """The boxes of points without a value, and a word or a marker in each."""
    boxes = PathPatch(_boxes(_stretches(places)), **hatched(look))
    gid = f"heatmap-{chart.quantity.name}-{look.name}"
    boxes.set_gid(gid)
    axes.add_patch(boxes)
    room_pt = chart.sheet.room_pt
    word = word_of(look, room_pt)
    if look is PREDICTED and chart.numbers_pt is not None:
        inverse = {place: point for point, place in chart.places.items()}
        texts = [predicted_text(chart.quantity, inverse[place]) for place in places]
        _draw_words(axes, places, texts, chart.numbers_pt, room_pt, f"{gid}-words")
    elif word and look is not PREDICTED:
        size_pt = word_pt(word, room_pt)
        _draw_words(axes, places, [word] * len(places), size_pt, room_pt, f"{gid}-words")
    else:
        xs, ys = zip(*places, strict=True)
        style_of = marker_style(look.marker, _marker_pt(room_pt))
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
    halves_in = [rounded((width_em(text) / 2 + 0.25) * size_pt / 72) for text in texts]
    half_width = [72 * half_in / room_pt[0] for half_in in halves_in]
    half_height = 72 * rounded(min(0.45 * room_pt[1], 0.6 * size_pt) / 72) / room_pt[1]
    pads = _boxes(_corners(places, half_width, half_height))
    axes.add_patch(PathPatch(pads, facecolor=FILL, edgecolor="none", zorder=1.5))
    labels = [Label(place, text, INK) for place, text in zip(places, texts, strict=True)]
    axes.add_artist(Labels(labels, size_pt, gid))


def _marker_pt(room_pt: tuple[float, float]) -> float:
    return min(4.0, 0.5 * min(room_pt))


def _draw_rules(axes: Axes, chart: Map) -> None:
    """Lines of the paper's colour between the boxes."""
    columns, rows = chart.sheet.columns, chart.sheet.rows
    upright = [[(x - 0.5, -0.5), (x - 0.5, rows - 0.5)] for x in range(columns + 1)]
    level = [[(-0.5, y - 0.5), (columns - 0.5, y - 0.5)] for y in range(rows + 1)]
    width_pt = min(1.0, 0.06 * min(chart.sheet.room_pt))
    rules = LineCollection(upright + level, colors=PAPER, linewidths=width_pt, zorder=2)
    axes.add_collection(rules, autolim=False)


def _draw_bar(figure: Figure, chart: Map) -> None:
    """The colour bar, labelled with what it shows, at its ends and midway."""
    quantity = chart.quantity
    if not has_bar(quantity):
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


def _draw_notes(figure: Figure, chart: Map) -> None:
    if chart.notes:
        left, bottom, _, _ = chart.rect(MARGIN_IN, MARGIN_IN / 2, 0, 0)
        text = "\n".join(chart.notes)
        figure.text(left, bottom, text, fontsize=SMALL_PT, color=MUTED, va="bottom", gid="notes")
