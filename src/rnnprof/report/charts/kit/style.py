"""The one look of all charts, the record of a chart, and how a figure becomes a file."""

from __future__ import annotations

import io
import logging
import os
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl
from matplotlib.figure import Figure

from rnnprof.atomic import write_whole
from rnnprof.errors import BadInputError

PNG_DPI: Final = 150

PAPER: Final = "#fefefe"
INK: Final = "#1a1a1b"
MUTED: Final = "#5a5a5b"
RULE: Final = "#c9c9cb"
FILL: Final = "#eeeeef"
"""The inks of everything that is no data: a page gives each its own light and dark tone, so no
data may be drawn in just these."""

OKABE_ITO: Final = (
    "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8a7a00", "#7f7f7f",
)  # fmt: skip
"""Told apart by the colour-blind (Okabe and Ito, Color Universal Design, 2008); their yellow is
darkened, for it is lost on white."""

BLUE, VERMILLION, GREEN, PINK, ORANGE, SKY, OLIVE, GREY = OKABE_ITO

MEMORY_MAP: Final = "cividis"
THROUGHPUT_MAP: Final = "viridis"
DURATION_MAP: Final = "magma"
"""The colour maps, all even in lightness."""

LARGEST_BATCH: Final = BLUE
RECOMMENDED: Final = VERMILLION
SAFE: Final = PINK
PREDICTED: Final = GREEN
NOISY: Final = ORANGE
OOM_HATCH: Final = "////"
"""A meaning has one colour in every chart; out of memory is a cross in ink, and this hatch."""

PHASE_COLOURS: Final = {
    "build": OLIVE, "data": PINK, "forward": BLUE, "backward": VERMILLION, "optimizer": GREEN,
    "other": GREY,
}  # fmt: skip
"""The phases of a training step, in their order."""

BASE_PT: Final = 8.0
SMALL_PT: Final = 7.0
TITLE_PT: Final = 10.0

FONTS: Final = ("DejaVu Sans", "Verdana", "Arial", "Noto Sans CJK SC", "sans-serif")
"""The first is matplotlib's own; Verdana is as wide, so that labels keep their places."""


HASH_SALT: Final = "rnnprof"
"""Of the ids in an SVG, which are the same each time; and the mark that the style is in force."""


MAKER: Final = "rnnprof"
"""Stands in each picture, so that a later one may replace it."""

MARKS: Final = (b"Software\0rnnprof", b"<dc:title>rnnprof</dc:title>")
MARKED_WITHIN: Final = 8192
"""The mark of a picture's maker stands before what it shows."""


@dataclass(frozen=True, slots=True)
class Chart:
    """A figure with what a page and a file need of it.

    Attributes:
        name: stem of its files, and its id in a page.
        title: what is drawn, in a few words.
        finding: what it shows, in a sentence or two with figures: its alternative text.
    """

    name: str
    title: str
    finding: str
    figure: Figure


def rendered(figure: Figure, kind: str) -> bytes:
    """The figure as ``png``, ``svg`` or ``pdf``; the same figure gives the same bytes."""
    # a date would make every writing of the same run another file
    dates: dict[str, dict[str, Any]] = {
        "svg": {"Date": None, "Creator": MAKER},
        "pdf": {"CreationDate": None, "ModDate": None},
        "png": {"Software": MAKER},
    }
    with style():
        buffer = io.BytesIO()
        figure.savefig(buffer, format=kind, dpi=PNG_DPI, metadata=dates[kind])
    return buffer.getvalue()


def write_figure(figure: Figure, directory: Path, stem: str) -> tuple[Path, ...]:
    """Write ``STEM.png`` and ``STEM.svg`` in *directory*, each whole or not at all.

    Raises:
        BadInputError: a picture that another program made is in the way.
        OSError: when *directory* cannot be made or written.
    """
    kinds = ("png", "svg")
    paths = tuple(directory / f"{stem}.{kind}" for kind in kinds)
    refuse_others(paths)
    directory.mkdir(parents=True, exist_ok=True)
    for path, kind in zip(paths, kinds, strict=True):
        write_whole(path, rendered(figure, kind))
    return paths


def refuse_others(paths: Iterable[Path]) -> None:
    """Refuse to replace a picture of the user's own.

    Raises:
        BadInputError: names it.
    """
    for path in paths:
        if os.path.lexists(path) and not _is_ours(path):
            raise BadInputError(f"{path} is there and no picture of rnnprof: move it away")


def _is_ours(path: Path) -> bool:
    """Whether a picture has our mark; a link to nothing is not a picture of anyone's."""
    try:
        if not path.is_file():
            return path.is_symlink() and not path.exists()
        with path.open("rb") as file:
            start = file.read(MARKED_WITHIN)
    except OSError:
        return False
    return any(mark in start for mark in MARKS)


@contextmanager
def style() -> Iterator[None]:
    """matplotlib as it comes, whatever the user's own settings, for as long as a chart is made.

    Within another one it costs nothing: settling all of matplotlib's settings takes 10 ms.
    """
    if mpl.rcParams["svg.hashsalt"] == HASH_SALT:
        yield
        return
    with warnings.catch_warnings(), mpl.rc_context():
        # a user's names may be in any script; the box that stands for a letter says enough
        warnings.filterwarnings("ignore", r"Glyph \d+ .*missing from", UserWarning)
        # nor is it the user's affair that a font meant for the reader is not installed here
        logging.getLogger("matplotlib.font_manager").setLevel(logging.ERROR)
        mpl.rcdefaults()
        mpl.rcParams.update(
            {
                "svg.hashsalt": HASH_SALT,
                "svg.fonttype": "none",
                "font.family": ["sans-serif"],
                "font.sans-serif": list(FONTS),
                "font.size": BASE_PT,
                "hatch.linewidth": 0.5,
                "text.color": INK,
                "text.parse_math": False,
                "axes.edgecolor": MUTED,
                "axes.labelcolor": INK,
                "axes.spines.top": False,
                "axes.spines.right": False,
                "axes.linewidth": 0.6,
                "axes.titlesize": BASE_PT + 1,
                "axes.titlelocation": "left",
                "axes.facecolor": PAPER,
                "grid.color": RULE,
                "grid.linewidth": 0.5,
                "xtick.color": MUTED,
                "ytick.color": MUTED,
                "xtick.labelcolor": INK,
                "ytick.labelcolor": INK,
                "xtick.labelsize": SMALL_PT,
                "ytick.labelsize": SMALL_PT,
                "legend.fontsize": SMALL_PT,
                "legend.frameon": False,
                "figure.facecolor": PAPER,
                "savefig.facecolor": PAPER,
            }
        )
        yield
