"""What the probes at one T prove: one pure rule, used after a search and when a run is loaded."""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Final

from rnnprof.maxbatch.reasons import (
    Contradiction,
    EndedAt,
    FewerConfirmations,
    MemoryFalls,
    NoMultiple,
    NotSupported,
    ProbesSpent,
    SmallestFails,
    Stopped,
    Thrashes,
    WentBothWays,
)
from rnnprof.maxbatch.search import EdgeSearch, Try
from rnnprof.maxbatch.stationary import (
    SETTLED_STEPS,
    has_grown,
    leak_of,
    rise_of,
    spread_of,
)
from rnnprof.maxbatch.terms import KNOWN_ENDS, Terms, batches
from rnnprof.points.seen import ignored, named_batch, same_data, unused_length, used_lengths
from rnnprof.reasons import Reason, joined
from rnnprof.runfile.certificates import Certificate, EdgeFit, EdgeOom, EdgeStatus
from rnnprof.runfile.observations import Fit
from rnnprof.runfile.points import UNSOUGHT, Outcome, Role
from rnnprof.runfile.records import Run, Settings
from rnnprof.workload import ScriptSource

MAX_CRASHES: Final = 2
"""A batch whose worker died is tried once more; after that its result is unknown."""

MOST_PROBES: Final = 24
"""The most probes of one search at one T; after them the answer is ``indeterminate``."""


@dataclass(frozen=True, slots=True)
class Proof(Certificate):
    """What the attempts prove that a certificate cites.

    Attributes:
        reason: why there is no proof, or a remark on it; None for nothing.
    """

    reason: Reason | None = None

    @property
    def certificate(self) -> Certificate:
        """The record for a run file, without the reason, which follows from the attempts."""
        return Certificate(**{each.name: getattr(self, each.name) for each in fields(Certificate)})


def missing_proof(search: EdgeSearch, fits: Sequence[Fit], terms: Terms) -> int | None:
    """A batch that must be run although the bracket is closed; None if everything is proven.

    Measurements of an earlier sweep may close a bracket without proving it: they ran too few steps,
    or their batches are not multiples of the granularity.  A short fit above an OOM contradicts it
    only after a full proof has fitted there too.
    """
    fits = terms.evident(fits)
    if (contradicting := _contradicting(fits, terms)) is not None:
        high = contradicting[1]
        return None if _proofs(fits, high, terms) else high
    batch = search.fits * terms.granularity
    if batch and _proofs(fits, batch, terms) < terms.confirm:
        return batch
    beyond = batch + terms.granularity
    if search.fails == search.fits + 1 and not any(fit.is_fresh for fit in _ooms(fits, beyond)):
        return beyond
    return None


def conclude(time_steps: int, fits: Sequence[Fit], terms: Terms, request: str = "") -> Proof:
    """The proof that follows from the fit passes at one T."""
    terms = terms.lasting(fits)
    evident = terms.evident(fits)
    search = terms.search(time_steps, fits)
    batch = _largest_run(search, evident, terms)
    stopped = _given_up(fits, request)
    status, reason = _judge(search, evident, terms, spread_of(fits), stopped)
    if status in (EdgeStatus.CERTIFIED, EdgeStatus.CAPPED):
        reason = joined(reason, used_lengths(fits), same_data(fits))
    status, reason = _unusable(fits, terms) or (status, reason)
    if status in UNUSABLE:
        batch = 0
    best = _best_proof(evident, batch, terms)
    ooms = _ooms(fits, batch + terms.granularity) or _ooms(fits, None)
    if (contradicting := _contradicting(evident, terms)) is not None:
        low, high = contradicting
        best, ooms = _best_proof(evident, high, terms), _ooms(evident, low)
    return Proof(
        time_steps=time_steps,
        status=status,
        granularity=terms.granularity,
        at_most=terms.at_most,
        batch=batch or None,
        fits=_edge_fit(best) if best else None,
        fails=_edge_oom(ooms[-1]) if ooms else None,
        confirm_steps=terms.confirm_steps,
        horizon=best.train_steps_run if best else None,
        confirmations=_proofs(fits, batch, terms),
        probes=len(fits),
        ooms=sum(fit.outcome is Outcome.OOM for fit in fits),
        attempts=tuple(fit.attempt for fit in fits),
        reason=reason,
        request=request,
    )


