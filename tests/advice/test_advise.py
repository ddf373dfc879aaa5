"""The advice at each T: why, what is predicted; never beyond what was measured or bounded."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fakes import HEADER, MIB, MemoryLaw, a_fit, a_request, a_timing
from rnnprof.advice.advise import Advice, LargestSafe, advise
from rnnprof.advice.reasons import (
    Accumulates,
    BestRate,
    FasterLength,
    FitsAtOnce,
    Lack,
    LeftOut,
    NoPoint,
    NoPointHere,
    NotStationary,
    NotStudied,
    PointNotUsed,
    PredictedBatch,
    SpeedUnknown,
    TakesMemory,
    UnderLimit,
    Unfinished,
)
from rnnprof.breakdown.memory_model import MemoryModel
from rnnprof.maxbatch.certify import Proof
from rnnprof.maxbatch.folded import FoldedRun
from rnnprof.maxbatch.reasons import StepLeaves
from rnnprof.points.measurement import Measurement
from rnnprof.points.reasons import DataGave, ProcessorTaken, Taker
from rnnprof.runfile.certificates import EdgeStatus
from rnnprof.runfile.points import Grid, Outcome, Point, Role
from rnnprof.runfile.records import Finished, Run, Settings
from rnnprof.study.trainability import trainability_of
from unused_samples import run_over

LIMIT = HEADER.limit_bytes
USABLE = 0.95 * LIMIT
NOISE = ProcessorTaken(Taker.QUOTA, 0.4)
LAW = MemoryLaw()
EDGE = (LIMIT - LAW.fixed_bytes) // (LAW.per_sequence_bytes + 16 * LAW.per_time_step_bytes)


def timed(batch: int, rate: float, time_steps: int = 16, **changes: object) -> Measurement:
    """A point with so many time steps/s, known to half a hundredth."""
    step_s = batch * time_steps / rate
    known: dict[str, object] = {
        "step_time_s": step_s,
        "step_time_within_ci_s": (0.995 * step_s, 1.005 * step_s),
        "time_steps_per_s": rate,
        "peak_charged_bytes": batch * MIB // 4,
    }
    return Measurement(Point(batch, time_steps), Outcome.MEASURED, **(known | changes))


def fit_at(batch: int, time_steps: int = 16, **changes: object):
    point = Point(batch, time_steps)
    known = {"peak_charged_bytes": LAW.bytes_at(point), "attempt": f"f{batch}x{time_steps}"}
    return a_fit(point, **(known | changes))


def certified(batch: int | None = EDGE, time_steps: int = 16, **changes: object) -> Proof:
    plain = Proof(time_steps, EdgeStatus.CERTIFIED, 1, 65536, batch)
    return replace(plain, **changes)


def a_run(*fits: object, environment: dict[str, object] | None = None, **settings: object) -> Run:
    request = a_request(Grid((8,), (16,)), Settings(**settings))
    header = replace(HEADER, environment=environment or HEADER.environment)
    finished = Finished(request.request, "2026-11-23T12:05:00Z", 300.0)
    return Run(header, (request,), observations=tuple(fits), finished=(finished,))


def advised(
    measurements: Iterable[Measurement],
    frontier: Iterable[Proof] = (),
    run: Run | None = None,
    effective_batch: int | None = None,
) -> Advice:
    by_point = {m.point: m for m in measurements}
    folded = FoldedRun(run or a_run(), by_point, tuple(frontier))
    return advise(folded, trainability_of(folded.run), effective_batch)


# which batch at each t


def recommended(advice: Advice) -> dict[int, int | None]:
    return {each.time_steps: each.batch for each in advice.recommendations}


def test_one_recommendation_for_each_t_that_was_timed():
    points = [timed(8, 800), timed(16, 1000), timed(8, 400, 64), timed(32, 700, 64)]
    advice = advised([*points, Measurement(Point(8, 128), Outcome.OOM)])
    assert recommended(advice) == {16: 16, 64: 32}
    assert [advice.at(time_steps) for time_steps in (16, 64)] == list(advice.recommendations)
    assert advice.at(128) is None
    assert advice.at(64).reasons == (
        BestRate(pytest.approx(700)), TakesMemory(8 * MIB, LIMIT),
    )  # fmt: skip


def test_the_longest_t_that_is_decided_stands_for_all():
    points = [timed(8, 1000, 16), timed(8, 900, 32), timed(16, 999, 32), timed(8, 800, 64)]
    tied = timed(16, 842, 64)
    assert advised(points).point == Point(8, 64)
    advice = advised([*points, tied])
    assert recommended(advice) == {16: 8, 32: 16, 64: None}
    assert advice.at(64).tied == (8, 16)
    assert advice.main == advice.at(32)
    assert advice.point == Point(16, 32)
    open_ = advised([points[3], tied])
    assert (open_.main, open_.point) == (None, None)


def test_a_t_whose_training_steps_leave_memory_behind_is_not_advised():
    leak = certified(
        None, time_steps=32, status=EdgeStatus.NOT_STATIONARY,
        reason=StepLeaves(float(MIB), 8, 9),
    )  # fmt: skip
    points = [timed(8, 700, 16), timed(8, 1000, 32)]
    assert advised(points).point == Point(8, 32)
    advice = advised(points, [leak])
    assert recommended(advice) == {16: 8}
    assert advice.reasons == (NotStationary(32, leak.reason),)
    alone = advised(points[1:], [leak])
    assert (alone.recommendations, alone.reasons) == ((), advice.reasons)


@pytest.mark.parametrize(
    "points",
    [
        [],
        [Measurement(Point(8, 16), Outcome.OOM)],
        [timed(8, 100, time_steps_per_s=None)],
    ],
)
def test_where_nothing_was_timed_nothing_is_advised(points):
    advice = advised(points, effective_batch=64)
    assert (advice.recommendations, advice.main, advice.point) == ((), None, None)
    assert advice.reasons == (NoPoint(),)


@pytest.mark.parametrize(
    ("point", "lack"),
    [
        (timed(8, 100, retries=3), Lack.THRASHING),
        (timed(8, 100, peak_charged_bytes=None), Lack.MEMORY_UNKNOWN),
        (timed(8, 100, peak_charged_bytes=None, peak_allocated_bytes=MIB), Lack.MEMORY_UNKNOWN),
        (timed(8, 100, peak_charged_bytes=int(USABLE) + 1), Lack.HEADROOM),
    ],
)
def test_without_a_point_that_will_do_nothing_is_recommended(point, lack):
    advice = advised([point], effective_batch=64)
    (one,) = advice.recommendations
    assert (one.batch, one.tied, one.accumulation_steps) == (None, (), None)
    assert one.reasons == (
        NoPointHere(),
        LeftOut(8, 100, lack, 0.05, is_faster=False),
    )
    assert (advice.point, advice.reasons) == (None, ())


def test_the_headroom_excludes_and_what_was_faster_is_told():
    points = [timed(8, 700), timed(16, 1000, peak_charged_bytes=int(USABLE) + 1)]
    advice = advised(points)
    assert recommended(advice) == {16: 8}
    assert advice.main.reasons[-1] == LeftOut(16, 1000, Lack.HEADROOM, 0.05, is_faster=True)
    within = [points[0], replace(points[1], peak_charged_bytes=int(USABLE))]
    assert recommended(advised(within)) == {16: 16}
    assert recommended(advised(points, run=a_run(headroom_ratio=0.0))) == {16: 16}


def test_what_was_left_out_at_another_t_is_told_there():
    too_large = timed(16, 1000, 64, peak_charged_bytes=int(USABLE) + 1)
    advice = advised([timed(8, 700), timed(8, 600, 64), too_large])
    assert [len(each.reasons) for each in advice.recommendations] == [2, 3]
    assert advice.at(64).reasons[-1] == LeftOut(16, 1000, Lack.HEADROOM, 0.05, is_faster=True)


def test_the_reserve_is_no_room():
    points = [timed(8, 700), timed(16, 1000, peak_charged_bytes=40 * MIB)]
    assert recommended(advised(points)) == {16: 16}
    assert recommended(advised(points, run=a_run(reserve_bytes=30 * MIB))) == {16: 8}


def test_what_thrashes_is_left_out():
    advice = advised([timed(8, 700, retries=0), timed(16, 1000, retries=1)])
    assert recommended(advice) == {16: 8}
    assert advice.main.reasons[-1] == LeftOut(16, 1000, Lack.THRASHING, 0.05, is_faster=True)


def test_what_takes_nobody_knows_how_much_is_left_out():
    unknown = timed(16, 1000, peak_charged_bytes=None)
    allocated = replace(unknown, peak_allocated_bytes=MIB, peak_process_bytes=MIB)
    for left_out in (unknown, allocated):
        advice = advised([timed(8, 700), left_out])
        assert recommended(advice) == {16: 8}
        expected = LeftOut(16, 1000, Lack.MEMORY_UNKNOWN, 0.05, is_faster=True)
        assert advice.main.reasons[-1] == expected


def test_what_is_slower_is_not_told():
    slower = timed(16, 600, peak_charged_bytes=LIMIT)
    assert len(advised([timed(8, 700), slower]).main.reasons) == 2


def test_what_was_left_out_is_told_where_speed_is_open_too():
    thrashing = timed(32, 1200, retries=1)
    (one,) = advised([timed(8, 950), timed(16, 1000), thrashing]).recommendations
    assert one.tied == (8, 16)
    assert one.reasons[1:] == (LeftOut(32, 1200, Lack.THRASHING, 0.05, is_faster=True),)


# a step that does not use the batch


def advice_over(data: int) -> Advice:
    """Of a run over a data set of so many sequences."""
    run = run_over(data)
    return advise(FoldedRun.of(run), trainability_of(run))


def test_a_batch_that_is_not_used_is_not_recommended():
    assert advice_over(64).point == Point(64, 16)
    nowhere = advice_over(1)
    assert nowhere.recommendations == ()
    assert PointNotUsed(Point(256, 16), DataGave(256, 1)) in nowhere.reasons


def test_nothing_is_recommended_by_a_proof_that_the_batch_is_not_used():
    run = run_over(64)
    proof = Proof(16, EdgeStatus.BATCH_NOT_USED, 1, 999, batch=256)
    folded = FoldedRun(run, FoldedRun.of(run).measurements, (proof,))
    (length,) = advise(folded, trainability_of(run)).largest_safe
    assert (length.edge, length.batch) == (None, None)


# the drift of the run's own anchor


def drifting(*medians_s: float, time_steps: int = 16) -> list[object]:
    anchor = Point(4, time_steps)
    return [
        a_timing(anchor, at, attempt=f"a{time_steps}x{index}", role=Role.ANCHOR)
        for index, at in enumerate(medians_s)
    ]


def test_the_drift_of_the_machine_leaves_open_what_the_intervals_decide():
    points = [timed(8, 965), timed(16, 1000)]
    assert recommended(advised(points, run=a_run(*drifting(0.1, 0.1)))) == {16: 8}
    (one,) = advised(points, run=a_run(*drifting(0.1, 0.105))).recommendations
    assert (one.batch, one.tied, one.by_drift) == (None, (8, 16), True)
    assert one.reasons[0].drift_ratio == pytest.approx(0.05)


def test_the_anchor_that_drifted_most_counts():
    """A run that was extended has one for each of its grids."""
    run = a_run(*drifting(0.1, 0.1, time_steps=8), *drifting(0.1, 0.11, time_steps=64))
    (one,) = advised([timed(8, 965), timed(16, 1000)], run=run).recommendations
    assert one.reasons[0].drift_ratio == pytest.approx(0.1)


# another t


def test_a_shorter_t_that_is_faster_beyond_doubt_is_told_with_its_cost():
    advice = advised([timed(8, 1000, 16), timed(8, 950, 32), timed(16, 800, 64)])
    assert advice.point == Point(16, 64)
    assert advice.reasons == (FasterLength(Point(8, 16), Point(16, 64), pytest.approx(0.25)),)


@pytest.mark.parametrize(
    "points",
    [
        [timed(8, 900, 16), timed(8, 1000, 64)],
        [timed(8, 1000, 16), timed(8, 1000, 64)],
        [timed(8, 1009, 16), timed(8, 1000, 64)],
        [timed(8, 2000, 16, step_time_within_ci_s=None), timed(8, 1000, 64)],
        [timed(8, 2000, 16), timed(8, 1000, 64, noisy=NOISE)],
        [timed(8, 2000, 16), timed(16, 1990, 16), timed(8, 1000, 64), timed(16, 1050, 64)],
    ],
)
def test_another_t_is_not_told_of_where_it_is_not_faster_beyond_doubt(points):
    assert advised(points).reasons == ()


def test_drift_hides_that_another_t_is_faster():
    points = [timed(8, 1040, 16), timed(8, 1000, 64)]
    assert len(advised(points).reasons) == 1
    assert advised(points, run=a_run(*drifting(0.1, 0.104))).reasons == ()


# a run that is not whole, or no run of the device


def test_a_run_that_was_stopped_says_so_first():
    points = [timed(8, 1000, 16), timed(8, 800, 64)]
    stopped = replace(a_run(), finished=())
    advice = advised(points, run=stopped)
    assert recommended(advice) == {16: 8, 64: 8}
    assert (advice.reasons[0], len(advice.reasons)) == (Unfinished(), 2)
    assert Unfinished() not in advised(points).reasons
    assert advised([], run=replace(stopped, requests=())).reasons == (NoPoint(),)


def test_a_simulated_gpu_has_no_recommendation():
    run = a_run(environment={"device": "cuda", "simulated": "t4"})
    advice = advised([timed(8, 1000)], run=run)
    assert (advice.recommendations, advice.reasons) == ((), (SpeedUnknown(),))


# accumulation


@pytest.mark.parametrize(
    ("effective", "fewest", "how"),
    [
        (128, 4, Accumulates(128, 4, 32)),
        (100, 4, Accumulates(100, 4, 25)),
        (480, 15, Accumulates(480, 15, 32)),
        (360, 12, Accumulates(360, 12, 30)),
        (516, 17, Accumulates(516, 43, 12, 17, 30)),
        (101, 4, Accumulates(101, 101, 1, 4, 25)),
        (32, 1, FitsAtOnce(32)),
        (5, 1, FitsAtOnce(5)),
    ],
)
def test_the_effective_batch(effective, fewest, how):
    advice = advised([timed(32, 1000)], effective_batch=effective)
    assert (advice.effective_batch, advice.main.accumulation_steps) == (effective, fewest)
    assert advice.main.reasons[-1] == how


def test_each_t_has_its_own_accumulation():
    advice = advised([timed(32, 1000), timed(8, 900, 64)], effective_batch=64)
    assert [each.accumulation_steps for each in advice.recommendations] == [2, 8]
    tied = advised([timed(8, 950), timed(16, 1000)], effective_batch=64).recommendations
    assert [(each.batch, each.accumulation_steps) for each in tied] == [(None, None)]


def test_without_an_effective_batch_there_is_no_accumulation():
    advice = advised([timed(32, 1000)], [certified()], a_run(fit_at(16), fit_at(EDGE)))
    assert (advice.effective_batch, advice.main.accumulation_steps) == (None, None)
    assert advice.largest_safe[0].accumulation_steps is None


def test_an_edge_tells_its_own_accumulation():
    """Of a run that has timed nothing."""
    advice = advised([], [certified()], a_run(fit_at(16), fit_at(EDGE)), effective_batch=1000)
    (at,) = advice.largest_safe
    assert at.accumulation_steps == math.ceil(1000 / at.batch)
    assert advice.recommendations == ()


# the largest safe batch at an edge


def largest_safe(run: Run, certificate: Proof | None = None) -> LargestSafe:
    (found,) = advised([], [certificate or certified()], run).largest_safe
    return found


SEEN = [fit_at(batch) for batch in (16, 48, 70, EDGE)]


def test_a_batch_predicted_by_the_model():
    run = a_run(*SEEN)
    found = largest_safe(run)
    model = FoldedRun.of(run).model
    assert not found.is_measured
    assert found.edge == EDGE
    assert model.upper_bytes(Point(found.batch, 16)) <= USABLE
    assert model.upper_bytes(Point(found.batch + 1, 16)) > USABLE
    assert found.peak_bytes == round(model.predict_bytes(Point(found.batch, 16)))


def test_what_is_only_likely_to_leave_the_headroom_is_not_advised():
    run = a_run(
        *SEEN, replace(SEEN[1], peak_charged_bytes=round(1.03 * SEEN[1].peak_charged_bytes))
    )
    model = FoldedRun.of(run).model
    edge = int(model.edge(16, USABLE))
    assert model.predict_bytes(Point(edge, 16)) <= USABLE < model.upper_bytes(Point(edge, 16))
    assert largest_safe(run, certified(edge)).batch < edge


def test_what_fits_with_an_emptied_cache_is_neither_advised_nor_learned_from():
    thrashing = replace(SEEN[-1], peak_charged_bytes=LIMIT // 2, retries=8)
    run = a_run(*SEEN[:-1], thrashing)
    assert largest_safe(run) == largest_safe(a_run(*SEEN[:-1]))
    assert largest_safe(run).batch < EDGE


def test_a_batch_that_was_measured_to_leave_the_headroom():
    largest = next(b for b in range(EDGE, 0, -1) if LAW.bytes_at(Point(b, 16)) <= USABLE)
    noisy = [replace(SEEN[1], peak_charged_bytes=round(1.03 * SEEN[1].peak_charged_bytes))]
    run = a_run(*SEEN[:-1], *noisy)
    assert largest_safe(run).batch < largest  # the model's bound is wide
    found = largest_safe(a_run(*SEEN[:-1], *noisy, fit_at(largest)))
    assert found == LargestSafe(16, EDGE, largest, True, LAW.bytes_at(Point(largest, 16)))


def test_between_two_measured_batches_the_line_between_them_bounds_the_peak():
    """Where a search had few probes, and the model's margin is wide."""
    bent = fit_at(16, peak_charged_bytes=LAW.bytes_at(Point(16, 16)) // 2)
    seen = [bent, fit_at(70), fit_at(EDGE)]
    exact = next(b for b in range(EDGE, 0, -1) if 1.005 * LAW.bytes_at(Point(b, 16)) <= USABLE)
    run = a_run(*seen)
    assert FoldedRun.of(run).model.safe_edge(16, USABLE) < exact - 1
    found = largest_safe(run)
    assert (found.batch, found.is_measured) == (exact, False)
    assert found.peak_bytes == pytest.approx(LAW.bytes_at(Point(exact, 16)), rel=1e-6)


def test_the_edge_itself_where_it_leaves_the_headroom():
    found = largest_safe(a_run(*SEEN, headroom_ratio=0.0))
    assert found == LargestSafe(16, EDGE, EDGE, True, LAW.bytes_at(Point(EDGE, 16)))
    capped = certified(48, status=EdgeStatus.CAPPED)
    assert largest_safe(a_run(*SEEN), capped).batch == 48


def test_the_highest_peak_of_a_batch_counts():
    """Ten steps may take more than two."""
    more = fit_at(48, attempt="again", peak_charged_bytes=int(USABLE) + 1)
    for fits in ((fit_at(48), more), (more, fit_at(48))):
        assert largest_safe(a_run(fit_at(16), *fits), certified(48)).batch < 48


def unsteady(batch: int, train_steps_run: int, **changes: object):
    """A pass whose memory doubles after the second training step."""
    full = LAW.bytes_at(Point(batch, 16))
    peaks = tuple(full // 2 if number < 2 else full for number in range(train_steps_run))
    known = {
        "train_steps_run": train_steps_run, "train_steps": train_steps_run,
        "step_peak_bytes": peaks, "live_bytes": peaks,
    }  # fmt: skip
    attempt = f"{batch}-{train_steps_run}"
    return fit_at(batch, attempt=attempt, peak_charged_bytes=peaks[-1], **(known | changes))


def test_short_passes_that_a_proof_has_contradicted_teach_nothing():
    short = [unsteady(batch, 2) for batch in (16, 32, 64)]
    proofs = [unsteady(batch, 10) for batch in (24, 48)]
    assert FoldedRun.of(a_run(*short, *proofs)).model == FoldedRun.of(a_run(*proofs)).model
    assert largest_safe(a_run(*short, *proofs)) == largest_safe(a_run(*proofs))


def test_a_t_whose_steps_leave_memory_behind_teaches_nothing():
    leaking = [
        unsteady(16, count, live_bytes=tuple(range(0, count * MIB, MIB))) for count in (10, 30)
    ]
    assert FoldedRun.of(a_run(*leaking)).model is None


def test_multiples_of_the_granularity():
    found = largest_safe(a_run(*SEEN, fit_at(90)), certified(96, granularity=8))
    assert found.batch % 8 == 0
    assert found.batch <= 88


def test_passes_under_another_limit_teach_nothing():
    other = [replace(fit, limit_bytes=2 * LIMIT) for fit in SEEN]
    assert largest_safe(a_run(*other)) == LargestSafe(16, EDGE, None, False, None)


def test_where_no_batch_leaves_the_headroom():
    law = replace(LAW, fixed_bytes=int(USABLE))
    fits = [fit_at(b, peak_charged_bytes=law.bytes_at(Point(b, 16))) for b in (1, 3, 5)]
    assert largest_safe(a_run(*fits), certified(5)) == LargestSafe(16, 5, None, False, None)


@pytest.mark.parametrize("status", [EdgeStatus.NOTHING_FITS, EdgeStatus.UNSUPPORTED])
def test_without_an_edge_there_is_nothing_to_largest_safe(status):
    found = largest_safe(a_run(*SEEN), certified(None, status=status))
    assert found == LargestSafe(16, None, None, False, None)


@given(
    sizes=st.dictionaries(st.integers(1, 60), st.integers(1, LIMIT), min_size=1, max_size=8),
    edge=st.integers(1, 60),
    granularity=st.sampled_from([1, 4, 16]),
    headroom=st.sampled_from([0.0, 0.05, 0.5]),
)
def test_never_above_the_edge_nor_beyond_the_headroom(sizes, edge, granularity, headroom):
    fits = [fit_at(batch, peak_charged_bytes=size) for batch, size in sizes.items()]
    run = a_run(*fits, headroom_ratio=headroom)
    found = largest_safe(run, certified(edge, granularity=granularity))
    if found.batch is None:
        assert all(
            size > (1 - headroom) * LIMIT
            for batch, size in sizes.items()
            if batch <= edge and batch % granularity == 0
        )
        return
    assert 1 <= found.batch <= edge
    assert found.batch % granularity == 0
    model = FoldedRun.of(run).model
    bound = model.upper_bytes(Point(found.batch, 16))
    assert found.is_measured == (found.batch in sizes)
    assert sizes.get(found.batch, bound) <= (1 - headroom) * LIMIT


# what is predicted


def test_smaller_limits_are_predicted_apart():
    advice = advised([timed(8, 1000)], [certified()], a_run(*SEEN))
    (under,) = advice.predictions
    (predicted,) = under.batches
    assert (under.limit_bytes, predicted.time_steps) == (LIMIT // 2, 16)
    assert not predicted.is_exact
    law_edge = (LIMIT // 2 - LAW.fixed_bytes) // ((1 << 16) + (1 << 19))
    assert law_edge - 2 <= predicted.batch <= law_edge
    assert not [reason for reason in advice.reasons if isinstance(reason, UnderLimit)]


def test_where_nothing_would_fit_it_is_said():
    law = MemoryLaw(fixed_bytes=40 * MIB)
    fits = [fit_at(b, peak_charged_bytes=law.bytes_at(Point(b, 16))) for b in (2, 9, 30, 40)]
    advice = advised([], [certified(42)], a_run(*fits))
    assert advice.predictions == (UnderLimit(LIMIT // 2, (PredictedBatch(16, None),)),)


def test_a_cap_is_no_edge():
    capped = certified(16, status=EdgeStatus.CAPPED)
    advice = advised([], [capped, certified(EDGE)], a_run(*SEEN))
    capped_at, about = advice.predictions[0].batches
    assert capped_at == PredictedBatch(16, 16, is_exact=True)
    assert (about.batch > 16, about.is_exact) == (True, False)


def test_multiples_alone_are_predicted():
    advice = advised([], [certified(96, granularity=8)], a_run(*SEEN))
    (predicted,) = advice.predictions[0].batches
    assert predicted.batch > 0
    assert predicted.batch % 8 == 0


@pytest.mark.parametrize(("limit_gib", "smaller_gib"), [(40, [24, 32]), (16, [8, 12]), (8, [])])
def test_on_a_gpu_the_next_smaller_ones_are_predicted(limit_gib, smaller_gib):
    limit = limit_gib << 30
    run = a_run(*(replace(f, limit_bytes=limit) for f in SEEN), environment={"device": "cuda"})
    run = replace(run, header=replace(run.header, limit_bytes=limit))
    advice = advised([], [certified()], run)
    assert [under.limit_bytes >> 30 for under in advice.predictions] == smaller_gib


@pytest.mark.parametrize("frontier", [(), (certified(None, status=EdgeStatus.NOTHING_FITS),)])
def test_without_a_known_edge_nothing_is_predicted(frontier):
    assert advised([timed(8, 1000)], frontier, a_run(*SEEN)).predictions == ()


def test_without_bytes_nothing_is_predicted():
    assert advised([timed(8, 1000)], [certified()]).predictions == ()
    assert isinstance(FoldedRun.of(a_run(*SEEN)).model, MemoryModel)
    assert FoldedRun.of(a_run()).model is None


# what this run does not tell


def test_what_speed_and_memory_do_not_show_is_named():
    assert advised([timed(8, 1000)]).unknown == (NotStudied(16, worth=True, reach=True),)
    assert advised([]).unknown == ()


def test_inference_teaches_nothing_that_could_be_unknown():
    header = replace(HEADER, workload=replace(HEADER.workload, mode="inference"))
    run = replace(a_run(), header=header)
    assert advised([timed(8, 1000)], run=run).unknown == ()
