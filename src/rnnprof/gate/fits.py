"""Whether a point fits, and whether a batch is the largest, by what was run."""

from __future__ import annotations

import math

from rnnprof.gate.budget import LeastBatch, MustFit
from rnnprof.gate.evidence import Proofs, proven_steps
from rnnprof.gate.reasons import (
    BetweenMultiples,
    DoesNotFit,
    EdgeNotSearched,
    Ended,
    FitsAboveOom,
    FitsWithoutHeadroom,
    FitsWithUnknownPeak,
    LargestBatch,
    MachineShort,
    NothingFits,
    NotRunItself,
    OtherLimit,
    PeakAndHeadroom,
    StoppedAtCap,
    TooFewSteps,
    Unusable,
    WentBothWays,
)
from rnnprof.gate.seen import JudgedRun
from rnnprof.gate.verdicts import Finding, Verdict
from rnnprof.maxbatch.certify import UNUSABLE, Proof
from rnnprof.maxbatch.terms import KNOWN_ENDS
from rnnprof.outcomes import was_crowded_out
from rnnprof.reasons import Reason
from rnnprof.runfile.certificates import EdgeStatus
from rnnprof.runfile.observations import Fit
from rnnprof.runfile.points import Outcome


def judge_fit(limit: MustFit, seen: JudgedRun) -> Finding:
    """Whether training fits at a point, with the headroom that the budget requires."""
    verdict, reason, measured, most = _fit_verdict(limit, seen)
    return Finding("fits", str(limit.point), verdict, reason, "bytes", measured, most)


_FitVerdict = tuple[Verdict, Reason, float | None, float | None]
"""Verdict, reason, bytes found and bytes allowed."""


def _fit_verdict(limit: MustFit, seen: JudgedRun) -> _FitVerdict:
    """By the last attempt at the point itself, or else by those at the same T."""
    point = limit.point
    if (unusable := seen.unusable_at(point.time_steps)) is not None:
        return Verdict.FAIL, unusable, None, None
    evidence = seen.evidence_at(point.time_steps)
    last = evidence.last_at(point.batch)
    ooms = evidence.ooms_up_to(point.batch)
    if last is not None and last.outcome not in KNOWN_ENDS:
        return _not_through(last)
    if last is not None and evidence.went_both_ways(point.batch):
        verdict = Verdict.FAIL if last.outcome is Outcome.OOM else Verdict.INCONCLUSIVE
        return verdict, WentBothWays(point.batch), None, None
    if last is not None and evidence.shows(last):
        if ooms:
            low = min(oom.batch for oom in ooms)
            return Verdict.INCONCLUSIVE, FitsAboveOom(point.batch, low), None, None
        passed = [fit for fit in evidence.same_limit if fit.point == point and evidence.shows(fit)]
        return _within_headroom(max(passed, key=_counted), limit)
    if ooms:
        return Verdict.FAIL, _out_of_memory(max(ooms, key=lambda oom: oom.batch)), None, None
    if above := evidence.proofs_above(point.batch):
        return _fits_above(min(above, key=_counted), limit)
    if last is not None:
        return Verdict.INCONCLUSIVE, evidence.too_few(last), None, None
    if (other := evidence.other_limit()) is not None:
        return Verdict.NOT_COMPARABLE, other, None, None
    return (*seen.absence(point), None, None)


def _not_through(fit: Fit) -> _FitVerdict:
    """A last attempt that neither fitted nor ran out of memory."""
    if was_crowded_out(fit):
        return Verdict.INCONCLUSIVE, MachineShort(fit.reason), None, None
    return Verdict.FAIL, Ended(fit.outcome, fit.reason), None, None


def _counted(fit: Fit) -> float:
    """The bytes that the limit counts; where they are unknown, more than any."""
    return math.inf if fit.peak_charged_bytes is None else fit.peak_charged_bytes


def _out_of_memory(fit: Fit) -> DoesNotFit:
    """A pass that ran out of memory, with the error's own message."""
    return DoesNotFit(fit.reason, fit.batch, fit.failure.message if fit.failure else None)


def _within_headroom(fit: Fit, limit: MustFit) -> _FitVerdict:
    """A pass that fits, against the limit without its headroom."""
    headroom = limit.headroom_ratio
    usable = fit.limit_bytes * (1 - headroom)
    needed = fit.peak_charged_bytes
    if needed is None:
        verdict = Verdict.INCONCLUSIVE if headroom > 0 else Verdict.PASS
        unknown = FitsWithUnknownPeak(fit.batch, fit.peak_charged_reason, headroom)
        return verdict, unknown, None, usable
    if fit.retries and headroom > 0:
        return Verdict.FAIL, FitsWithoutHeadroom(fit.batch, fit.retries, headroom), needed, usable
    verdict = Verdict.PASS if needed <= usable or headroom == 0 else Verdict.FAIL
    return verdict, PeakAndHeadroom(fit.batch, needed, fit.limit_bytes, headroom), needed, usable