UNUSABLE: Final = frozenset({EdgeStatus.NOT_STATIONARY, EdgeStatus.BATCH_NOT_USED})
"""Statuses of a training step for which no batch can be called the largest."""


def _unusable(fits: Sequence[Fit], terms: Terms) -> tuple[EdgeStatus, Reason] | None:
    """The status and reason if the training step itself makes a proof impossible; else None."""
    if (leak := leak_of(fits, terms.confirm_steps, terms.granularity)) is not None:
        return EdgeStatus.NOT_STATIONARY, leak.reason
    if (unused := ignored(fits)) is not None:
        is_script = terms.script is not None
        return EdgeStatus.BATCH_NOT_USED, named_batch(unused, fits) if is_script else unused
    return None


def without_unused_length(proof: Proof, fits: Sequence[Fit], terms: Terms) -> Proof:
    """The proof; without an answer if the script does not use this T.

    Args:
        fits: the fit passes at every T.
    """
    if terms.script is None or "time_steps" not in terms.script.placeholders:
        return proof
    unused = unused_length(fits, proof.time_steps)
    if unused is None or proof.status in UNUSABLE:
        return proof
    return replace(
        proof, status=EdgeStatus.INDETERMINATE, reason=unused, batch=None, fits=None, horizon=None,
        confirmations=0,
    )  # fmt: skip


def _given_up(fits: Sequence[Fit], request: str) -> Reason:
    """Why a search ended early: it used all probes, or it was stopped."""
    return Stopped() if probes_of(fits, request) < MOST_PROBES else ProbesSpent(MOST_PROBES)


def probes_of(fits: Sequence[Fit], request: str) -> int:
    """Number of probes that a search has run in this invocation."""
    return sum(fit.request == request and fit.role is Role.PROBE for fit in fits)


def _judge(
    search: EdgeSearch, fits: Sequence[Fit], terms: Terms, spread: Reason | None, stopped: Reason
) -> tuple[EdgeStatus, Reason | None]:
    if (contradicting := _contradicting(fits, terms)) is not None:
        low, high = contradicting
        return EdgeStatus.NON_MONOTONE, Contradiction(high, low)
    if (broken := _broken(search, fits, terms)) is not None:
        return broken
    if spread is None and (fall := _fall_betweenbatches(search, fits, terms)) is not None:
        smaller, larger = fall
        return EdgeStatus.INDETERMINATE, MemoryFalls(
            smaller.units * terms.granularity,
            smaller.held_bytes,
            larger.units * terms.granularity,
            larger.held_bytes,
        )
    if terms.most_units == 0:
        return EdgeStatus.INDETERMINATE, NoMultiple(terms.at_most, terms.granularity)
    if not search.is_over:
        return EdgeStatus.INDETERMINATE, stopped
    if (batch := missing_proof(search, fits, terms)) is not None:
        return EdgeStatus.INDETERMINATE, _unproven(batch, fits, terms, stopped)
    if search.fits == 0:
        return EdgeStatus.NOTHING_FITS, _none_fits(fits, terms)
    status = EdgeStatus.CAPPED if search.fails is None else EdgeStatus.CERTIFIED
    remarks = (_unsteady(search, fits, terms), spread, _thrashing(search, fits, terms))
    return status, joined(*remarks)


def _fall_betweenbatches(
    search: EdgeSearch, fits: Sequence[Fit], terms: Terms
) -> tuple[Try, Try] | None:
    """Two fits of which the larger batch took clearly less memory; None for none.

    A pass whose own peak still grew by as much after its second training step says nothing of it:
    libraries keep memory for each new shape, and few small batches have met all of them.
    """
    if search.fall is None:
        return None
    steady = [fit for fit in fits if not has_grown(fit)]
    return terms.search(search.time_steps, steady).fall


