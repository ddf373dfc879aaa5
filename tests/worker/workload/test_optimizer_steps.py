"""Counting the steps that an optimizer really takes."""

from __future__ import annotations

import torch

from rnnprof.worker.workload.optimizer_steps import MAX_STEPS, OptimizerSteps


def steps_until_enough(skipped: int, at_least: int = 2) -> tuple[int, OptimizerSteps]:
    """Run a loop whose first *skipped* steps leave the optimizer alone."""
    weight = torch.nn.Parameter(torch.ones(1))
    optimizer = torch.optim.SGD([weight], lr=0.1)
    counter = OptimizerSteps(optimizer)
    done = 0
    for done in counter.until_enough(at_least):
        weight.grad = torch.ones(1)
        if done >= skipped:
            optimizer.step()
    return done + 1, counter


def test_plain_training_runs_as_many_as_asked() -> None:
    assert steps_until_enough(0)[0] == 2
    assert steps_until_enough(0, at_least=5)[0] == 5


def test_skipped_steps_are_made_up_for() -> None:
    ran, counter = steps_until_enough(4)
    assert (ran, counter.taken, counter.warnings()) == (6, 2, [])


def test_an_optimizer_that_never_steps_is_told() -> None:
    ran, counter = steps_until_enough(10_000)
    assert ran == MAX_STEPS
    assert counter.warnings() == [f"the optimizer stepped only 0 times in {MAX_STEPS} steps"]


def test_without_an_optimizer_there_is_nothing_to_wait_for() -> None:
    assert list(OptimizerSteps(None).until_enough(3)) == [0, 1, 2]
