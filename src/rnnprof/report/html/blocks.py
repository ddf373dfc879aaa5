"""What the page is made of, for its template: tables, figures, facts, sections."""

from __future__ import annotations

# --- the page ------------------------------------------------------------------------------------
# --- numbers -------------------------------------------------------------------------------------
# --- the page ------------------------------------------------------------------------------------
import json

# --- the page ------------------------------------------------------------------------------------
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any, Final

from markupsafe import Markup

from rnnprof.report.html.inline_svg import inline_svg
from rnnprof.report.model import RunReport
from rnnprof.units import format_bytes

BLANK: Final = "\N{EN DASH}"
"""Stands where nothing is known; in the CSV there is nothing."""

NARROW_SPACE: Final = "\N{NARROW NO-BREAK SPACE}"

SHOWN_SPACES: Final = frozenset({"\n", "\N{NO-BREAK SPACE}", NARROW_SPACE})
"""What may stand in a page though it prints nothing."""


# --- what the page is made of --------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class DrawnChart:
    """A chart as a file.

    Attributes:
        svg: the whole SVG file, as :func:`rnnprof.report.charts.kit.style.rendered` makes it.
    """

    name: str
    title: str
    finding: str
    svg: str


@dataclass(frozen=True, slots=True)
class PageRun:
    """One run of the page.

    Attributes:
        decision: what to do, the sentence that matters first.
        verdict: VALID, NOISY or UNFINISHED.
        command: repeats the run; empty where it is not known.
        charts: by name; any may be missing.
    """

    report: RunReport
    decision: tuple[str, ...]
    verdict: str
    verdict_reasons: tuple[str, ...]
    command: str
    charts: Mapping[str, DrawnChart]


@dataclass(frozen=True, slots=True)
class Cell:
    """What stands in a place of a table.

    Attributes:
        value: by which it sorts and as which it is downloaded; None for the text itself.
    """

    text: str
    value: str | None = None


UNKNOWN: Final = Cell(BLANK, "")
NOTHING: Final = Cell("")
"""Where there is nothing to say, and it is known that there is not."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column's head.

    Attributes:
        key: its name in the CSV, with the unit of the values there.
        unit: of what is shown.
        kind: ``number`` stands to the right, ``code`` in fixed width, ``text`` wraps; or ``word``.
        group: what it stands under with its neighbours; empty for none.
    """

    head: str
    key: str
    unit: str = ""
    kind: str = "word"
    group: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """A table of a section.

    Attributes:
        file: name of its CSV; empty for a table that is neither sorted nor downloaded.
    """

    name: str
    caption: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    file: str = ""

    @property
    def groups(self) -> list[tuple[str, int]]:
        """Each group with the columns that it spans; none where no column has one."""
        if not any(column.group for column in self.columns):
            return []
        runs = groupby(self.columns, key=lambda column: column.group)
        return [(group, len(list(columns))) for group, columns in runs]


@dataclass(frozen=True, slots=True)
class Figure:
    """A chart within the page."""

    name: str
    title: str
    finding: str
    svg: Markup
    run: str


@dataclass(frozen=True, slots=True)
class FigureRow:
    """One chart of every run, side by side; None where a run has none."""

    name: str
    title: str
    figures: tuple[Figure | None, ...]


@dataclass(frozen=True, slots=True)
class FactList:
    """Names and values below a title."""

    title: str
    pairs: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class PageBlock:
    """A run's share of a section.

    Attributes:
        run: its name, where there are several.
        items: a mark (or nothing) and a sentence each.
    """

    run: str = ""
    sentences: tuple[str, ...] = ()
    items: tuple[tuple[str, str], ...] = ()
    facts: tuple[FactList, ...] = ()
    tables: tuple[Table, ...] = ()
    command: str = ""


