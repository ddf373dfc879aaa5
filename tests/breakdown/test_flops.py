"""Operations by formula, against products counted by hand and laws that any count must keep."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnnprof.breakdown.flops import (
    NO_FORMULA,
    backward_flops,
    forward_flops,
    layers,
    step_flops,
)
from rnnprof.workload import CELLS, FactorySource, Workload

SIZES = st.integers(1, 64)
WORKLOADS = st.builds(
    Workload,
    cell=st.sampled_from(CELLS),
    input_size=SIZES,
    hidden_size=st.integers(2, 64),
    layers=st.integers(1, 5),
    bidirectional=st.booleans(),
    proj_size=st.sampled_from([0, 1]),
    mode=st.sampled_from(["train", "inference"]),
)


def flops(workload: Workload, batch: int = 3, time_steps: int = 5) -> int:
    count, reason = step_flops(workload, batch, time_steps)
    assert count is not None
    assert reason is None
    return count


@pytest.mark.parametrize(("cell", "gates"), [("rnn-tanh", 1), ("gru", 3), ("lstm", 4)])
def test_a_forward_pass_is_the_published_formula(cell: str, gates: int) -> None:
    workload = Workload(cell=cell, input_size=7, hidden_size=11, mode="inference")
    assert flops(workload) == 2 * gates * 11 * (7 + 11) * 3 * 5


def test_training_leaves_out_the_gradient_of_the_input_and_nothing_else() -> None:
    train = Workload(input_size=7, hidden_size=11)
    forward = flops(replace(train, mode="inference"))
    assert flops(train) == 3 * forward - 2 * 4 * 11 * 7 * 3 * 5


def test_a_deeper_layer_reads_both_directions_and_passes_a_gradient_on() -> None:
    shallow = Workload(input_size=7, hidden_size=11, bidirectional=True)
    deep = replace(shallow, layers=2)
    deeper = 2 * (2 * 4 * 11 * (22 + 11)) * 3 * 5
    assert flops(deep) - flops(shallow) == 3 * deeper


def test_a_projection_narrows_the_state_and_costs_a_product() -> None:
    workload = Workload(input_size=7, hidden_size=11, proj_size=4, mode="inference")
    assert flops(workload) == (2 * 4 * 11 * (7 + 4) + 2 * 11 * 4) * 3 * 5


def test_with_the_input_gradient_a_backward_pass_is_twice_the_forward() -> None:
    (first,) = layers(Workload())
    forward = forward_flops(first, 3, 5)
    assert backward_flops(first, 3, 5, input_gradient=True) == 2 * forward
    assert backward_flops(first, 3, 5, input_gradient=False) < 2 * forward


def test_a_factory_has_no_formula() -> None:
    workload = Workload(cell=None, factory=FactorySource("train.py:make"))
    assert step_flops(workload, 3, 5) == (None, NO_FORMULA)


@given(WORKLOADS, SIZES, SIZES, SIZES)
def test_the_count_is_linear_in_batch_and_steps(
    workload: Workload, batch: int, time_steps: int, times: int
) -> None:
    once = flops(workload, batch, time_steps)
    assert flops(workload, times * batch, time_steps) == times * once
    assert flops(workload, batch, times * time_steps) == times * once


@given(WORKLOADS, SIZES)
def test_every_deeper_layer_adds_the_same(workload: Workload, batch: int) -> None:
    one, two, five = (flops(replace(workload, layers=n), batch) for n in (1, 2, 5))
    assert five - two == 3 * (two - one) > 0


@given(WORKLOADS)
def test_a_training_step_is_two_to_three_forward_passes(workload: Workload) -> None:
    train = flops(replace(workload, mode="train"))
    forward = flops(replace(workload, mode="inference"))
    assert 2 * forward < train <= 3 * forward
