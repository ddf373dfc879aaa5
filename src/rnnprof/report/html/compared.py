"""Several runs side by side: where their identities differ, and the points they share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from rnnprof.plain_text import clip
from rnnprof.points.measurement import Measurement
from rnnprof.report.html.blocks import (
    Cell,
    Column,
    PageBlock,
    PageRun,
    Table,
    fact,
    flat_facts,
)
from rnnprof.report.html.points_table import (
    FLAGS,
    MEMORY,
    OUTCOMES,
    TIME,
    Columns,
    PointQuantity,
    text_of,
)
from rnnprof.report.html.scales import (
    Scale,
    integer,
    ratio_of,
)
from rnnprof.report.model import flags
from rnnprof.runfile.codec import encode
from rnnprof.runfile.points import Outcome, Point

# --- the page ------------------------------------------------------------------------------------


# --- differences ---------------------------------------------------------------------------------


def _identity(page_run: PageRun) -> dict[str, str]:
    """All that may tell two runs apart, by name."""
    run = page_run.report.run
    header = run.header
    whole = {
        "rnnprof": run.rnnprof_version,
        "limit_bytes": run.limit_bytes,
        "environment": encode(run.environment),
        "workload": encode(header.workload),
        "settings": encode(run.requests[-1].settings) if run.requests else {},
    }
    return {name: fact(name, value) for name, value in flat_facts(whole).items()}


def differing_facts(page_runs: Sequence[PageRun]) -> list[str]:
    """Names of what differs between the runs, in a fixed order."""
    identities = [_identity(page_run) for page_run in page_runs]
    names = dict.fromkeys(name for identity in identities for name in identity)
    return [name for name in names if len({each.get(name) for each in identities}) > 1]


def differences_section(page_runs: Sequence[PageRun]) -> PageBlock:
    common = [
        point
        for point in page_runs[0].report.points
        if all(point in page_run.report.measurements for page_run in page_runs)
    ]
    tables = [_identity_table(page_runs)] if differing_facts(page_runs) else []
    sentences = [] if tables else ["Fingerprint, environment, workload, limit and settings agree."]
    if common:
        tables.append(_points_in_common(page_runs, common))
    else:
        sentences.append("No point was measured in all of these runs.")
    return PageBlock(sentences=tuple(sentences), tables=tuple(tables))


def _identity_table(page_runs: Sequence[PageRun]) -> Table:
    identities = [_identity(page_run) for page_run in page_runs]
    heads = [Column(name, name, kind="text") for name in _short_names(page_runs)]
    rows = [
        (Cell(name), *(text_of(identity.get(name)) for identity in identities))
        for name in differing_facts(page_runs)
    ]
    caption = "What differs between the runs, apart from what was measured."
    return Table("identity-table", caption, (Column("what", "what"), *heads), tuple(rows))


RUN_COLUMNS: Final = 28
"""A run's name in the head of a column, at most."""


def _short_names(page_runs: Sequence[PageRun]) -> list[str]:
    return [clip(page_run.report.name, RUN_COLUMNS) for page_run in page_runs]


def _points_in_common(page_runs: Sequence[PageRun], common: Sequence[Point]) -> Table:
    place = (Column("T", "time_steps", kind="number"), Column("B", "batch", kind="number"))
    columns: list[tuple[Column, list[Cell]]] = [
        (place[0], [integer(point.time_steps) for point in common]),
        (place[1], [integer(point.batch) for point in common]),
        *_compared(page_runs, common, MEMORY),
        *_compared(page_runs, common, TIME),
    ]
    caption = (
        f"The {len(common)} points that all runs have, each against {_short_names(page_runs)[0]}: "
        f"above 1 is more memory or a longer step. {FLAGS}"
    )
    heads = tuple(head for head, _ in columns)
    rows = tuple(zip(*(cells for _, cells in columns), strict=True))
    return Table("differences-table", caption, heads, rows, "differences.csv")


def _compared(
    page_runs: Sequence[PageRun], common: Sequence[Point], quantity: PointQuantity
) -> Columns:
    """The quantity in each run, and its ratio to the first run's."""
    known = [[page_run.report.measurements[point] for point in common] for page_run in page_runs]
    values = [[quantity.value(each) for each in measurements] for measurements in known]
    scale = quantity.scale([v for column in values for v in column if v is not None])
    for number, name in enumerate(_short_names(page_runs)):
        head = Column(
            f"{quantity.head}, {name}", f"{quantity.key}_{number + 1}", scale.unit, "number"
        )
        pairs = zip(known[number], values[number], strict=True)
        yield head, [_compared_cell(scale, quantity, each, value) for each, value in pairs]
        if number:
            ratios = [_ratio(a, b) for a, b in zip(values[number], values[0], strict=True)]
            key = f"{quantity.key}_ratio_{number + 1}"
            ratio_scale = ratio_of(())
            yield Column("ratio", key, "×", "number"), [ratio_scale.cell(r) for r in ratios]


def _compared_cell(
    scale: Scale, quantity: PointQuantity, measurement: Measurement, value: float | None
) -> Cell:
    """The number with its flags, or how the point ended."""
    if measurement.outcome is not Outcome.MEASURED:
        return Cell(OUTCOMES[measurement.outcome], "")
    cell = scale.cell(value)
    marks = flags(measurement) if quantity is TIME and value is not None else ""
    return Cell(f"{cell.text} {marks}", cell.value) if marks else cell


def _ratio(value: float | None, first: float | None) -> float | None:
    return value / first if value is not None and first else None
