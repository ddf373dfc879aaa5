"""What the page is made of, for its template: figures, facts, sections."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from markupsafe import Markup

from rnnprof.plain_text import printable
from rnnprof.report.html.inline_svg import inline_svg
from rnnprof.report.html.tables import NARROW_SPACE, Table, grouped
from rnnprof.report.model import RunReport
from rnnprof.report.text.command import repetition
from rnnprof.report.trust import judge_run
from rnnprof.report.words import say
from rnnprof.report.words.command import TO_REPEAT
from rnnprof.report.words.decision import decision
from rnnprof.report.words.page import NOT_DRAWN, SECTIONS
from rnnprof.units import format_bytes

SHOWN_SPACES: Final = frozenset({"\n", "\N{NO-BREAK SPACE}", NARROW_SPACE})
"""What may be in a page though it prints nothing."""


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
        command: repeats the run; empty where there is none.
        charts: by name; any may be missing.
        remark: what stands above the command, or in its place.
    """

    report: RunReport
    decision: tuple[str, ...]
    verdict: str
    verdict_reasons: tuple[str, ...]
    command: str
    charts: Mapping[str, DrawnChart]
    remark: str = TO_REPEAT

    @classmethod
    def of(cls, report: RunReport, charts: Mapping[str, DrawnChart]) -> PageRun:
        """A run and its charts; all else is derived from the report."""
        judgement, how = judge_run(report), repetition(report)
        return cls(
            report=report,
            decision=decision(report),
            verdict=judgement.verdict.value,
            verdict_reasons=tuple(map(say, judgement.reasons)),
            command=how.command,
            charts=charts,
            remark=how.remark,
        )


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
        command_head: what the command is for; alone where there is none.
    """

    run: str = ""
    sentences: tuple[str, ...] = ()
    items: tuple[tuple[str, str], ...] = ()
    facts: tuple[FactList, ...] = ()
    tables: tuple[Table, ...] = ()
    command: str = ""
    command_head: str = ""


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


def finalized(value: object) -> object:
    """What a template prints: text made printable, and markup as it is."""
    if not isinstance(value, str) or isinstance(value, Markup):
        return value
    return printable(value, SHOWN_SPACES)


Telling = Callable[[PageRun, str], PageBlock]
"""A run's share of a section; the suffix keeps the ids of several runs apart."""


def section_of(
    name: str,
    page_runs: Sequence[PageRun],
    telling: Telling | None = None,
    chart_names: Sequence[str] = (),
    *,
    has_switch: bool = False,
) -> Section:
    """A section: its charts, and below them its words and tables.

    Args:
        name: of :data:`~rnnprof.report.words.page.SECTIONS`.
        telling: makes each run's share; without it charts that are all missing are explained.
        has_switch: of its charts one is looked at at a time.
    """
    rows = tuple(row for each in chart_names if (row := figure_row(each, page_runs)))
    blocks = [PageBlock(sentences=(NOT_DRAWN[name],))] if not rows and telling is None else []
    for number, page_run in enumerate(page_runs if telling else ()):
        assert telling is not None
        block = telling(page_run, "" if len(page_runs) == 1 else f"-{number + 1}")
        blocks.append(replace(block, run=run_name(page_runs, number)))
    return Section(name, SECTIONS[name], rows, tuple(blocks), has_switch and len(rows) > 1)


# --- charts --------------------------------------------------------------------------------------


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
    """Each fact as a name and a text, nested ones named by their path."""
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
    """A fact as text; *name* says whether it is a size."""
    if value is None:
        return "none"
    if name.endswith(BYTES) and isinstance(value, int):
        return bytes_in_full(value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def bytes_in_full(size_bytes: int) -> str:
    """``512 MiB (536 870 912 bytes)``."""
    return f"{format_bytes(size_bytes)} ({grouped(size_bytes, 0)} bytes)"
