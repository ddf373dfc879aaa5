"""A gate: whether a run keeps to a budget, and to a baseline.

How each is judged:

* A thing to be judged that was not measured fails: a check must not pass because it vanished.
  Only where other processes held the memory that the limit promises is it INCONCLUSIVE: that is
  no fault of the model.
* Memory hardly varies and is compared with its limit as it is.
* Time is judged by the medians of three and more quiet processes.  FAIL: that the limit is
  kept is rejected at 5%, by Holm over all points of the kind.  PASS: the one-sided 95% bound lies
  within the limit.  Otherwise INCONCLUSIVE, with the smallest change that could have been found.
* With fewer processes time is INCONCLUSIVE, except that a throughput budget which is missed, or
  kept, by more than a factor of two is judged from what there is.
"""

from __future__ import annotations

from collections.abc import Sequence

from rnnprof.compare.comparison import ProcessMedians
from rnnprof.gate.budget import Budget, Growth, LeastThroughput, MostPeak
from rnnprof.gate.fits import judge_batch, judge_fit
from rnnprof.gate.growth import judge_growth
from rnnprof.gate.reasons import (
    NoBaseline,
    NotTheBudgetsRun,
    PeakAndLimit,
    SameRun,
    Throughput,
    ThroughputOfFew,
)
from rnnprof.gate.seen import (
    FEW_PROCESSES_FACTOR,
    JudgedRun,
    judge_estimates,
    judge_finished,
    peak_of,
    untimed,
)
from rnnprof.gate.verdicts import Finding, Gate, Verdict
from rnnprof.maxbatch.folded import FoldedRun
from rnnprof.reasons import Reason
from rnnprof.runfile.records import Run
from rnnprof.stats.estimate import SIGNIFICANCE, Estimate, smallest_detectable_ratio


def gate(
    budget: Budget,
    run: FoldedRun,
    base: FoldedRun | None = None,
    differing: Sequence[Reason] = (),
    *,
    in_turn: bool = False,
) -> Gate:
    """Judge a run by a budget, and by a baseline where there is one.

    Args:
        budget: the limits.
        run: folded once, as the baseline.
        base: the baseline; None without one.
        differing: how the run's workload differs from the budget's; with any, or with another
            device or limit than required, nothing else is judged.
        in_turn: run and baseline were measured in turn on one machine.
    """
    if differing := (*differing, *budget.required.differences(run)):
        return _nothing_but(NotTheBudgetsRun(tuple(differing)))
    if base is not None and _is_part_of(base.run, run.run):
        return _nothing_but(SameRun())
    seen = JudgedRun.of(run, budget.required)
    findings = [*judge_finished(run.run), *judge_budget(budget, seen)]
    if base is not None:
        findings += judge_growth(
            budget.growth or Growth(), base, seen, in_turn=in_turn, asks_time=budget.asks_time
        )
    elif budget.growth is not None:
        findings.append(Finding("comparable", "", Verdict.INCONCLUSIVE, NoBaseline()))
    return Gate(tuple(findings))


def _nothing_but(reason: Reason) -> Gate:
    """A gate that judges nothing, for a reason."""
    return Gate((Finding("comparable", "", Verdict.NOT_COMPARABLE, reason),))


def _is_part_of(base: Run, run: Run) -> bool:
    """Whether all that one run observed is in another: it is that run, or was, before more came."""
    attempts = {observation.attempt for observation in base.observations}
    return bool(attempts) and attempts <= {each.attempt for each in run.observations}


def judge_budget(budget: Budget, seen: JudgedRun) -> tuple[Finding, ...]:
    """A finding for each limit of a budget on one run, in the order of the budget."""
    return (
        *(judge_fit(limit, seen) for limit in budget.fits),
        *(judge_batch(limit, seen) for limit in budget.max_batch),
        *(_judge_peak(limit, seen) for limit in budget.peak),
        *_judge_throughputs(budget.throughput, seen),
    )


def _judge_peak(limit: MostPeak, seen: JudgedRun) -> Finding:
    point, most = limit.point, limit.at_most_bytes
    verdict, reason, peak = peak_of(limit, seen)
    if peak is not None and verdict is not Verdict.NOT_COMPARABLE:
        verdict = Verdict.PASS if peak <= most else Verdict.FAIL
        reason = PeakAndLimit(limit.of, peak, most)
    return Finding("peak", str(point), verdict, reason, "bytes", peak, most)


def _judge_throughputs(limits: Sequence[LeastThroughput], seen: JudgedRun) -> list[Finding]:
    """Each by its processes; together by Holm."""
    medians = [seen.medians_at(limit.point) for limit in limits]
    allowed = [_allowed_s(limit) for limit in limits]
    estimates = [
        Estimate.of(each.medians_s).over(most_s) if each.are_enough else None
        for each, most_s in zip(medians, allowed, strict=True)
    ]
    verdicts = judge_estimates(estimates, 0.0)
    judged = sum(estimate is not None for estimate in estimates)
    findings = []
    for limit, each, estimate, verdict in zip(limits, medians, estimates, verdicts, strict=True):
        if estimate is None:
            findings.append(_throughput_of_few(limit, each, seen))
        else:
            findings.append(_throughput_of_many(limit, estimate, verdict, judged))
    return findings


def _allowed_s(limit: LeastThroughput) -> float:
    """How long B sequences of T steps may take."""
    return limit.point.batch * limit.point.time_steps / limit.at_least_per_s


def _throughput_of_many(
    limit: LeastThroughput, estimate: Estimate, verdict: Verdict, judged: int
) -> Finding:
    least = limit.at_least_per_s
    rate = least / estimate.ratio
    slow, fast = (least / bound for bound in reversed(estimate.interval()))
    excess = smallest_detectable_ratio(estimate, 0.0, SIGNIFICANCE / judged)
    shortfall = excess / (1 + excess)
    reason = Throughput(rate, (slow, fast), least)
    return Finding(
        "throughput", str(limit.point), verdict, reason, "time_steps_per_s", rate, least,
        interval=(slow, fast), detectable_ratio=shortfall,
    )  # fmt: skip


def _throughput_of_few(limit: LeastThroughput, medians: ProcessMedians, seen: JudgedRun) -> Finding:
    """Judged only where it is kept or missed by far."""
    least, where, shortage = limit.at_least_per_s, str(limit.point), medians.shortage()
    if medians.typical_s is None or shortage is None:
        verdict, reason = untimed(limit.point, medians, seen)
        return Finding("throughput", where, verdict, reason, "time_steps_per_s", limit=least)
    rate = limit.point.batch * limit.point.time_steps / medians.typical_s
    verdict = Verdict.INCONCLUSIVE
    if max(rate, least) > FEW_PROCESSES_FACTOR * min(rate, least):
        verdict = Verdict.PASS if rate > least else Verdict.FAIL
    reason = ThroughputOfFew(rate, least, shortage, FEW_PROCESSES_FACTOR)
    return Finding(
        "throughput", where, verdict, reason, "time_steps_per_s", rate, least,
        detectable_ratio=1 - 1 / FEW_PROCESSES_FACTOR,
    )  # fmt: skip
