"""The noise scale from gradients whose mean and covariance are known."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnnprof.study.noise_scale import MIN_DRAWS, Draw, efficiency, noise_scale
from rnnprof.study.reasons import FewDraws, GradientsNotFinite, LostInNoise, NoUpperEnd


def draws(
    rng: random.Random, count: int, mean: list[float], sigma: float, small: int, parts: int
) -> list[Draw]:
    """Gradients with mean *mean* and covariance sigma^2 I / B, in small batches and their mean."""
    found = []
    for _ in range(count):
        batches = [[m + rng.gauss(0, sigma / math.sqrt(small)) for m in mean] for _ in range(parts)]
        big = [sum(column) / parts for column in zip(*batches, strict=True)]
        squares = [sum(g * g for g in batch) for batch in batches]
        found.append(Draw(sum(squares) / parts, sum(g * g for g in big)))
    return found


MEAN = [0.3, -0.2, 0.1, 0.5]
SQUARED = sum(m * m for m in MEAN)


def test_the_interval_holds_the_truth_in_nearly_all_repetitions() -> None:
    sigma = 2.0
    truth = len(MEAN) * sigma**2 / SQUARED
    held = 0
    for seed in range(40):
        found = noise_scale(draws(random.Random(seed), 40, MEAN, sigma, 4, 8), 4, 32)
        assert found.interval is not None
        held += found.interval[0] <= truth <= found.interval[1]
    assert held >= 34


def test_many_draws_find_both_terms() -> None:
    found = noise_scale(draws(random.Random(7), 1500, MEAN, 1.0, 8, 4), 8, 32)
    assert found.gradient_squared == pytest.approx(SQUARED, rel=0.05)
    assert found.noise_trace == pytest.approx(len(MEAN), rel=0.1)
    assert found.sequences == pytest.approx(len(MEAN) / SQUARED, rel=0.1)
    assert found.is_bounded


def test_a_gradient_of_nothing_has_no_bound_and_the_reason() -> None:
    found = noise_scale(draws(random.Random(3), 40, [0.0] * 8, 1.0, 1, 2), 1, 2)
    assert not found.is_bounded
    assert found.reason == (LostInNoise() if found.sequences is None else NoUpperEnd())


def test_few_draws_show_nothing() -> None:
    found = noise_scale([Draw(2.0, 1.0)] * (MIN_DRAWS - 1), 1, 2)
    assert (found.sequences, found.interval) == (None, None)
    assert found.reason == FewDraws(MIN_DRAWS - 1, MIN_DRAWS)


@pytest.mark.parametrize("bad", [math.inf, math.nan])
def test_a_gradient_that_is_no_number_is_a_finding(bad: float) -> None:
    found = noise_scale([Draw(2.0, 1.0)] * 20 + [Draw(bad, 1.0)], 1, 2)
    assert found.sequences is None
    assert found.reason == GradientsNotFinite()


@given(st.integers(0, 10**6), st.floats(1e-3, 1e3))
def test_the_scale_of_the_loss_does_not_matter(seed: int, scale: float) -> None:
    some = draws(random.Random(seed), 10, MEAN, 1.0, 2, 2)
    scaled = [Draw(draw.small * scale, draw.big * scale) for draw in some]
    one, other = noise_scale(some, 2, 4), noise_scale(scaled, 2, 4)
    assert (one.sequences is None) == (other.sequences is None)
    if one.sequences is not None:
        assert other.sequences == pytest.approx(one.sequences, rel=1e-6)


def test_without_noise_the_scale_is_nothing_and_a_batch_of_one_is_best() -> None:
    found = noise_scale([Draw(1.0, 1.0)] * 20, 1, 8)
    assert found.sequences == 0.0
    assert efficiency(0.0, 8, 1) == pytest.approx(1 / 8)


@given(st.floats(0, 1e6), st.integers(1, 10**6), st.integers(1, 10**6))
def test_efficiency_falls_with_the_batch(noise: float, batch: int, against: int) -> None:
    assert efficiency(noise, batch, batch) == 1.0
    assert (efficiency(noise, batch, against) <= 1.0) == (batch >= against)
    assert efficiency(100.0, 300, 100) == 0.5
