"""The trade-off as a figure: peak memory and throughput over batch and time steps."""

from __future__ import annotations

import math
import os
import textwrap
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle
from matplotlib.patheffects import Normal, Stroke
from matplotlib.text import Text

from rnnprof.records import Measurement, Outcome, Point, Run
from rnnprof.report.table import (
    BYTE_UNITS,
    OOM_OUTCOMES,
    RATE_UNITS,
    Measurements,
    SeenEdge,
    clip,
    compact_bytes,
    compact_rate,
    fastest,
    flags,
    grid_points,
    one_line,
    peak_bytes,
    peak_kind,
    rate_in_words,
    seen_edges,
    throughput,
    unit_note,
)
from rnnprof.units import format_bytes

PNG_DPI: Final = 150

LOG_FROM_RATIO: Final = 8.0
"""Values that span more than this are told apart on a logarithmic scale only."""

BOX_GREY: Final = "#efefef"
HATCH_GREY: Final = "#a6a6a6"
WORD_INK: Final = "#333333"
EDGE_INK: Final = "#111111"
BEST_INK: Final = "#d55e00"
"""Vermillion of the Okabe-Ito palette; its shape tells it from the edge in grey."""

TITLE_PT: Final = 11.0
BASE_PT: Final = 8.0
SMALL_PT: Final = 7.0
LEAST_PT: Final = 5.5
"""Below this a word is replaced by its short form."""

EM_PER_CHARACTER: Final = 0.64
"""Width of DejaVu Sans's digits: a bound for the short labels, which are mostly digits."""

BLANK: Final = "–"


@dataclass(frozen=True, slots=True)
class _Look:
    """How a point that was not measured is drawn: neither hue nor hatch nor word stands alone.

    Attributes:
        word: in the box.
        short: in the box where the word has no room.
        hatch: of the box.
        meaning: in the legend.
    """

    word: str
    short: str
    hatch: str
    meaning: str


LOOKS: Final = {
    Outcome.OOM: _Look("OOM", "OOM", "////", "OOM: out of memory"),
    Outcome.IMPLIED_OOM: _Look("implied", "impl", "..", "implied by a smaller OOM"),
    Outcome.UNSUPPORTED: _Look("unsupported", "unsup", "xxxx", "unsupported by the library"),
    Outcome.TIMEOUT: _Look("timeout", "time", "----", "timeout"),
    Outcome.CRASHED: _Look("crashed", "crash", "\\\\\\\\", "crashed"),
    Outcome.FAILED: _Look("failed", "fail", "++++", "failed"),
}


def write_charts(
    run: Run, measurements: Measurements, directory: Path, stem: str
) -> tuple[Path, ...]:
    """Write ``STEM.png`` and ``STEM.svg`` in *directory*, each whole or not at all.

    The same run gives the same bytes.

    Raises:
        OSError: when *directory* cannot be made or written.
    """
    figure = trade_off(run, measurements)
    directory.mkdir(parents=True, exist_ok=True)
    paths = tuple(directory / f"{stem}.{kind}" for kind in ("png", "svg"))
    for path in paths:
        _write(figure, path)
    return paths


def trade_off(run: Run, measurements: Measurements) -> Figure:
    """Two heat maps over batch and time steps: peak memory, and time steps/s."""
    with _style():
        chart = _chart(run, measurements)
        figure = _figure(chart.sheet)
        panels = (_memory_panel(measurements), _rate_panel(measurements))
        pairs = list(zip(figure.subplots(1, 2), panels, strict=True))
        for axes, panel in pairs:
            _draw_axes(axes, panel, chart)
            _draw_boxes(axes, panel, chart)
            _draw_edge(axes, panel, chart)
        _draw_heading(figure, chart)
        _draw_legend(figure, chart)
        _draw_footer(figure, chart)
        _freeze_layout(figure)
        # only now are the boxes' sizes known, to which the labels are fitted
        for axes, panel in pairs:
            _draw_best(axes, panel, chart)
            _draw_labels(axes, panel, chart)
    return figure


