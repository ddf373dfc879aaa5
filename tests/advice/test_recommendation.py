"""The batch to train with at one T: where intervals, noise and drift leave no doubt of it."""

from __future__ import annotations

import math

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from fakes import MIB
from rnnprof.advice.reasons import (
    BestRate,
    NearBest,
    NoisyTime,
    OnlyTimed,
    TakesMemory,
    Undecided,
)
from rnnprof.advice.recommendation import (
    NEAR_BEST_RATIO,
    Rates,
    Recommendation,
    half_interval_ratio,
    recommend,
)
from rnnprof.points.measurement import Measurement
from rnnprof.points.reasons import ProcessorTaken, Taker
from rnnprof.runfile.points import Outcome, Point

LIMIT = 64 * MIB
STEPS = 16
NOISE = ProcessorTaken(Taker.OTHERS, 0.9)


def timed(batch: int, rate: float, half: float | None = 0.005, **changes: object) -> Measurement:
    """A point with so many time steps/s, whose step time is known to *half* of it each way."""
    step_s = batch * STEPS / rate
    interval = None if half is None else (step_s * (1 - half), step_s * (1 + half))
    known: dict[str, object] = {
        "step_time_s": step_s,
        "step_time_within_ci_s": interval,
        "time_steps_per_s": rate,
        "peak_charged_bytes": batch * MIB // 4,
    }  # fmt: skip
    return Measurement(Point(batch, STEPS), Outcome.MEASURED, **(known | changes))


def found(*points: Measurement, drift: float = 0.0) -> Recommendation:
    return recommend(STEPS, points, LIMIT, drift)


def test_decided_for_the_smallest_batch_within_five_hundredths_of_the_best():
    points = [timed(8, 800), timed(16, 930), timed(32, 970), timed(64, 1000), timed(128, 990)]
    assert found(*points) == found(*reversed(points)) == Recommendation(
        STEPS, 32, time_steps_per_s=points[2].time_steps_per_s, peak_bytes=8 * MIB,
        reasons=(
            NearBest(points[2].time_steps_per_s, points[3].time_steps_per_s, 64, NEAR_BEST_RATIO),
            TakesMemory(8 * MIB, LIMIT),
        ),
    )  # fmt: skip


def test_decided_for_the_best_itself():
    one = found(timed(8, 1000), timed(16, 900))
    assert (one.batch, one.tied, one.to_time) == (8, (), ())
    assert one.reasons[0] == BestRate(1000)


def test_of_equal_rates_the_smallest():
    one = found(timed(32, 1000), timed(8, 1000), timed(16, 1000))
    assert (one.batch, one.reasons[0]) == (8, BestRate(1000))


def test_nothing_usable():
    assert found() == Recommendation(STEPS, None)


def test_one_batch_alone_is_the_only_one():
    """However its time is known: nothing else may be recommended."""
    for point in (timed(8, 1000), timed(8, 1000, None), timed(8, 1000, 0.5)):
        one = found(point, drift=0.3)
        assert (one.batch, one.tied, one.reasons[0]) == (8, (), OnlyTimed(1000))
        assert len(one.reasons) == 2
    noisy = found(timed(8, 1000, noisy=NOISE))
    assert (noisy.batch, noisy.reasons[1]) == (8, NoisyTime(NOISE))


def test_a_peak_that_is_not_known_is_no_reason():
    assert len(found(timed(8, 1000, peak_charged_bytes=None)).reasons) == 1


@pytest.mark.parametrize(
    ("rate", "batch"),
    [(900, 16), (930, 16), (945, None), (950, None), (955, None), (965, 8), (1000, 8)],
)
def test_around_95_percent_the_intervals_leave_it_open(rate, batch):
    one = found(timed(8, rate), timed(16, 1000))
    assert (one.batch, one.tied) == (batch, () if batch else (8, 16))


def test_tied_by_the_width_of_intervals():
    one = found(timed(8, 700, 0.03), timed(16, 950, 0.03), timed(32, 1000, 0.02))
    assert one == Recommendation(
        STEPS, None, (16, 32), (16, 32), reasons=(
            Undecided((16, 32), NEAR_BEST_RATIO, precision_ratio=pytest.approx(0.03)),
        ),
    )  # fmt: skip


def test_intervals_that_meet_only_at_their_ends_are_no_proof():
    """Both ends together: 0.962*0.99/1.01 is below 0.95, 0.962*(1 - 0.0141) is not."""
    assert found(timed(8, 962, 0.01), timed(16, 1000, 0.01)).tied == (8, 16)


def test_a_smaller_batch_that_may_be_near_leaves_it_open():
    one = found(timed(8, 940, 0.02), timed(16, 995), timed(32, 1000))
    assert (one.batch, one.tied) == (None, (8, 16))
    assert one.reasons == (
        Undecided((8, 16), NEAR_BEST_RATIO, precision_ratio=pytest.approx(0.02)),
    )


def test_a_larger_batch_is_not_tied_where_a_smaller_one_is_certain_to_do():
    one = found(timed(8, 940, 0.02), timed(16, 995), timed(32, 1000), timed(64, 998))
    assert one.tied == (8, 16)
    assert one.to_time == (8, 16, 32, 64)  # any of which may be the best


def test_another_that_may_be_the_best_counts_though_it_was_not():
    """B=32 is within 5% of B=64, but maybe not of B=128."""
    points = [timed(32, 970), timed(64, 1000)]
    assert found(*points).batch == 32
    one = found(*points, timed(128, 990, 0.04))
    assert (one.batch, one.tied, one.to_time) == (None, (32, 64), (32, 64, 128))
    assert one.reasons[0].precision_ratio == pytest.approx(0.04)


