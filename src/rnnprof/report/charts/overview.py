"""The trade-off in one figure: peak memory and throughput over batch and time steps."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Final

from matplotlib.figure import Figure

from rnnprof.report.charts.kit.heat import (
    HeatMap,
    draw_colour_bar,
    heat_keys,
    label_axes,
    left_in,
    rounded,
)
from rnnprof.report.charts.kit.quantities import MEMORY, TIME_STEPS, Shown
from rnnprof.report.charts.kit.scales import Scales
from rnnprof.report.charts.kit.sheet import (
    AXIS_IN,
    MARGIN_IN,
    WIDTH_IN,
    Sheet,
    make_sheet,
    wrapped,
)
from rnnprof.report.charts.kit.style import BASE_PT, SMALL_PT, style, write_figure
from rnnprof.report.model import RunReport
from rnnprof.report.words import charts as words

LARGEST_BOX_IN: Final = (1.4, 0.42)
LEAST_BOX_IN: Final = (0.38, 0.26)
"""Room for three digits, a point and a unit."""

FULL_HEIGHT_IN: Final = 3.2
"""Boxes shrink from this height of a panel on, until they are at their least."""

HEAD_IN: Final = 0.5
"""Above the boxes: the panel's title, the colour bar and its numbers."""

BARE_HEAD_IN: Final = 0.24
"""The same where no panel has a colour bar."""

BAR_TOP_IN: Final = 0.26
BAR_HEIGHT_IN: Final = 0.07
LEAST_BAR_IN: Final = 1.6
"""Room for the numbers of the colour bar above a narrow panel."""

CHARACTER_EM: Final = 0.55
"""Mean width of DejaVu Sans in running text."""


def write_charts(report: RunReport, directory: Path, stem: str) -> tuple[Path, ...]:
    """Write ``STEM.png`` and ``STEM.svg`` in *directory*, each whole or not at all.

    The same run gives the same bytes.

    Raises:
        OSError: when *directory* cannot be made or written.
    """
    return write_figure(trade_off(report), directory, stem)


def trade_off(report: RunReport) -> Figure:
    """Two heat maps over batch and time steps: peak memory, and time steps/s."""
    shared = Scales((report,))
    rates = Shown.of(TIME_STEPS, report, shared)
    memory = replace(Shown.of(MEMORY, report, shared), predicted={})
    left = left_in(report)
    box_in = _box_in(report, left)
    with style():
        maps = [
            HeatMap("memory", report, memory, box_in), HeatMap("rate", report, rates, box_in)
        ]  # fmt: skip
        width, height = maps[0].panel_in
        share_in = left + max(width, LEAST_BAR_IN) + MARGIN_IN
        width_in = max(WIDTH_IN, 2 * share_in)
        title = wrapped(words.overview_clauses(report), width_in)
        footer = words.footer(report, int(width_in / (CHARACTER_EM * SMALL_PT / 72)))
        head_in = HEAD_IN if any(heat.shown.has_bar for heat in maps) else BARE_HEAD_IN
        panels_in = head_in + height + AXIS_IN
        keys = tuple(heat_keys(maps))
        sheet = make_sheet(title, None, panels_in, keys, footer, width_in)
        for column, heat in enumerate(maps):
            _draw_panel(sheet, heat, column * max(share_in, width_in / 2) + left, head_in)
    return sheet.figure


def _draw_panel(sheet: Sheet, heat: HeatMap, left: float, head_in: float) -> None:
    report, shown, (width, height) = heat.report, heat.shown, heat.panel_in
    axes = sheet.axes(left, head_in, width, height)
    heat.draw(axes)
    label_axes(sheet, heat, left, head_in)
    is_simulated = report.run.is_simulated and heat.name == "rate"
    title = words.SIMULATED_RATES if is_simulated else shown.quantity.words.title
    bar_in = (left, BAR_TOP_IN, max(width, LEAST_BAR_IN), BAR_HEIGHT_IN)
    pad_pt = 72 * (head_in - BAR_TOP_IN + 0.05) if head_in == HEAD_IN else 5
    axes.set_title(title + shown.note, fontsize=BASE_PT + 1, loc="left", pad=pad_pt)
    if shown.has_bar:
        draw_colour_bar(sheet, shown, bar_in, f"{heat.name}-bar")


def finding(report: RunReport) -> str:
    """The figure's title: what fits and what is recommended, in a sentence."""
    return "; ".join(words.overview_clauses(report))


def _box_in(report: RunReport, left: float) -> tuple[float, float]:
    """Width and height of a box: half a page holds a panel, unless boxes would be too small."""
    columns, rows = len(report.batches), len(report.time_steps)
    width_in = (WIDTH_IN / 2 - left - MARGIN_IN) / columns
    width_in = min(LARGEST_BOX_IN[0], max(LEAST_BOX_IN[0], width_in))
    height_in = min(LARGEST_BOX_IN[1], max(LEAST_BOX_IN[1], FULL_HEIGHT_IN / rows))
    return rounded(width_in), rounded(height_in)