def finding(run: Run, measurements: Measurements) -> str:
    """The chart's title: what fits and what is fastest, in a sentence."""
    clauses = [f"{_subject(run)}: {_fits_in_words(run, measurements)}", *_fastest(measurements)]
    return "; ".join(clauses)


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
    return corners


def _edge_left(edge: SeenEdge, batches: Sequence[int]) -> float | None:
    if edge.fails is not None:
        return batches.index(edge.fails.point.batch) - 0.5
    return None if edge.fits is None else len(batches) - 0.5


# --- the sentence --------------------------------------------------------------------------------


SUBJECT_COLUMNS: Final = 40
"""A longer name would push the finding itself out of the title; the footer has it whole."""


def _subject(run: Run) -> str:
    workload = run.header.workload
    if workload.factory is not None:
        return clip(workload.factory.reference, SUBJECT_COLUMNS)
    return f"{workload.cell} {workload.input_size}->{workload.hidden_size}"


def _fits_in_words(run: Run, measurements: Measurements) -> str:
    edges = seen_edges(run, measurements)
    limit = format_bytes(run.header.limit_bytes)
    fitting = [edge for edge in edges if edge.fits is not None]
    failing = [edge for edge in edges if edge.fails is not None]
    if not fitting:
        return f"nothing tried fits under {limit}" if failing else "no point was measured"
    longest = fitting[-1]
    if longest.is_certified and longest.certificate is not None:
        batch = longest.certificate.batch
        return f"B={batch} is the largest that fits at T={longest.steps} under {limit}"
    fits = f"up to B={longest.fits} fits at T={longest.steps} under {limit}"
    return fits + _but(longest, failing)


def _but(longest: SeenEdge, failing: Sequence[SeenEdge]) -> str:
    """What the reader would otherwise read wrongly into the sentence about the longest T."""
    fails, fits = longest.fails, longest.fits or 0
    if fails is not None and fails.point.batch < fits:
        return f", though B={fails.point.batch} was out of memory"
    beyond = [edge.steps for edge in failing if edge.steps > longest.steps]
    if beyond:
        return f", none at T={beyond[0]}"
    return ", the largest tried" if longest.is_largest and fails is None else ""


def _fastest(measurements: Measurements) -> list[str]:
    best = fastest(measurements)
    if best is None:
        return []
    rate = rate_in_words(throughput(best))
    return [f"fastest {rate} at B={best.point.batch}, T={best.point.steps}"]


# --- the sheet -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Sheet:
    """The figure's parts from top to bottom, in inches; the panels take what is left."""

    width_in: float
    heading_in: float
    panels_in: float
    legend_in: float
    footer_in: float
    legend_columns: int

    @property
    def height_in(self) -> float:
        return self.heading_in + self.panels_in + self.legend_in + self.footer_in


MARGIN_IN: Final = 0.12
LEAST_WIDTH_IN: Final = 7.4
"""Room for the sentence and the legend, whatever the grid."""

AROUND_PANEL_IN: Final = (1.15, 0.85)
"""Axis labels and the colour bar beside a panel; its title and axis labels above and below."""

LARGEST_BOX_IN: Final = (0.52, 0.42)
LEAST_BOX_IN: Final = (0.38, 0.26)
"""Room for three digits, a point and a unit."""

FULL_PANEL_IN: Final = (5.2, 3.2)
"""Boxes shrink from this size of a panel on, until they are at their least."""

LEAST_PANEL_HEIGHT_IN: Final = 1.1

CHARACTER_EM: Final = 0.55
BOLD_CHARACTER_EM: Final = 0.61
"""Mean widths of DejaVu Sans in running text."""

LINE_EM: Final = 1.4
LEGEND_ROW_EM: Final = 1.58


