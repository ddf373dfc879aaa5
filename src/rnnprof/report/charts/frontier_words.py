"""What the chart of the frontier says below itself."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rnnprof.report.charts.frontier_places import SEEN, Spot, advised_in
from rnnprof.report.charts.kit.curves import (
    in_words,
)
from rnnprof.report.model import RunReport
from rnnprof.runfile.certificates import EdgeStatus
from rnnprof.units import format_bytes, format_ratio

# --- the sentence --------------------------------------------------------------------------------


def finding(report: RunReport, places: Sequence[Spot]) -> str:
    limit = format_bytes(report.limit_bytes)
    clauses = [
        *_certified(places, limit),
        *_others(places),
        *_seen_in_words(places, limit),
        *_train_in_words(report),
    ]
    return " ".join(f"{clause[0].upper()}{clause[1:]}." for clause in clauses)


def _certified(places: Sequence[Spot], limit: str) -> Iterator[str]:
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


def _others(places: Sequence[Spot]) -> Iterator[str]:
    """The T at which no largest batch is proven, by why."""
    for kind, words in (
        (EdgeStatus.CAPPED, "even the largest batch asked for fits at"),
        (EdgeStatus.NOTHING_FITS, "nothing fits at"),
        (EdgeStatus.UNSUPPORTED, "the library does not support"),
        (EdgeStatus.NON_MONOTONE, "a batch fits above one out of memory at"),
        (EdgeStatus.NOT_STATIONARY, "each training step leaves memory at"),
        (EdgeStatus.BATCH_NOT_USED, "a training step does not use the batch at"),
        (EdgeStatus.INDETERMINATE, "the largest batch is not proven at"),
    ):
        time_steps = [place.time_steps for place in places if place.kind == kind]
        if time_steps:
            yield f"{words} {in_words('T', time_steps)}"


def _seen_in_words(places: Sequence[Spot], limit: str) -> Iterator[str]:
    known = [place for place in places if place.kind == SEEN]
    both = [place for place in known if len(place.batches) == 2]
    fitting = [place for place in known if place.fits is not None]
    if both:
        last = both[-1]
        yield (
            f"no largest batch is certified here, but under {limit} at T={last.time_steps} the "
            f"grid shows B={last.fits} to fit and B={last.fails} to be out of memory"
        )
    elif fitting:
        last = fitting[-1]
        yield f"under {limit} B={last.fits}, the largest tried, fits at T={last.time_steps}"
    elif known:
        yield f"nothing that was tried fits under {limit}"


def _train_in_words(report: RunReport) -> Iterator[str]:
    advised = advised_in(report)
    if advised:
        each = [f"B={advice.batch} at T={advice.time_steps}" for advice in advised]
        few = each if len(each) <= 2 else [each[0], each[-1]]
        free = format_ratio(report.headroom_ratio)
        yield f"with {free} of the limit kept free, the largest safe batch is {' and '.join(few)}"
