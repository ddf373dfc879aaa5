"""Two runs side by side as text: what differs first, then the headline, then every point."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from typing import Final

from rnnprof.compare.comparison import (
    Change,
    EdgeComparison,
    PointComparison,
    RunComparison,
)
from rnnprof.compare.reasons import Affects
from rnnprof.maxbatch.certify import Proof
from rnnprof.plain_text import WIDTH, clip, one_line
from rnnprof.report.words import say
from rnnprof.report.words.certificates import certificate_in_words
from rnnprof.report.words.compare import (
    COMPARISON_LEGEND,
    LARGEST_HEAD,
    MEANING,
    NO_TIMES,
    NOT_SEARCHED,
    SAME_RUNS,
    TIME_WORDS,
    headline,
    more_without,
    percent,
    slope_in_words,
    without_interval,
)
from rnnprof.runfile.points import Outcome
from rnnprof.units import format_seconds

MOST_REASONS: Final = 3

MOST_LINES: Final = 6
"""Of one difference."""


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


def _differences(comparison: RunComparison) -> Iterator[str]:
    if not comparison.differences:
        yield SAME_RUNS
    for affects in Affects:
        found = [each for each in comparison.differences if each.affects is affects]
        if found:
            yield f"Different, {MEANING[affects]}:"
            for each in found:
                yield from _listed(say(each))


def _listed(text: str) -> list[str]:
    """A difference on a few lines: two long command lines may differ at their ends."""
    return textwrap.wrap(
        one_line(text), WIDTH, initial_indent="  ", subsequent_indent="    ",
        max_lines=MOST_LINES, placeholder=" ...", break_on_hyphens=False,
    )  # fmt: skip


def _headline(comparison: RunComparison) -> str:
    ratio, count = comparison.time_ratio, comparison.points_timed
    if ratio is None:
        return NO_TIMES
    return textwrap.fill(headline(ratio, count), WIDTH)


def _points(points: Sequence[PointComparison]) -> Iterator[str]:
    if not points:
        return
    columns = f"{'step time':>21} {'change, 95%':>22} {'time':>6} {'finds':>6} {'peak':>7}"
    yield f"{'T':>5} {'B':>5} {columns}"
    for each in points:
        yield f"{each.point.time_steps:>5} {each.point.batch:>5} {_row(each)}".rstrip()
    if any(each.verdict is not None for each in points):
        yield ""
        yield textwrap.fill(COMPARISON_LEGEND, WIDTH)
        yield from _without_interval(points)


def _without_interval(points: Sequence[PointComparison]) -> Iterator[str]:
    """Why a point that both runs measured has no interval."""
    both = [each for each in points if each.base_outcome is each.new_outcome is Outcome.MEASURED]
    open_ = [(each.point, each.time.reason) for each in both if each.time.reason is not None]
    for point, reason in open_[:MOST_REASONS]:
        yield textwrap.fill(without_interval(point, reason), WIDTH, subsequent_indent="  ")
    if len(open_) > MOST_REASONS:
        yield more_without(len(open_) - MOST_REASONS)


def _row(each: PointComparison) -> str:
    outcomes = (each.base_outcome, each.new_outcome)
    if outcomes != (Outcome.MEASURED, Outcome.MEASURED):
        return "  " + " -> ".join(o.value.replace("_", " ") if o else "missing" for o in outcomes)
    time = each.time
    times = f"{format_seconds(time.base_s)} -> {format_seconds(time.new_s)}"
    change = "-" if time.ratio is None else percent(time.ratio)
    if time.interval is not None:
        change += f" [{percent(time.interval[0])}, {percent(time.interval[1])}]"
    memory = each.charged_bytes.ratio
    peak = "-" if memory is None else percent(memory)
    return f"{times:>21} {change:>22} {_time_verdict(each):>6} {_finds(each):>6} {peak:>7}"


def _time_verdict(each: PointComparison) -> str:
    return "-" if each.verdict is None else TIME_WORDS[each.verdict.time]


def _finds(each: PointComparison) -> str:
    """The smallest slowdown that would have been found."""
    ratio = each.verdict.detectable_ratio if each.verdict else None
    return "-" if ratio is None else percent(1 + ratio)


def _frontier(edges: Sequence[EdgeComparison]) -> Iterator[str]:
    if edges:
        yield LARGEST_HEAD
    for edge in edges:
        yield f"  T={edge.time_steps}: {_edge(edge.base)} -> {_edge(edge.new)}"


def _edge(certificate: Proof | None) -> str:
    if certificate is None:
        return NOT_SEARCHED
    if certificate.batch is not None and certificate.fails is not None:
        return str(certificate.batch)
    return clip(certificate_in_words(certificate), WIDTH // 2)


def _slope(slope: Change) -> Iterator[str]:
    if slope.base is None or slope.new is None or slope.ratio is None:
        return
    yield slope_in_words(slope.base, slope.new, slope.ratio)