def _sheet(columns: int, rows: int, title: str, legend: Sequence[str]) -> _Sheet:
    panel_width_in = columns * _box_in(columns, 0) + AROUND_PANEL_IN[0]
    panel_height_in = max(LEAST_PANEL_HEIGHT_IN, rows * _box_in(rows, 1)) + AROUND_PANEL_IN[1]
    width_in = max(LEAST_WIDTH_IN, 2 * panel_width_in)
    legend_columns = _legend_columns(legend, width_in)
    legend_rows = math.ceil(len(legend) / legend_columns)
    title_lines = len(_wrapped(title, width_in))
    return _Sheet(
        width_in=width_in,
        heading_in=MARGIN_IN + title_lines * LINE_EM * _points_in(TITLE_PT),
        panels_in=panel_height_in,
        legend_in=MARGIN_IN + legend_rows * LEGEND_ROW_EM * _points_in(SMALL_PT),
        footer_in=MARGIN_IN + 2 * LINE_EM * _points_in(SMALL_PT),
        legend_columns=legend_columns,
    )


def _box_in(count: int, axis: int) -> float:
    """The side of a box along *axis*, of *count* in a row."""
    return min(LARGEST_BOX_IN[axis], max(LEAST_BOX_IN[axis], FULL_PANEL_IN[axis] / count))


def _legend_columns(legend: Sequence[str], width_in: float) -> int:
    longest = max((len(text) for text in legend), default=0)
    key_in = 0.5
    return max(1, int(width_in / (key_in + longest * CHARACTER_EM * _points_in(SMALL_PT))))


def _points_in(points: float) -> float:
    return points / 72


def _wrapped(title: str, width_in: float) -> list[str]:
    """The title in up to three lines of bold type, broken between its clauses if anywhere."""
    columns = int((width_in - 2 * MARGIN_IN) / (BOLD_CHARACTER_EM * _points_in(TITLE_PT)))
    if len(title) <= columns:
        return [title]
    clauses = title.replace("; ", ";\n").splitlines()
    return [line for clause in clauses for line in textwrap.wrap(clause, columns)][:3]


def _figure(sheet: _Sheet) -> Figure:
    below = (sheet.legend_in + sheet.footer_in) / sheet.height_in
    engine = ConstrainedLayoutEngine(
        rect=(0, below, 1, sheet.panels_in / sheet.height_in), w_pad=0.08, h_pad=0.04
    )
    return Figure(figsize=(sheet.width_in, sheet.height_in), layout=engine, facecolor="white")


def _freeze_layout(figure: Figure) -> None:
    figure.draw_without_rendering()
    figure.set_layout_engine("none")


# --- what is drawn -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Chart:
    """What both panels share."""

    run: Run
    measurements: Measurements
    batches: tuple[int, ...]
    steps: tuple[int, ...]
    edges: tuple[SeenEdge, ...]
    best: Measurement | None
    title: str
    legend: tuple[tuple[Artist, str], ...]
    sheet: _Sheet

    def places(self) -> Iterator[tuple[int, int, Measurement | None]]:
        """Column, row and measurement of every place of the grid."""
        for row, steps in enumerate(self.steps):
            for column, batch in enumerate(self.batches):
                yield column, row, self.measurements.get(Point(batch, steps))


@dataclass(frozen=True, slots=True)
class _Panel:
    """One heat map.

    Attributes:
        name: the prefix of its artists' ids.
        values: by point, of those measured.
        text: a value in a few characters.
        scale: where a value stands in the colour map.
        shows_flags: its values are times, which may be loose or disturbed.
    """

    name: str
    title: str
    colours: str
    values: Mapping[Point, float]
    text: Callable[[float], str]
    scale: Normalize
    shows_flags: bool = False

    def value(self, measurement: Measurement | None) -> float | None:
        return None if measurement is None else self.values.get(measurement.point)

    def colour(self, value: float) -> tuple[float, float, float, float]:
        return mpl.colormaps[self.colours](float(self.scale(value)))