def _fits_above(fit: Fit, limit: MustFit) -> _FitVerdict:
    """A larger batch that fits: this one takes no more, and how much less is not known."""
    verdict, reason, needed, usable = _within_headroom(fit, limit)
    if verdict is Verdict.PASS:
        return verdict, reason, needed, usable
    return Verdict.INCONCLUSIVE, NotRunItself(reason, limit.point.batch), None, usable


def judge_batch(limit: LeastBatch, seen: JudgedRun) -> Finding:
    """Whether the largest batch at one T is as large as the budget requires."""
    certificate, evidence = seen.frontier.get(limit.time_steps), seen.evidence_at(limit.time_steps)
    batch: float | None
    if certificate is None:
        verdict, reason, batch = _batch_without_proof(limit, evidence)
    else:
        verdict, reason = _batch_verdict(limit, certificate)
        batch = certificate.batch
        if (doubt := _doubt(certificate, evidence, verdict)) is not None:
            verdict, reason = doubt
    where = f"T={limit.time_steps}"
    return Finding("max_batch", where, verdict, reason, "sequences", batch, limit.at_least)


def _doubt(certificate: Proof, evidence: Proofs, verdict: Verdict) -> tuple[Verdict, Reason] | None:
    """Why a certificate says nothing of what is required; None where it does."""
    if (other := evidence.other_limit()) is not None and not evidence.same_limit:
        return Verdict.NOT_COMPARABLE, other
    cited = {fit.attempt: fit.limit_bytes for fit in evidence.fits}
    limits = {cited[attempt] for attempt in certificate.attempts if attempt in cited}
    if limits - {evidence.limit_bytes}:
        return Verdict.NOT_COMPARABLE, OtherLimit(None, max(limits), evidence.limit_bytes)
    # whatever the status: a search that was stopped knows its batch by a short probe, too
    ran, required = proven_steps(certificate), evidence.confirm_steps
    if verdict is Verdict.PASS and ran < required:
        return Verdict.INCONCLUSIVE, TooFewSteps(certificate.batch or 0, ran, required)
    return None


def _batch_verdict(limit: LeastBatch, certificate: Proof) -> tuple[Verdict, Reason]:
    """By a search for the largest batch."""
    batch, status, least = certificate.batch or 0, certificate.status, limit.at_least
    if status is EdgeStatus.UNSUPPORTED:
        return Verdict.FAIL, Ended(Outcome.UNSUPPORTED, certificate.reason)
    if status in UNUSABLE:
        return Verdict.FAIL, Unusable(status, certificate.reason)
    if status is EdgeStatus.NOTHING_FITS:
        return _ends_below(certificate.granularity, least, NothingFits(certificate.reason))
    known = LargestBatch(batch, least, certificate.reason)
    if batch >= least:
        return Verdict.PASS, known
    if status is EdgeStatus.CERTIFIED:
        return _ends_below(batch + certificate.granularity, least, known)
    if status is EdgeStatus.CAPPED:
        return Verdict.INCONCLUSIVE, StoppedAtCap(known)
    return Verdict.INCONCLUSIVE, known


def _ends_below(
    fails: int, least: int, known: LargestBatch | NothingFits
) -> tuple[Verdict, Reason]:
    """FAIL where the batch that is out of memory is no larger than the one required."""
    if fails <= least:
        return Verdict.FAIL, known
    return Verdict.INCONCLUSIVE, BetweenMultiples(known, fails)


def _batch_without_proof(
    limit: LeastBatch, evidence: Proofs
) -> tuple[Verdict, Reason, float | None]:
    """By passes of the grid, where no search for the largest batch was made."""
    ooms = evidence.ooms_up_to(limit.at_least)
    proofs = evidence.proofs_above(0)
    batch = max((fit.batch for fit in proofs), default=None)
    lowest = min(ooms, key=lambda fit: fit.batch, default=None)
    if lowest is not None and batch is not None and lowest.batch <= batch:
        return Verdict.INCONCLUSIVE, FitsAboveOom(batch, lowest.batch), batch
    if batch is not None and batch >= limit.at_least:
        return Verdict.PASS, LargestBatch(batch, limit.at_least), batch
    if lowest is not None:
        return Verdict.FAIL, _out_of_memory(lowest), batch
    short = [fit for fit in evidence.same_limit if fit.outcome is Outcome.MEASURED]
    if short and max(fit.batch for fit in short) >= limit.at_least:
        largest = max(short, key=lambda fit: fit.batch)
        return Verdict.INCONCLUSIVE, evidence.too_few(largest), batch
    if not evidence.same_limit and (other := evidence.other_limit()) is not None:
        return Verdict.NOT_COMPARABLE, other, batch
    return Verdict.FAIL, EdgeNotSearched(limit.time_steps), batch
