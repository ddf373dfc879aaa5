"""Several runs side by side: where their identities differ, and the points they share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final

from rnnprof.plain_text import clip
from rnnprof.points.measurement import Measurement
from rnnprof.report.html.blocks import PageBlock, PageRun, fact, flat_facts
from rnnprof.report.html.points_table import MEMORY, TIME, PointQuantity
from rnnprof.report.html.tables import (
    Cell,
    Column,
    Filled,
    Table,
    as_ratio,
    figures,
    integers,
    words,
)
from rnnprof.report.model import RunReport, flags
from rnnprof.report.words.outcomes import OUTCOMES
from rnnprof.report.words.page import DIFFERENCES, NO_COMMON_POINT, RUNS_AGREE, common_caption
from rnnprof.runfile.codec import encode
from rnnprof.runfile.points import Outcome, Point

RUN_COLUMNS: Final = 28
"""A run's name in the head of a column, at most."""


def _identity(report: RunReport) -> dict[str, str]:
    """Everything in which two runs may differ, by name."""
    run = report.run
    whole = {
        "rnnprof": run.rnnprof_version,
        "limit_bytes": run.limit_bytes,
        "environment": encode(run.environment),
        "workload": encode(run.header.workload),
        "settings": encode(run.requests[-1].settings) if run.requests else {},
    }
    return {name: fact(name, value) for name, value in flat_facts(whole).items()}


def differing_facts(page_runs: Sequence[PageRun]) -> dict[str, list[str | None]]:
    """What differs between the runs, by name in a fixed order: its value in each."""
    identities = [_identity(page_run.report) for page_run in page_runs]
    names = dict.fromkeys(name for identity in identities for name in identity)
    values = {name: [identity.get(name) for identity in identities] for name in names}
    return {name: each for name, each in values.items() if len(set(each)) > 1}


def differences_section(page_runs: Sequence[PageRun]) -> PageBlock:
    """Where the runs' identities differ, and the points that all of them have."""
    reports = [page_run.report for page_run in page_runs]
    names = [clip(report.name, RUN_COLUMNS) for report in reports]
    common = [p for p in reports[0].points if all(p in each.measurements for each in reports)]
    tables, sentences = [], []
    if differing := differing_facts(page_runs):
        columns = [words("what", "what", list(differing))]
        for number, name in enumerate(names):
            columns.append(words(name, name, [each[number] for each in differing.values()], "text"))
        tables.append(Table.of("identity-table", DIFFERENCES, columns))
    else:
        sentences.append(RUNS_AGREE)
    if common:
        caption, columns = (
            common_caption(len(common), names[0]),
            list(_columns(reports, names, common)),
        )
        tables.append(Table.of("differences-table", caption, columns, "differences.csv"))
    else:
        sentences.append(NO_COMMON_POINT)
    return PageBlock(sentences=tuple(sentences), tables=tuple(tables))


def _columns(
    reports: Sequence[RunReport], names: Sequence[str], common: Sequence[Point]
) -> Iterator[Filled]:
    yield integers("T", "time_steps", [point.time_steps for point in common])
    yield integers("B", "batch", [point.batch for point in common])
    known = [[report.measurements[point] for point in common] for report in reports]
    yield from _compared(names, known, MEMORY)
    yield from _compared(names, known, TIME)


def _compared(
    names: Sequence[str], known: Sequence[Sequence[Measurement]], quantity: PointQuantity
) -> Iterator[Filled]:
    """The quantity in each run, and its ratio to the first run's."""
    values = [quantity.values(measurements) for measurements in known]
    scale = quantity.scale([v for column in values for v in column if v is not None])
    for number, name in enumerate(names):
        key = f"{quantity.key}_{number + 1}"
        head = Column(f"{quantity.head}, {name}", key, scale.unit, "number")
        pairs = zip(known[number], values[number], strict=True)
        yield head, [_cell(scale.cell(value), quantity, each) for each, value in pairs]
        if number:
            ratios = [_ratio(a, b) for a, b in zip(values[number], values[0], strict=True)]
            yield figures("ratio", f"{quantity.key}_ratio_{number + 1}", ratios, as_ratio)


def _cell(cell: Cell, quantity: PointQuantity, measurement: Measurement) -> Cell:
    """The number with its flags, or how the point ended."""
    if measurement.outcome is not Outcome.MEASURED:
        return Cell(OUTCOMES[measurement.outcome].cell, "")
    marks = flags(measurement) if quantity is TIME and cell.value else ""
    return replace(cell, text=f"{cell.text} {marks}") if marks else cell


def _ratio(value: float | None, first: float | None) -> float | None:
    return value / first if value is not None and first else None