def _scale(values: Collection[float]) -> Normalize:
    """Logarithmic where the values span much; a single value stands midway."""
    low, high = min(values, default=1.0), max(values, default=1.0)
    if low == high:
        return Normalize(low - 1, high + 1)
    is_wide = low > 0 and high / low > LOG_FROM_RATIO
    return LogNorm(low, high) if is_wide else Normalize(low, high)


def _chart(run: Run, measurements: Measurements) -> _Chart:
    places = grid_points(run, measurements)
    batches = tuple(sorted({point.batch for point in places}))
    steps = tuple(sorted({point.steps for point in places}))
    title = finding(run, measurements)
    legend = tuple(_legend(run, measurements, len(batches) * len(steps)))
    return _Chart(
        run=run,
        measurements=measurements,
        batches=batches,
        steps=steps,
        edges=seen_edges(run, measurements),
        best=_outlined(measurements),
        title=title,
        legend=legend,
        sheet=_sheet(len(batches), len(steps), title, [label for _, label in legend]),
    )


def _outlined(measurements: Measurements) -> Measurement | None:
    """The fastest point, where it is the fastest of several."""
    timed = [m for m in measurements.values() if throughput(m) is not None]
    return fastest(measurements) if len(timed) > 1 else None


def _memory_panel(measurements: Measurements) -> _Panel:
    kind = peak_kind(measurements)
    sizes = {point: peak_bytes(m, kind) for point, m in measurements.items()}
    known = {point: float(size) for point, size in sizes.items() if size is not None}
    title = "Peak memory allocated" if kind == "allocated" else "Peak memory of the process"
    title += unit_note(map(compact_bytes, known.values()), BYTE_UNITS)
    return _Panel("memory", title, "cividis", known, compact_bytes, _scale(known.values()))


def _rate_panel(measurements: Measurements) -> _Panel:
    rates = {point: throughput(m) for point, m in measurements.items()}
    known = {point: rate for point, rate in rates.items() if rate is not None}
    title = "Throughput, time steps/s" + unit_note(map(compact_rate, known.values()), RATE_UNITS)
    scale = _scale(known.values())
    return _Panel("rate", title, "viridis", known, compact_rate, scale, shows_flags=True)


def _draw_axes(axes: Axes, panel: _Panel, chart: _Chart) -> None:
    axes.set_title(panel.title, fontsize=BASE_PT + 1, loc="left")
    axes.set_xlim(-0.5, len(chart.batches) - 0.5)
    axes.set_ylim(-0.5, len(chart.steps) - 0.5)
    axes.set_xticks(range(len(chart.batches)), [str(batch) for batch in chart.batches])
    axes.set_yticks(range(len(chart.steps)), [_row_label(edge) for edge in chart.edges])
    axes.set_xlabel("batch B, sequences")
    axes.set_ylabel("time steps T")
    axes.tick_params(length=0, labelsize=_tick_pt(chart))
    axes.spines[:].set_visible(False)
    if len(set(panel.values.values())) > 1:
        _draw_scale(axes, panel)


def _row_label(edge: SeenEdge) -> str:
    """T, and below it the proven edge: the line between two columns cannot tell the number."""
    if edge.is_certified and edge.certificate is not None:
        return f"{edge.steps}\n(B≤{edge.certificate.batch})"
    return str(edge.steps)


def _tick_pt(chart: _Chart) -> float:
    """Small enough for the labels of neighbouring columns to stand apart."""
    longest = max(len(str(batch)) for batch in chart.batches)
    room_in = (chart.sheet.width_in / 2 - AROUND_PANEL_IN[0]) / len(chart.batches)
    return min(BASE_PT, 0.9 * 72 * room_in / (EM_PER_CHARACTER * longest))


