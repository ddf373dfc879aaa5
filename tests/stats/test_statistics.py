"""Medians, their intervals, and the rules of a timing pass."""

from __future__ import annotations

import math
import random
from statistics import median

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnnprof.stats.statistics import (
    StopRule,
    WarmUpRule,
    half_width_ratio,
    median_interval,
)

TIMES_S = st.lists(st.floats(min_value=1e-7, max_value=100), max_size=60)


def exact_coverage(count: int, rank: int) -> float:
    """P(x_(rank) <= median <= x_(count+1-rank)) for any continuous distribution."""
    inside = sum(math.comb(count, below) for below in range(rank, count - rank + 1))
    return inside / 2**count


@pytest.mark.parametrize("count", range(1, 201))
def test_the_interval_is_the_tightest_that_covers(count):
    interval = median_interval(range(1, count + 1))
    if interval is None:
        assert exact_coverage(count, 1) < 0.95
        return
    low, high = interval
    assert high == count + 1 - low
    assert exact_coverage(count, low) >= 0.95
    assert exact_coverage(count, low + 1) < 0.95


def test_below_six_samples_nothing_is_known():
    assert median_interval([1.0] * 5) is None
    assert median_interval([1.0] * 6) == (1.0, 1.0)


def test_the_interval_covers_the_median_of_a_skewed_distribution():
    generator = random.Random(7)
    trials = 1500
    covered = 0
    for _ in range(trials):
        low, high = median_interval([generator.lognormvariate(0, 1) for _ in range(25)])
        covered += low <= 1.0 <= high  # the median of exp(N(0, 1))
    # for 25 samples the exact coverage is 95.7%, and three standard errors are 1.6%
    assert 0.941 <= covered / trials <= 0.973


@given(TIMES_S)
def test_the_order_of_samples_does_not_matter(samples):
    assert median_interval(samples) == median_interval(sorted(samples, reverse=True))
    interval = median_interval(samples)
    assert interval is None or interval[0] <= median(samples) <= interval[1]


def test_the_half_width_is_relative_to_the_median():
    assert half_width_ratio([9.0, 10.0, 10.0, 10.0, 10.0, 12.0]) == pytest.approx(0.15)


@pytest.mark.parametrize("samples", [[], [1.0] * 5, [0.0] * 6])
def test_without_an_interval_or_a_time_the_half_width_is_unknown(samples):
    assert half_width_ratio(samples) is None


STEADY = [1.0, 1.001, 0.999] * 4
WILD = [0.5, 1.5] * 30


def test_converged_needs_precision_and_samples():
    rule = StopRule(precision_ratio=0.03, budget_s=100.0)
    assert rule.converged(STEADY[:10])
    assert not rule.converged(STEADY[:9])
    assert not rule.converged(WILD)


def test_sampling_ends_when_converged_or_when_the_budget_is_spent():
    rule = StopRule(precision_ratio=0.03, budget_s=5.0)
    assert rule.is_over(STEADY, elapsed_s=0.1)
    assert not rule.is_over(WILD, elapsed_s=4.9)
    assert rule.is_over(WILD, elapsed_s=5.0)


def test_a_median_of_fewer_than_the_floor_says_nothing():
    rule = StopRule(precision_ratio=0.03, budget_s=5.0)
    assert not rule.is_over([30.0, 30.0], elapsed_s=60.0)
    assert rule.is_over([30.0, 30.0, 30.0], elapsed_s=90.0)
    assert rule.next_block([30.0], elapsed_s=30.0) == 2


def test_the_next_block_fills_up_to_the_minimum_then_grows_by_a_fifth():
    rule = StopRule(precision_ratio=0.01, budget_s=1e6)
    assert rule.next_block([], 0.0) == 3
    assert rule.next_block([1.0] * 3, 3.0) == 7
    assert rule.next_block([1.0] * 10, 10.0) == 2
    assert rule.next_block([1.0] * 50, 50.0) == 10


def test_the_next_block_does_not_overrun_the_budget():
    rule = StopRule(precision_ratio=0.01, budget_s=10.0)
    assert rule.next_block([2.0] * 3, elapsed_s=6.0) == 2


@given(samples=TIMES_S, elapsed_s=st.floats(min_value=0, max_value=1e6))
def test_a_block_has_at_least_one_step(samples, elapsed_s):
    rule = StopRule(precision_ratio=0.01, budget_s=3.0)
    block = rule.next_block(samples, elapsed_s)
    assert block >= 1
    if len(samples) >= rule.floor_samples:
        assert (block - 1) * median(samples) <= max(0.0, rule.budget_s - elapsed_s)


@given(
    seed=st.integers(0, 999),
    noise_ratio=st.sampled_from([0.0, 0.01, 0.5]),
    typical_s=st.floats(min_value=1e-3, max_value=10),
)
def test_sampling_ends_near_its_budget_and_above_its_floor(seed, noise_ratio, typical_s):
    rule = StopRule(precision_ratio=0.01, budget_s=1.0)
    generator = random.Random(seed)
    samples: list[float] = []
    while not rule.is_over(samples, sum(samples)):
        for _ in range(rule.next_block(samples, sum(samples))):
            samples.append(typical_s * (1 + noise_ratio * generator.random()))  # noqa: PERF401
    assert len(samples) >= rule.floor_samples
    # noise makes a block half as long again as foreseen, and one step may begin just in time
    assert sum(samples) <= rule.budget_s + 1.5 * max(3 * typical_s, rule.budget_s)
    if noise_ratio == 0.0 and typical_s < 0.05:
        assert rule.converged(samples)
        assert len(samples) == rule.min_samples


@pytest.mark.parametrize(
    ("samples", "is_over"),
    [
        ([], False),
        ([1.0, 1.0], False),
        ([1.0, 1.0, 1.0], True),
        ([3.0, 2.0, 1.0], False),  # still getting faster
        ([3.0, 1.0, 0.96], True),
        ([3.0, 1.0, 0.94], False),
        ([3.0, 1.0, 2.0], True),
        ([30.0, 20.0, 10.0], True),  # the budget is spent
        ([60.0], False),
        ([30.0, 20.0], True),  # long steps need but two
        ([29.0, 20.0], False),
        ([50.0, 20.0], False),  # the first did something else as well
        ([50.0, 20.0, 20.0], True),
        ([0.9**n for n in range(19)], False),
        ([0.9**n for n in range(20)], True),
    ],
)
def test_the_warm_up_ends_when_steps_no_longer_get_faster(samples, is_over):
    assert WarmUpRule(budget_s=50.0).is_over(samples) is is_over
