"""Heat maps: one quantity over batch and time steps."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from rnnprof.report.charts.kit.heat import (
    HeatMap,
    draw_colour_bar,
    heat_keys,
    label_axes,
    left_in,
    rounded,
)
from rnnprof.report.charts.kit.quantities import MEMORY, QUANTITIES, Shown
from rnnprof.report.charts.kit.scales import Scales, scales_for
from rnnprof.report.charts.kit.sheet import AXIS_IN, MARGIN_IN, WIDTH_IN, Sheet, make_sheet
from rnnprof.report.charts.kit.style import BASE_PT, Chart, style
from rnnprof.report.model import RunReport
from rnnprof.report.words import charts as words

HEAD_IN: Final = 40 / 72
"""The title, and beside it the colour bar with its label and its numbers."""

LARGEST_BOX_IN: Final = (1.4, 0.4)
LEAST_BOX_HEIGHT_IN: Final = 0.115
"""A box in which a marker still shows its form."""

FULL_HEIGHT_IN: Final = 3.6
"""Boxes shrink from this height of the panel on, until they are at their least."""

BAR_IN: Final = (3.2, 0.09)
"""The colour bar, as wide as its label may be."""

TITLE_IN: Final = 3.6
"""Room for the title left of the bar."""


def heatmaps(report: RunReport, scales: Scales | None = None) -> tuple[Chart, ...]:
    """A heat map over B and T for each quantity that is known, peak memory first.

    Peak memory has one even where no point was measured: it shows how they ended.  Empty without
    any point.

    Args:
        report: the run to draw.
        scales: of all runs on the page; of this one alone where None.
    """
    if not report.points:
        return ()
    shared = scales_for(report, scales)
    every = [Shown.of(quantity, report, shared) for quantity in QUANTITIES]
    shown = [each for each in every if each.values or each.quantity is MEMORY]
    return tuple(_heatmap(report, each) for each in shown)


def _heatmap(report: RunReport, shown: Shown) -> Chart:
    name, title = f"heatmap-{shown.quantity.name}", shown.quantity.words.title
    with style():
        left = left_in(report)
        heat = HeatMap(name, report, shown, _box_in(report, left))
        width, height = heat.panel_in
        notes = tuple(_notes(report, heat))
        sheet = make_sheet("", None, HEAD_IN + height + AXIS_IN, tuple(heat_keys([heat])), notes)
        axes = sheet.axes(left, HEAD_IN, width, height)
        heat.draw(axes)
        label_axes(sheet, heat, left, HEAD_IN)
        shown_title = title + ("" if shown.has_bar else shown.note)
        axes.set_title(shown_title, loc="left", fontsize=BASE_PT + 1, weight="bold", pad=7)
        if shown.has_bar:
            _draw_bar(sheet, shown, left + width, f"{name}-bar")
    endings = [(len(points), look.words.ending) for look, points in heat.looks.items()]
    finding = words.heat_map_finding(
        report, shown.quantity.words.subject, shown.values, shown.quantity.full, endings
    )
    return Chart(name, title, finding, sheet.figure)


def _box_in(report: RunReport, left: float) -> tuple[float, float]:
    columns, rows = len(report.batches), len(report.time_steps)
    width_in = (WIDTH_IN - MARGIN_IN - left) / columns
    height_in = max(LEAST_BOX_HEIGHT_IN, FULL_HEIGHT_IN / rows)
    return rounded(min(LARGEST_BOX_IN[0], width_in)), rounded(min(LARGEST_BOX_IN[1], height_in))


def _notes(report: RunReport, heat: HeatMap) -> Iterator[str]:
    if heat.numbers_pt is None:
        yield words.too_many_note(len(report.points))
    if heat.shown.predicted:
        yield words.PREDICTED_NOTE
    if len(report.points) < len(report.batches) * len(report.time_steps):
        yield words.NOT_REQUESTED_NOTE


def _draw_bar(sheet: Sheet, shown: Shown, right: float, gid: str) -> None:
    """The colour bar beside the title, also where the panel is narrow."""
    left = max(TITLE_IN, right - BAR_IN[0])
    label = shown.quantity.words.axis + shown.note
    draw_colour_bar(sheet, shown, (left, 0.22, *BAR_IN), gid, label)