def _draw_scale(axes: Axes, panel: _Panel) -> None:
    """The colour bar, labelled at its ends and midway."""
    mapped = ScalarMappable(panel.scale, panel.colours)
    bar = axes.figure.colorbar(mapped, ax=axes, fraction=0.05, pad=0.02, aspect=30)
    ticks = [float(panel.scale.inverse(share)) for share in (0.0, 0.5, 1.0)]
    bar.set_ticks(ticks, labels=[panel.text(value) for value in ticks])
    bar.ax.minorticks_off()
    bar.ax.tick_params(length=2, labelsize=SMALL_PT)
    bar.outline.set_visible(False)


def _draw_boxes(axes: Axes, panel: _Panel, chart: _Chart) -> None:
    for column, row, measurement in chart.places():
        style = _box_style(panel, measurement)
        box = Rectangle((column - 0.5, row - 0.5), 1, 1, clip_on=False, **style)
        box.set_gid(f"{panel.name}-B{chart.batches[column]}-T{chart.steps[row]}")
        axes.add_patch(box)


def _box_style(panel: _Panel, measurement: Measurement | None) -> dict[str, Any]:
    value = panel.value(measurement)
    if value is not None:
        return {"facecolor": panel.colour(value), "edgecolor": "white", "linewidth": 0.8}
    look = LOOKS.get(measurement.outcome) if measurement else None
    if look is None:
        return {"facecolor": "white", "edgecolor": HATCH_GREY, "linewidth": 0.4}
    return _hatched(look)


def _hatched(look: _Look) -> dict[str, Any]:
    style = {"facecolor": BOX_GREY, "edgecolor": HATCH_GREY, "linewidth": 0.4}
    return style | {"hatch": look.hatch}


def _draw_edge(axes: Axes, panel: _Panel, chart: _Chart) -> None:
    corners = edge_path(chart.edges, chart.batches)
    if corners:
        line = Line2D([x for x, _ in corners], [y for _, y in corners], **_edge_style())
        line.set_gid(f"{panel.name}-oom-edge")
        axes.add_line(line)


def _edge_style() -> dict[str, Any]:
    casing = [Stroke(linewidth=4.4, foreground="white"), Normal()]
    return {
        "color": EDGE_INK, "linewidth": 2.6, "solid_capstyle": "projecting",
        "solid_joinstyle": "miter", "path_effects": casing, "zorder": 5, "clip_on": False,
    }  # fmt: skip


def _draw_best(axes: Axes, panel: _Panel, chart: _Chart) -> None:
    if chart.best is None:
        return
    column = chart.batches.index(chart.best.point.batch)
    row = chart.steps.index(chart.best.point.steps)
    inset_x, inset_y = (BEST_INSET_PT / room_pt for room_pt in _room_pt(axes, chart))
    corner = (column - 0.5 + inset_x, row - 0.5 + inset_y)
    box = Rectangle(corner, 1 - 2 * inset_x, 1 - 2 * inset_y, **_best_style(), zorder=6)
    box.set_gid(f"{panel.name}-best")
    axes.add_patch(box)


BEST_INSET_PT: Final = 2.4
"""The outline stands clear of an edge line beside it, and of the number within."""


def _best_style() -> dict[str, Any]:
    casing = [Stroke(linewidth=3.2, foreground="white"), Normal()]
    return {"fill": False, "edgecolor": BEST_INK, "linewidth": 1.8, "path_effects": casing}


# --- labels in the boxes -------------------------------------------------------------------------


def _draw_labels(axes: Axes, panel: _Panel, chart: _Chart) -> None:
    room_pt = _room_pt(axes, chart)
    numbers_pt = _fitted_pt(
        [_label(panel, m) for _, _, m in chart.places() if m], room_pt, NUMBER_SHARE
    )
    for column, row, measurement in chart.places():
        if panel.value(measurement) is None:
            _draw_word(axes, column, row, _word(measurement, room_pt), room_pt)
        elif measurement is not None:
            ink = _ink(panel, measurement)
            _draw_text(axes, column, row, _label(panel, measurement), numbers_pt, color=ink)


