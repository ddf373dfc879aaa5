"""The sheet of a heat map: how large its boxes are, and how large numbers and words in them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from rnnprof.report.charts.kit.boxes import (
    LEGEND_ROW_EM,
    LINE_EM,
    MARGIN_IN,
    WIDTH_IN,
    Entry,
    Look,
    legend_columns,
)
from rnnprof.report.charts.kit.labels import width_em
from rnnprof.report.charts.kit.quantities import (
    Quantity,
)
from rnnprof.report.charts.kit.style import (
    BASE_PT,
    SMALL_PT,
)
from rnnprof.report.model import RunReport, SeenEdge
from rnnprof.runfile.points import Point

# --- the heat maps of a report -------------------------------------------------------------------


# --- the heat maps of a report -------------------------------------------------------------------


Place = tuple[int, int]
"""Column and row."""
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
class Sheet:
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
            self.columns * rounded(min(LARGEST_BOX_IN[0], box_width_in)),
            self.rows * rounded(min(LARGEST_BOX_IN[1], box_height_in)),
        )

    @property
    def room_pt(self) -> tuple[float, float]:
        """Width and height of a box in points."""
        width_in, height_in = self.panel_in
        return 72 * width_in / self.columns, 72 * height_in / self.rows


def rounded(length_in: float) -> float:
    """Down to a quarter of a point: a file repeats such numbers at every box."""
    return math.floor(4 * 72 * length_in + 1e-6) / (4 * 72)


# --- labels in the boxes -------------------------------------------------------------------------

LEAST_NUMBER_PT: Final = 4.5
"""What can be read in print at arm's length; below it numbers are left to the table."""

NUMBER_SHARE: Final = 0.8
"""Of a box's width, so that neighbours' numbers read as two and an outline has room."""

CROWDED_SHARE: Final = 0.93
"""Of a box's width for a number with flags, and for words: these stand on a patch of their own."""

HEIGHT_SHARE: Final = 0.62
"""Of a box's height."""


def numbers_pt_of(
    report: RunReport, quantity: Quantity, room_pt: tuple[float, float]
) -> float | None:
    """The type size at which every number has room; None where it could not be read."""
    plain = {quantity.text(value) for value in quantity.values.values()}
    plain |= {predicted_text(quantity, point) for point in quantity.predicted}
    flagged = {quantity.label(report.measurements[point]) for point in quantity.values} - plain
    fitting = (
        BASE_PT,
        HEIGHT_SHARE * room_pt[1],
        *(NUMBER_SHARE * room_pt[0] / width_em(text) for text in plain),
        *(CROWDED_SHARE * room_pt[0] / width_em(text) for text in flagged),
    )
    size_pt = math.floor(100 * min(fitting)) / 100
    return size_pt if size_pt >= LEAST_NUMBER_PT else None


def predicted_text(quantity: Quantity, point: Point) -> str:
    return f"≈{quantity.text(quantity.predicted[point])}"


def word_of(look: Look, room_pt: tuple[float, float]) -> str:
    """The longest name of a look that can be read in a box; empty for none."""
    for word, least_pt in ((look.word, LEAST_WORD_PT), (look.short, LEAST_NUMBER_PT)):
        if word_pt(word, room_pt) >= least_pt:
            return word
    return ""


LEAST_WORD_PT: Final = 5.5
"""Below this a word is replaced by its short form."""


def word_pt(word: str, room_pt: tuple[float, float]) -> float:
    width_pt = CROWDED_SHARE * room_pt[0] / (width_em(word) + 0.3)
    return math.floor(100 * min(SMALL_PT, width_pt, HEIGHT_SHARE * room_pt[1])) / 100


# --- around the panel ----------------------------------------------------------------------------

BAR_IN: Final = (3.2, 0.09)
"""As wide as its label may be."""

TITLE_IN: Final = 3.6
"""Room for the title left of the bar."""


def has_bar(quantity: Quantity) -> bool:
    return len(set(quantity.values.values())) > 1


@dataclass(frozen=True, slots=True)
class Map:
    """One heat map.

    Attributes:
        places: column and row of every point of the grid.
        looks: the places without a number, by how they are drawn.
        advised: the places of the recommended points that are on the grid.
        numbers_pt: type size of the numbers; None where they would be too small to be read.
        notes: what else to know, a line each.
    """

    report: RunReport
    edges: Sequence[SeenEdge]
    quantity: Quantity
    batches: tuple[int, ...]
    places: Mapping[Point, Place]
    looks: Mapping[Look, Sequence[Place]]
    advised: Sequence[Place]
    sheet: Sheet
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
        return rounded(AXIS_IN + self.legend_in + self.notes_in)

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
