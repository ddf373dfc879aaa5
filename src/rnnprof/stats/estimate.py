"""Ratios with intervals from few values: means of logarithms, Student's t, and Holm's correction.

A ratio is one of geometric means, and its interval is Welch's t interval of the difference of mean
logarithms (Welch, Biometrika 34, 1947).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean, variance
from typing import Final

from rnnprof.stats.statistics import CONFIDENCE

SIGNIFICANCE: Final = 0.05
"""Allowed share of runs without a regression that report one, over all points together."""

POWER: Final = 0.8
"""Share of runs with a regression that should report it: the usual convention."""

NOISE_FLOOR_RATIO: Final = 0.001
"""Processes that agree better than this agree by chance: no machine is so reproducible.

Without it a few equal medians would give an interval of zero width, and any change would be
significant."""

MAX_LOG: Final = 700.0
"""A larger logarithm gives a ratio that a float cannot hold."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean of logarithms, or a difference of two, with its error.

    Attributes:
        log_mean: natural logarithm of the estimated ratio (or figure).
        standard_error: of *log_mean*.
        degrees_of_freedom: of the standard error.
    """

    log_mean: float
    standard_error: float
    degrees_of_freedom: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Estimate:
        """The mean of the logarithms of at least two positive *values*."""
        return cls(log_mean(values), math.sqrt(_squared_error(values)), len(values) - 1)

    @classmethod
    def of_ratio(cls, base: Sequence[float], new: Sequence[float]) -> Estimate:
        """New over base by Welch, for spreads that may differ; at least two values on each side."""
        errors = [_squared_error(side) for side in (base, new)]
        freedom = sum(errors) ** 2 / sum(
            error**2 / (len(side) - 1) for error, side in zip(errors, (base, new), strict=True)
        )
        return cls(log_mean(new) - log_mean(base), math.sqrt(sum(errors)), freedom)

    def over(self, figure: float) -> Estimate:
        """The ratio to a positive *figure* that is known exactly."""
        return Estimate(
            self.log_mean - math.log(figure), self.standard_error, self.degrees_of_freedom
        )

    @property
    def ratio(self) -> float:
        """The ratio (or figure) itself."""
        return exp(self.log_mean)

    def bound(self, share: float) -> float:
        """The bound below which the true ratio is, in a *share* of runs like this one."""
        quantile = _t_quantile(share, self.degrees_of_freedom)
        return exp(self.log_mean + quantile * self.standard_error)

    def interval(self) -> tuple[float, float]:
        """The two-sided 95% interval of the ratio."""
        return self.bound((1 - CONFIDENCE) / 2), self.bound((1 + CONFIDENCE) / 2)

    def p_above(self, limit_ratio: float) -> float:
        """One-sided p-value of a change above the limit.

        It is the share of runs that show at least this change if the true change is the limit.

        Args:
            limit_ratio: allowed change, 0.05 for 5%.
        """
        t = (self.log_mean - math.log1p(limit_ratio)) / self.standard_error
        return _t_share(-t, self.degrees_of_freedom)


def smallest_detectable_ratio(
    estimate: Estimate, limit_ratio: float, significance: float = SIGNIFICANCE
) -> float:
    """The smallest true change that 80% of runs like this one would report as above the limit.

    ``(1 + limit) * exp(se * (t[1 - significance] + t[0.8])) - 1``, with quantiles of Student's t at
    the estimate's degrees of freedom: the usual approximation of the noncentral t.

    Args:
        significance: level of the test; for m points together, Holm's first step uses 1/m of
            :data:`SIGNIFICANCE` at each.
    """
    freedom = estimate.degrees_of_freedom
    quantiles = _t_quantile(1 - significance, freedom) + _t_quantile(POWER, freedom)
    return exp(math.log1p(limit_ratio) + quantiles * estimate.standard_error) - 1


def holm(p_values: Sequence[float], significance: float = SIGNIFICANCE) -> list[bool]:
    """Which hypotheses are rejected, with a family-wise error of at most *significance*.

    Source: Holm, A simple sequentially rejective multiple test procedure, 1979.
    """
    order = sorted(range(len(p_values)), key=lambda index: p_values[index])
    rejected = [False] * len(p_values)
    for step, index in enumerate(order):
        if p_values[index] > significance / (len(p_values) - step):
            break
        rejected[index] = True
    return rejected


def geometric_mean(ratios: Iterable[float]) -> float | None:
    """The geometric mean of positive ratios; None without any.

    Source: Fleming and Wallace, How not to lie with statistics, CACM 29, 1986.
    """
    known = list(ratios)
    return exp(log_mean(known)) if known else None


def log_mean(values: Sequence[float]) -> float:
    """The logarithm of the geometric mean."""
    return fmean(map(math.log, values))


def _squared_error(values: Sequence[float]) -> float:
    """Squared standard error of the mean logarithm; the spread is at least the noise floor."""
    spread = variance([math.log(value) for value in values])
    return max(spread, NOISE_FLOOR_RATIO**2) / len(values)


def exp(log: float) -> float:
    """The exponential function, bounded so that the result is always finite."""
    return math.exp(min(MAX_LOG, max(-MAX_LOG, log)))


def _t_quantile(share: float, freedom: float) -> float:
    """The *share* quantile of Student's t.

    scipy takes a third of a second to load, so only judgements of times import it.
    """
    from scipy.special import stdtrit

    return float(stdtrit(freedom, share))


def _t_share(value: float, freedom: float) -> float:
    """The probability that Student's t is below *value*."""
    from scipy.special import stdtr

    return float(stdtr(freedom, value))
