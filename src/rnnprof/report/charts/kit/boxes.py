"""Boxes of a grid: what fills one that has no number, the edge, and the outline."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import groupby
from typing import Any, Final

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.path import Path
from matplotlib.patheffects import Normal, Stroke

from rnnprof.report.charts.kit.labels import glyph_of
from rnnprof.report.charts.kit.sheet import Key
from rnnprof.report.charts.kit.style import (
    FILL,
    INK,
    MUTED,
    OOM_HATCH,
    PAPER,
    PREDICTED,
    RECOMMENDED,
)
from rnnprof.report.model import Measurements, Outcome, SeenEdge, flags
from rnnprof.report.words import chart_legends as words
from rnnprof.report.words.outcomes import OUTCOMES, OutcomeWords

BLANK: Final = "–"


# --- the marks -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Look:
    """How a point without a number is drawn: neither hue nor hatch nor word stands alone.

    Attributes:
        name: of the outcome, and in the ids of artists.
        words: in the box, in the legend and in a sentence.
        hatch: of the box, of lines: dots would make up most of a file.
        marker: in the box where no word has room.
        ink: of the hatch.
    """

    name: str
    words: OutcomeWords
    hatch: str
    marker: str
    ink: str = MUTED


LOOKS: Final = {
    outcome: Look(outcome.value, OUTCOMES[outcome], hatch, marker)
    for outcome, hatch, marker in (
        (Outcome.OOM, OOM_HATCH, "x"),
        (Outcome.IMPLIED_OOM, "|||", "."),
        (Outcome.UNSUPPORTED, "xxxx", "s"),
        (Outcome.TIMEOUT, "----", "d"),
        (Outcome.CRASHED, "\\\\\\\\", "v"),
        (Outcome.FAILED, "++++", "P"),
    )
}
UNKNOWN: Final = Look("unknown", words.box_words(*words.UNKNOWN, "?"), "--", "?")
UNREACHED: Final = Look("unreached", words.box_words(*words.UNREACHED, BLANK), "", "_")
PREDICTED_LOOK: Final = Look(
    "predicted", words.box_words(*words.PREDICTED, "≈"), "\\\\", "≈", PREDICTED
)
EVERY_LOOK: Final = (*LOOKS.values(), UNKNOWN, UNREACHED, PREDICTED_LOOK)


def hatched(look: Look) -> dict[str, Any]:
    """The style of a box without a number."""
    return {"facecolor": FILL, "edgecolor": look.ink, "linewidth": 0, "hatch": look.hatch}


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
        "fill": False, "edgecolor": RECOMMENDED, "linewidth": 1.8, "path_effects": _cased(3.2),
    }  # fmt: skip


def _cased(width_pt: float) -> list[Any]:
    """A line that stands out from data of any colour."""
    return [Stroke(linewidth=width_pt, foreground=PAPER), Normal()]


# --- the legend's keys ----------------------------------------------------------------------------


def edge_keys(edges: Sequence[SeenEdge], limit_bytes: int) -> Iterator[Key]:
    """What the stepped line and the numbers of certified batches mean, where they are drawn."""
    if any(edge.fails is not None for edge in edges):
        yield Line2D([], [], **edge_style()), words.oom_at(limit_bytes)
    if any(edge.is_certified for edge in edges):
        yield sign("≤"), words.CERTIFIED_BATCH


def flag_keys(measurements: Measurements) -> Iterator[Key]:
    """What the marks behind a number mean, where they are used."""
    used = "".join(flags(measurement) for measurement in measurements.values())
    for flag, meaning in words.FLAGS.items():
        if flag in used:
            yield sign(flag), meaning


def sign(mark: str) -> Artist:
    """A legend key that is a character."""
    return Line2D([], [], **marker_style(mark, 5.0 if mark != BLANK else 4.0))


FORMS: Final = frozenset("x.sdvP_")
"""The markers that matplotlib draws; any other is the outline of a character."""


def marker_style(marker: str, size_pt: float) -> dict[str, Any]:
    """The style of a marker: a form that matplotlib draws, or the outline of a character."""
    return {
        "linestyle": "none", "marker": marker if marker in FORMS else _outline_of(marker),
        "markersize": size_pt, "markerfacecolor": INK, "markeredgecolor": INK,
        "markeredgewidth": 0.6 if marker in FORMS else 0.0,
    }  # fmt: skip


@cache
def _outline_of(character: str) -> Path:
    """The outline of a character about its own middle."""
    glyph = glyph_of(character)
    middle = (glyph.vertices.min(axis=0) + glyph.vertices.max(axis=0)) / 2
    return Path(glyph.vertices - middle, glyph.codes)


def row_label(edge: SeenEdge, gap: str) -> str:
    """T, and after *gap* the proven largest batch: the line between two columns cannot show it."""
    if edge.is_certified and edge.certificate is not None:
        return f"{edge.time_steps}{gap}(B≤{edge.certificate.batch})"
    return str(edge.time_steps)


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
