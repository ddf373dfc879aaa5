"""The trade-off as a figure: peak memory and throughput over batch and time steps."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.patches import Patch, Rectangle
from matplotlib.text import Text

from rnnprof.advice.advise import Advice
from rnnprof.advice.recommendation import UNDECIDED
from rnnprof.atomic import write_whole
from rnnprof.maxbatch.certify import UNUSABLE
from rnnprof.plain_text import clip, one_line
from rnnprof.points.measurement import Measurement
from rnnprof.report.charts.heatmap_sheet import LEAST_WORD_PT
from rnnprof.report.charts.kit.boxes import (
    BLANK,
    CHARACTER_EM,
    LEGEND_ROW_EM,
    LINE_EM,
    LOOKS,
    MARGIN_IN,
    WIDTH_IN,
    Entry,
    draw_edge,
    draw_legend,
    draw_outline,
    edge_entries,
    edge_path,
    flag_entries,
    hatched,
    ink_on,
    legend_columns,
    outline_style,
    row_label,
    sign,
)
from rnnprof.report.charts.kit.quantities import Quantity, memory_of, time_steps_of
from rnnprof.report.charts.kit.style import (
    BASE_PT,
    FILL,
    INK,
    MUTED,
    PAPER,
    RULE,
    SMALL_PT,
    TITLE_PT,
    rendered,
    style,
)
from rnnprof.report.model import Measurements, RunReport, SeenEdge
from rnnprof.report.text.pieces import rate_in_words, unusable_in_words
from rnnprof.runfile.points import Point
from rnnprof.runfile.records import Run
from rnnprof.units import format_bytes

__all__ = ("edge_path", "finding", "trade_off", "write_charts")

EM_PER_CHARACTER: Final = 0.64
"""Width of DejaVu Sans's digits: a bound for the short labels, which are mostly digits."""


def write_charts(report: RunReport, directory: Path, stem: str) -> tuple[Path, ...]:
    """Write ``STEM.png`` and ``STEM.svg`` in *directory*, each whole or not at all.

    The same run gives the same bytes.

    Raises:
        OSError: when *directory* cannot be made or written.
    """
    figure = trade_off(report)
    directory.mkdir(parents=True, exist_ok=True)
    paths = tuple(directory / f"{stem}.{kind}" for kind in ("png", "svg"))
    for path in paths:
        write_whole(path, rendered(figure, path.suffix.removeprefix(".")))
    return paths


def trade_off(report: RunReport) -> Figure:
    """Two heat maps over batch and time steps: peak memory, and time steps/s."""
    with style():
        chart = _chart(report)
        figure = _figure(chart.sheet)
        rates = replace(time_steps_of(report.measurements), name="rate")
        if report.run.is_simulated:
            rates = replace(rates, title="Throughput: simulated, no kernel ran")
        panels = (memory_of(report.measurements, {}), rates)
        pairs = list(zip(figure.subplots(1, 2), panels, strict=True))
        for axes, panel in pairs:
            _draw_axes(axes, panel, chart)
            _draw_boxes(axes, panel, chart)
            draw_edge(axes, chart.edges, chart.batches, f"{panel.name}-oom-edge")
        _draw_heading(figure, chart)
        draw_legend(figure, chart.legend, *chart.sheet.legend_corner_in)
        _draw_footer(figure, chart)
        _freeze_layout(figure)
        # only now are the boxes' sizes known, to which the labels are fitted
        for axes, panel in pairs:
            _draw_recommended(axes, panel, chart)
            _draw_labels(axes, panel, chart)
    return figure


def finding(report: RunReport) -> str:
    """The chart's title: what fits and what is recommended, in a sentence."""
    return _title(report)


# --- the sentence --------------------------------------------------------------------------------


SUBJECT_COLUMNS: Final = 40
"""A longer name would push the finding itself out of the title; the footer has it whole."""


def _subject(run: Run) -> str:
    workload = run.header.workload
    if workload.factory is not None:
        return clip(workload.factory.reference, SUBJECT_COLUMNS)
    return f"{workload.cell} {workload.input_size}->{workload.hidden_size}"