@dataclass(frozen=True, slots=True)
class Section:
    """A part of the page.

    Attributes:
        name: its id, after ``section-``: charts have their names for ids.
        has_switch: of its charts one is looked at at a time.
    """

    name: str
    title: str
    rows: tuple[FigureRow, ...] = ()
    blocks: tuple[PageBlock, ...] = ()
    has_switch: bool = False


@dataclass(frozen=True, slots=True)
class Head:
    """What is said of a run before all else."""

    name: str
    decision: tuple[str, ...]
    verdict: str
    reasons: tuple[str, ...]
    facts: tuple[tuple[str, str], ...]


def printable(value: object) -> object:
    """Text without what could turn its direction or drive a terminal; markup as it is."""
    if not isinstance(value, str) or isinstance(value, Markup):
        return value
    return "".join(char if char.isprintable() or char in SHOWN_SPACES else "?" for char in value)


Telling = Callable[[PageRun, str], PageBlock]
"""A run's share of a section; the suffix keeps the ids of several runs apart."""


def told_of(
    name: str,
    title: str,
    page_runs: Sequence[PageRun],
    telling: Telling,
    chart_names: Sequence[str] = (),
) -> Section:
    """A section of words and tables, below its charts if it has any."""
    rows = tuple(row for each in chart_names if (row := figure_row(each, page_runs)))
    blocks = []
    for number, page_run in enumerate(page_runs):
        block = telling(page_run, "" if len(page_runs) == 1 else f"-{number + 1}")
        blocks.append(replace(block, run=run_name(page_runs, number)))
    return Section(name, title, rows, tuple(blocks))


# --- charts --------------------------------------------------------------------------------------

NOT_DRAWN: Final = {
    "grid": "No point of the grid was measured or ran out of memory, so there is nothing to draw.",
    "frontier": "There is no certificate to draw: profile without --no-certify, or run max-batch, "
    "proves the largest batch at each T.",
    "slices": "No point was measured, so there is no slice to draw.",
    "memory": "No memory pass told what the peak is made of: profile makes one at each point that "
    "fits.",
    "time": "No step was timed: profile times each point that fits.",
}
"""What stands in a section whose charts are all missing, and how to get them."""


def figure_row(name: str, page_runs: Sequence[PageRun]) -> FigureRow | None:
    """A chart of every run; None where no run has it."""
    known = [page_run.charts[name] for page_run in page_runs if name in page_run.charts]
    if not known:
        return None
    figures = tuple(_figure(name, number, page_runs) for number in range(len(page_runs)))
    return FigureRow(name, known[0].title, figures)


def _figure(name: str, number: int, page_runs: Sequence[PageRun]) -> Figure | None:
    chart = page_runs[number].charts.get(name)
    if chart is None:
        return None
    place = name if len(page_runs) == 1 else f"{name}-{number + 1}"
    svg = inline_svg(chart.svg.encode(), place, chart.finding)
    # the one source of markup: parsed, cleaned of all but drawing, and written anew
    markup = Markup(svg)  # noqa: S704
    return Figure(place, chart.title, chart.finding, markup, run_name(page_runs, number))


def run_name(page_runs: Sequence[PageRun], number: int) -> str:
    """Needed only where there are several."""
    return "" if len(page_runs) == 1 else page_runs[number].report.name


def facts_in_pairs(values: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    return tuple((name, fact(name, value)) for name, value in flat_facts(values).items())


def flat_facts(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested names joined by dots."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping) and value:
            flat |= flat_facts(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = value
    return flat


BYTES: Final = ("_bytes", "memory_limit")
"""Ends of the names of sizes."""


def fact(name: str, value: Any) -> str:
    if value is None:
        return "none"
    if name.endswith(BYTES) and isinstance(value, int):
        return bytes_in_full(value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def bytes_in_full(size_bytes: int) -> str:
    return f"{format_bytes(size_bytes)} ({grouped(size_bytes, 0)} bytes)"


def grouped(value: float, decimals: int) -> str:
    return f"{value:,.{decimals}f}".replace(",", NARROW_SPACE)
