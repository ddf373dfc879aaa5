"""What changed over a baseline: memory, and times as far as their processes show it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rnnprof.compare.comparison import (
    PointComparison,
    ProcessMedians,
    TimeChange,
    compare_points,
    differences,
)
from rnnprof.compare.reasons import Affects, Difference
from rnnprof.gate.budget import Growth, MostPeak
from rnnprof.gate.reasons import (
    BaselineIsEmpty,
    BaselinePeakUnknown,
    Comparable,
    NotComparable,
    OnlyInBaseline,
    PeakGrowth,
    TimeGrowth,
    TimesOfFew,
)
from rnnprof.gate.seen import JudgedRun, judge_estimates, judge_finished, peak_of, untimed
from rnnprof.gate.verdicts import Finding, Verdict
from rnnprof.maxbatch.folded import FoldedRun
from rnnprof.reasons import Reason
from rnnprof.runfile.points import Outcome, Point
from rnnprof.stats.estimate import SIGNIFICANCE, Estimate, smallest_detectable_ratio
from rnnprof.stats.statistics import CONFIDENCE


def judge_growth(
    growth: Growth,
    base: FoldedRun,
    seen: JudgedRun,
    *,
    in_turn: bool = False,
    asks_time: bool = True,
) -> tuple[Finding, ...]:
    """How a run grew over its baseline: first whether they compare, then memory, then time.

    Each point that the baseline measured is judged; what only the run has is listed.

    Args:
        growth: what is allowed.
        base: the baseline.
        seen: the run.
        in_turn: both were measured in turn on one machine.
        asks_time: times are judged at every point; else only at those that both runs timed.
    """
    new = seen.folded
    found = differences(base.run, new.run, in_turn=in_turn)
    standing = _of(found, Affects.EVERYTHING)
    if standing:
        return (_not_comparable("comparable", standing),)
    points = compare_points(base, new)
    judged = [each for each in points if each.base_outcome is Outcome.MEASURED]
    present = [each for each in judged if each.new_outcome is Outcome.MEASURED]
    absent = [each for each in judged if each.new_outcome is not Outcome.MEASURED]
    smaller_limit = new.run.limit_bytes < base.run.limit_bytes
    timed = [each for each in present if asks_time or _has_times(each)]
    if new.run.is_simulated:  # no kernel ran
        timed = []
    return (
        _comparable(found, points, judged),
        *judge_finished(base.run, is_baseline=True),
        *(_judge_absent(each.point, seen, smaller_limit=smaller_limit) for each in absent),
        *(_judge_memory(each, growth, seen) for each in present),
        *_judge_times(timed, growth, seen, _of(found, Affects.TIME)),
    )


def _has_times(each: PointComparison) -> bool:
    """Whether both runs timed a point, well or badly."""
    return each.time.base_s is not None and each.time.new_s is not None


def _of(found: Iterable[Difference], affects: Affects) -> list[Difference]:
    return [difference for difference in found if difference.affects is affects]


def _not_comparable(kind: str, standing: Sequence[Difference]) -> Finding:
    return Finding(kind, "", Verdict.NOT_COMPARABLE, NotComparable(tuple(standing)))


def _comparable(
    found: Sequence[Difference],
    points: Sequence[PointComparison],
    judged: Sequence[PointComparison],
) -> Finding:
    """That two runs compare, and what else to know of them."""
    if not judged:
        return Finding("comparable", "", Verdict.INCONCLUSIVE, BaselineIsEmpty())
    measured = {each.point for each in judged}
    fresh = tuple(
        each.point
        for each in points
        if each.new_outcome is Outcome.MEASURED and each.point not in measured
    )
    reason = Comparable(len(judged), tuple(found), fresh)
    return Finding("comparable", "", Verdict.PASS, reason)


def _judge_absent(point: Point, seen: JudgedRun, *, smaller_limit: bool) -> Finding:
    """A point that the baseline measured and the run did not."""
    verdict, cause = seen.absence(point)
    measurement = seen.points.get(point)
    is_oom = measurement is not None and measurement.outcome in (Outcome.OOM, Outcome.IMPLIED_OOM)
    reason = OnlyInBaseline(cause, is_limit_smaller=is_oom and smaller_limit)
    if reason.is_limit_smaller:
        verdict = Verdict.NOT_COMPARABLE
    return Finding("memory_growth", str(point), verdict, reason, "bytes")


def _judge_memory(each: PointComparison, growth: Growth, seen: JudgedRun) -> Finding:
    """The peak, as it is: the larger of the two allowances holds.

    Of the allocated bytes where both runs know them, since they hardly vary; else of what the limit
    counts, which every fit pass reports.
    """
    kind, change = "allocated", each.allocated_bytes
    if change.base is None or change.new is None:
        kind, change = "charged", each.charged_bytes
    base, new, where = change.base, change.new, str(each.point)
    reason: Reason
    if new is None or base is None:
        verdict, reason = _peak_unknown(each, seen)
        return Finding("memory_growth", where, verdict, reason, "bytes", new, baseline=base)
    allowed = max(growth.memory_ratio * base, growth.memory_bytes)
    most = base + allowed
    verdict = Verdict.PASS if new <= most else Verdict.FAIL
    reason = PeakGrowth(kind, new, base, allowed)
    return Finding("memory_growth", where, verdict, reason, "bytes", new, most, base)


def _peak_unknown(each: PointComparison, seen: JudgedRun) -> tuple[Verdict, Reason]:
    """Without the baseline's peak nothing can be said; without the run's own it is missing."""
    if each.allocated_bytes.base is None:
        return Verdict.INCONCLUSIVE, BaselinePeakUnknown()
    verdict, reason, _ = peak_of(MostPeak(each.point, 1), seen)
    return verdict, reason


def _judge_times(
    points: Sequence[PointComparison],
    growth: Growth,
    seen: JudgedRun,
    standing: Sequence[Difference],
) -> list[Finding]:
    """Each by its processes; together by Holm."""
    if standing and points:
        return [_not_comparable("time_growth", standing)]
    verdicts = judge_estimates([each.time.estimate for each in points], growth.time_ratio)
    judged = sum(each.time.estimate is not None for each in points)
    findings = []
    for each, verdict in zip(points, verdicts, strict=True):
        if each.time.estimate is None:
            findings.append(_time_of_few(each, growth, seen))
        else:
            findings.append(_time_of_many(each.time, each.time.estimate, verdict, growth, judged))
    return findings


def _time_of_many(
    change: TimeChange, estimate: Estimate, verdict: Verdict, growth: Growth, judged: int
) -> Finding:
    """By the interval over processes; *judged* points share the 5% level."""
    interval, allowed = estimate.interval(), growth.time_ratio
    detectable = smallest_detectable_ratio(estimate, allowed, SIGNIFICANCE / judged)
    reason = TimeGrowth(
        change.new_s, change.base_s, estimate.ratio, interval, estimate.bound(CONFIDENCE), allowed
    )
    return Finding(
        "time_growth", str(change.point), verdict, reason, "s", change.new_s,
        _allowed_s(change, growth), change.base_s, interval, detectable,
    )  # fmt: skip


def _time_of_few(each: PointComparison, growth: Growth, seen: JudgedRun) -> Finding:
    """INCONCLUSIVE; but what the baseline timed and the run did not is missing."""
    change, verdict = each.time, Verdict.INCONCLUSIVE
    assert change.reason is not None, "a change without an interval has a reason"
    reason: Reason = TimesOfFew(change.reason)
    if change.ratio is not None:
        reason = TimesOfFew(change.reason, change.new_s, change.base_s)
    elif change.base_s is not None:
        medians = ProcessMedians.of(seen.observations.get(each.point, ()))
        verdict, reason = untimed(each.point, medians, seen)
    return Finding(
        "time_growth", str(each.point), verdict, reason, "s", change.new_s,
        _allowed_s(change, growth), change.base_s,
    )  # fmt: skip


def _allowed_s(change: TimeChange, growth: Growth) -> float | None:
    """How long a step may take; None where the baseline has no time."""
    return None if change.base_s is None else change.base_s * (1 + growth.time_ratio)