def _room_pt(axes: Axes, chart: _Chart) -> tuple[float, float]:
    """Width and height of a box in points."""
    extent = axes.get_window_extent()
    per_pixel = 72 / axes.figure.dpi
    return (
        extent.width * per_pixel / len(chart.batches),
        extent.height * per_pixel / len(chart.steps),
    )


def _label(panel: _Panel, measurement: Measurement) -> str:
    value = panel.value(measurement)
    if value is None:
        return ""
    return panel.text(value) + (flags(measurement) if panel.shows_flags else "")


NUMBER_SHARE: Final = 0.75
"""Of a box's width, so that neighbours' numbers read as two and an outline has room."""

WORD_SHARE: Final = 0.86
"""Words stand on a grey patch of their own and are never outlined."""


def _fitted_pt(labels: Sequence[str], room_pt: tuple[float, float], share: float) -> float:
    """The type size at which the longest of *labels* takes that *share* of its box's width."""
    longest = max((len(label) for label in labels), default=0) or 1
    return min(BASE_PT, share * room_pt[0] / (EM_PER_CHARACTER * longest), 0.6 * room_pt[1])


def _word(measurement: Measurement | None, room_pt: tuple[float, float]) -> str:
    look = LOOKS.get(measurement.outcome) if measurement else None
    if look is None:
        return BLANK
    fits = _fitted_pt([look.word], room_pt, WORD_SHARE) >= LEAST_PT
    return look.word if fits else look.short


def _draw_word(axes: Axes, column: int, row: int, word: str, room_pt: tuple[float, float]) -> None:
    pad = {} if word == BLANK else {"bbox": {"facecolor": BOX_GREY, "linewidth": 0, "pad": 0.8}}
    size_pt = min(SMALL_PT, _fitted_pt([word], room_pt, WORD_SHARE))
    _draw_text(axes, column, row, word, size_pt, color=WORD_INK, **pad)


def _draw_text(axes: Axes, column: int, row: int, text: str, size_pt: float, **style: Any) -> None:
    axes.text(
        column, row, text, fontsize=size_pt, ha="center", va="center",
        parse_math=False, zorder=7, **style,
    )  # fmt: skip


EVEN_LUMINANCE: Final = 0.179
"""Black and white stand out equally from it: the root of (L + 0.05)^2 = 1.05 * 0.05."""


def _ink(panel: _Panel, measurement: Measurement) -> str:
    """Black or white, whichever stands out more from the box."""
    value = panel.value(measurement)
    is_light = value is None or _luminance(panel.colour(value)) > EVEN_LUMINANCE
    return "black" if is_light else "white"