def _none_fits(fits: Sequence[Fit], terms: Terms) -> SmallestFails:
    """Why the smallest batch does not fit, with the training steps that passed before."""
    failed = _ooms(fits, terms.granularity)
    ran = max(failed, key=lambda fit: fit.train_steps_run, default=None)
    if ran is None or ran.train_steps_run == 0:
        phases = {fit.failure.phase for fit in failed if fit.failure is not None}
        return SmallestFails(terms.granularity, is_before=phases == {"build"})
    return SmallestFails(terms.granularity, ran.train_steps_run, rise_of(ran.live_bytes))


def _unproven(batch: int, fits: Sequence[Fit], terms: Terms, stopped: Reason) -> Reason:
    """Why a batch that closes the bracket is not proven."""
    last = next((fit for fit in reversed(fits) if fit.batch == batch), None)
    if last is not None and last.outcome not in KNOWN_ENDS:
        return EndedAt(batch, last.reason)
    if (passed := _proofs(fits, batch, terms)) > 0:
        return FewerConfirmations(stopped, batch, passed, terms.confirm)
    return stopped


def _broken(
    search: EdgeSearch, fits: Sequence[Fit], terms: Terms
) -> tuple[EdgeStatus, Reason] | None:
    """Status and reason of an attempt inside the bracket that ended neither as fit nor as OOM."""
    low = search.fits * terms.granularity
    high = terms.at_most + 1 if search.fails is None else search.fails * terms.granularity
    last = next(
        (f for f in reversed(fits) if f.outcome not in KNOWN_ENDS and low < f.batch < high), None
    )
    if last is None:
        return None
    none_fits = search.fits == 0 and search.fails is None
    if last.outcome is Outcome.UNSUPPORTED and none_fits:
        return EdgeStatus.UNSUPPORTED, NotSupported(last.reason)
    return EdgeStatus.INDETERMINATE, EndedAt(last.batch, last.reason)


def _unsteady(search: EdgeSearch, fits: Sequence[Fit], terms: Terms) -> WentBothWays | None:
    """A remark if the batch above the largest one both fitted and ran out of memory."""
    if search.fails is None:
        return None
    beyond = search.fails * terms.granularity
    if any(fit.batch == beyond and fit.outcome is Outcome.MEASURED for fit in fits):
        return WentBothWays(beyond)
    return None


def _thrashing(search: EdgeSearch, fits: Sequence[Fit], terms: Terms) -> Thrashes | None:
    """A remark if the largest batch fits only because the allocator empties its cache."""
    batch = search.fits * terms.granularity
    proofs = [fit for fit in fits if fit.batch == batch and terms.is_proof(fit)]
    retries = max((fit.retries or 0 for fit in proofs), default=0)
    if not retries:
        return None
    steady = {fit.batch for fit in fits if terms.is_proof(fit) and not fit.retries}
    below = max((each for each in steady if each < batch), default=None)
    return Thrashes(batch, retries, below, SETTLED_STEPS)


def _contradicting(fits: Sequence[Fit], terms: Terms) -> tuple[int, int] | None:
    """The smallest batch out of memory and the largest that fits, if the latter is larger.

    A batch with both results is not a contradiction: it counts as out of memory.  Nor is a short
    fit at a batch that ran out of memory in a longer pass.
    """
    ooms = batches(fits, Outcome.OOM)
    low = min(ooms, default=terms.at_most + 1)
    proven = {fit.batch for fit in fits if terms.is_proof(fit)}
    high = max(proven | (batches(fits, Outcome.MEASURED) - ooms), default=0)
    return (low, high) if low <= terms.at_most and low < high else None


def _largest_run(search: EdgeSearch, fits: Sequence[Fit], terms: Terms) -> int:
    """The largest multiple below every OOM that was really run and fitted; 0 for none."""
    passed = batches(fits, Outcome.MEASURED) - batches(fits, Outcome.OOM)
    highest = search.fits * terms.granularity
    return max((b for b in passed if b <= highest and b % terms.granularity == 0), default=0)


def _proofs(fits: Sequence[Fit], batch: int, terms: Terms) -> int:
    return sum(fit.batch == batch and terms.is_proof(fit) for fit in fits)


def _best_proof(fits: Sequence[Fit], batch: int, terms: Terms) -> Fit | None:
    at = [f for f in fits if f.batch == batch and f.outcome is Outcome.MEASURED]
    return max(at, key=terms.is_proof, default=None)


