"""How trainability is measured: the task, the training time and the amount of data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Final

from msgspec import Meta

from rnnprof import defaults
from rnnprof.defaults import RATE_RULES as RATE_RULES
from rnnprof.defaults import TASKS as TASKS
from rnnprof.ranges import Duration, Ratio, Text, UpToMillion, ZeroToMillion

TASK_INPUTS: Final = {"adding": 2, "copy": 10}
"""Features of a time step: a value and a mark; or ten symbols, one-hot."""

COPIED: Final = 10
"""Symbols to remember in the copy memory task, as in Hochreiter and Schmidhuber, and Arjovsky et
al. (arXiv 1511.06464, section 4.1)."""

LEAST_STEPS: Final = {"adding": 2, "copy": 2 * COPIED + 1}


@dataclass(frozen=True, slots=True)
class Study:
    """The settings of a study of trainability; they apply to all of its passes.

    Attributes:
        task: one of TASKS, for the built-in cells; None if a factory has its own.
        train_steps: training steps before the gradients are measured a second time.
        draws: batches of fresh data, for the reach and for the noise scale each.
        small_batch: sequences of a small batch for the noise scale.
        parts: small batches that form the large batch.
        reach_ratio: smallest share of the last step's gradient that counts as reached.
        learning_rate: learning rate of the optimizer at *rate_batch*.
        rate_rule: how the learning rate scales with the batch: fixed, sqrt or linear.
        rate_batch: the batch for which *learning_rate* is given.
        clip_norm: gradients are clipped to this norm; None for no clipping.
        target_loss: loss to reach on fresh data; None if the time to it is not measured.
        seeds: training runs at each point, each with its own weights and data.
        budget_s: the most time for one training run.
        evaluate_every: training steps between two evaluations on fresh data.
    """

    task: Text | None = defaults.TASK
    train_steps: ZeroToMillion = defaults.TRAIN_STEPS
    draws: UpToMillion = defaults.DRAWS
    small_batch: UpToMillion = defaults.SMALL_BATCH
    parts: Annotated[int, Meta(ge=2, le=1_000_000)] = defaults.PARTS
    reach_ratio: Ratio = 1e-3
    learning_rate: Duration = defaults.LEARNING_RATE
    rate_rule: Text = defaults.RATE_RULE
    rate_batch: UpToMillion = defaults.RATE_BATCH
    clip_norm: Duration | None = None
    target_loss: Duration | None = None
    seeds: UpToMillion = defaults.SEEDS
    budget_s: Duration = defaults.TRAIN_SECONDS
    evaluate_every: UpToMillion = defaults.EVALUATE_EVERY

    @property
    def big_batch(self) -> int:
        """Sequences of a large batch for the noise scale."""
        return self.small_batch * self.parts

    def rate_at(self, batch: int) -> float:
        """The learning rate at a batch, by *rate_rule*."""
        scale = batch / self.rate_batch
        power = {"fixed": 0.0, "sqrt": 0.5, "linear": 1.0}[self.rate_rule]
        return float(self.learning_rate * scale**power)
