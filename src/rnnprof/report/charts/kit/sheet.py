"""The sheet of a chart: its heading, its panels, its legend and its notes, placed in inches."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Text

from rnnprof.report.charts.kit.labels import width_em
from rnnprof.report.charts.kit.style import (
    BASE_PT,
    INK,
    MUTED,
    SMALL_PT,
    TITLE_PT,
)
from rnnprof.report.model import RunReport
from rnnprof.report.words.charts import subject_of

WIDTH_IN: Final = 7.4
MARGIN_IN: Final = 0.12
HEADING_IN: Final = 0.46
"""The chart's title in one line, and what was trained."""

AXIS_IN: Final = 0.42
"""Tick labels and the axis's own label below a panel."""

TITLE_LINE_IN: Final = 1.4 * TITLE_PT / 72
LEGEND_ROW_IN: Final = 0.156
NOTE_IN: Final = 0.14

KEY_EM: Final = 3.2
"""A key of the legend and the gap to its words."""

COLUMN_GAP_EM: Final = 1.6
BOLD_EM: Final = 0.61
"""Mean width of a bold character in running text."""

Key = tuple[Any, str]
"""A legend's mark, one artist or several on top of each other, and what it means."""


def mark(marker: Any, **look: Any) -> Line2D:
    """A legend's key that is a mark without a line."""
    return Line2D([], [], **({"linestyle": "none", "marker": marker, "color": INK} | look))


@dataclass(frozen=True, slots=True)
class Sheet:
    """A figure whose parts are placed in inches from its upper left corner.

    Attributes:
        top_in: where the panels begin, below the heading.
    """

    figure: Figure
    width_in: float
    height_in: float
    top_in: float

    def axes(self, left_in: float, top_in: float, width_in: float, height_in: float) -> Axes:
        """Axes at a place below the heading."""
        bottom_in = self.height_in - self.top_in - top_in - height_in
        return self.figure.add_axes(
            (
                left_in / self.width_in, bottom_in / self.height_in,
                width_in / self.width_in, height_in / self.height_in,
            )
        )  # fmt: skip

    def write(self, left_in: float, top_in: float, text: str, **look: Any) -> Text:
        """Text at a place from the sheet's own corner, made smaller until it fits across."""
        x, y = left_in / self.width_in, 1 - top_in / self.height_in
        known: dict[str, Any] = {"va": "top", "ha": "left", "parse_math": False}
        drawn = self.figure.text(x, y, text, **(known | look))
        if look.get("ha", "left") == "left" and "rotation" not in look:
            _shrink(drawn, (self.width_in - left_in - MARGIN_IN) * self.figure.dpi)
        return drawn


def _shrink(text: Text, room_px: float) -> None:
    """Names may hold any letters; these are set to whole pixels, so one step is not enough."""
    while (width_px := text.get_window_extent().width) > room_px:
        text.set_fontsize(0.99 * float(text.get_fontsize()) * room_px / width_px)


def make_sheet(
    title: str,
    report: RunReport | None,
    panels_in: float,
    keys: Sequence[Key] = (),
    notes: Sequence[str] = (),
    width_in: float = WIDTH_IN,
) -> Sheet:
    """A sheet with its heading, legend and notes, and room for panels.

    Args:
        title: what is drawn, in one line or several; empty where a panel says it itself.
        report: names what was trained below the title; None leaves that out.
        panels_in: height of the panels with their axis labels.
        keys: the legend's, those in use.
        notes: lines at the foot.
    """
    top_in = 0.0
    if title:
        lines_in = (title.count("\n")) * TITLE_LINE_IN
        top_in = (HEADING_IN if report else HEADING_IN - 0.14) + lines_in
    columns = _legend_columns([words for _, words in keys], width_in)
    legend_in = math.ceil(len(keys) / columns) * LEGEND_ROW_IN + (MARGIN_IN / 2 if keys else 0)
    height_in = top_in + panels_in + legend_in + NOTE_IN * len(notes) + MARGIN_IN
    sheet = Sheet(Figure(figsize=(width_in, height_in)), width_in, height_in, top_in)
    _draw_heading(sheet, title, report)
    _draw_legend(sheet, keys, columns, top_in + panels_in + MARGIN_IN / 2)
    if notes:
        foot_in = height_in - MARGIN_IN / 2 - NOTE_IN * len(notes)
        sheet.write(
            MARGIN_IN, foot_in, "\n".join(notes), fontsize=SMALL_PT, color=MUTED, gid="notes",
            linespacing=1.25,
        )  # fmt: skip
    return sheet


def _draw_heading(sheet: Sheet, title: str, report: RunReport | None) -> None:
    if title:
        sheet.write(MARGIN_IN, 0.08, title, fontsize=TITLE_PT, weight="bold", gid="title")
    if title and report:
        below_in, text = sheet.top_in - HEADING_IN + 0.29, subject_of(report)
        look = {"fontsize": SMALL_PT, "color": MUTED, "gid": "subject"}
        sheet.write(MARGIN_IN, below_in, text, **look)


def _legend_columns(texts: Sequence[str], width_in: float) -> int:
    """As many as fit beside one another; a legend is filled column by column."""
    widths = [KEY_EM + COLUMN_GAP_EM + width_em(text) for text in texts]
    room_em = (width_in - 2 * MARGIN_IN) * 72 / SMALL_PT
    for columns in range(len(texts), 1, -1):
        rows, longer = divmod(len(texts), columns)
        ends = [column * rows + min(column, longer) for column in range(columns + 1)]
        if sum(max(widths[a:b]) for a, b in pairwise(ends)) <= room_em:
            return columns
    return 1


def _draw_legend(sheet: Sheet, keys: Sequence[Key], columns: int, top_in: float) -> None:
    if keys:
        sheet.figure.legend(
            [artist for artist, _ in keys], [words for _, words in keys], loc="upper left",
            bbox_to_anchor=(MARGIN_IN / sheet.width_in, 1 - top_in / sheet.height_in),
            ncols=columns, borderpad=0, borderaxespad=0, labelspacing=0.35, handlelength=2.4,
            handleheight=1.2, columnspacing=COLUMN_GAP_EM,
        )  # fmt: skip


def legend_beside(axes: Axes, title: str | None = None, top: float = 1.0, **look: Any) -> None:
    """The legend of a panel whose series are labelled, right of it: *top* as a share of it."""
    place: dict[str, Any] = {"loc": "upper left", "bbox_to_anchor": (1.0, top)}
    axes.legend(title=title, **place, **look)


def wrapped(clauses: Iterable[str], width_in: float) -> str:
    """A title of at most three lines that fit *width_in*, broken between clauses if anywhere."""
    columns = int((width_in - 2 * MARGIN_IN) / (BOLD_EM * TITLE_PT / 72))
    whole = list(clauses)
    if len("; ".join(whole)) <= columns:
        return "; ".join(whole)
    ended = [f"{clause};" for clause in whole[:-1]] + whole[-1:]
    return "\n".join([line for clause in ended for line in textwrap.wrap(clause, columns)][:3])


def panel_title(axes: Axes, text: str, size_pt: float = BASE_PT) -> None:
    """A title at a panel's upper left corner."""
    axes.set_title(text, fontsize=size_pt, loc="left", pad=5)
