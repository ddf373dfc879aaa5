"""What fit passes prove: every status, and certificates that are derived again on loading."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fakes import HEADER, MIB, a_fit, a_request
from rnnprof.maxbatch.certify import Proof, conclude, frontier_of, missing_proof
from rnnprof.maxbatch.reasons import (
    Contradiction,
    EndedAt,
    FewerConfirmations,
    MemoryFalls,
    NoMultiple,
    NotSupported,
    SmallestFails,
    Stopped,
    Thrashes,
    WentBothWays,
)
from rnnprof.maxbatch.search import Try
from rnnprof.maxbatch.terms import Terms
from rnnprof.runfile.certificates import Certificate, EdgeFit, EdgeOom, EdgeStatus
from rnnprof.runfile.observations import Failure, Fit
from rnnprof.runfile.points import Grid, Outcome, Point
from rnnprof.runfile.records import Run, Settings

STEPS = 16
TERMS = Terms(HEADER.limit_bytes, at_most=100)
numbers = itertools.count(1)


def passes(batch: int, train_steps_run: int = 10, **changes: object) -> Fit:
    known = {"train_steps_run": train_steps_run, "peak_charged_bytes": batch * MIB // 2}
    return attempt(batch, **(known | changes))


def ooms(batch: int, **changes: object) -> Fit:
    failure = Failure("backward", "RuntimeError", "can't allocate memory", requested_bytes=4096)
    return attempt(batch, outcome=Outcome.OOM, reason="out of memory", failure=failure, **changes)


def ends(batch: int, outcome: Outcome, reason: str = "it did not go well") -> Fit:
    return attempt(batch, outcome=outcome, reason=reason)


def attempt(batch: int, **changes: object) -> Fit:
    time_steps = changes.pop("time_steps", STEPS)
    return a_fit(Point(batch, time_steps), attempt=f"a{next(numbers)}", **changes)


def concluded(*fits: Fit, terms: Terms = TERMS) -> Proof:
    return conclude(STEPS, fits, terms)


def status_of(*fits: Fit, terms: Terms = TERMS) -> tuple[EdgeStatus, int | None]:
    certificate = concluded(*fits, terms=terms)
    return certificate.status, certificate.batch


# a cache that the allocator empties


def test_a_fit_that_empties_the_cache_is_a_proof_with_thrashing_beside():
    fits = (
        passes(40, peak_charged_bytes=50 * MIB, peak_allocated_bytes=36 * MIB, retries=0),
        passes(50, peak_charged_bytes=41 * MIB, peak_allocated_bytes=40 * MIB, retries=8),
        ooms(51),
    )
    certificate = concluded(*fits)
    assert (certificate.status, certificate.batch) == (EdgeStatus.CERTIFIED, 50)
    assert certificate.reason == Thrashes(50, 8, without_batch=40, after_steps=2)


def test_thrashing_below_the_largest_batch_is_no_reason():
    certificate = concluded(passes(40, retries=3), passes(50, retries=0), ooms(51))
    assert (certificate.status, certificate.reason) == (EdgeStatus.CERTIFIED, None)


def test_thrashing_once_without_another_proof():
    certificate = concluded(passes(16, 2, retries=None), passes(50, retries=1), ooms(51))
    assert certificate.reason == Thrashes(50, 1, without_batch=None, after_steps=2)


def test_allocated_bytes_that_fall_are_a_fall():
    fits = (
        passes(40, peak_charged_bytes=50 * MIB, peak_allocated_bytes=48 * MIB),
        passes(50, peak_charged_bytes=50 * MIB, peak_allocated_bytes=30 * MIB),
        ooms(51),
    )
    certificate = concluded(*fits)
    assert certificate.status is EdgeStatus.INDETERMINATE
    assert certificate.reason == MemoryFalls(40, 48 * MIB, 50, 30 * MIB)


# each status


def test_certified_by_both_sides():
    fits = (passes(16, 2), passes(40), ooms(60), ooms(41))
    assert conclude(STEPS, fits, TERMS, "r7") == Proof(
        time_steps=STEPS,
        status=EdgeStatus.CERTIFIED,
        granularity=1,
        at_most=100,
        batch=40,
        fits=EdgeFit(40, fits[1].attempt, 20 * MIB, 10),
        fails=EdgeOom(41, fits[3].attempt, "backward", "can't allocate memory", 4096),
        confirm_steps=10,
        horizon=10,
        confirmations=1,
        probes=4,
        ooms=2,
        attempts=tuple(fit.attempt for fit in fits),
        reason=None,
        request="r7",
    )


def test_an_oom_without_a_failure_tells_its_reason():
    fails = concluded(passes(40), attempt(41, outcome=Outcome.OOM, reason="host")).fails
    assert (fails.phase, fails.message, fails.requested_bytes) == (None, "host", None)


def test_capped_where_the_largest_to_be_tried_fits():
    certificate = concluded(passes(16, 2), passes(100))
    assert (certificate.status, certificate.batch) == (EdgeStatus.CAPPED, 100)
    assert certificate.fits.batch == 100
    assert certificate.fails is None


def test_nothing_fits():
    certificate = concluded(ooms(16), ooms(1))
    assert certificate.status is EdgeStatus.NOTHING_FITS
    assert (certificate.batch, certificate.fits) == (None, None)
    assert certificate.fails.batch == 1
    assert certificate.reason == SmallestFails(1)


def test_what_is_loaded_before_training_does_not_fit():
    failure = Failure("build", "RuntimeError", "can't allocate memory")
    certificate = concluded(ooms(16), replace(ooms(1), failure=failure))
    assert certificate.reason == SmallestFails(1, is_before=True)


def test_nothing_fits_after_training_steps_that_left_memory_behind():
    later = ooms(1, train_steps_run=9, live_bytes=tuple(range(0, 9 * MIB, MIB)))
    found = concluded(ooms(16), ooms(1, train_steps_run=1), later)
    assert found.reason == SmallestFails(1, train_steps_run=9, left_bytes=MIB)
    once = concluded(ooms(16), ooms(1, train_steps_run=1))
    assert once.reason == SmallestFails(1, train_steps_run=1, left_bytes=0)


def test_a_proof_lasts_as_long_as_growth_that_has_ended():
    """What looked like a leak at B=16 ended in the 27th training step."""
    rising = tuple(range(0, 26 * MIB, MIB))
    suspected = passes(16, live_bytes=rising[:10], train_steps=10)
    ended = passes(16, 30, live_bytes=(*rising, *[26 * MIB] * 4), train_steps=30)
    fits = [suspected, ended, passes(20), ooms(21)]
    assert concluded(*fits).status is EdgeStatus.INDETERMINATE
    proven = concluded(*fits, passes(20, 30))
    assert (proven.status, proven.horizon) == (EdgeStatus.CERTIFIED, 30)


def test_unsupported_has_the_reason_that_was_recorded():
    certificate = concluded(ends(16, Outcome.UNSUPPORTED, "not supported in forward"))
    assert certificate.status is EdgeStatus.UNSUPPORTED
    assert certificate.reason == NotSupported("not supported in forward")


def test_unsupported_above_a_fit_is_not_known():
    found = status_of(passes(8), ends(16, Outcome.UNSUPPORTED))
    assert found == (EdgeStatus.INDETERMINATE, 8)


def test_a_fit_above_an_oom_shows_both():
    fits = (passes(10), ooms(20), ooms(40), passes(30))
    certificate = concluded(*fits)
    assert certificate.status is EdgeStatus.NON_MONOTONE
    assert certificate.reason == Contradiction(fits_batch=30, fails_batch=20)
    assert (certificate.fits.attempt, certificate.fails.attempt) == (
        fits[3].attempt,
        fits[1].attempt,
    )
    assert certificate.batch == 10


def test_a_contradiction_is_shown_as_it_was_run():
    """Not in multiples of the granularity, to which the search rounds."""
    terms = replace(TERMS, granularity=4)
    fits = (ooms(13), passes(19))
    certificate = concluded(*fits, terms=terms)
    assert certificate.status is EdgeStatus.NON_MONOTONE
    assert certificate.reason == Contradiction(fits_batch=19, fails_batch=13)
    assert (certificate.fails.batch, certificate.fits.batch) == (13, 19)
    assert certificate.batch is None


# the same batch, both ways


@pytest.mark.parametrize("train_steps_run", [2, 10])
def test_a_batch_that_went_both_ways_is_taken_not_to_fit(train_steps_run):
    fits = [passes(39), passes(40, train_steps_run), ooms(40)]
    for ordered in itertools.permutations(fits):
        certificate = concluded(*ordered)
        assert (certificate.status, certificate.batch) == (EdgeStatus.CERTIFIED, 39)
        assert (certificate.fits.batch, certificate.fails.batch) == (39, 40)
        assert certificate.reason == WentBothWays(40)


def test_both_ways_above_an_oom_is_a_contradiction():
    certificate = concluded(passes(20), ooms(30), passes(40), ooms(40))
    assert certificate.status is EdgeStatus.NON_MONOTONE
    assert (certificate.fails.batch, certificate.fits.batch) == (30, 40)


def test_few_steps_above_an_oom_have_to_be_run_as_a_proof():
    """Every step may leave something behind: two of them that fit say nothing of ten."""
    few = [passes(20), ooms(30), passes(40, 2)]
    terms = replace(TERMS, at_most=50)
    assert missing_proof(terms.search(STEPS, few), few, terms) == 40
    assert status_of(*few, passes(40))[0] is EdgeStatus.NON_MONOTONE
    assert status_of(*few, ooms(40), ooms(21)) == (EdgeStatus.CERTIFIED, 20)


def test_it_is_no_contradiction_of_the_batches_below():
    assert status_of(passes(39, 2), passes(40), ooms(40)) == (EdgeStatus.INDETERMINATE, 39)
    assert status_of(passes(40), ooms(40)) == (EdgeStatus.INDETERMINATE, None)


outcomes = st.sampled_from([Outcome.MEASURED, Outcome.OOM, Outcome.CRASHED, Outcome.TIMEOUT])
attempts = st.builds(
    lambda batch, outcome, run: (
        passes(batch, run) if outcome is Outcome.MEASURED
        else ooms(batch) if outcome is Outcome.OOM
        else ends(batch, outcome)
    ),
    st.integers(1, 9),
    outcomes,
    st.sampled_from([2, 10]),
)  # fmt: skip


@pytest.mark.parametrize(
    ("smaller", "both", "at_most", "granularity"), [(2, 4, 3, 1), (3, 7, 7, 2), (4, 7, 9, 2)]
)
def test_a_rounded_fit_at_a_batch_that_also_ran_out_of_memory_contradicts_nothing(
    smaller: int, both: int, at_most: int, granularity: int
) -> None:
    """Else the bracket looks closed by a contradiction, and nothing seems to fit."""
    seen = (ooms(smaller), passes(both, 2), ooms(both))
    found = concluded(*seen, terms=Terms(HEADER.limit_bytes, at_most, granularity))
    assert (found.status, found.reason) == (EdgeStatus.INDETERMINATE, Stopped())


@given(st.lists(attempts, max_size=12), st.integers(1, 9), st.integers(1, 4), st.integers(1, 2))
def test_whatever_was_seen_a_proof_is_a_proof(fits, at_most, granularity, confirm):
    terms = Terms(HEADER.limit_bytes, at_most, granularity, confirm=confirm)
    certificate = concluded(*fits, terms=terms)
    out = {fit.batch for fit in fits if fit.outcome is Outcome.OOM}
    batch, status = certificate.batch, certificate.status
    assert batch is None or batch not in out
    if status in (EdgeStatus.CERTIFIED, EdgeStatus.CAPPED):
        proofs = [f for f in fits if f.batch == batch and terms.is_proof(f)]
        assert len(proofs) == certificate.confirmations >= confirm
        assert certificate.fits.attempt in {fit.attempt for fit in proofs}
        assert batch % granularity == 0
        assert batch <= at_most
        assert not [b for b in out if b <= batch]
    if status is EdgeStatus.CERTIFIED:
        assert certificate.fails.batch == batch + granularity
    if status is EdgeStatus.CAPPED:
        assert batch + granularity > at_most
    if status is EdgeStatus.NOTHING_FITS:
        assert certificate.fails.batch == granularity
        assert granularity in out
    if status is EdgeStatus.NON_MONOTONE:
        assert certificate.fails.batch < certificate.fits.batch
    if certificate.fits is not None and status is not EdgeStatus.NON_MONOTONE:
        assert certificate.fits.batch == batch
    assert (certificate.probes, certificate.ooms) == (
        len(fits),
        sum(f.outcome is Outcome.OOM for f in fits),
    )


# what stands in the way


@pytest.mark.parametrize("outcome", [Outcome.CRASHED, Outcome.TIMEOUT, Outcome.FAILED])
def test_an_attempt_within_the_bracket_that_ended_badly(outcome):
    fits = [passes(40), ooms(60), ends(50, outcome, "it died"), ends(50, outcome, "it died again")]
    certificate = concluded(*fits)
    assert (certificate.status, certificate.batch) == (EdgeStatus.INDETERMINATE, 40)
    assert certificate.reason == EndedAt(50, "it died again")
    assert (certificate.fits.batch, certificate.fails.batch) == (40, 60)


@pytest.mark.parametrize("batch", [20, 40, 41, 80])
def test_one_elsewhere_does_no_harm(batch):
    bad = ends(batch, Outcome.TIMEOUT)
    assert status_of(bad, passes(40), ooms(41)) == (EdgeStatus.CERTIFIED, 40)
    assert status_of(passes(40), ooms(41), bad) == (EdgeStatus.CERTIFIED, 40)


def test_above_the_cap_nothing_is_asked():
    assert status_of(passes(100), ends(101, Outcome.CRASHED))[0] is EdgeStatus.CAPPED


def test_a_proof_whose_worker_died_says_so():
    terms = replace(TERMS, confirm=2)
    certificate = concluded(
        passes(40), ooms(41), *[ends(40, Outcome.CRASHED, "SIGSEGV")] * 2, terms=terms
    )
    assert certificate.status is EdgeStatus.INDETERMINATE
    assert certificate.reason == EndedAt(40, "SIGSEGV")


def test_memory_that_falls_with_the_batch():
    fits = (passes(30, peak_charged_bytes=20 * MIB), passes(40, peak_charged_bytes=12 * MIB))
    certificate = concluded(*fits, ooms(41))
    assert certificate.status is EdgeStatus.INDETERMINATE
    assert certificate.reason == MemoryFalls(30, 20 * MIB, 40, 12 * MIB)


@pytest.mark.parametrize(
    "fits",
    [(), (passes(16),), (ooms(16),), (passes(16), ooms(40)), (passes(40, 2), ooms(41))],
)
def test_a_search_that_was_stopped_midway(fits):
    certificate = concluded(*fits)
    assert certificate.status is EdgeStatus.INDETERMINATE
    assert certificate.reason == Stopped()
    assert certificate.batch == max(
        (f.batch for f in fits if f.outcome == "measured"), default=None
    )


def test_too_few_fresh_workers():
    terms = replace(TERMS, confirm=3)
    fits = [passes(40), passes(40), ooms(41)]
    certificate = concluded(*fits, terms=terms)
    assert certificate.status is EdgeStatus.INDETERMINATE
    assert certificate.confirmations == 2
    assert certificate.reason == FewerConfirmations(Stopped(), 40, 2, 3)
    assert concluded(*fits, passes(40), terms=terms).status is EdgeStatus.CERTIFIED


# what proof is missing


def missing(*fits: Fit, terms: Terms = TERMS) -> int | None:
    return missing_proof(terms.search(STEPS, fits), fits, terms)


def test_a_pass_of_too_few_steps_is_no_proof():
    fits = [passes(40, 9), ooms(41)]
    assert concluded(*fits).status is EdgeStatus.INDETERMINATE
    assert missing(*fits) == 40
    assert missing(*fits, passes(40, 10)) is None
    assert concluded(*fits, passes(40, 10)).fits.train_steps_run == 10


def test_each_fresh_worker_is_asked_for():
    terms = replace(TERMS, confirm=2)
    assert missing(passes(40), ooms(41), terms=terms) == 40
    assert missing(passes(40), ooms(41), passes(40), terms=terms) is None


def test_nothing_is_missing_of_a_contradiction():
    assert missing(passes(40), ooms(30)) is None


def test_the_proof_stands_at_multiples():
    terms = replace(TERMS, granularity=8)
    fits = [passes(41), ooms(47)]
    assert concluded(*fits, terms=terms).batch is None
    assert missing(*fits, terms=terms) == 40
    fits.append(passes(40))
    assert missing(*fits, terms=terms) == 48
    assert concluded(*fits, terms=terms).status is EdgeStatus.INDETERMINATE
    fits.append(ooms(48))
    assert missing(*fits, terms=terms) is None
    certificate = concluded(*fits, terms=terms)
    assert (certificate.status, certificate.batch) == (EdgeStatus.CERTIFIED, 40)
    assert (certificate.fits.batch, certificate.fails.batch) == (40, 48)


def test_what_is_known_is_rounded_to_the_safe_side():
    terms = replace(TERMS, granularity=8)
    tries = terms.tries([passes(41), ooms(41 + 1), passes(3), ooms(97)])
    assert tries == [Try(5, Outcome.MEASURED, 41 * MIB // 2), Try(6, Outcome.OOM)]


# the cap


def test_an_oom_beyond_the_cap_does_not_certify():
    """An earlier sweep went farther than this search is to go."""
    certificate = concluded(ooms(200), passes(100))
    assert (certificate.status, certificate.batch) == (EdgeStatus.CAPPED, 100)


def test_a_fit_beyond_the_cap_is_proven_at_it():
    fits = [passes(200)]
    assert concluded(*fits).batch is None
    assert missing(*fits) == 100
    assert status_of(*fits, passes(100)) == (EdgeStatus.CAPPED, 100)


@pytest.mark.parametrize("fits", [(passes(8),), (ooms(8),), ()])
def test_without_a_multiple_below_the_cap_nothing_is_claimed(fits):
    terms = Terms(HEADER.limit_bytes, at_most=8, granularity=64)
    certificate = concluded(*fits, terms=terms)
    assert certificate.status is EdgeStatus.INDETERMINATE
    assert certificate.reason == NoMultiple(at_most=8, granularity=64)
    assert missing(*fits, terms=terms) is None


def test_the_last_multiple_below_the_cap():
    terms = Terms(HEADER.limit_bytes, at_most=100, granularity=64)
    assert missing(passes(64), ooms(100), terms=terms) is None
    assert status_of(passes(64), ooms(100), terms=terms) == (EdgeStatus.CAPPED, 64)


# loading


EDGE = (passes(40), ooms(41))


def run_with(*certificates: Certificate, fits=EDGE, confirm: int = 1) -> Run:
    request = a_request(Grid((), (STEPS,)), Settings(confirm=confirm))
    return Run(HEADER, (request,), observations=tuple(fits), certificates=certificates)


def written(*fits: Fit, terms: Terms = TERMS, time_steps: int = STEPS) -> Proof:
    return conclude(time_steps, fits, terms, "r1")


def test_a_certificate_is_derived_again_with_its_reason():
    for fits in (EDGE, EDGE[:1]):
        proof = written(*fits)
        assert type(proof.certificate) is Certificate
        assert frontier_of(run_with(proof.certificate)) == (proof,)


def test_what_it_does_not_cite_is_not_part_of_it():
    certificate = written(*EDGE)
    assert frontier_of(run_with(certificate, fits=(*EDGE, ooms(3)))) == (certificate,)


@pytest.mark.parametrize(
    "changes",
    [
        {"batch": 64},
        {"status": EdgeStatus.CAPPED},
        {"fits": EdgeFit(41, "a1")},
        {"fails": None},
        {"reason": Stopped()},
        {"probes": 0, "ooms": 0},
        {"confirmations": 9},
    ],
)
def test_one_that_was_tampered_with_does_not_lie(changes):
    certificate = written(*EDGE)
    tampered = replace(certificate, **changes)
    assert tampered != certificate
    assert frontier_of(run_with(tampered)) == (certificate,)


def test_proof_in_one_worker_where_three_were_asked_for_is_none():
    terms = replace(TERMS, confirm=3)
    certificate = written(*EDGE, terms=terms)
    assert certificate.status is EdgeStatus.INDETERMINATE
    tampered = replace(certificate, status=EdgeStatus.CERTIFIED, confirmations=3)
    for cited in (certificate, tampered):
        assert frontier_of(run_with(cited, confirm=3)) == (certificate,)


def test_without_its_attempts_it_is_void():
    certificate = written(*EDGE)
    assert frontier_of(run_with(certificate, fits=EDGE[:1])) == ()
    assert frontier_of(run_with(replace(certificate, attempts=()))) == ()
    unknown = replace(certificate, attempts=(*certificate.attempts, "elsewhere"))
    assert frontier_of(run_with(unknown)) == ()


def test_attempts_of_another_length_make_it_void():
    assert frontier_of(run_with(replace(written(*EDGE), time_steps=32))) == ()


def test_the_last_at_each_length_counts():
    other = (passes(20, time_steps=8), ooms(21, time_steps=8))
    first = written(EDGE[0])
    assert first.status is EdgeStatus.INDETERMINATE
    run = run_with(first, written(*other, time_steps=8), written(*EDGE), fits=(*EDGE, *other))
    found = [(c.time_steps, c.status, c.batch) for c in frontier_of(run)]
    assert found == [(8, EdgeStatus.CERTIFIED, 20), (STEPS, EdgeStatus.CERTIFIED, 40)]


def test_a_void_one_does_not_hide_an_earlier_one():
    good = written(*EDGE)
    void = replace(good, attempts=("elsewhere",))
    assert frontier_of(run_with(good, void)) == (good,)


@pytest.mark.parametrize(
    ("early", "status"),
    [((38, 38, 47, 56, 62), EdgeStatus.CERTIFIED), ((62,) * 5, EdgeStatus.INDETERMINATE)],
)
def test_a_fall_is_not_believed_of_a_pass_whose_own_peak_grew(early, status):
    small = {"peak_charged_bytes": 62 * MIB, "step_peak_bytes": tuple(p * MIB for p in early)}
    large = {"peak_charged_bytes": 54 * MIB, "step_peak_bytes": (54 * MIB,) * 5}
    assert concluded(passes(16, **small), passes(28, **large), ooms(29)).status is status