def _ooms(fits: Sequence[Fit], batch: int | None) -> list[Fit]:
    """The OOMs at *batch*; if it is None, at the smallest batch with an OOM.

    Those of a worker of its own come last.
    """
    ooms = [fit for fit in fits if fit.outcome is Outcome.OOM]
    if batch is None:
        batch = min((fit.batch for fit in ooms), default=0)
    return sorted((fit for fit in ooms if fit.batch == batch), key=lambda fit: fit.is_fresh)


def _edge_fit(fit: Fit) -> EdgeFit:
    return EdgeFit(fit.batch, fit.attempt, fit.peak_charged_bytes, fit.train_steps_run)


def _edge_oom(fit: Fit) -> EdgeOom:
    failure = fit.failure
    return EdgeOom(
        fit.batch,
        fit.attempt,
        failure.phase if failure else None,
        failure.message if failure else fit.reason,
        failure.requested_bytes if failure else None,
    )


def evident_fits(run: Run, limit_bytes: int) -> list[Fit]:
    """The fit passes under a limit whose peaks are valid for training, at every T.

    As in the search, these are left out: short passes where more training steps take more memory,
    every T whose steps leave memory behind, and peaks that an emptied cache reduced.
    """
    settings = settings_of(run) or Settings()
    terms = Terms(
        limit_bytes, sys.maxsize, confirm_steps=settings.confirm_steps, through=settings.through
    )
    by_length: dict[int, list[Fit]] = defaultdict(list)
    for fit in run.observations:
        if isinstance(fit, Fit) and fit.is_of_the_workload and fit.limit_bytes == limit_bytes:
            by_length[fit.time_steps].append(fit)
    return [
        fit
        for fits in by_length.values()
        if leak_of(fits, terms.confirm_steps, settings.granularity) is None
        for fit in terms.lasting(fits).evident(fits)
        if fit.outcome is Outcome.MEASURED and fit.peak_charged_bytes and not fit.retries
    ]


def settings_of(run: Run) -> Settings | None:
    """The settings of the last invocation that measured memory or time; None without one."""
    looked = [r.settings for r in run.requests if r.settings.study is None]
    return looked[-1] if looked else None


def training_limit_of(run: Run) -> int:
    """Memory for training, in bytes: the limit without the reserve."""
    settings = settings_of(run)
    return run.limit_bytes - (settings.reserve_bytes if settings else 0)


def frontier_of(run: Run) -> tuple[Proof, ...]:
    """The run's proofs, each derived again from the attempts that its certificate cites.

    The last certificate at each T counts; a certificate is void if one of its attempts is missing.
    """
    by_attempt = {o.attempt: o for o in run.observations if isinstance(o, Fit)}
    settings = {request.request: request.settings for request in run.requests}
    script = run.header.workload.script
    derived: dict[int, Proof] = {}
    for certificate in run.certificates:
        asked = settings.get(certificate.request, Settings())
        fits = _cited(certificate, by_attempt)
        if fits:
            terms = _terms_of(certificate, fits, asked, script)
            proof = conclude(certificate.time_steps, fits, terms, certificate.request)
            every = [fit for fit in by_attempt.values() if fit.role not in UNSOUGHT]
            derived[certificate.time_steps] = without_unused_length(proof, every, terms)
    return tuple(derived[time_steps] for time_steps in sorted(derived))


def _cited(certificate: Certificate, by_attempt: Mapping[str, Fit]) -> list[Fit]:
    """The attempts that a certificate cites; none if one is missing or has another T."""
    fits = [by_attempt[attempt] for attempt in certificate.attempts if attempt in by_attempt]
    if len(fits) < len(certificate.attempts):
        return []
    return fits if all(fit.time_steps == certificate.time_steps for fit in fits) else []


def _terms_of(
    certificate: Certificate, fits: Sequence[Fit], settings: Settings, script: ScriptSource | None
) -> Terms:
    return Terms(
        limit_bytes=fits[-1].limit_bytes,
        at_most=certificate.at_most,
        granularity=max(1, certificate.granularity),
        confirm_steps=certificate.confirm_steps,
        through=settings.through,
        confirm=settings.confirm,
        script=script,
    )