def _luminance(colour: Sequence[float]) -> float:
    """Relative luminance of an sRGB colour, as WCAG 2 defines it."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in colour[:3]]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


# --- around the panels ---------------------------------------------------------------------------


def _draw_heading(figure: Figure, chart: _Chart) -> None:
    sheet = chart.sheet
    text = "\n".join(_wrapped(chart.title, sheet.width_in))
    top = 1 - 0.1 / sheet.height_in
    _draw_line(figure, chart, top, text, TITLE_PT, va="top", weight="bold", gid="title")


def _draw_footer(figure: Figure, chart: _Chart) -> None:
    header = chart.run.header
    environment = header.environment
    torch = environment.get("torch")
    made = [environment.get("device_name"), torch and f"torch {torch}"]
    made.append(f"rnnprof {header.rnnprof_version}")
    facts = ", ".join(one_line(str(fact)) for fact in made if fact)
    columns = int(chart.sheet.width_in / (CHARACTER_EM * _points_in(SMALL_PT)))
    text = f"{clip(header.workload.describe(), columns)}\n{clip(facts, columns)}"
    bottom = 0.08 / chart.sheet.height_in
    _draw_line(figure, chart, bottom, text, SMALL_PT, va="bottom", color="#555555", gid="footer")


def _draw_line(
    figure: Figure, chart: _Chart, y: float, text: str, size_pt: float, **style: Any
) -> None:
    left = MARGIN_IN / chart.sheet.width_in
    drawn = figure.text(left, y, text, fontsize=size_pt, ha="left", parse_math=False, **style)
    _shrink(drawn, size_pt, (chart.sheet.width_in - 2 * MARGIN_IN) * figure.dpi)


def _shrink(text: Text, size_pt: float, room_px: float) -> None:
    """Make *text* small enough for its room; names may hold any letters."""
    width_px = text.get_window_extent().width
    if width_px > room_px:
        text.set_fontsize(size_pt * room_px / width_px)


def _draw_legend(figure: Figure, chart: _Chart) -> None:
    if not chart.legend:
        return
    sheet = chart.sheet
    corner = (
        MARGIN_IN / sheet.width_in,
        (sheet.footer_in + sheet.legend_in - 0.06) / sheet.height_in,
    )
    legend = figure.legend(
        [artist for artist, _ in chart.legend], [label for _, label in chart.legend],
        loc="upper left", bbox_to_anchor=corner, ncols=sheet.legend_columns, fontsize=SMALL_PT,
        frameon=False, handlelength=2.4, handleheight=1.2, borderpad=0, borderaxespad=0,
        labelspacing=0.35,
    )  # fmt: skip
    legend.set_in_layout(False)


def _legend(run: Run, measurements: Measurements, places: int) -> Iterator[tuple[Artist, str]]:
    """What the marks mean, of those that were used."""
    known = measurements.values()
    outcomes = {measurement.outcome for measurement in known}
    if outcomes & OOM_OUTCOMES:
        limit = format_bytes(run.header.limit_bytes)
        yield Line2D([], [], **_edge_style()), f"out of memory at the limit ({limit})"
    if any(edge.is_certified for edge in seen_edges(run, measurements)):
        yield _sign("≤"), "B≤n: the largest batch that fits at T"
    if _outlined(measurements) is not None:
        yield Patch(**_best_style()), "highest throughput"
    for outcome, look in LOOKS.items():
        if outcome in outcomes:
            yield Patch(**_hatched(look)), look.meaning
    used = "".join(flags(measurement) for measurement in known)
    for mark, meaning in (("~", "time not converged"), ("!", "time disturbed")):
        if mark in used:
            yield _sign(mark), meaning
    if len(measurements) < places:
        yield _sign(BLANK), "not measured"


def _sign(mark: str) -> Artist:
    """A legend key that is a character."""
    # in mathtext ~ is a blank, and the dash a minus
    marker = {"~": r"$\sim$", BLANK: "$-$"}.get(mark, f"${mark}$")
    return Line2D([], [], linestyle="none", marker=marker, color=WORD_INK, markersize=5)


# --- files ---------------------------------------------------------------------------------------


def _write(figure: Figure, path: Path) -> None:
    """Save beside *path* and move over it, so that no reader sees half a file."""
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    kind = path.suffix.removeprefix(".")
    # a date would make every writing of the same run another file
    metadata = {"Date": None} if kind == "svg" else {}
    try:
        with _style():
            figure.savefig(unfinished, format=kind, dpi=PNG_DPI, metadata=metadata)
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


@contextmanager
def _style() -> Iterator[None]:
    """matplotlib as it comes, whatever the user's own settings, for as long as a chart is made."""
    with warnings.catch_warnings(), mpl.rc_context():
        # a user's names may be in any script; the box that stands for a letter says enough
        warnings.filterwarnings("ignore", r"Glyph \d+ .*missing from", UserWarning)
        mpl.rcdefaults()
        mpl.rcParams.update(
            {"svg.hashsalt": "rnnprof", "hatch.linewidth": 0.5, "font.size": BASE_PT}
        )
        yield
