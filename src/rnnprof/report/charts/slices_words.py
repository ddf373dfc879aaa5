"""What the charts of slices say below themselves."""

from __future__ import annotations

from collections.abc import Iterator

from rnnprof.advice.recommendation import NEAR_BEST_RATIO
from rnnprof.report.charts.slices_lines import MEMORY, OVER_BATCH, Slices, is_oom
from rnnprof.report.model import memory_bytes, throughput
from rnnprof.report.text.pieces import rate_in_words
from rnnprof.units import format_bytes, format_ratio

# --- the sentence --------------------------------------------------------------------------------


def finding(slices: Slices) -> str:
    line = _told_line(slices)
    clauses = [] if line is None else [*_rate_in_words(slices, line), *_peak_in_words(slices, line)]
    clauses += _ooms_in_words(slices)
    return " ".join(f"{clause[0].upper()}{clause[1:]}." for clause in clauses)


def _told_line(slices: Slices) -> int | None:
    """The line that the sentence is about: the recommended one, else the one with most points."""
    if slices.advised is not None and slices.axis.line(slices.advised) in slices.lines:
        return slices.axis.line(slices.advised)
    known = {line: sum(m is not None for m in slices.along(line)) for line in slices.lines}
    return max(slices.lines, key=lambda line: (known[line], line), default=None)


def _rate_in_words(slices: Slices, line: int) -> Iterator[str]:
    axis = slices.axis
    known = [m for m in slices.along(line) if m is not None and throughput(m) is not None]
    if not known:
        return
    first, best = known[0], max(known, key=lambda m: throughput(m) or 0.0)
    at = f"at {axis.across}={line}"
    if first is best:
        rate = rate_in_words(throughput(best))
        yield f"{at} throughput is highest at {axis.along}={axis.place(best.point)}, {rate}"
    else:
        yield (
            f"{at} throughput rises from {rate_in_words(throughput(first))} at "
            f"{axis.along}={axis.place(first.point)} to {rate_in_words(throughput(best))} at "
            f"{axis.along}={axis.place(best.point)}"
        )
    knees = [point for point in slices.knees if axis.line(point) == line]
    if axis is OVER_BATCH and knees:
        near = format_ratio(NEAR_BEST_RATIO)
        yield f"B={knees[0].batch} is the smallest batch within {near} of the best there"


def _peak_in_words(slices: Slices, line: int) -> Iterator[str]:
    axis = slices.axis
    known = [(m, peak) for m in slices.along(line) if m and (peak := memory_bytes(m)) is not None]
    if not known:
        return
    (first, low), (last, high) = known[0], known[-1]
    what = MEMORY
    told = f"; the limit is {format_bytes(slices.report.limit_bytes)}"
    if first is last:
        yield f"the {what} is {format_bytes(low)} at {first.point}{told}"
        return
    yield (
        f"the {what} goes from {format_bytes(low)} at {axis.along}={axis.place(first.point)} to "
        f"{format_bytes(high)} at {axis.along}={axis.place(last.point)}{told}"
    )


def _ooms_in_words(slices: Slices) -> Iterator[str]:
    ooms = [point for point, m in slices.report.measurements.items() if is_oom(m)]
    if ooms:
        smallest = min(ooms, key=lambda point: (slices.axis.place(point), slices.axis.line(point)))
        how_many = f"{len(ooms)} of {len(slices.report.points)} points"
        yield f"{how_many} are out of memory, the smallest in {slices.axis.along} at {smallest}"
