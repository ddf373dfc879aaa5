"""A gate: what a budget, and a baseline, say of a run.

How each is judged:

* A thing to be judged that was not measured fails: a check must not pass because it vanished.
  Only where others had taken the memory that the limit promised is it INCONCLUSIVE: the machine
  stood in the way, not the model.
* Memory hardly varies and is held against its limit as it is.
* Time is judged by the medians of three and more undisturbed processes.  FAIL: that the limit is
  kept is rejected at 5%, by Holm over all points of the kind.  PASS: the one-sided 95% bound lies
  within the limit.  Otherwise INCONCLUSIVE, with the smallest change that could have been found.
* With fewer processes time is INCONCLUSIVE, except that a throughput budget which is missed, or
  kept, by more than a factor of two is judged from what there is.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from rnnprof.analysis.budget import Budget, Growth, LeastBatch, LeastThroughput, MostPeak, MustFit
from rnnprof.analysis.certify import KNOWN_ENDS, UNUSABLE, frontier_of, settings_of
from rnnprof.analysis.comparison import (
    RECOMMENDED_PROCESSES,
    Affects,
    Difference,
    PointComparison,
    ProcessMedians,
    TimeChange,
    compare_points,
    differences,
)
from rnnprof.analysis.estimate import SIGNIFICANCE, Estimate, holm, smallest_detectable_ratio
from rnnprof.analysis.evidence import Evidence, Required, proven_steps
from rnnprof.analysis.fold import by_point, fold_run, was_crowded_out
from rnnprof.analysis.stationary import leak_of
from rnnprof.analysis.statistics import CONFIDENCE
from rnnprof.analysis.verdicts import Finding, Gate, Verdict
from rnnprof.records import (
    Certificate,
    EdgeStatus,
    Fit,
    Measurement,
    Memory,
    Observation,
    Outcome,
    Point,
    Run,
    Settings,
    Timing,
)
from rnnprof.units import format_bytes, format_rate, format_ratio, format_seconds

FEW_PROCESSES_FACTOR: Final = 2.0
"""Far beyond what processes of the same code differ by on one machine: 10% is much."""

MORE: Final = f"{RECOMMENDED_PROCESSES} undisturbed ones do better (--processes)"

MAX_TOLD: Final = 20
"""Differences and points that one reason lists before it counts the rest."""


def gate(
    budget: Budget,
    run: Run,
    base: Run | None = None,
    differing: Sequence[str] = (),
    *,
    in_turn: bool = False,
) -> Gate:
    """Judge a run by a budget, and by a baseline where there is one.

    Args:
        in_turn: run and baseline were measured in turn on one machine.
        differing: how the run's workload differs from the budget's, spelled out; with any, or
            with another device or limit than required, nothing else is judged.
    """
    if differing := (*differing, *budget.required.differences(run)):
        reason = f"the run is not the one that the budget asks for: {_listed(differing)}"
        return Gate((Finding("comparable", "", Verdict.NOT_COMPARABLE, reason),))
    if base is not None and _is_part_of(base, run):
        reason = "the baseline is the run itself: give one that was measured before the change"
        return Gate((Finding("comparable", "", Verdict.NOT_COMPARABLE, reason),))
    findings = [*_judge_finished(run, "the run"), *judge_budget(budget, run)]
    if base is not None:
        findings += judge_growth(
            budget.growth or Growth(), base, run, in_turn=in_turn, asks_time=budget.asks_time
        )
    elif budget.growth is not None:
        reason = "the budget limits growth, and there is no baseline: give --baseline"
        findings.append(Finding("comparable", "", Verdict.INCONCLUSIVE, reason))
    return Gate(tuple(findings))


def _is_part_of(base: Run, run: Run) -> bool:
    """Whether all that one run observed is in another: it is that run, or was, before more came."""
    attempts = {observation.attempt for observation in base.observations}
    return bool(attempts) and attempts <= {each.attempt for each in run.observations}


def _judge_finished(run: Run, name: str) -> list[Finding]:
    """An unfinished run proves nothing by what it lacks; what is required of it fails by itself."""
    if run.is_finished:
        return []
    reason = f"{name} was stopped before its end: give the command that began it to finish it"
    return [Finding("finished", "", Verdict.INCONCLUSIVE, reason)]


@dataclass(frozen=True, slots=True)
class _Seen:
    """A run as the checks look at it.

    Attributes:
        required: the conditions under which its passes count.
    """

    run: Run
    required: Required
    points: Mapping[Point, Measurement]
    observations: Mapping[Point, list[Observation]]
    frontier: Mapping[int, Certificate]

    @classmethod
    def of(cls, run: Run, required: Required | None = None) -> _Seen:
        frontier = {certificate.steps: certificate for certificate in frontier_of(run)}
        observations = by_point(run.observations)
        return cls(run, required or Required(), fold_run(run), observations, frontier)

    def fits_at(self, steps: int) -> list[Fit]:
        """Every fit pass at T, of the grid and of the search for the edge."""
        fits = [o for o in self.run.observations if isinstance(o, Fit) and o.is_of_the_workload]
        return [fit for fit in fits if fit.steps == steps]

    def evidence_at(self, steps: int) -> Evidence:
        """What the fit passes at T show under the conditions required."""
        limit_bytes = self.required.limit_of(self.run)
        return Evidence(self.fits_at(steps), limit_bytes, self.required.confirm_steps)

    def unusable_at(self, steps: int) -> str | None:
        """What the training step does at T that no batch can be passed with; None for nothing."""
        certificate = self.frontier.get(steps)
        if certificate is not None and certificate.status in UNUSABLE:
            return f"{certificate.status.value.replace('_', ' ')}: {certificate.reason}"
        settings = settings_of(self.run) or Settings()
        leak = leak_of(self.fits_at(steps), settings.confirm_steps, settings.granularity)
        return None if leak is None else f"not stationary: {leak}"

    def medians_at(self, point: Point) -> ProcessMedians:
        """Of the timing processes at a point; none where its last attempt did not come through."""
        timings = [o for o in self.observations.get(point, ()) if isinstance(o, Timing)]
        measurement = self.points.get(point)
        is_through = measurement is not None and measurement.outcome is Outcome.MEASURED
        if not is_through or (timings and timings[-1].outcome is not Outcome.MEASURED):
            return ProcessMedians.of(())
        return ProcessMedians.of(timings)

    def absence(self, point: Point) -> tuple[Verdict, str]:
        """What to say of a point without the measurement asked for."""
        measurement = self.points.get(point)
        if measurement is None:
            return Verdict.FAIL, f"missing: the run has no measurement at {point}"
        if measurement.outcome in (Outcome.OOM, Outcome.IMPLIED_OOM):
            return Verdict.FAIL, f"it does not fit: {measurement.reason}"
        if any(was_crowded_out(o) for o in self.observations.get(point, ())[-1:]):
            return Verdict.INCONCLUSIVE, f"the machine stood in the way: {measurement.reason}"
        last = next(reversed(self.observations.get(point, ())), None)
        if last is not None and last.outcome is not Outcome.MEASURED:
            return Verdict.FAIL, f"missing: {last.outcome.value}: {last.reason}"
        if measurement.outcome is Outcome.MEASURED:
            return Verdict.FAIL, f"missing: the pass that tells it was not run at {point}"
        return Verdict.FAIL, f"missing: {measurement.outcome.value}: {measurement.reason}"


def judge_budget(budget: Budget, run: Run) -> tuple[Finding, ...]:
    """A finding for each limit, in the order of the budget."""
    seen = _Seen.of(run, budget.required)
    return (
        *(_judge_fit(limit, seen) for limit in budget.fits),
        *(_judge_batch(limit, seen) for limit in budget.max_batch),
        *(_judge_peak(limit, seen) for limit in budget.peak),
        *_judge_throughputs(budget.throughput, seen),
    )


def _judge_fit(limit: MustFit, seen: _Seen) -> Finding:
    verdict, reason, measured, most = _fit_verdict(limit, seen)
    return Finding("fits", str(limit.point), verdict, reason, "bytes", measured, most)


_FitVerdict = tuple[Verdict, str, float | None, float | None]
"""Verdict, reason, bytes found and bytes allowed."""


def _fit_verdict(limit: MustFit, seen: _Seen) -> _FitVerdict:
    """By the last attempt at the point itself, or else by those at the same T."""
    point = limit.point
    if (unusable := seen.unusable_at(point.steps)) is not None:
        return Verdict.FAIL, unusable, None, None
    evidence = seen.evidence_at(point.steps)
    last = evidence.last_at(point.batch)
    ooms = evidence.ooms_up_to(point.batch)
    if last is not None and last.outcome not in KNOWN_ENDS:
        return _not_through(last)
    if last is not None and evidence.went_both_ways(point.batch):
        reason = f"B={point.batch} has fitted as well as run out of memory"
        verdict = Verdict.FAIL if last.outcome is Outcome.OOM else Verdict.INCONCLUSIVE
        return verdict, reason, None, None
    if last is not None and evidence.shows(last):
        if ooms:
            low = min(oom.batch for oom in ooms)
            reason = f"it fits although B={low} was out of memory: memory does not rise with B"
            return Verdict.INCONCLUSIVE, reason, None, None
        passed = [fit for fit in evidence.same_limit if fit.point == point and evidence.shows(fit)]
        return _within_headroom(max(passed, key=_counted), limit)
    if ooms:
        return Verdict.FAIL, _oom_in_words(max(ooms, key=lambda oom: oom.batch)), None, None
    if above := evidence.proofs_above(point.batch):
        return _fits_above(min(above, key=_counted), limit)
    if last is not None:
        return Verdict.INCONCLUSIVE, evidence.too_few(last), None, None
    if (other := evidence.other_limit()) is not None:
        return Verdict.NOT_COMPARABLE, f"not comparable: {other}", None, None
    return (*seen.absence(point), None, None)


def _not_through(fit: Fit) -> _FitVerdict:
    """A last attempt that neither fitted nor ran out of memory."""
    if was_crowded_out(fit):
        return Verdict.INCONCLUSIVE, f"the machine stood in the way: {fit.reason}", None, None
    return Verdict.FAIL, f"missing: {fit.outcome.value}: {fit.reason}", None, None


def _counted(fit: Fit) -> float:
    """The bytes that the limit counts; where they are unknown, more than any."""
    return math.inf if fit.peak_counted_bytes is None else fit.peak_counted_bytes


def _oom_in_words(fit: Fit) -> str:
    words = fit.failure.message if fit.failure and fit.failure.message else None
    told = f"B={fit.batch}: {fit.reason or 'out of memory'}"
    return f"it does not fit: {told}" + (f" ({words})" if words and words not in told else "")


def _within_headroom(fit: Fit, limit: MustFit) -> _FitVerdict:
    """A pass that fits, held against the limit without its headroom."""
    usable = fit.limit_bytes * (1 - limit.headroom_ratio)
    needed = fit.peak_counted_bytes
    if needed is None:
        why = f"its peak is not known ({fit.peak_counted_reason or 'it was not recorded'})"
        if limit.headroom_ratio == 0:
            return Verdict.PASS, f"it fits; {why}", None, usable
        return Verdict.INCONCLUSIVE, f"it fits, but {why}", None, usable
    if fit.retries and limit.headroom_ratio > 0:
        reason = (
            f"B={fit.batch} fits only because the allocator emptied its cache "
            f"({fit.retries} times): it has no headroom, {format_ratio(limit.headroom_ratio)} is "
            "asked for"
        )
        return Verdict.FAIL, reason, needed, usable
    left = format_ratio(1 - needed / fit.limit_bytes)
    figures = (
        f"B={fit.batch} takes {format_bytes(needed)} of {format_bytes(fit.limit_bytes)}: "
        f"{left} are left, {format_ratio(limit.headroom_ratio)} are asked for"
    )
    verdict = Verdict.PASS if needed <= usable or limit.headroom_ratio == 0 else Verdict.FAIL
    return verdict, figures, needed, usable


def _fits_above(fit: Fit, limit: MustFit) -> _FitVerdict:
    """A larger batch that fits: this one takes no more, and how much less is not known."""
    verdict, reason, needed, usable = _within_headroom(fit, limit)
    if verdict is Verdict.PASS:
        return verdict, reason, needed, usable
    told = f"{reason}; B={limit.point.batch} itself was not run"
    return Verdict.INCONCLUSIVE, told, None, usable


def _judge_batch(limit: LeastBatch, seen: _Seen) -> Finding:
    certificate, evidence = seen.frontier.get(limit.steps), seen.evidence_at(limit.steps)
    if certificate is None:
        verdict, reason, batch = _batch_without_proof(limit, evidence)
    else:
        verdict, reason = _batch_verdict(limit, certificate)
        batch = certificate.batch
        if (doubt := _doubt(certificate, evidence, verdict)) is not None:
            verdict, reason = doubt
    where = f"T={limit.steps}"
    return Finding("max_batch", where, verdict, reason, "sequences", batch, limit.at_least)


def _doubt(
    certificate: Certificate, evidence: Evidence, verdict: Verdict
) -> tuple[Verdict, str] | None:
    """Why a certificate says nothing of what is asked for; None where it does."""
    if (other := evidence.other_limit()) is not None and not evidence.same_limit:
        return Verdict.NOT_COMPARABLE, f"not comparable: {other}"
    cited = {fit.attempt: fit.limit_bytes for fit in evidence.fits}
    limits = {cited[attempt] for attempt in certificate.attempts if attempt in cited}
    if limits - {evidence.limit_bytes}:
        told = f"the proof ran under a limit of {format_bytes(max(limits))}"
        return Verdict.NOT_COMPARABLE, (
            f"not comparable: {told}, and {format_bytes(evidence.limit_bytes)} are asked for"
        )
    # whatever the status: a search that was stopped knows its batch by a short probe, too
    if verdict is Verdict.PASS and proven_steps(certificate) < evidence.confirm_steps:
        return Verdict.INCONCLUSIVE, (
            f"B={certificate.batch} has fitted over {proven_steps(certificate)} training steps, "
            f"{evidence.confirm_steps} are asked for"
        )
    return None


def _batch_verdict(limit: LeastBatch, certificate: Certificate) -> tuple[Verdict, str]:
    batch, status, least = certificate.batch or 0, certificate.status, limit.at_least
    told = f"B={batch} is the largest known to fit, {least} are asked for"
    if certificate.reason:
        told += f": {certificate.reason}"
    if status is EdgeStatus.UNSUPPORTED:
        return Verdict.FAIL, f"missing: {certificate.reason or 'not supported'}"
    if status in UNUSABLE:
        return Verdict.FAIL, f"{status.value.replace('_', ' ')}: {certificate.reason}"
    if status is EdgeStatus.NOTHING_FITS:
        first = certificate.granularity
        return _ends_below(first, least, f"nothing fits: {certificate.reason}")
    if batch >= least:
        return Verdict.PASS, told
    if status is EdgeStatus.CERTIFIED:
        return _ends_below(batch + certificate.granularity, least, told)
    if status is EdgeStatus.CAPPED:
        return Verdict.INCONCLUSIVE, f"{told}; no more were tried: raise --at-most"
    return Verdict.INCONCLUSIVE, told


def _ends_below(fails: int, least: int, told: str) -> tuple[Verdict, str]:
    """FAIL where the batch that is out of memory is no larger than the one asked for."""
    if fails <= least:
        return Verdict.FAIL, told
    return Verdict.INCONCLUSIVE, f"{told}; B={fails} does not fit: give a finer --granularity"


def _batch_without_proof(
    limit: LeastBatch, evidence: Evidence
) -> tuple[Verdict, str, float | None]:
    """By passes of the grid, where no largest batch was sought."""
    ooms = evidence.ooms_up_to(limit.at_least)
    proofs = evidence.proofs_above(0)
    batch = max((fit.batch for fit in proofs), default=None)
    lowest = min(ooms, key=lambda fit: fit.batch, default=None)
    if lowest is not None and batch is not None and lowest.batch <= batch:
        reason = f"B={batch} fits although B={lowest.batch} was out of memory"
        return Verdict.INCONCLUSIVE, reason, batch
    if batch is not None and batch >= limit.at_least:
        return Verdict.PASS, f"B={batch} fits, {limit.at_least} are asked for", batch
    if lowest is not None:
        return Verdict.FAIL, _oom_in_words(lowest), batch
    short = [fit for fit in evidence.same_limit if fit.outcome is Outcome.MEASURED]
    if short and max(fit.batch for fit in short) >= limit.at_least:
        largest = max(short, key=lambda fit: fit.batch)
        return Verdict.INCONCLUSIVE, evidence.too_few(largest), batch
    if not evidence.same_limit and (other := evidence.other_limit()) is not None:
        return Verdict.NOT_COMPARABLE, f"not comparable: {other}", batch
    reason = f"missing: the run did not look for the largest batch at T={limit.steps}"
    return Verdict.FAIL, reason, batch


def _judge_peak(limit: MostPeak, seen: _Seen) -> Finding:
    point, most = limit.point, limit.at_most_bytes
    verdict, reason, peak = _peak_of(limit, seen)
    if peak is not None and verdict is not Verdict.NOT_COMPARABLE:
        verdict = Verdict.PASS if peak <= most else Verdict.FAIL
        reason = (
            f"{limit.of} peak {format_bytes(peak)}, {format_bytes(most)} are allowed: "
            f"{_signed(peak / most - 1)}"
        )
    return Finding("peak", str(point), verdict, reason, "bytes", peak, most)


def _peak_of(limit: MostPeak, seen: _Seen) -> tuple[Verdict, str, int | None]:
    """The peak; or, without it, the verdict and why."""
    measurement = seen.points.get(limit.point)
    observations = seen.observations.get(limit.point, [])
    kind: type[Observation] = Memory if limit.of == "allocated" else Fit
    if limit.of == "reserved" and not _has_reserved(observations):
        kind = Memory
    passes = [o for o in observations if isinstance(o, kind)]
    if measurement is None or not passes or _does_not_fit(observations):
        return (*seen.absence(limit.point), None)
    last = passes[-1]
    if isinstance(last, Fit) and last.limit_bytes != seen.required.limit_of(seen.run):
        other = seen.evidence_at(limit.point.steps).other_limit([limit.point.batch])
        return Verdict.NOT_COMPARABLE, f"not comparable: {other}", None
    if was_crowded_out(last):
        return Verdict.INCONCLUSIVE, f"the machine stood in the way: {last.reason}", None
    if last.outcome is not Outcome.MEASURED:
        return Verdict.FAIL, f"missing: {last.outcome.value}: {last.reason}", None
    peak: int | None = getattr(measurement, f"peak_{limit.of}_bytes")
    why = getattr(last, f"peak_{limit.of}_reason", None) or "this device does not tell it"
    return Verdict.INCONCLUSIVE, f"the {limit.of} peak is not known: {why}", peak


def _has_reserved(observations: Iterable[Observation]) -> bool:
    """Whether the fit pass counted what the caching allocator reserves, as it does on a card."""
    return any(isinstance(o, Fit) and o.peak_allocated_bytes is not None for o in observations)


def _does_not_fit(observations: Sequence[Observation]) -> bool:
    fits = [o for o in observations if isinstance(o, Fit)]
    return bool(fits) and fits[-1].outcome is not Outcome.MEASURED


def _judge_throughputs(limits: Sequence[LeastThroughput], seen: _Seen) -> list[Finding]:
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
    return limit.point.batch * limit.point.steps / limit.at_least_per_s


def _throughput_of_many(
    limit: LeastThroughput, estimate: Estimate, verdict: Verdict, judged: int
) -> Finding:
    least = limit.at_least_per_s
    rate = least / estimate.ratio
    slow, fast = (least / bound for bound in reversed(estimate.interval()))
    excess = smallest_detectable_ratio(estimate, 0.0, SIGNIFICANCE / judged)
    shortfall = excess / (1 + excess)
    reason = (
        f"time steps at {format_rate(rate)} ({_confidence()} {format_rate(slow)} to "
        f"{format_rate(fast)}), {format_rate(least)} are asked for"
    )
    return Finding(
        "throughput", str(limit.point), verdict, reason, "time_steps_per_s", rate, least,
        interval=(slow, fast), detectable_ratio=shortfall,
    )  # fmt: skip


def _throughput_of_few(limit: LeastThroughput, medians: ProcessMedians, seen: _Seen) -> Finding:
    """Judged only where it is kept or missed by far."""
    least, where = limit.at_least_per_s, str(limit.point)
    if medians.typical_s is None:
        verdict, reason = _untimed(limit.point, medians, seen)
        return Finding("throughput", where, verdict, reason, "time_steps_per_s", limit=least)
    rate = limit.point.batch * limit.point.steps / medians.typical_s
    verdict = Verdict.INCONCLUSIVE
    if max(rate, least) > FEW_PROCESSES_FACTOR * min(rate, least):
        verdict = Verdict.PASS if rate > least else Verdict.FAIL
    reason = (
        f"time steps at {format_rate(rate)}, {format_rate(least)} are asked for; with "
        f"{medians.shortage()} only a factor of {FEW_PROCESSES_FACTOR:g} is told from noise; {MORE}"
    )
    return Finding(
        "throughput", where, verdict, reason, "time_steps_per_s", rate, least,
        detectable_ratio=1 - 1 / FEW_PROCESSES_FACTOR,
    )  # fmt: skip


def _untimed(point: Point, medians: ProcessMedians, seen: _Seen) -> tuple[Verdict, str]:
    """A point of which no undisturbed process was timed."""
    if medians.disturbed:
        return Verdict.INCONCLUSIVE, f"every process was disturbed: {medians.disturbed[0]}"
    return seen.absence(point)


def judge_estimates(estimates: Sequence[Estimate | None], limit_ratio: float) -> list[Verdict]:
    """A verdict for each ratio, all held against 1 + *limit_ratio*; None is INCONCLUSIVE."""
    known = [estimate for estimate in estimates if estimate is not None]
    rejected = iter(holm([estimate.p_above(limit_ratio) for estimate in known]))
    verdicts = []
    for estimate in estimates:
        if estimate is None:
            verdicts.append(Verdict.INCONCLUSIVE)
        elif next(rejected):
            verdicts.append(Verdict.FAIL)
        elif estimate.bound(1 - SIGNIFICANCE) <= 1 + limit_ratio:
            verdicts.append(Verdict.PASS)
        else:
            verdicts.append(Verdict.INCONCLUSIVE)
    return verdicts


def judge_growth(
    growth: Growth, base: Run, new: Run, *, in_turn: bool = False, asks_time: bool = True
) -> tuple[Finding, ...]:
    """How a run grew over its baseline: first whether they compare, then memory, then time.

    Each point that the baseline measured is judged; what only the run has is told.  Where
    no time is asked for, those are judged that both have.
    """
    found = differences(base.header, new.header, in_turn=in_turn)
    standing = _of(found, Affects.EVERYTHING)
    if standing:
        return (_not_comparable("comparable", standing),)
    seen = _Seen.of(new)
    points = compare_points(base, new)
    judged = [each for each in points if each.base_outcome is Outcome.MEASURED]
    present = [each for each in judged if each.new_outcome is Outcome.MEASURED]
    absent = [each for each in judged if each.new_outcome is not Outcome.MEASURED]
    smaller_limit = new.header.limit_bytes < base.header.limit_bytes
    timed = [each for each in present if asks_time or _has_times(each)]
    if new.is_simulated:  # no kernel ran
        timed = []
    return (
        _comparable(found, points, judged),
        *_judge_finished(base, "the baseline"),
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
    reason = f"not comparable: {_listed([str(difference) for difference in standing])}"
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
        told.append(f"they differ in {_listed([str(difference) for difference in found])}")
    measured = {each.point for each in judged}
    fresh = [
        str(each.point)
        for each in points
        if each.new_outcome is Outcome.MEASURED and each.point not in measured
    ]
    if fresh:
        told.append(f"not judged, for the baseline did not measure them: {_listed(fresh)}")
    return Finding("comparable", "", Verdict.PASS, "; ".join(told))


def _judge_absent(point: Point, seen: _Seen, *, smaller_limit: bool) -> Finding:
    """A point that the baseline measured and the run did not."""
    verdict, reason = seen.absence(point)
    measurement = seen.points.get(point)
    is_oom = measurement is not None and measurement.outcome in (Outcome.OOM, Outcome.IMPLIED_OOM)
    if is_oom and smaller_limit:
        verdict, reason = Verdict.NOT_COMPARABLE, f"{reason}; its limit is below the baseline's"
    told = f"{reason}; the baseline measured it"
    return Finding("memory_growth", str(point), verdict, told, "bytes")


def _judge_memory(each: PointComparison, growth: Growth, seen: _Seen) -> Finding:
    """The peak, as it is: the larger of the two allowances holds.

    Of the allocated bytes where both runs know them, since they hardly vary; else of what the limit
    counts, which every fit pass tells.
    """
    kind, change = "allocated", each.allocated_bytes
    if change.base is None or change.new is None:
        kind, change = "charged", each.counted_bytes
    base, new, where = change.base, change.new, str(each.point)
    if new is None or base is None:
        verdict, reason = _peak_unknown(each, seen)
        return Finding("memory_growth", where, verdict, reason, "bytes", new, baseline=base)
    most = base + max(growth.memory_ratio * base, growth.memory_bytes)
    grown = f" ({_signed(new / base - 1)})" if base else ""
    reason = (
        f"{kind} peak {format_bytes(new)}{grown}, {format_bytes(base)} in the baseline; "
        f"{format_bytes(most - base)} more are allowed"
    )
    verdict = Verdict.PASS if new <= most else Verdict.FAIL
    return Finding("memory_growth", where, verdict, reason, "bytes", new, most, base)


def _peak_unknown(each: PointComparison, seen: _Seen) -> tuple[Verdict, str]:
    """Without the baseline's peak nothing can be said; without the run's own it is missing."""
    if each.allocated_bytes.base is None:
        return Verdict.INCONCLUSIVE, "the baseline does not know the allocated peak"
    verdict, reason, _ = _peak_of(MostPeak(each.point, 1), seen)
    return verdict, reason


def _judge_times(
    points: Sequence[PointComparison], growth: Growth, seen: _Seen, standing: Sequence[Difference]
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
    low, high = (_signed(bound - 1) for bound in interval)
    reason = (
        f"{_times(change)}: {_signed(estimate.ratio - 1)} ({_confidence()} {low} to {high}, "
        f"one-sided below {_signed(estimate.bound(CONFIDENCE) - 1)}), "
        f"{_signed(growth.time_ratio)} is allowed"
    )
    return Finding(
        "time_growth", str(change.point), verdict, reason, "s", change.new_s,
        None if change.base_s is None else change.base_s * (1 + growth.time_ratio),
        change.base_s, interval, detectable,
    )  # fmt: skip


def _time_of_few(each: PointComparison, growth: Growth, seen: _Seen) -> Finding:
    """INCONCLUSIVE; but what the baseline timed and the run did not is missing."""
    change, verdict = each.time, Verdict.INCONCLUSIVE
    reason = f"{change.reason}: no change is told from noise; {MORE}"
    if change.ratio is not None:
        reason = f"{_times(change)}: {_signed(change.ratio - 1)}, but {reason}"
    elif change.base_s is not None:
        medians = ProcessMedians.of(seen.observations.get(each.point, ()))
        verdict, reason = _untimed(each.point, medians, seen)
    limit = None if change.base_s is None else change.base_s * (1 + growth.time_ratio)
    return Finding(
        "time_growth", str(each.point), verdict, reason, "s", change.new_s, limit, change.base_s
    )


def _times(change: TimeChange) -> str:
    return f"{format_seconds(change.new_s)}, {format_seconds(change.base_s)} in the baseline"


def _signed(ratio: float) -> str:
    """A change as ``+5.1%``, ``-0.3%`` or ``0%``."""
    text = format_ratio(ratio)
    return f"+{text}" if ratio > 0 else text


def _confidence() -> str:
    return f"{CONFIDENCE:.0%} interval"


def _listed(items: Sequence[str]) -> str:
    more = len(items) - MAX_TOLD
    told = "; ".join(items[:MAX_TOLD])
    return f"{told}; and {more} more" if more > 0 else told
