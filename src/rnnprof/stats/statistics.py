"""Medians, their distribution-free intervals, and the rules that start and stop a timing pass."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from statistics import median
from typing import Final

CONFIDENCE: Final = 0.95


@cache
def _interval_rank(count: int) -> int:
    """Largest k (from 1) with P(x_(k) <= median <= x_(n+1-k)) >= 95%; 0 when there is none.

    The number of samples below the median is Binomial(n, 1/2), whatever their distribution.
    """
    tail, rank = 0.0, 0
    log_half_power = -count * math.log(2)
    for k in range(count // 2):
        log_choose = math.lgamma(count + 1) - math.lgamma(k + 1) - math.lgamma(count - k + 1)
        tail += math.exp(log_choose + log_half_power)
        if 2 * tail > 1 - CONFIDENCE:
            break
        rank = k + 1
    return rank


def median_interval(samples: Sequence[float]) -> tuple[float, float] | None:
    """95% interval of the median from order statistics; None below 6 samples.

    Samples of one process are not independent, so this is the precision of the process's own
    median; another process may have another median.
    Source: David and Nagaraja, Order Statistics, 3rd edition, section 7.1.
    """
    rank = _interval_rank(len(samples))
    if rank == 0:
        return None
    ordered = sorted(samples)
    return ordered[rank - 1], ordered[-rank]


def half_width_ratio(samples: Sequence[float]) -> float | None:
    """Half the median's interval over the median: the precision; None if unknown."""
    interval = median_interval(samples)
    middle = median(samples) if samples else 0.0
    if interval is None or middle <= 0:
        return None
    return (interval[1] - interval[0]) / 2 / middle


@dataclass(frozen=True, slots=True)
class StopRule:
    """When a timing pass has enough samples.

    Attributes:
        precision_ratio: half-width of the median's 95% interval, over the median.
        budget_s: the most time for timed steps.
        min_samples: with fewer samples the pass has never converged.
        floor_samples: taken even if the budget is spent: a median of fewer is meaningless.
    """

    precision_ratio: float
    budget_s: float
    min_samples: int = 10
    floor_samples: int = 3

    def converged(self, samples: Sequence[float]) -> bool:
        """Whether the requested precision is reached."""
        ratio = half_width_ratio(samples) if len(samples) >= self.min_samples else None
        return ratio is not None and ratio <= self.precision_ratio

    def is_over(self, samples: Sequence[float], elapsed_s: float) -> bool:
        """Whether sampling ends, converged or not."""
        spent = elapsed_s >= self.budget_s and len(samples) >= self.floor_samples
        return spent or self.converged(samples)

    def next_block(self, samples: Sequence[float], elapsed_s: float) -> int:
        """How many steps to run before the next check: a fifth of the samples so far."""
        if len(samples) < self.floor_samples:
            return self.floor_samples - len(samples)
        wanted = max(self.min_samples - len(samples), len(samples) // 5, 1)
        left = max(0.0, self.budget_s - elapsed_s) / max(median(samples), 1e-9)
        return max(1, min(wanted, math.ceil(left)))


@dataclass(frozen=True, slots=True)
class WarmUpRule:
    """When the warm-up ends: steps no longer get faster.

    Attributes:
        min_steps: steps before the first check.
        long_steps: enough steps if they spend the whole budget, unless the first did extra work
            that took as long as a step, such as compilation.  In 126 such passes the median
            changed by -0.2% (standard error 0.3%) when the third step was timed instead of used
            for warm-up.
        max_steps, budget_s: the end of the warm-up for a workload that never settles.
        gain_ratio: steps have settled if a step is faster than the one before by less than this.
    """

    budget_s: float
    min_steps: int = 3
    long_steps: int = 2
    max_steps: int = 20
    gain_ratio: float = 0.05

    def is_over(self, samples: Sequence[float]) -> bool:
        """Whether the timed steps may begin."""
        is_spent = sum(samples) >= self.budget_s
        if len(samples) < self.min_steps:
            return is_spent and len(samples) == self.long_steps and samples[0] <= 2 * samples[1]
        if is_spent or len(samples) >= self.max_steps:
            return True
        return samples[-1] >= samples[-2] * (1 - self.gain_ratio)
