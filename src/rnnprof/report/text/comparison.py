"""Two runs side by side as text: what differs first, then the headline, then every point."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from typing import Any, Final

from rnnprof.compare.comparison import (
    ALIKE_RATIO,
    Change,
    Changed,
    EdgeComparison,
    PointComparison,
    RunComparison,
)
from rnnprof.compare.reasons import Affects
from rnnprof.maxbatch.certify import Proof
from rnnprof.plain_text import WIDTH, clip
from rnnprof.points.fold import MIN_PROCESSES
from rnnprof.report.words import say
from rnnprof.report.words.certificates import certificate_in_words
from rnnprof.runfile.codec import encode
from rnnprof.runfile.points import Outcome
from rnnprof.units import format_bytes, format_seconds

MEANING: Final = {
    Affects.EVERYTHING: "the runs cannot be compared",
    Affects.TIME: "times cannot be compared",
    Affects.LIMIT: "largest batches cannot be compared",
    Affects.NOTHING: "with no effect on the comparison",
}

TIME_WORDS: Final = {
    Changed.MORE: "slower", Changed.LESS: "faster", Changed.ALIKE: "alike", Changed.OPEN: "open",
}  # fmt: skip

MOST_REASONS: Final = 3

LEGEND: Final = (
    "time: slower or faster where the hypothesis of no change is rejected at 5%, by Holm over all "
    f"points; alike where the change lies within {ALIKE_RATIO:.0%}; else open. finds: the smallest "
    "slowdown that four of five such comparisons would detect."
)


def comparison_in_words(comparison: RunComparison) -> str:
    """The comparison as text of at most 80 columns."""
    blocks = [
        list(_differences(comparison)),
        [_headline(comparison)],
        list(_points(comparison.points)),
        list(_frontier(comparison.frontier)),
        list(_slope(comparison.slope_bytes)),
    ]
    return "\n\n".join("\n".join(block) for block in blocks if block)


def comparison_document(comparison: RunComparison, base: str, new: str) -> dict[str, Any]:
    """The comparison as one JSON object; sizes in bytes, times in seconds.

    Args:
        comparison: of the two runs.
        base, new: paths of the baseline and the run.
    """
    fields: dict[str, Any] = encode(comparison)
    for point, each in zip(fields["points"], comparison.points, strict=True):
        point["time"]["reason"] = None if each.time.reason is None else say(each.time.reason)
    return {"base": base, "new": new, **fields}


def _differences(comparison: RunComparison) -> Iterator[str]:
    if not comparison.differences:
        yield "The runs are of the same workload, limit and environment."
    for affects in Affects:
        found = [each for each in comparison.differences if each.affects is affects]
        if found:
            yield f"Different, {MEANING[affects]}:"
            yield from (f"  {clip(say(each), WIDTH - 2)}" for each in found)


def _headline(comparison: RunComparison) -> str:
    ratio, count = comparison.time_ratio, comparison.points_timed
    if ratio is None:
        return "No point was timed in both runs."
    points = f"{count} points" if count > 1 else "1 point"
    text = (
        f"Step time: {_percent(ratio)} over the baseline (geometric mean of {points}). Each point "
        f"with {MIN_PROCESSES} or more quiet processes on both sides has an interval."
    )
    return textwrap.fill(text, WIDTH)


def _points(points: Sequence[PointComparison]) -> Iterator[str]:
    if not points:
        return
    columns = f"{'step time':>21} {'change, 95%':>22} {'time':>6} {'finds':>6} {'peak':>7}"
    yield f"{'T':>5} {'B':>5} {columns}"
    for each in points:
        yield f"{each.point.time_steps:>5} {each.point.batch:>5} {_row(each)}".rstrip()
    if any(each.verdict is not None for each in points):
        yield ""
        yield textwrap.fill(LEGEND, WIDTH)
        yield from _without_interval(points)


def _without_interval(points: Sequence[PointComparison]) -> Iterator[str]:
    """Why a point that both runs measured has no interval."""
    both = [each for each in points if each.base_outcome is each.new_outcome is Outcome.MEASURED]
    open_ = [(each.point, each.time.reason) for each in both if each.time.reason is not None]
    for point, reason in open_[:MOST_REASONS]:
        text = f"{point} has no interval: {say(reason)}"
        yield textwrap.fill(text, WIDTH, subsequent_indent="  ")
    if len(open_) > MOST_REASONS:
        yield f"and {len(open_) - MOST_REASONS} more points have none"


def _row(each: PointComparison) -> str:
    outcomes = (each.base_outcome, each.new_outcome)
    if outcomes != (Outcome.MEASURED, Outcome.MEASURED):
        return "  " + " -> ".join(o.value.replace("_", " ") if o else "missing" for o in outcomes)
    time = each.time
    times = f"{format_seconds(time.base_s)} -> {format_seconds(time.new_s)}"
    change = "-" if time.ratio is None else _percent(time.ratio)
    if time.interval is not None:
        change += f" [{_percent(time.interval[0])}, {_percent(time.interval[1])}]"
    memory = each.charged_bytes.ratio
    peak = "-" if memory is None else _percent(memory)
    return f"{times:>21} {change:>22} {_time_verdict(each):>6} {_finds(each):>6} {peak:>7}"


def _time_verdict(each: PointComparison) -> str:
    return "-" if each.verdict is None else TIME_WORDS[each.verdict.time]


def _finds(each: PointComparison) -> str:
    """The smallest slowdown that would have been found."""
    ratio = each.verdict.detectable_ratio if each.verdict else None
    return "-" if ratio is None else _percent(1 + ratio)


def _frontier(edges: Sequence[EdgeComparison]) -> Iterator[str]:
    if edges:
        yield "Largest batch:"
    for edge in edges:
        yield f"  T={edge.time_steps}: {_edge(edge.base)} -> {_edge(edge.new)}"


def _edge(certificate: Proof | None) -> str:
    if certificate is None:
        return "not searched"
    if certificate.batch is not None and certificate.fails is not None:
        return str(certificate.batch)
    return clip(certificate_in_words(certificate), WIDTH // 2)


def _slope(slope: Change) -> Iterator[str]:
    if slope.base is None or slope.new is None or slope.ratio is None:
        return
    yield (
        f"A time step of a sequence takes {format_bytes(slope.base)} -> {format_bytes(slope.new)} "
        f"({_percent(slope.ratio)})"
    )


def _percent(ratio: float) -> str:
    """``+3.1%`` for a ratio of 1.031."""
    return f"{(ratio - 1) * 100:+.1f}%"
