"""Goodput and chunks, from throughput, noise and reach that are given."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnnprof.advice.advise import Advice, Cut, advise
from rnnprof.advice.reasons import AlsoByGoodput, OtherByGoodput
from rnnprof.maxbatch.folded import FoldedRun
from rnnprof.points.measurement import Measurement
from rnnprof.runfile.observations import Gradient, Learning
from rnnprof.runfile.points import Outcome, Point
from rnnprof.runfile.records import Run
from rnnprof.study.goodput import chunk_for, goodput_at
from rnnprof.study.noise_scale import NoiseScale
from rnnprof.study.reach import reach_of
from rnnprof.study.reasons import (
    BestOfReach,
    FasterButShort,
    LostInNoise,
    NothingTimed,
    ReachEnough,
    ReachTooShort,
    ReachUnknown,
    RestsOnNoise,
    Worth,
)
from rnnprof.study.trainability import NoiseAt, ReachAt, Trainability, trainability_of
from study_samples import studied


def timed(batch: int, time_steps: int, per_s: float) -> Measurement:
    return Measurement(Point(batch, time_steps), Outcome.MEASURED, time_steps_per_s=per_s)


def noisy(sequences: float, low: float | None = None, high: float | None = None) -> Trainability:
    interval = (sequences if low is None else low, sequences if high is None else high)
    scale = NoiseScale(sequences, interval, 1.0, sequences, 20)
    return Trainability(None, noise=(NoiseAt(16, 200, 8, 64, scale),))


def saturating(batch: int) -> float:
    """Sequences a second: nearly free up to 64, and no more beyond."""
    return 1000.0 * batch / (batch + 64)


POINTS = [timed(batch, 16, 16 * saturating(batch)) for batch in (16, 32, 64, 128, 256, 512)]


def best(noise: float) -> int:
    found = goodput_at(16, POINTS, noisy(noise))
    assert found is not None
    return found.batch


def test_a_larger_noise_scale_advises_a_larger_batch() -> None:
    batches = [best(noise) for noise in (0.0, 30.0, 300.0, 3000.0, 1e9)]
    assert batches == sorted(batches)
    assert batches[0] == 16
    assert batches[-1] == 512


def test_what_a_sequence_is_worth_goes_by_those_of_a_step() -> None:
    """Four micro-batches a step: the gradient is of four times the batch."""
    one = [replace(m, sequences_per_s=saturating(m.point.batch), step_time_s=m.point.batch
        / saturating(m.point.batch)) for m in POINTS]  # fmt: skip
    four = [replace(m, step_time_s=4 * (m.step_time_s or 0)) for m in one]
    plain, accumulated = (goodput_at(16, each, noisy(300.0)) for each in (one, four))
    alone = goodput_at(16, POINTS, noisy(300.0))
    assert plain is not None
    assert accumulated is not None
    assert plain == alone
    assert [p.efficiency for p in accumulated.points] == pytest.approx(
        [(300 + 64) / (300 + 4 * batch) for batch in (16, 32, 64, 128, 256, 512)]
    )


@given(st.floats(0, 1e5))
def test_the_smallest_batch_within_a_twentieth_of_the_best(noise: float) -> None:
    found = goodput_at(16, POINTS, noisy(noise))
    assert found is not None
    worth = {
        p.point.batch: saturating(p.point.batch) * (noise + 16) / (noise + p.point.batch)
        for p in POINTS
    }
    most = max(worth.values())
    assert worth[found.batch] >= 0.95 * most * (1 - 1e-9)
    assert all(worth[b] < 0.95 * most * (1 + 1e-9) for b in worth if b < found.batch)


def test_the_ends_of_the_interval_give_a_range_of_batches() -> None:
    found = goodput_at(16, POINTS, noisy(100.0, 1.0, math.inf))
    assert found is not None
    assert found.range[0] <= found.batch <= found.range[1]
    assert found.range == (16, 512)
    assert found.reasons[1] == RestsOnNoise(200, 100.0, (1.0, math.inf), (16, 512))


def test_what_a_sequence_of_the_chosen_batch_is_worth() -> None:
    found = goodput_at(16, POINTS, noisy(0.0))
    assert found is not None
    assert found.reasons[0] == Worth(
        pytest.approx(saturating(16)),
        1.0,
        16,
        fastest_batch=512,
        times=pytest.approx(saturating(512) / saturating(16)),
        fastest_ratio=pytest.approx(16 / 512),
    )
    most = goodput_at(16, POINTS, noisy(1e9))
    assert most is not None
    assert most.reasons[0] == Worth(
        pytest.approx(saturating(512)), pytest.approx(1.0, rel=1e-3), 16
    )


def test_without_a_noise_scale_at_that_length_there_is_no_goodput() -> None:
    assert goodput_at(32, POINTS, noisy(100.0)) is None
    unknown = NoiseScale(None, None, 0.0, 1.0, 20, LostInNoise())
    nothing = Trainability(None, noise=(NoiseAt(16, 200, 8, 64, unknown),))
    assert goodput_at(16, POINTS, nothing) is None


def reaching(lags: dict[int, int], train_steps: int = 200) -> tuple[ReachAt, ...]:
    """Gradients that fall to nothing after so many lags, by T."""
    found = []
    for time_steps, lag in lags.items():
        norms = [1.0] * (lag + 1) + [1e-9] * (time_steps - lag - 1)
        found.append(ReachAt(time_steps, train_steps, "input", reach_of([norms])))
    return tuple(found)


GRID = [timed(64, 16, 900.0), timed(64, 32, 1000.0), timed(64, 64, 800.0), timed(64, 128, 700.0)]
FOUND = Trainability(None, reach=reaching({16: 15, 32: 31, 64: 60, 128: 70}))


@pytest.mark.parametrize(
    ("reach", "time_steps"), [(5, 32), (20, 32), (40, 64), (65, 128), (71, None)]
)
def test_of_the_lengths_that_reach_so_far_the_fastest(reach: int, time_steps: int | None) -> None:
    found = chunk_for(1000, reach, GRID, FOUND)
    assert found.time_steps == time_steps
    if time_steps is not None:
        assert found.chunks == math.ceil(1000 / time_steps)
    else:
        assert found.reasons == (ReachTooShort(71, 70, 128),)


def test_a_faster_length_that_does_not_reach_is_named() -> None:
    assert chunk_for(1000, 40, GRID, FOUND).reasons == (
        ReachEnough(64, 60, 40),
        BestOfReach(800.0, 64),
        FasterButShort(Point(64, 32), 1000.0, 31),
    )


def test_a_chunk_is_no_longer_than_the_sequence() -> None:
    assert chunk_for(40, 5, GRID, FOUND).time_steps == 32
    assert chunk_for(10, 5, GRID, FOUND).reasons == (NothingTimed(10),)


def test_a_reach_that_nobody_measured_is_named() -> None:
    found = chunk_for(1000, 5, GRID, Trainability(None))
    assert found.time_steps is None
    assert found.reasons == (ReachUnknown((16, 32, 64, 128)),)


def test_the_reach_after_the_most_training_counts() -> None:
    both = (*reaching({32: 3}, 0), *reaching({32: 31}, 200))
    assert chunk_for(64, 20, GRID, Trainability(None, reach=both)).time_steps == 32


# from a run file's own records


def test_a_runs_own_study_is_folded() -> None:
    found = trainability_of(studied())
    [reach] = found.reach
    assert reach.reach is not None
    assert (reach.reach.reach, reach.clipped_ratio) == (2, 0.2)
    [noise] = found.noise
    assert noise.scale is not None
    # |G|^2 = (16 - 6) / 14, tr S = 2 / (1/2 - 1/16)
    assert noise.scale.sequences == pytest.approx((2 / (7 / 16)) / (10 / 14))
    [target] = found.to_target
    assert (target.reached, target.seeds, target.train_s, target.spread_s) == (
        2,
        3,
        3.0,
        (2.0, 3.0),
    )


def test_most_seeds_that_miss_the_target_leave_the_median_unknown() -> None:
    run = studied()
    missed = [
        replace(o, reached=False) if isinstance(o, Learning) and o.seed > 0 else o
        for o in run.observations
    ]
    [target] = trainability_of(replace(run, observations=tuple(missed))).to_target
    assert (target.reached, target.train_s, target.at_start) == (1, None, False)


def advised(cut: Cut | None = None, run: Run | None = None) -> Advice:
    run = studied() if run is None else run
    return advise(FoldedRun.of(run), trainability_of(run), cut=cut)


def test_the_advice_has_goodput_and_chunks() -> None:
    advice = advised(Cut(64, 2))
    [goodput] = advice.goodput
    assert goodput.time_steps == 16
    assert advice.chunk is not None
    assert advice.chunk.time_steps == 16
    assert AlsoByGoodput(16) in advice.reasons
    assert advice.unknown == ()
    assert advised().chunk is None


def test_another_batch_by_goodput_is_named() -> None:
    """Without noise a sequence more is worth nothing."""
    run = studied()
    observed = [
        replace(o, small_squared=o.big_squared) if isinstance(o, Gradient) else o
        for o in run.observations
    ]
    advice = advised(run=replace(run, observations=tuple(observed)))
    assert advice.point == Point(64, 16)
    assert OtherByGoodput(16, 8) in advice.reasons
    assert AlsoByGoodput(16) not in advice.reasons


def test_the_advice_has_the_batch_that_goodput_prefers() -> None:
    advice = advised()
    assert advice.better_by_goodput is None
    (one,) = advice.recommendations
    other = replace(advice, recommendations=(replace(one, batch=8),))
    assert other.better_by_goodput == advice.goodput[0]
    elsewhere = replace(advice, recommendations=(replace(one, batch=8, time_steps=32),))
    assert elsewhere.better_by_goodput is None
