"""Titles and findings of the charts over the grid: heat maps, overview, slices, the frontier."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from rnnprof.advice.recommendation import NEAR_BEST_RATIO
from rnnprof.maxbatch.certify import UNUSABLE
from rnnprof.plain_text import clip, one_line
from rnnprof.report.model import (
    SEEN,
    EdgeAt,
    Measurement,
    Point,
    RunReport,
    SeenEdge,
    is_oom,
    memory_bytes,
    throughput,
)
from rnnprof.report.words.advice import MEMORY_DECIDED
from rnnprof.report.words.certificates import unusable_in_words
from rnnprof.report.words.phrases import counted, sentences, values_in_words, workload_in_words
from rnnprof.runfile.certificates import EdgeStatus
from rnnprof.units import format_bytes, format_rate, format_ratio

SUBJECT_COLUMNS: Final = 60
DEVICE_COLUMNS: Final = 45
NAME_COLUMNS: Final = 40
"""A longer name would push the finding itself out of a title; the footer has it whole."""


def subject_of(report: RunReport) -> str:
    """What was trained, and on which device: below the title of every chart."""
    header = report.run.header
    device = clip(str(header.environment.get("device_name") or "unknown device"), DEVICE_COLUMNS)
    return f"{workload_in_words(header.workload, SUBJECT_COLUMNS)}, on {device}"


def rate_of(measurement: Measurement) -> str:
    """The throughput of a point in a sentence."""
    return format_rate(throughput(measurement), "time steps")


# --- heat maps -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class QuantityWords:
    """The words for a quantity: above its map, in a sentence, and above its colour bar."""

    title: str
    subject: str
    axis: str


MEMORY: Final = QuantityWords("Peak memory", "Peak memory", "peak memory, bytes")
STEP_TIME: Final = QuantityWords("Step time", "Step time", "time of a training step")
TIME_STEPS: Final = QuantityWords("Throughput, time steps/s", "Throughput", "time steps/s")
SEQUENCES: Final = QuantityWords("Throughput, sequences/s", "Throughput", "sequences/s")
MATMUL_SHARE: Final = QuantityWords(
    "Share of a matrix product's rate", "Share of a matrix product's rate",
    "the step's FLOP/s, as a share of a matrix product's",
)  # fmt: skip

PREDICTED_NOTE: Final = "Predicted values are the bytes that the limit counts, by the memory model."
NOT_REQUESTED_NOTE: Final = "A place without a box was not requested."


def too_many_note(points: int) -> str:
    """Below a map whose boxes are too small for numbers."""
    return f"{points:,} points are too many for numbers here: the table has them."


def heat_map_finding(
    report: RunReport,
    subject: str,
    values: Mapping[Point, float],
    full: Callable[[float], str],
    endings: Sequence[tuple[int, str]],
) -> str:
    """The range of a quantity, and how the other points ended.

    Args:
        subject: the quantity, as it begins a sentence.
        values: of the quantity, by point.
        full: a value in a sentence.
        endings: how many points ended in each other way.
    """
    others = [f"{counted(count, 'point')} {ending}" for count, ending in endings]
    clauses = [_range(len(report.points), subject, values, full), ", ".join(others)]
    if subject == MEMORY.subject:
        clauses.append(_certified_in_words(report))
    return sentences(clauses)


def _range(
    points: int, subject: str, values: Mapping[Point, float], full: Callable[[float], str]
) -> str:
    """The least and the greatest value, and where they are."""
    if not values:
        return f"{subject} is known at none of {counted(points, 'point')}"
    low, high = min(values, key=lambda p: values[p]), max(values, key=lambda p: values[p])
    if values[low] == values[high]:
        others = f" and {counted(len(values) - 1, 'point')} more" if len(values) > 1 else ""
        return f"{subject} is {full(values[low])} at {low}{others}"
    return (
        f"{subject} is between {full(values[low])} at {low} and {full(values[high])} at {high}, "
        f"known at {len(values)} of {counted(points, 'point')}"
    )


def _certified_in_words(report: RunReport) -> str:
    """The largest batch at the longest T that has a certificate of it."""
    proven = [e.certificate for e in report.edges if e.is_certified and e.certificate is not None]
    return _largest(proven[-1].batch, proven[-1].time_steps, report) if proven else ""


def _largest(batch: int | None, time_steps: int, report: RunReport) -> str:
    limit = format_bytes(report.limit_bytes)
    return f"B={batch} is the largest that fits at T={time_steps} under {limit}"


# --- the overview --------------------------------------------------------------------------------

SIMULATED_RATES: Final = "Throughput: simulated, no kernel ran"


def overview_clauses(report: RunReport) -> list[str]:
    """What fits and what is recommended: the overview's title, clause by clause."""
    workload, main = report.run.header.workload, report.advice.main
    name = f"{workload.cell} {workload.input_size}->{workload.hidden_size}"
    if workload.factory is not None:
        name = clip(workload.factory.reference, NAME_COLUMNS)
    elif workload.script is not None:
        name = clip(workload.script.target, NAME_COLUMNS)
    clauses = [f"{name}: {_fits(report)}"]
    if main is not None:
        rate = format_rate(main.time_steps_per_s, "time steps")
        clauses.append(f"recommended at T={main.time_steps}: B={main.batch}, {rate}")
    elif any(each.tied for each in report.advice.recommendations):
        clauses.append(MEMORY_DECIDED)
    return clauses


