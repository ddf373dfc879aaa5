"""Where a training step ends, from the order of what steps."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnnprof.worker.workload.scripts.boundaries import (
    MOST_BACKWARD,
    MOST_LEARNED,
    UNSEEN_EVENTS,
    StepEnds,
    WeightSteps,
)


def fed(events: str, optimizers: int) -> StepEnds:
    ends = StepEnds()
    for name in events:
        ends.add(ord(name), optimizers)
    return ends


def test_each_step_of_one_optimizer_ends_a_training_step() -> None:
    ends = StepEnds()
    assert [ends.add(1, 1) for _ in range(3)] == [1, 1, 1]
    assert ends.ends == [0, 1, 2]


@pytest.mark.parametrize(
    ("events", "optimizers", "period", "expected"),
    [
        ("abab", 2, 2, [1, 3]),
        ("aaab" * 3, 2, 4, [3, 7, 11]),
        ("abcabc", 3, 3, [2, 5]),
        ("aabb" * 2, 2, 4, [3, 7]),
        ("abbabb", 2, 3, [2, 5]),
    ],
)
def test_a_cycle_is_learned_from_two_rounds(
    events: str, optimizers: int, period: int, expected: list[int]
) -> None:
    ends = fed(events, optimizers)
    assert (ends.period, ends.ends) == (period, expected)
    assert fed(events[: 2 * period - 1], optimizers).period is None


def test_an_optimizer_that_closes_the_cycle_does_so_however_often_the_others_step() -> None:
    ends = fed("aab" * 2 + "aaaaab" + "ab", 2)
    assert ends.ends == [2, 5, 11, 13]


def test_an_optimizer_that_never_steps_is_taken_for_unused() -> None:
    ends = fed("a" * UNSEEN_EVENTS, 2)
    assert ends.period is None
    assert ends.add(ord("a"), 2) == UNSEEN_EVENTS + 1
    assert ends.add(ord("a"), 2) == 1


def test_steps_without_any_order_count_one_by_one_in_the_end() -> None:
    ends = StepEnds()
    value, found = 1, 0
    for _ in range(MOST_LEARNED * 9):
        value = value * 1103515245 + 12345 & 0x7FFFFFFF
        found += ends.add(value >> 16 & 7, 9)
    assert ends.is_irregular
    assert found == MOST_LEARNED * 9


def test_what_was_not_proven_counts_when_the_script_has_ended() -> None:
    assert fed("aaab", 2).conclude() == 1
    assert fed("", 2).conclude() == 0


@given(st.lists(st.integers(0, 3), min_size=1, max_size=6), st.integers(2, 5))
def test_whatever_the_cycle_its_rounds_are_training_steps(cycle: list[int], rounds: int) -> None:
    ends = StepEnds()
    told = sum(ends.add(each, len(set(cycle))) for each in cycle * rounds)
    assert told == len(ends.ends)
    assert ends.period is not None
    assert len(cycle) % ends.period == 0
    assert ends.ends[-1] == len(cycle) * rounds - 1


def test_backward_passes_are_grouped_by_changes_of_the_weights() -> None:
    steps = WeightSteps()
    for _ in range(2):
        for _ in range(3):
            assert not steps.backward_ended(has_optimizer=False)
            changed = steps.since == 3
            assert steps.forward_begins(changed=changed, has_optimizer=False) is changed
    assert (steps.done, steps.group) == (2, 3)
    steps.closes_early = True  # no module is watched any more
    assert [steps.backward_ended(has_optimizer=False) for _ in range(3)] == [False, False, True]


def test_where_values_cannot_be_read_each_backward_pass_counts() -> None:
    steps = WeightSteps(can_see=False)
    assert steps.backward_ended(has_optimizer=False)
    assert steps.is_blind


def test_an_optimizer_that_has_not_stepped_yet_is_waited_for() -> None:
    steps = WeightSteps(can_see=False)
    assert not any(steps.backward_ended(has_optimizer=True) for _ in range(MOST_BACKWARD * 2))


def test_weights_that_never_change_make_each_backward_pass_count() -> None:
    steps = WeightSteps()
    ended = [steps.backward_ended(has_optimizer=False) for _ in range(MOST_BACKWARD + 1)]
    assert ended[-2:] == [True, True]
    assert not any(ended[:-2])


def test_weights_that_change_before_the_optimizer_steps_wait_for_it() -> None:
    steps = WeightSteps()
    ended = []
    for _ in range(UNSEEN_EVENTS + 2):
        steps.backward_ended(has_optimizer=True)
        ended.append(steps.forward_begins(changed=True, has_optimizer=True))
    assert ended == [False] * UNSEEN_EVENTS + [True, True], "it is never going to step"
