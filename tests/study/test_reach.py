"""Gradient reach from norms whose decay is known."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnnprof.study.reach import REACH_RATIO, Trend, reach_of
from rnnprof.study.reasons import (
    Falls,
    Grows,
    Lasts,
    LossWithoutInput,
    LossWithoutLast,
    NotFinite,
)


def decay(gain: float, lags: int, scale: float = 1.0) -> list[float]:
    return [scale * gain**lag for lag in range(lags)]


@given(st.floats(0.3, 0.95), st.floats(1e-6, 1e6))
def test_a_decay_is_found_whatever_its_scale(gain: float, scale: float) -> None:
    found = reach_of([decay(gain, 400, scale)] * 3)
    assert found.trend is (Trend.VANISHING if gain < 0.98 else Trend.HEALTHY)
    assert found.slope_per_lag == pytest.approx(math.log(gain), rel=1e-6)
    expected = math.log(1e-3) / math.log(gain)
    assert found.reach is not None
    assert abs(found.reach - expected) <= 1
    assert found.reason == Falls(REACH_RATIO, found.reach, 399)
    assert not found.is_cut


def test_what_reaches_back_to_the_beginning_is_healthy_and_cut() -> None:
    found = reach_of([decay(0.99, 100)])
    assert (found.trend, found.reach, found.is_cut) == (Trend.HEALTHY, 99, True)
    assert found.ratios[-1] == pytest.approx(0.99**99)
    assert found.reason == Lasts(found.ratios[-1], 99)


def test_growth_with_the_lag_is_exploding() -> None:
    found = reach_of([decay(1.05, 100)])
    assert found.trend is Trend.EXPLODING
    assert found.reason == Grows(pytest.approx(1.05**99), 99)
    assert found.slope_per_lag == pytest.approx(math.log(1.05))


def test_draws_have_a_spread() -> None:
    draw = random.Random(1)
    found = reach_of([[n * draw.lognormvariate(0, 0.3) for n in decay(0.8, 60)] for _ in range(15)])
    assert found.spread[10] is not None
    assert found.ratios[10] is not None
    assert found.spread[10][0] < found.ratios[10] < found.spread[10][1]
    assert found.reach_spread is not None
    assert found.reach is not None
    assert found.reach_spread[0] <= found.reach <= found.reach_spread[1]
    assert found.reach_spread[0] < found.reach_spread[1]


@pytest.mark.parametrize("threshold", [0.5, 1e-2, 1e-6])
def test_the_threshold_is_a_setting(threshold: float) -> None:
    found = reach_of([decay(0.9, 500)], threshold)
    assert found.reach == math.floor(math.log(threshold) / math.log(0.9))


@pytest.mark.parametrize("bad", [math.inf, math.nan])
def test_a_gradient_that_is_no_number_is_a_finding(bad: float) -> None:
    norms = decay(0.9, 20)
    norms[7] = bad
    found = reach_of([decay(0.9, 20), norms])
    assert found.trend is Trend.NOT_FINITE
    assert found.reason == NotFinite(7)
    assert found.ratios[7] is None
    assert found.spread[7] is None


def test_a_loss_that_ignores_the_last_step_is_found() -> None:
    found = reach_of([[0.0, 1.0, 0.5]])
    assert found.trend is Trend.NO_GRADIENT
    assert found.reason == LossWithoutLast()
    assert found.reach is None
    assert reach_of([[0.0, 0.0]]).reason == LossWithoutInput()


def test_one_time_step_has_a_reach_of_nothing_before_it() -> None:
    found = reach_of([[2.0]])
    assert (found.trend, found.reach, found.slope_per_lag) == (Trend.HEALTHY, 0, None)