def _fits(report: RunReport) -> str:
    limit = format_bytes(report.limit_bytes)
    fitting = [edge for edge in report.edges if edge.fits is not None]
    failing = [edge for edge in report.edges if edge.fails is not None]
    if not fitting:
        return f"nothing tried fits under {limit}" if failing else "no point was measured"
    longest = fitting[-1]
    certificate = longest.certificate
    if certificate is not None and certificate.status in UNUSABLE:
        return f"T={longest.time_steps} is {unusable_in_words(certificate)}"
    if certificate is not None and longest.is_certified:
        return _largest(certificate.batch, longest.time_steps, report)
    fits = f"up to B={longest.fits} fits at T={longest.time_steps} under {limit}"
    return fits + _but(longest, failing)


def _but(longest: SeenEdge, failing: Sequence[SeenEdge]) -> str:
    """What the reader would otherwise conclude wrongly about the longest T."""
    fails, fits = longest.fails, longest.fits or 0
    if fails is not None and fails.point.batch < fits:
        return f", though B={fails.point.batch} was out of memory"
    beyond = [edge.time_steps for edge in failing if edge.time_steps > longest.time_steps]
    if beyond:
        return f", none at T={beyond[0]}"
    return ", the largest tried" if longest.is_largest and fails is None else ""


def footer(report: RunReport, columns: int) -> list[str]:
    """Workload, device and versions, a line each of at most *columns*."""
    environment, torch = report.run.environment, report.run.environment.get("torch")
    made = [environment.get("device_name"), torch and f"torch {torch}"]
    made.append(f"rnnprof {report.run.rnnprof_version}")
    facts = ", ".join(one_line(str(fact)) for fact in made if fact)
    return [workload_in_words(report.run.header.workload, columns), clip(facts, columns)]


# --- slices --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Slice:
    """One line of a chart of slices: its name, ``T=64``, and what is known along it.

    Attributes:
        along: ``B`` or ``T``, the axis of x; *value*: of it at a point.
    """

    name: str
    along: str
    value: Callable[[Point], int]
    known: Sequence[Measurement]

    def at(self, measurement: Measurement) -> str:
        """``B=8``: where on the line a point is."""
        return f"{self.along}={self.value(measurement.point)}"


def slices_title(along: str, across: str, shown: int, of: int) -> str:
    """The title of a chart of slices along B or T."""
    over = "batch B" if along == "B" else "time steps T"
    some = f", {shown} of {of} {across} shown" if shown < of else ""
    return f"Throughput and peak memory over {over}{some}"


def slices_finding(report: RunReport, along: str, line: Slice | None) -> str:
    """Throughput and memory along one line, and what is out of memory.

    Args:
        along: ``B`` or ``T``, the axis of x.
        line: the one to describe; None where none is drawn.
    """
    clauses = [] if line is None else [*_rates(report, line), *_peaks(report, line)]
    ooms = [point for point, m in report.measurements.items() if is_oom(m)]
    if ooms:
        sizes = {point: (point.batch, point.time_steps) for point in ooms}
        smallest = min(ooms, key=lambda point: sizes[point] if along == "B" else sizes[point][::-1])
        how_many = f"{len(ooms)} of {len(report.points)} points"
        clauses.append(f"{how_many} are out of memory, the smallest in {along} at {smallest}")
    return sentences(clauses)


