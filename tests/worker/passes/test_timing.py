"""Samples by a clock that stands still, goes back, or is moved once."""

from __future__ import annotations

import pytest

from rnnprof.stats.statistics import StopRule
from rnnprof.worker.backends.base import TimedBlock
from rnnprof.worker.passes.clock import ClockError
from rnnprof.worker.passes.timing import sample

RULE = StopRule(0.03, 1.0)


def block_of(sample_s: float):
    return lambda count: TimedBlock([sample_s] * count, [], None, "last")


@pytest.mark.parametrize("sample_s", [0.0, -1e-3])
def test_a_clock_that_does_not_go_forward_ends_the_pass(sample_s: float) -> None:
    with pytest.raises(ClockError, match="clock stands still"):
        sample(block_of(sample_s), RULE)


def test_a_step_back_of_the_clock_costs_that_sample_alone() -> None:
    blocks = iter([[0.1, -5.0, 0.1, 0.1]])

    def run_block(count: int) -> TimedBlock:
        return TimedBlock(next(blocks, [0.1] * count), [], None, None)

    sampled = sample(run_block, RULE)
    assert set(sampled.samples_s) == {0.1}
    assert sampled.lost == 1
