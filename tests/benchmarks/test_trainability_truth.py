"""The study against theory: a few repetitions of what the benchmark does many times over."""

from __future__ import annotations

import pytest
from benchmarks.performance.trainability_truth import (
    estimate,
    measured_slope,
    noise_coverage,
    noise_truth,
)


def test_the_slope_of_a_linear_network_is_the_logarithm_of_its_gain() -> None:
    found = measured_slope(0.9)
    assert found["slope"] == pytest.approx(found["theory"], rel=0.01)


def test_most_intervals_hold_the_noise_scale_of_a_regression() -> None:
    found = noise_coverage(20)
    assert found["intervals_that_hold_it"] >= 16
    assert found["median_estimate"] == pytest.approx(found["truth"], rel=0.2)


def test_the_truth_is_what_many_samples_say() -> None:
    """The formula against the gradients of single samples."""
    import torch
    from benchmarks.performance.trainability_truth import DIMENSIONS, LABEL_NOISE

    torch.manual_seed(0)
    inputs = torch.randn(400_000, DIMENSIONS, dtype=torch.float64)
    distance = torch.full((DIMENSIONS,), DIMENSIONS**-0.5, dtype=torch.float64)
    errors = inputs @ distance - LABEL_NOISE * torch.randn(400_000, dtype=torch.float64)
    gradients = 2 * errors[:, None] * inputs
    trace = float(gradients.var(0).sum())
    squared = float(gradients.mean(0).square().sum())
    assert trace / squared == pytest.approx(noise_truth(), rel=0.05)
    assert estimate(0).sequences is not None