def _rates(report: RunReport, line: Slice) -> Iterator[str]:
    known = [m for m in line.known if throughput(m) is not None]
    if not known:
        return
    first, best = known[0], max(known, key=lambda m: throughput(m) or 0.0)
    if first is best:
        yield f"at {line.name} throughput is highest at {line.at(best)}, {rate_of(best)}"
    else:
        yield (
            f"at {line.name} throughput rises from {rate_of(first)} at {line.at(first)} to "
            f"{rate_of(best)} at {line.at(best)}"
        )
    knees = [m.point for m in line.known if m.point in report.knees]
    if line.along == "B" and knees:
        near = format_ratio(NEAR_BEST_RATIO)
        yield f"B={knees[0].batch} is the smallest batch within {near} of the best there"


def _peaks(report: RunReport, line: Slice) -> Iterator[str]:
    known = [(m, peak) for m in line.known if (peak := memory_bytes(m)) is not None]
    if not known:
        return
    (first, low), (last, high) = known[0], known[-1]
    limit = f"the limit is {format_bytes(report.limit_bytes)}"
    if first is last:
        yield f"the peak memory is {format_bytes(low)} at {first.point}; {limit}"
        return
    yield (
        f"the peak memory goes from {format_bytes(low)} at {line.at(first)} to "
        f"{format_bytes(high)} at {line.at(last)}; {limit}"
    )


# --- the frontier --------------------------------------------------------------------------------


def frontier_title(report: RunReport) -> str:
    """The title of the frontier."""
    return f"Largest batch that fits under {format_bytes(report.limit_bytes)}, by time steps"


def frontier_finding(report: RunReport) -> str:
    """The largest batch over T: certified, not certified and safe."""
    limit = format_bytes(report.limit_bytes)
    clauses = (
        *_certified(report.largest, limit), *_others(report.largest),
        *_between(report.largest, limit), *_safe(report),
    )  # fmt: skip
    return sentences(clauses)


def _certified(places: Sequence[EdgeAt], limit: str) -> Iterator[str]:
    known = [place for place in places if place.kind == EdgeStatus.CERTIFIED]
    if not known:
        return
    first, last = known[0], known[-1]
    if first is last:
        yield f"the largest batch that fits under {limit} at T={first.time_steps} is B={first.fits}"
        return
    goes = "falls" if (first.fits or 0) > (last.fits or 0) else "goes"
    yield (
        f"the largest batch that fits under {limit} {goes} from B={first.fits} at "
        f"T={first.time_steps} to B={last.fits} at T={last.time_steps}, certified at "
        f"{len(known)} of {len(places)} T"
    )


NOT_CERTIFIED: Final = {
    EdgeStatus.CAPPED: "even the largest batch requested fits at",
    EdgeStatus.NOTHING_FITS: "nothing fits at",
    EdgeStatus.UNSUPPORTED: "the library does not support",
    EdgeStatus.NON_MONOTONE: "a batch fits above one that is out of memory at",
    EdgeStatus.NOT_STATIONARY: "each training step leaves memory behind at",
    EdgeStatus.BATCH_NOT_USED: "a training step does not use the batch at",
    EdgeStatus.INDETERMINATE: "the largest batch is not certified at",
}


def _others(places: Sequence[EdgeAt]) -> Iterator[str]:
    """The T at which no largest batch is certified, by why."""
    for kind, words in NOT_CERTIFIED.items():
        time_steps = [place.time_steps for place in places if place.kind == kind]
        if time_steps:
            yield f"{words} {values_in_words('T', time_steps)}"


def _between(places: Sequence[EdgeAt], limit: str) -> Iterator[str]:
    """What the grid shows where there is no certificate."""
    known = [place for place in places if place.kind == SEEN]
    both = [place for place in known if len(place.batches) == 2]
    fitting = [place for place in known if place.fits is not None]
    if both:
        last = both[-1]
        yield (
            f"no largest batch is certified here, but under {limit} at T={last.time_steps} the "
            f"grid shows that B={last.fits} fits and B={last.fails} is out of memory"
        )
    elif fitting:
        last = fitting[-1]
        yield f"under {limit} B={last.fits}, the largest tried, fits at T={last.time_steps}"
    elif known:
        yield f"nothing that was tried fits under {limit}"


def _safe(report: RunReport) -> Iterator[str]:
    each = [f"B={safe.batch} at T={safe.time_steps}" for safe in report.safe]
    if each:
        few = each if len(each) <= 2 else [each[0], each[-1]]
        free = format_ratio(report.headroom_ratio)
        yield f"with {free} of the limit kept free, the largest safe batch is {' and '.join(few)}"
