"""What changed over a baseline: memory, and times as far as their processes tell."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rnnprof.compare.comparison import (
    Affects,
    Difference,
    PointComparison,
    ProcessMedians,
    TimeChange,
    compare_points,
    differences,
)
from rnnprof.gate.budget import Growth, MostPeak
from rnnprof.gate.seen import (
    MORE,
    JudgedRun,
    confidence,
    judge_estimates,
    judge_finished,
    listed,
    peak_of,
    signed,
    untimed,
)
from rnnprof.gate.verdicts import Finding, Verdict
from rnnprof.runfile.points import Outcome, Point
from rnnprof.runfile.records import Run
from rnnprof.stats.estimate import SIGNIFICANCE, Estimate, smallest_detectable_ratio
from rnnprof.stats.statistics import CONFIDENCE
from rnnprof.units import format_bytes, format_seconds


def judge_growth(
    growth: Growth, base: Run, new: Run, *, in_turn: bool = False, asks_time: bool = True
) -> tuple[Finding, ...]:
    """How a run grew over its baseline: first whether they compare, then memory, then time.

    Each point that the baseline measured is judged; what only the run has is told.  Where
    no time is asked for, those are judged that both have.
    """
    found = differences(base, new, in_turn=in_turn)
    standing = _of(found, Affects.EVERYTHING)
    if standing:
        return (_not_comparable("comparable", standing),)
    seen = JudgedRun.of(new)
    points = compare_points(base, new)
    judged = [each for each in points if each.base_outcome is Outcome.MEASURED]
    present = [each for each in judged if each.new_outcome is Outcome.MEASURED]
    absent = [each for each in judged if each.new_outcome is not Outcome.MEASURED]
    smaller_limit = new.limit_bytes < base.limit_bytes
    timed = [each for each in present if asks_time or _has_times(each)]
    if new.is_simulated:  # no kernel ran
        timed = []
    return (
        _comparable(found, points, judged),
        *judge_finished(base, "the baseline"),
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
    reason = f"not comparable: {listed([str(difference) for difference in standing])}"
    return Finding(kind, "", Verdict.NOT_COMPARABLE, reason)


def _comparable(
    found: Sequence[Difference],
    points: Sequence[PointComparison],
    judged: Sequence[PointComparison],
) -> Finding:
    """That two runs compare, and what else to know of them."""
    if not judged:
        reason = "the baseline measured no point: there is nothing to hold the run against"
        return Finding("comparable", "", Verdict.INCONCLUSIVE, reason)
    told = [f"the same workload, device and software; {len(judged)} points of the baseline"]
    if found:
        told.append(f"they differ in {listed([str(difference) for difference in found])}")
    measured = {each.point for each in judged}
    fresh = [
        str(each.point)
        for each in points
        if each.new_outcome is Outcome.MEASURED and each.point not in measured
    ]
    if fresh:
        told.append(f"not judged, for the baseline did not measure them: {listed(fresh)}")
    return Finding("comparable", "", Verdict.PASS, "; ".join(told))


def _judge_absent(point: Point, seen: JudgedRun, *, smaller_limit: bool) -> Finding:
    """A point that the baseline measured and the run did not."""
    verdict, reason = seen.absence(point)
    measurement = seen.points.get(point)
    is_oom = measurement is not None and measurement.outcome in (Outcome.OOM, Outcome.IMPLIED_OOM)
    if is_oom and smaller_limit:
        verdict, reason = Verdict.NOT_COMPARABLE, f"{reason}; its limit is below the baseline's"
    told = f"{reason}; the baseline measured it"
    return Finding("memory_growth", str(point), verdict, told, "bytes")


def _judge_memory(each: PointComparison, growth: Growth, seen: JudgedRun) -> Finding:
    """The peak, as it is: the larger of the two allowances holds.

    Of the allocated bytes where both runs know them, since they hardly vary; else of what the limit
    counts, which every fit pass tells.
    """
    kind, change = "allocated", each.allocated_bytes
    if change.base is None or change.new is None:
        kind, change = "charged", each.charged_bytes
    base, new, where = change.base, change.new, str(each.point)
    if new is None or base is None:
        verdict, reason = _peak_unknown(each, seen)
        return Finding("memory_growth", where, verdict, reason, "bytes", new, baseline=base)
    most = base + max(growth.memory_ratio * base, growth.memory_bytes)
    grown = f" ({signed(new / base - 1)})" if base else ""
    reason = (
        f"{kind} peak {format_bytes(new)}{grown}, {format_bytes(base)} in the baseline; "
        f"{format_bytes(most - base)} more are allowed"
    )
    verdict = Verdict.PASS if new <= most else Verdict.FAIL
    return Finding("memory_growth", where, verdict, reason, "bytes", new, most, base)


def _peak_unknown(each: PointComparison, seen: JudgedRun) -> tuple[Verdict, str]:
    """Without the baseline's peak nothing can be said; without the run's own it is missing."""
    if each.allocated_bytes.base is None:
        return Verdict.INCONCLUSIVE, "the baseline does not know the allocated peak"
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
    interval = estimate.interval()
    detectable = smallest_detectable_ratio(estimate, growth.time_ratio, SIGNIFICANCE / judged)
    low, high = (signed(bound - 1) for bound in interval)
    reason = (
        f"{_times(change)}: {signed(estimate.ratio - 1)} ({confidence()} {low} to {high}, "
        f"one-sided below {signed(estimate.bound(CONFIDENCE) - 1)}), "
        f"{signed(growth.time_ratio)} is allowed"
    )
    return Finding(
        "time_growth", str(change.point), verdict, reason, "s", change.new_s,
        None if change.base_s is None else change.base_s * (1 + growth.time_ratio),
        change.base_s, interval, detectable,
    )  # fmt: skip


def _time_of_few(each: PointComparison, growth: Growth, seen: JudgedRun) -> Finding:
    """INCONCLUSIVE; but what the baseline timed and the run did not is missing."""
    change, verdict = each.time, Verdict.INCONCLUSIVE
    reason = f"{change.reason}: no change is told from noise; {MORE}"
    if change.ratio is not None:
        reason = f"{_times(change)}: {signed(change.ratio - 1)}, but {reason}"
    elif change.base_s is not None:
        medians = ProcessMedians.of(seen.observations.get(each.point, ()))
        verdict, reason = untimed(each.point, medians, seen)
    limit = None if change.base_s is None else change.base_s * (1 + growth.time_ratio)
    return Finding(
        "time_growth", str(each.point), verdict, reason, "s", change.new_s, limit, change.base_s
    )


def _times(change: TimeChange) -> str:
    return f"{format_seconds(change.new_s)}, {format_seconds(change.base_s)} in the baseline"
