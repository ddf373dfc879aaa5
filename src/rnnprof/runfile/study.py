"""How trainability is studied: what is learned, how long, and from how much data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from rnnprof import defaults
from rnnprof.defaults import RATE_RULES as RATE_RULES
from rnnprof.defaults import TASKS as TASKS
from rnnprof.ranges import Count, Real, Seconds, Whole

TASK_INPUTS: Final = {"adding": 2, "copy": 10}
"""Features of a time step: a value and a mark; ten symbols, one of them hot."""

COPIED: Final = 10
"""Symbols of the copy memory task that are to be remembered, as Hochreiter and Schmidhuber's and
Arjovsky et al.'s (arXiv 1511.06464, section 4.1)."""

LEAST_STEPS: Final = {"adding": 2, "copy": 2 * COPIED + 1}


@dataclass(frozen=True, slots=True)
class Study:
    """What a study of trainability does; all of its passes are alike in it.

    Attributes:
        task: one of TASKS, which the built-in cells learn; None where a factory has its own.
        train_steps: training steps before the gradients are looked at a second time.
        draws: batches of fresh data, for the reach and for the noise scale each.
        small_batch: sequences of a small batch of the noise scale.
        parts: small batches that make its large one.
        reach_ratio: share of the last step's gradient that still counts as reached.
        learning_rate: of Adam or what the workload has, at *rate_batch*.
        rate_rule: how it goes with the batch: fixed, by the square root, or linear.
        rate_batch: where it holds.
        clip_norm: gradients are clipped to it; None for not at all.
        target_loss: to be reached on fresh data; None where no time to it is measured.
        seeds: of weights and data, each a training of its own.
        budget_s: at most this long is spent on one training.
        evaluate_every: training steps between two looks at fresh data.
    """

    task: str | None = defaults.TASK
    train_steps: Count = defaults.TRAIN_STEPS
    draws: Whole = defaults.DRAWS
    small_batch: Whole = defaults.SMALL_BATCH
    parts: Whole = defaults.PARTS
    reach_ratio: Real = 1e-3
    learning_rate: Real = defaults.LEARNING_RATE
    rate_rule: str = defaults.RATE_RULE
    rate_batch: Whole = defaults.RATE_BATCH
    clip_norm: Real | None = None
    target_loss: Real | None = None
    seeds: Whole = defaults.SEEDS
    budget_s: Seconds = defaults.TRAIN_SECONDS
    evaluate_every: Whole = defaults.EVALUATE_EVERY

    @property
    def big_batch(self) -> int:
        """Sequences of a large batch of the noise scale."""
        return self.small_batch * self.parts

    def rate_at(self, batch: int) -> float:
        """The learning rate at a batch, by the rule."""
        scale = batch / self.rate_batch
        power = {"fixed": 0.0, "sqrt": 0.5, "linear": 1.0}[self.rate_rule]
        return float(self.learning_rate * scale**power)