def _fits_in_words(report: RunReport) -> str:
    edges = report.edges
    limit = format_bytes(report.limit_bytes)
    fitting = [edge for edge in edges if edge.fits is not None]
    failing = [edge for edge in edges if edge.fails is not None]
    if not fitting:
        return f"nothing tried fits under {limit}" if failing else "no point was measured"
    longest = fitting[-1]
    if longest.certificate is not None and longest.certificate.status in UNUSABLE:
        return f"T={longest.time_steps} is {unusable_in_words(longest.certificate)}"
    if longest.is_certified and longest.certificate is not None:
        batch = longest.certificate.batch
        return f"B={batch} is the largest that fits at T={longest.time_steps} under {limit}"
    fits = f"up to B={longest.fits} fits at T={longest.time_steps} under {limit}"
    return fits + _but(longest, failing)


def _but(longest: SeenEdge, failing: Sequence[SeenEdge]) -> str:
    """What the reader would otherwise read wrongly into the sentence about the longest T."""
    fails, fits = longest.fails, longest.fits or 0
    if fails is not None and fails.point.batch < fits:
        return f", though B={fails.point.batch} was out of memory"
    beyond = [edge.time_steps for edge in failing if edge.time_steps > longest.time_steps]
    if beyond:
        return f", none at T={beyond[0]}"
    return ", the largest tried" if longest.is_largest and fails is None else ""


def _title(report: RunReport) -> str:
    fits = f"{_subject(report.run)}: {_fits_in_words(report)}"
    return "; ".join([fits, *_recommended_in_words(report.advice)])


def _recommended_in_words(advice: Advice) -> list[str]:
    main = advice.main
    if main is not None:
        told = rate_in_words(main.time_steps_per_s)
        return [f"recommended at T={main.time_steps}: B={main.batch}, {told}"]
    return [UNDECIDED] if any(each.tied for each in advice.recommendations) else []


# --- the sheet -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Sheet:
    """The figure's parts from top to bottom, in inches; the panels take what is left."""

    width_in: float
    heading_in: float
    panels_in: float
    legend_in: float
    footer_in: float

    @property
    def height_in(self) -> float:
        return self.heading_in + self.panels_in + self.legend_in + self.footer_in

    @property
    def legend_corner_in(self) -> tuple[float, float]:
        """The legend's upper left corner, from the lower left one of the sheet."""
        return MARGIN_IN, self.footer_in + self.legend_in - 0.06


AROUND_PANEL_IN: Final = (1.15, 0.85)
"""Axis labels and the colour bar beside a panel; its title and axis labels above and below."""

LARGEST_BOX_IN: Final = (0.52, 0.42)
LEAST_BOX_IN: Final = (0.38, 0.26)
"""Room for three digits, a point and a unit."""

FULL_PANEL_IN: Final = (5.2, 3.2)
"""Boxes shrink from this size of a panel on, until they are at their least."""

LEAST_PANEL_HEIGHT_IN: Final = 1.1

BOLD_CHARACTER_EM: Final = 0.61
"""Mean width of DejaVu Sans in running text."""


def _sheet(columns: int, rows: int, title: str, legend: Sequence[Entry]) -> _Sheet:
    panel_width_in = columns * _box_in(columns, 0) + AROUND_PANEL_IN[0]
    panel_height_in = max(LEAST_PANEL_HEIGHT_IN, rows * _box_in(rows, 1)) + AROUND_PANEL_IN[1]
    width_in = max(WIDTH_IN, 2 * panel_width_in)
    legend_rows = math.ceil(len(legend) / legend_columns(legend, width_in))
    title_lines = len(_wrapped(title, width_in))
    return _Sheet(
        width_in=width_in,
        heading_in=MARGIN_IN + title_lines * LINE_EM * _points_in(TITLE_PT),
        panels_in=panel_height_in,
        legend_in=MARGIN_IN + legend_rows * LEGEND_ROW_EM * _points_in(SMALL_PT),
        footer_in=MARGIN_IN + 2 * LINE_EM * _points_in(SMALL_PT),
    )


def _box_in(count: int, axis: int) -> float:
    """The side of a box along *axis*, of *count* in a row."""
    return min(LARGEST_BOX_IN[axis], max(LEAST_BOX_IN[axis], FULL_PANEL_IN[axis] / count))


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
    return Figure(figsize=(sheet.width_in, sheet.height_in), layout=engine)


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
    time_steps: tuple[int, ...]
    edges: tuple[SeenEdge, ...]
    recommended: tuple[Point, ...]
    title: str
    legend: tuple[Entry, ...]
    sheet: _Sheet

    def places(self) -> Iterator[tuple[int, int, Measurement | None]]:
        """Column, row and measurement of every place of the grid."""
        for row, time_steps in enumerate(self.time_steps):
            for column, batch in enumerate(self.batches):
                yield column, row, self.measurements.get(Point(batch, time_steps))