def test_many_that_are_tied_are_all_named():
    one = found(*(timed(batch, 1000, 0.06) for batch in (8, 16, 32, 64)))
    assert one.tied == (8, 16, 32, 64)
    assert one.reasons[0].tied == one.tied


def test_tied_by_drift():
    points = [timed(8, 970), timed(16, 1000)]
    assert found(*points, drift=0.005).batch == 8
    one = found(*points, drift=0.04)
    assert (one.batch, one.tied, one.by_drift) == (None, (8, 16), True)
    assert one.reasons == (Undecided((8, 16), NEAR_BEST_RATIO, drift_ratio=0.04),)
    wide = found(timed(8, 970, 0.05), points[1], drift=0.04)
    assert wide.by_drift is False
    assert wide.reasons[0].drift_ratio is None
    assert wide.reasons[0].precision_ratio == pytest.approx(0.05)


def test_drift_leaves_decided_what_is_further_apart():
    assert found(timed(8, 500), timed(16, 1000), drift=0.5).batch == 16
    assert found(timed(8, 500), timed(16, 1000), drift=0.9).batch is None


@pytest.mark.parametrize("which", [0, 1, 2])
def test_a_noisy_time_decides_nothing(which):
    """Neither for its own batch, nor against another within a factor of two."""
    changes: list[dict[str, object]] = [{}, {}, {}]
    changes[which] = {"noisy": NOISE}
    rates = ((8, 600), (16, 1000), (32, 700))
    one = found(*(timed(*each, **more) for each, more in zip(rates, changes, strict=True)))
    noisy = rates[which][0]
    assert one.batch is None
    assert noisy in one.tied
    assert 16 in one.tied
    assert one.reasons == (Undecided(one.tied, NEAR_BEST_RATIO, noisy_batch=noisy),)


def test_a_factor_of_two_is_no_noise():
    """What is slower by more is out, however badly its time is known."""
    points = [timed(8, 450, None), timed(16, 1000), timed(32, 440, noisy=NOISE)]
    assert found(*points).batch == 16


def test_without_intervals_nothing_is_decided():
    for points in (
        [timed(8, 500, None), timed(16, 1000)],
        [timed(8, 500), timed(16, 1000, None)],
        [timed(8, 500, None), timed(16, 1000, None)],
    ):
        one = found(*points)
        assert (one.batch, one.tied) == (None, (8, 16))
        assert one.reasons == (Undecided((8, 16), NEAR_BEST_RATIO),)


def test_an_interval_that_reaches_zero_time_has_no_upper_rate():
    loose = timed(8, 500, step_time_ci_s=(0.0, 1.0))
    assert Rates.of(loose, 0.0).high == math.inf
    assert found(loose, timed(16, 1000)).batch is None


def test_the_interval_over_processes_counts_before_that_within_one():
    step_s = 16 * STEPS / 1000
    between = timed(16, 1000, step_time_ci_s=(0.9 * step_s, 1.1 * step_s))
    assert half_interval_ratio(between) == pytest.approx(0.1)
    assert found(timed(8, 940, 0.001), timed(16, 1000, 0.001)).batch == 16
    assert found(timed(8, 940, 0.001), between).batch is None
    assert half_interval_ratio(timed(8, 1000, None)) is None


halves = st.sampled_from([0.001, 0.005, 0.02, 0.1])
points = st.dictionaries(
    st.sampled_from([1, 2, 4, 8, 16, 32]), st.tuples(st.floats(700, 1000), halves),
    min_size=1, max_size=6,
)  # fmt: skip


def smallest_near(rates: dict[int, float]) -> int:
    best = max(rates.values())
    return min(batch for batch, rate in rates.items() if rate >= (1 - NEAR_BEST_RATIO) * best)


@given(points, st.data())
def test_a_decided_batch_is_the_smallest_near_the_best_for_any_rates_in_the_intervals(known, data):
    one = found(*(timed(batch, *each) for batch, each in known.items()))
    true = {}
    for batch, (rate, half) in known.items():
        low, high = rate / (1 + half), rate / (1 - half)
        drawn = data.draw(st.one_of(st.sampled_from([low, high]), st.floats(low, high)))
        true[batch] = drawn
    answer, best = smallest_near(true), max(true.values())
    # a rate right on the bound is rounding's
    assume(all(abs(rate / best - 0.95) > 1e-9 for rate in true.values()))
    assert answer in ((one.batch,) if one.batch is not None else one.tied)
    assert {answer} | {batch for batch, rate in true.items() if rate == best} <= {
        *one.to_time, *(known if one.batch is not None else ()),
    }  # fmt: skip


@given(points, st.floats(0, 0.2))
def test_it_is_decided_or_tied_and_as_measured_is_among_the_answers(known, drift):
    one = found(*(timed(batch, *each) for batch, each in known.items()), drift=drift)
    measured = smallest_near({batch: rate for batch, (rate, _) in known.items()})
    if one.batch is None:
        assert len(one.tied) > 1
        assert list(one.tied) == sorted(one.tied)
        assert set(one.tied) <= set(one.to_time) <= set(known)
        assert (one.time_steps_per_s, one.peak_bytes, len(one.reasons)) == (None, None, 1)
        assert measured in one.tied
    else:
        assert (one.batch, one.tied, one.to_time) == (measured, (), ())


@given(points, st.floats(0, 0.2), st.floats(0, 0.2))
def test_more_drift_never_decides_more(known, drift, more):
    measured = [timed(batch, *each) for batch, each in known.items()]
    if found(*measured, drift=drift).batch is None:
        assert found(*measured, drift=drift + more).batch is None
