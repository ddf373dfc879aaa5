"""Numbers and words as outlines, so that one path draws them all."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import numpy as np
from matplotlib.artist import Artist
from matplotlib.backend_bases import GraphicsContextBase, RendererBase
from matplotlib.backends.backend_agg import RendererAgg
from matplotlib.colors import to_rgba
from matplotlib.font_manager import FontProperties
from matplotlib.path import Path
from matplotlib.textpath import text_to_path
from matplotlib.transforms import IdentityTransform

from rnnprof.report.charts.kit.style import FONTS


def width_em(text: str) -> float:
    """Width of *text* in DejaVu Sans, as a share of its type size."""
    return sum(glyph_of(character).advance_em for character in text)


@dataclass(frozen=True, slots=True)
class _Glyph:
    """A character of DejaVu Sans in type sizes: its outline, and the way to the next character."""

    vertices: Corners
    codes: np.ndarray[Any, np.dtype[np.uint8]]
    advance_em: float


@cache
def glyph_of(character: str) -> _Glyph:
    """A character's outline and width, found once."""
    size = text_to_path.FONT_SCALE
    font = FontProperties(family=FONTS[0], size=size)
    outline, steps = text_to_path.get_text_path(font, character, ismath=False)
    # between two others a blank has its width as well
    between, beside = (
        text_to_path.get_text_width_height_descent(text, font, ismath=False)[0]
        for text in (f"n{character}n", "nn")
    )
    vertices = np.array(outline, dtype=float).reshape(-1, 2) / size
    return _Glyph(vertices, np.array(steps, dtype=np.uint8), float(between - beside) / size)


@dataclass(frozen=True, slots=True)
class Label:
    """A short text at a place of the grid.

    Attributes:
        align: the share of its width that is left of the place.
    """

    place: tuple[float, float]
    text: str
    ink: str
    align: float = 0.5


CAPITAL_EM: Final = 0.73
"""Height of DejaVu Sans's digits and capitals, by which a label stands in the middle."""


class Labels(Artist):
    """Short texts of one size, in the places of their axes.

    As many ``Text`` would look the same, but each lays itself out and repeats its style: for a
    grid of 400 points that is most of the time and of the file.
    """

    def __init__(self, labels: Sequence[Label], size_pt: float, gid: str) -> None:
        super().__init__()
        self.labels, self.size_pt = tuple(labels), round(size_pt, 2)
        self.set_gid(gid)
        self.set_zorder(7)

    def draw(self, renderer: RendererBase) -> None:
        """Draw each text by itself where a file keeps text, and all at once where it is pixels."""
        renderer.open_group("labels", self.get_gid())
        context = renderer.new_gc()
        if isinstance(renderer, RendererAgg):
            self._draw_outlines(renderer, context)
        else:
            self._draw_texts(renderer, context)
        context.restore()
        renderer.close_group("labels")
        self.stale = False

    def _draw_texts(self, renderer: RendererBase, context: GraphicsContextBase) -> None:
        font = FontProperties(family=FONTS[:2], size=self.size_pt)
        height_px = renderer.get_canvas_width_height()[1]
        for label, x, y in self._starts(renderer):
            context.set_foreground(label.ink)
            # a hundredth is less than can be seen, and further digits fill the file
            below = round(height_px - y if renderer.flipy() else y, 2)
            renderer.draw_text(context, round(x, 2), below, label.text, font, 0)

    def _draw_outlines(self, renderer: RendererBase, context: GraphicsContextBase) -> None:
        size_px = float(np.asarray(renderer.points_to_pixels(self.size_pt)))
        vertices: dict[str, list[Corners]] = defaultdict(list)
        codes: dict[str, list[np.ndarray[Any, np.dtype[np.uint8]]]] = defaultdict(list)
        for label, x, y in self._starts(renderer):
            for glyph in map(glyph_of, label.text):
                vertices[label.ink].append(glyph.vertices * size_px + np.array((x, y)))
                codes[label.ink].append(glyph.codes)
                x += glyph.advance_em * size_px
        context.set_linewidth(0)
        for ink, parts in vertices.items():
            every = Path(np.concatenate(parts), np.concatenate(codes[ink]))
            renderer.draw_path(context, every, IdentityTransform(), to_rgba(ink))

    def _starts(self, renderer: RendererBase) -> Iterator[tuple[Label, float, float]]:
        """Each label with the left end of its base line, in pixels."""
        assert self.axes is not None
        size_px = float(np.asarray(renderer.points_to_pixels(self.size_pt)))
        places = self.axes.transData.transform([label.place for label in self.labels])
        for label, (x, y) in zip(self.labels, places.tolist(), strict=True):
            width_px = width_em(label.text) * size_px
            yield label, x - label.align * width_px, y - CAPITAL_EM * size_px / 2


Corners = np.ndarray[Any, np.dtype[np.float64]]