def _chart(report: RunReport) -> _Chart:
    run, measurements = report.run, report.measurements
    batches, time_steps = report.batches, report.time_steps
    title = _title(report)
    recommended = _recommended(report.advice, measurements)
    is_outlined = bool(recommended)
    legend = tuple(_legend(report, len(batches) * len(time_steps), is_outlined=is_outlined))
    return _Chart(
        run=run,
        measurements=measurements,
        batches=batches,
        time_steps=time_steps,
        edges=report.edges,
        recommended=recommended,
        title=title,
        legend=legend,
        sheet=_sheet(len(batches), len(time_steps), title, legend),
    )


def _recommended(advice: Advice, measurements: Measurements) -> tuple[Point, ...]:
    """The recommended points of the grid, one a T."""
    return tuple(point for point in advice.points if point in measurements)


def _draw_axes(axes: Axes, panel: Quantity, chart: _Chart) -> None:
    axes.set_title(panel.title + panel.note, fontsize=BASE_PT + 1, loc="left")
    axes.set_xlim(-0.5, len(chart.batches) - 0.5)
    axes.set_ylim(-0.5, len(chart.time_steps) - 0.5)
    axes.set_xticks(range(len(chart.batches)), [str(batch) for batch in chart.batches])
    axes.set_yticks(range(len(chart.time_steps)), [row_label(edge, "\n") for edge in chart.edges])
    axes.set_xlabel("batch B, sequences")
    axes.set_ylabel("time steps T")
    axes.tick_params(length=0, labelsize=_tick_pt(chart))
    axes.spines[:].set_visible(False)
    if len(set(panel.values.values())) > 1:
        _draw_scale(axes, panel)


def _tick_pt(chart: _Chart) -> float:
    """Small enough for the labels of neighbouring columns to stand apart."""
    longest = max(len(str(batch)) for batch in chart.batches)
    room_in = (chart.sheet.width_in / 2 - AROUND_PANEL_IN[0]) / len(chart.batches)
    return min(BASE_PT, 0.9 * 72 * room_in / (EM_PER_CHARACTER * longest))


def _draw_scale(axes: Axes, panel: Quantity) -> None:
    """The colour bar, labelled at its ends and midway."""
    mapped = ScalarMappable(panel.scale, panel.colours)
    bar = axes.figure.colorbar(mapped, ax=axes, fraction=0.05, pad=0.02, aspect=30)
    ticks = [float(panel.scale.inverse(share)) for share in (0.0, 0.5, 1.0)]
    bar.set_ticks(ticks, labels=[panel.text(value) for value in ticks])
    bar.ax.minorticks_off()
    bar.ax.tick_params(length=2, labelsize=SMALL_PT)
    bar.outline.set_visible(False)


def _draw_boxes(axes: Axes, panel: Quantity, chart: _Chart) -> None:
    for column, row, measurement in chart.places():
        style = _box_style(panel, measurement)
        box = Rectangle((column - 0.5, row - 0.5), 1, 1, clip_on=False, **style)
        box.set_gid(f"{panel.name}-B{chart.batches[column]}-T{chart.time_steps[row]}")
        axes.add_patch(box)


def _box_style(panel: Quantity, measurement: Measurement | None) -> dict[str, Any]:
    value = panel.values.get(measurement.point) if measurement else None
    if value is not None:
        return {"facecolor": panel.colour(value), "edgecolor": PAPER, "linewidth": 0.8}
    look = LOOKS.get(measurement.outcome) if measurement else None
    if look is None:
        return {"facecolor": PAPER, "edgecolor": RULE, "linewidth": 0.4}
    return hatched(look)


def _draw_recommended(axes: Axes, panel: Quantity, chart: _Chart) -> None:
    for point in chart.recommended:
        row = chart.time_steps.index(point.time_steps)
        place = (chart.batches.index(point.batch), row)
        draw_outline(axes, place, _room_pt(axes, chart), f"{panel.name}-recommended-{row}")


# --- labels in the boxes -------------------------------------------------------------------------


