"""Every point of the runs, in one table."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from rnnprof.advice.recommendation import half_interval_ratio
from rnnprof.points.fold import by_point
from rnnprof.points.measurement import Measurement
from rnnprof.report.html.blocks import (
    BLANK,
    NOTHING,
    UNKNOWN,
    Cell,
    Column,
    PageBlock,
    PageRun,
    Table,
)
from rnnprof.report.html.scales import (
    Scale,
    Values,
    bytes_scale,
    integer,
    rate_scale,
    seconds_scale,
    share_scale,
)
from rnnprof.report.model import RunReport, flags, memory_bytes, throughput
from rnnprof.report.text.pieces import TRAINING_PHASES
from rnnprof.runfile.observations import Observation
from rnnprof.runfile.points import Outcome, Point
from rnnprof.runfile.records import KIND_OF

# --- the page ------------------------------------------------------------------------------------


def text_of(value: str | None) -> Cell:
    return Cell(value) if value else UNKNOWN


def remark(value: str | None) -> Cell:
    return Cell(value) if value else NOTHING


@dataclass(frozen=True, slots=True)
class PointQuantity:
    """A column of numbers of the points' measurements."""

    head: str
    key: str
    value: Callable[[Measurement], float | None]
    scale: Callable[[Values], Scale]

    def column(self, measurements: Sequence[Measurement | None]) -> tuple[Column, list[Cell]]:
        """The head and a cell for each; a point that was not reached has none."""
        values = [None if each is None else self.value(each) for each in measurements]
        scale = self.scale([value for value in values if value is not None])
        head = Column(self.head, self.key, scale.unit, "number")
        return head, [scale.cell(value) for value in values]


# --- points --------------------------------------------------------------------------------------

TIME: Final = PointQuantity("step time", "step_time_s", lambda m: m.step_time_s, seconds_scale)


def _phase_time_s(phase: str, measurement: Measurement) -> float | None:
    return measurement.phase_times_s.get(phase)


SPEED: Final = (
    PointQuantity("±", "half_interval_ratio", half_interval_ratio, share_scale),
    *(
        PointQuantity(phase, f"{phase}_s", partial(_phase_time_s, phase), seconds_scale)
        for phase in TRAINING_PHASES
    ),
    PointQuantity("time steps", "time_steps_per_s", throughput, rate_scale),
    PointQuantity("sequences", "sequences_per_s", lambda m: m.sequences_per_s, rate_scale),
    PointQuantity(
        "of matmul rate", "matmul_share_ratio", lambda m: m.matmul_share_ratio,
        share_scale,
    ),
)  # fmt: skip

MEMORY: Final = PointQuantity("memory", "peak_charged_bytes", memory_bytes, bytes_scale)

PEAKS: Final = (
    MEMORY,
    PointQuantity(
        "allocated", "peak_allocated_bytes", lambda m: m.peak_allocated_bytes, bytes_scale
    ),
    PointQuantity("reserved", "peak_reserved_bytes", lambda m: m.peak_reserved_bytes, bytes_scale),
    PointQuantity("process", "peak_process_bytes", lambda m: m.peak_process_bytes, bytes_scale),
)

OUTCOMES: Final = {
    Outcome.MEASURED: "measured",
    Outcome.OOM: "OOM",
    Outcome.IMPLIED_OOM: "OOM, implied",
    Outcome.UNSUPPORTED: "unsupported",
    Outcome.TIMEOUT: "timeout",
    Outcome.CRASHED: "crashed",
    Outcome.FAILED: "failed",
}

FLAGS: Final = "~: the time did not converge; !: it was noisy."

LEGEND: Final = (
    f"{FLAGS} ±: half the interval of the step time, 95% within a process or the range over "
    "processes. Memory: the peak of what the limit counts; allocated, reserved and process: "
    "peaks by the allocator and of the process. Attempts: records of the run file."
)


def points_section(page_run: PageRun, suffix: str) -> PageBlock:
    report = page_run.report
    if not report.points:
        return PageBlock(sentences=("No point was asked for.",))
    known = [report.measurements.get(point) for point in report.points]
    columns = [*_place_columns(report.points, known), *_number_columns(known)]
    columns += _word_columns(report, known)
    # a column of blanks says nothing that the sentence below does not say shorter
    kept = [each for each in columns if any(cell.text not in ("", BLANK) for cell in each[1])]
    missing = [
        head.head for head, cells in columns if head.kind == "number" and (head, cells) not in kept
    ]
    table = Table(
        f"points-table{suffix}",
        f"All {len(known)} points, by T and then by B. {LEGEND}",
        tuple(head for head, _ in kept),
        tuple(zip(*(cells for _, cells in kept), strict=True)),
        f"{report.name}-points.csv",
    )
    left_out = f"Known at no point, and left out: {', '.join(missing)}." if missing else ""
    return PageBlock(sentences=(left_out,) if left_out else (), tables=(table,))


Known = Sequence[Measurement | None]
Columns = Iterator[tuple[Column, list[Cell]]]


def _place_columns(places: Sequence[Point], known: Known) -> Columns:
    yield Column("T", "time_steps", kind="number"), [integer(point.time_steps) for point in places]
    yield Column("B", "batch", kind="number"), [integer(point.batch) for point in places]
    yield Column("outcome", "outcome"), [_outcome(each) for each in known]
    yield Column("in", "phase"), [remark(each.phase if each else None) for each in known]


def _outcome(measurement: Measurement | None) -> Cell:
    if measurement is None:
        return Cell("not reached", "")
    return Cell(OUTCOMES[measurement.outcome], measurement.outcome.value)


def _number_columns(known: Known) -> Columns:
    yield TIME.column(known)
    marks = [remark(flags(each) if each else None) for each in known]
    yield Column("flag", "flags"), marks
    for quantity in (*SPEED, *PEAKS):
        yield quantity.column(known)


def _word_columns(report: RunReport, known: Known) -> Columns:
    attempts = by_point(report.run.observations)
    yield Column("bound by", "bound"), [text_of(each.bound if each else None) for each in known]
    implementations = [text_of(each.implementation if each else None) for each in known]
    yield Column("ran as", "implementation"), implementations
    yield Column("remarks", "remarks", kind="text"), [remark(_remarks(each)) for each in known]
    ids = [remark(_attempts(attempts.get(point, ()))) for point in report.points]
    yield Column("attempts", "attempts", kind="code"), ids


def _remarks(measurement: Measurement | None) -> str:
    if measurement is None:
        return ""
    found = [measurement.reason]
    found += [f"noisy: {measurement.noisy}" if measurement.noisy else None]
    found += [f"{measurement.retries} retries of the allocator"] if measurement.retries else []
    if measurement.outcome is Outcome.MEASURED and measurement.breakdown_reason:
        found.append(f"no breakdown: {measurement.breakdown_reason}")
    return "; ".join(text for text in (*found, *measurement.warnings) if text)


def _attempts(observations: Iterable[Observation]) -> str:
    return ", ".join(f"{KIND_OF[type(each)]} {each.attempt}" for each in observations)
