"""Whether a point fits, and whether a batch is the largest, by what was run."""

from __future__ import annotations

import math

from rnnprof.gate.budget import LeastBatch, MustFit
from rnnprof.gate.evidence import Proofs, proven_steps
from rnnprof.gate.seen import JudgedRun
from rnnprof.gate.verdicts import Finding, Verdict
from rnnprof.maxbatch.certify import KNOWN_ENDS, UNUSABLE
from rnnprof.outcomes import was_crowded_out
from rnnprof.runfile.certificates import Certificate, EdgeStatus
from rnnprof.runfile.observations import Fit
from rnnprof.runfile.points import Outcome
from rnnprof.units import format_bytes, format_ratio


def judge_fit(limit: MustFit, seen: JudgedRun) -> Finding:
    verdict, reason, measured, most = _fit_verdict(limit, seen)
    return Finding("fits", str(limit.point), verdict, reason, "bytes", measured, most)


_FitVerdict = tuple[Verdict, str, float | None, float | None]
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
    return math.inf if fit.peak_charged_bytes is None else fit.peak_charged_bytes


def _oom_in_words(fit: Fit) -> str:
    words = fit.failure.message if fit.failure and fit.failure.message else None
    told = f"B={fit.batch}: {fit.reason or 'out of memory'}"
    return f"it does not fit: {told}" + (f" ({words})" if words and words not in told else "")


def _within_headroom(fit: Fit, limit: MustFit) -> _FitVerdict:
    """A pass that fits, held against the limit without its headroom."""
    usable = fit.limit_bytes * (1 - limit.headroom_ratio)
    needed = fit.peak_charged_bytes
    if needed is None:
        why = f"its peak is not known ({fit.peak_charged_reason or 'it was not recorded'})"
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


def judge_batch(limit: LeastBatch, seen: JudgedRun) -> Finding:
    certificate, evidence = seen.frontier.get(limit.time_steps), seen.evidence_at(limit.time_steps)
    if certificate is None:
        verdict, reason, batch = _batch_without_proof(limit, evidence)
    else:
        verdict, reason = _batch_verdict(limit, certificate)
        batch = certificate.batch
        if (doubt := _doubt(certificate, evidence, verdict)) is not None:
            verdict, reason = doubt
    where = f"T={limit.time_steps}"
    return Finding("max_batch", where, verdict, reason, "sequences", batch, limit.at_least)


def _doubt(
    certificate: Certificate, evidence: Proofs, verdict: Verdict
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


def _batch_without_proof(limit: LeastBatch, evidence: Proofs) -> tuple[Verdict, str, float | None]:
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
    reason = f"missing: the run did not look for the largest batch at T={limit.time_steps}"
    return Verdict.FAIL, reason, batch