def _draw_labels(axes: Axes, panel: Quantity, chart: _Chart) -> None:
    room_pt = _room_pt(axes, chart)
    known = [m for _, _, m in chart.places() if m and m.point in panel.values]
    numbers_pt = _fitted_pt([panel.label(m) for m in known], room_pt, NUMBER_SHARE)
    for column, row, measurement in chart.places():
        if measurement is None or measurement.point not in panel.values:
            _draw_word(axes, column, row, _word(measurement, room_pt), room_pt)
        else:
            ink = ink_on(panel.colour(panel.values[measurement.point]))
            _draw_text(axes, column, row, panel.label(measurement), numbers_pt, color=ink)


def _room_pt(axes: Axes, chart: _Chart) -> tuple[float, float]:
    """Width and height of a box in points."""
    extent = axes.get_window_extent()
    per_pixel = 72 / axes.figure.dpi
    return (
        extent.width * per_pixel / len(chart.batches),
        extent.height * per_pixel / len(chart.time_steps),
    )


NUMBER_SHARE: Final = 0.72
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
    fits = _fitted_pt([look.word], room_pt, WORD_SHARE) >= LEAST_WORD_PT
    return look.word if fits else look.short


def _draw_word(axes: Axes, column: int, row: int, word: str, room_pt: tuple[float, float]) -> None:
    pad = {} if word == BLANK else {"bbox": {"facecolor": FILL, "linewidth": 0, "pad": 0.8}}
    size_pt = min(SMALL_PT, _fitted_pt([word], room_pt, WORD_SHARE))
    _draw_text(axes, column, row, word, size_pt, color=INK, **pad)


def _draw_text(axes: Axes, column: int, row: int, text: str, size_pt: float, **style: Any) -> None:
    axes.text(
        column, row, text, fontsize=size_pt, ha="center", va="center",
        parse_math=False, zorder=7, **style,
    )  # fmt: skip


# --- around the panels ---------------------------------------------------------------------------


def _draw_heading(figure: Figure, chart: _Chart) -> None:
    sheet = chart.sheet
    text = "\n".join(_wrapped(chart.title, sheet.width_in))
    top = 1 - 0.1 / sheet.height_in
    _draw_line(figure, chart, top, text, TITLE_PT, va="top", weight="bold", gid="title")


def _draw_footer(figure: Figure, chart: _Chart) -> None:
    header = chart.run.header
    environment = chart.run.environment
    torch = environment.get("torch")
    made = [environment.get("device_name"), torch and f"torch {torch}"]
    made.append(f"rnnprof {chart.run.rnnprof_version}")
    facts = ", ".join(one_line(str(fact)) for fact in made if fact)
    columns = int(chart.sheet.width_in / (CHARACTER_EM * _points_in(SMALL_PT)))
    text = f"{clip(header.workload.describe(), columns)}\n{clip(facts, columns)}"
    bottom = 0.08 / chart.sheet.height_in
    _draw_line(figure, chart, bottom, text, SMALL_PT, va="bottom", color=MUTED, gid="footer")


def _draw_line(
    figure: Figure, chart: _Chart, y: float, text: str, size_pt: float, **style: Any
) -> None:
    left = MARGIN_IN / chart.sheet.width_in
    drawn = figure.text(left, y, text, fontsize=size_pt, ha="left", parse_math=False, **style)
    _shrink(drawn, size_pt, (chart.sheet.width_in - 2 * MARGIN_IN) * figure.dpi)


def _shrink(text: Text, size_pt: float, room_px: float) -> None:
    """Make *text* small enough for its room; names may hold any letters."""
    # letters are set to whole pixels, so that the width is no straight line of the size
    while (width_px := text.get_window_extent().width) > room_px:
        size_pt *= 0.99 * room_px / width_px
        text.set_fontsize(size_pt)


def _legend(report: RunReport, places: int, *, is_outlined: bool) -> Iterator[Entry]:
    """What the marks mean, of those that were used."""
    measurements = report.measurements
    outcomes = {measurement.outcome for measurement in measurements.values()}
    yield from edge_entries(report.edges, report.limit_bytes)
    if is_outlined:
        yield Patch(**outline_style()), "recommended batch at T"
    for outcome, look in LOOKS.items():
        if outcome in outcomes:
            yield Patch(**hatched(look)), look.meaning
    yield from flag_entries(measurements)
    if len(measurements) < places:
        yield sign(BLANK), "not measured"
