"""Charts of bars: their look, their panels, and which points they show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.patches import Patch

from rnnprof.report.charts.kit.axes import extent_pt
from rnnprof.report.charts.kit.sheet import AXIS_IN, MARGIN_IN, WIDTH_IN, Key, Sheet, panel_title
from rnnprof.report.charts.kit.style import PAPER, RULE

LABEL_PT: Final = 6.5
BARS_AT_MOST: Final = 12
"""More bars in half a page's width would be thinner than their labels."""

BAR_IN: Final = 0.2
LABEL_IN: Final = 1.22
"""Room for ``T=65536, recommended`` beside the bars."""

PANEL_TITLE_IN: Final = 0.24
PANEL_GAP_IN: Final = 0.14
LEAST_BARS: Final = 3
"""A lone bar as high as the panel would look like a wall."""

Bar = tuple[float, float, float]
"""Where a bar begins, how long it is, and the height at which its middle stands."""


@dataclass(frozen=True, slots=True)
class BarLook:
    """How a series differs from the others: by its colour and by its hatch.

    Attributes:
        word: in legend and finding.
        colour: of the bars.
        hatch: over the colour, as matplotlib writes hatches.
        ink: of the hatch and of the bars' edges.
    """

    word: str
    colour: str
    hatch: str
    ink: str = PAPER

    @property
    def key(self) -> Key:
        """Its key in the legend."""
        box = Patch(facecolor=self.colour, edgecolor=self.ink, hatch=self.hatch, linewidth=0.3)
        return box, self.word


def bar_panels(
    sheet: Sheet, heights_in: Sequence[float], columns: int, label_in: float = LABEL_IN
) -> list[Axes]:
    """Panels in equal columns, row by row, with room for labels at the left.

    Args:
        heights_in: of each panel's bars.
    """
    share_in = (WIDTH_IN - 2 * MARGIN_IN - (columns - 1) * PANEL_GAP_IN) / columns
    panels, top_in = [], PANEL_TITLE_IN
    for index, height_in in enumerate(heights_in):
        column = index % columns
        if index and column == 0:
            top_in += heights_in[index - 1] + AXIS_IN + PANEL_TITLE_IN
        left_in = MARGIN_IN + column * (share_in + PANEL_GAP_IN) + label_in
        panels.append(sheet.axes(left_in, top_in, share_in - label_in, height_in))
    return panels


def prepare_bars(axes: Axes, title: str, labels: Sequence[str], room: int = 0) -> None:
    """A panel with room for so many bars, the first at the top."""
    panel_title(axes, title)
    axes.set_ylim(max(room, len(labels), 1) - 0.5, -0.5)
    axes.set_yticks(range(len(labels)), list(labels))
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_color(RULE)


def draw_bars(
    axes: Axes,
    bars: Sequence[Bar],
    look: BarLook,
    gid: str,
    height: float = 0.72,
    colours: Sequence[str] = (),
) -> None:
    """Horizontal bars of one look, as one collection.

    Args:
        colours: of each bar; empty where all have the look's.
    """
    corners = [
        [(x, y - height / 2), (x + w, y - height / 2), (x + w, y + height / 2), (x, y + height / 2)]
        for x, w, y in bars
    ]
    axes.add_collection(
        PolyCollection(
            corners, facecolors=list(colours) or look.colour, edgecolors=look.ink,
            hatch=look.hatch or None, linewidths=0.3, gid=gid,
        ),
        autolim=False,
    )  # fmt: skip


def write_beside(
    axes: Axes, x: float, y: float, text: str, ink: str, *, is_bold: bool = False
) -> None:
    """A label just right of a bar's end."""
    apart = 1.7 / extent_pt(axes)[0] * axes.get_xlim()[1]
    weight = "bold" if is_bold else "normal"
    axes.text(
        x + apart, y, text, va="center", fontsize=LABEL_PT, color=ink, weight=weight,
        bbox={"facecolor": PAPER, "linewidth": 0, "pad": 0.2},
    )  # fmt: skip
