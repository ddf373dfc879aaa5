"""Every point of a run, in one table."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from rnnprof.advice.recommendation import half_interval_ratio
from rnnprof.points.fold import by_point
from rnnprof.points.measurement import Measurement
from rnnprof.report.html.blocks import PageBlock, PageRun
from rnnprof.report.html.tables import (
    BLANK,
    NOTHING,
    Cell,
    Column,
    Filled,
    ScaleOf,
    Table,
    figures,
    in_bytes,
    in_percent,
    in_seconds,
    integers,
    of_each,
    per_second,
    words,
)
from rnnprof.report.model import RunReport, flags, memory_bytes, throughput
from rnnprof.report.words.figures import TRAINING_PHASES
from rnnprof.report.words.outcomes import OUTCOMES
from rnnprof.report.words.page import NO_POINT, left_out, points_caption, remarks
from rnnprof.runfile.observations import Observation
from rnnprof.runfile.records import KIND_OF

Known = Sequence[Measurement | None]


@dataclass(frozen=True, slots=True)
class PointQuantity:
    """A column of figures of the points' measurements."""

    head: str
    key: str
    value: Callable[[Measurement], float | None]
    scale: ScaleOf

    def values(self, measurements: Known) -> list[float | None]:
        """One for each; a point that was not reached has none."""
        return [None if each is None else self.value(each) for each in measurements]


def _phase_time_s(phase: str, measurement: Measurement) -> float | None:
    return measurement.phase_times_s.get(phase)


TIME: Final = PointQuantity("step time", "step_time_s", lambda m: m.step_time_s, in_seconds)
MEMORY: Final = PointQuantity("memory", "peak_charged_bytes", memory_bytes, in_bytes)
NUMBERS: Final = (
    PointQuantity("±", "half_interval_ratio", half_interval_ratio, in_percent),
    *(
        PointQuantity(phase, f"{phase}_s", partial(_phase_time_s, phase), in_seconds)
        for phase in TRAINING_PHASES
    ),
    PointQuantity("time steps", "time_steps_per_s", throughput, per_second),
    PointQuantity("sequences", "sequences_per_s", lambda m: m.sequences_per_s, per_second),
    PointQuantity(
        "of matmul rate", "matmul_share_ratio", lambda m: m.matmul_share_ratio, in_percent
    ),
    MEMORY,
    PointQuantity("allocated", "peak_allocated_bytes", lambda m: m.peak_allocated_bytes, in_bytes),
    PointQuantity("reserved", "peak_reserved_bytes", lambda m: m.peak_reserved_bytes, in_bytes),
    PointQuantity("process", "peak_process_bytes", lambda m: m.peak_process_bytes, in_bytes),
)


def points_section(page_run: PageRun, suffix: str) -> PageBlock:
    """The table of points, without the columns of which nothing is known."""
    report = page_run.report
    if not report.points:
        return PageBlock(sentences=(NO_POINT,))
    columns = list(_columns(report, [report.measurements.get(point) for point in report.points]))
    # a column of blanks says nothing that a sentence does not say shorter
    kept = [each for each in columns if any(cell.text not in ("", BLANK) for cell in each[1])]
    missing = [each[0].head for each in columns if each[0].kind == "number" and each not in kept]
    caption, file = points_caption(len(report.points)), f"{report.name}-points.csv"
    table = Table.of(f"points-table{suffix}", caption, kept, file)
    return PageBlock(sentences=(left_out(missing),) if missing else (), tables=(table,))


def _columns(report: RunReport, known: Known) -> Iterator[Filled]:
    yield integers("T", "time_steps", [point.time_steps for point in report.points])
    yield integers("B", "batch", [point.batch for point in report.points])
    yield Column("outcome", "outcome"), [_outcome(each) for each in known]
    yield words("in", "phase", of_each(known, lambda e: e.phase), blank=NOTHING)
    yield figures(TIME.head, TIME.key, TIME.values(known), TIME.scale)
    yield words("flag", "flags", of_each(known, lambda e: flags(e)), blank=NOTHING)
    for quantity in NUMBERS:
        yield figures(quantity.head, quantity.key, quantity.values(known), quantity.scale)
    yield words("bound by", "bound", of_each(known, lambda e: e.bound))
    yield words("ran as", "implementation", of_each(known, lambda e: e.implementation))
    noted = of_each(known, lambda e: remarks(e))
    yield words("remarks", "remarks", noted, "text", blank=NOTHING)
    attempts = by_point(report.run.observations)
    ids = [_attempts(attempts.get(point, ())) for point in report.points]
    yield words("attempts", "attempts", ids, "code", blank=NOTHING)


def _outcome(measurement: Measurement | None) -> Cell:
    if measurement is None:
        return Cell("not reached", "")
    return Cell(OUTCOMES[measurement.outcome].cell, measurement.outcome.value)


def _attempts(observations: Iterable[Observation]) -> str:
    return ", ".join(f"{KIND_OF[type(each)]} {each.attempt}" for each in observations)
