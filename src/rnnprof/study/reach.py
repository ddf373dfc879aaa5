"""How far gradients reach back in time: the loss of the last time step against earlier inputs.

``g_k = |dL_T / dx_{T-k}|``, averaged over sequences, is divided by ``g_0``; the reach is the
largest lag whose ratio is at least a threshold.  A product of many Jacobians shrinks or grows
exponentially with the lag (Pascanu, Mikolov and Bengio, arXiv 1211.5063, section 2), so the slope
of the logarithm is the rate.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, median
from typing import Final

from rnnprof.reasons import Reason
from rnnprof.study.reasons import Falls, Grows, Lasts, LossWithoutInput, LossWithoutLast, NotFinite

REACH_RATIO: Final = 1e-3
"""An input counts as reached if its gradient is at least this share of the last time step's."""

EXPLODING_RATIO: Final = 10.0
"""Growth over the last time step's gradient that healthy networks do not show."""

QUARTILES: Final = (0.25, 0.75)

MIN_LAGS_FOR_SLOPE: Final = 3


class Trend(enum.StrEnum):
    """How the gradient changes on its way back in time."""

    HEALTHY = "healthy"
    VANISHING = "vanishing"
    EXPLODING = "exploding"
    NOT_FINITE = "not_finite"
    NO_GRADIENT = "no_gradient"


@dataclass(frozen=True, slots=True)
class Reach:
    """The reach at one T, from several draws.

    Attributes:
        trend: how the gradient changes.
        ratios: ``g_k / g_0`` by lag, the median over the draws; None where it is not finite.
        spread: quartiles of the same over the draws; None where the median is None.
        reach: the largest lag with a ratio of at least the threshold; None if no ratio is known.
        reach_spread: the smallest and largest reach of a single draw.
        slope_per_lag: slope of the ratio's natural logarithm, by least squares over the lags within
            the reach; None with fewer than three.
        reason: the figures behind the trend.
    """

    trend: Trend
    ratios: tuple[float | None, ...]
    spread: tuple[tuple[float, float] | None, ...]
    reach: int | None
    reach_spread: tuple[int, int] | None
    slope_per_lag: float | None
    reason: Reason

    @property
    def is_cut(self) -> bool:
        """Whether the gradient reaches the first time step; the true reach may be longer."""
        return self.reach is not None and self.reach == len(self.ratios) - 1


def reach_of(draws: Sequence[Sequence[float]], threshold: float = REACH_RATIO) -> Reach:
    """Judge gradient norms by lag.

    Args:
        draws: for each draw the norms from lag 0 on; at least one draw, all of the same length.
        threshold: share of ``g_0``.
    """
    lags = len(draws[0])
    if all(draw[0] == 0 for draw in draws):
        return _without_gradient(draws, lags)
    ratios = [_ratios(draw) for draw in draws if draw[0] != 0]
    by_lag = [[draw[lag] for draw in ratios] for lag in range(lags)]
    middles = tuple(_median(values) for values in by_lag)
    spread = tuple(
        _quartiles(values) if middle is not None else None
        for values, middle in zip(by_lag, middles, strict=True)
    )
    own = [_last_lag(draw, threshold) for draw in ratios]
    reach = _last_lag(middles, threshold)
    trend, reason = _judge(middles, reach, threshold)
    return Reach(
        trend,
        middles,
        spread,
        reach,
        (min(own), max(own)),
        _slope(middles, lags - 1 if reach is None else reach),
        reason,
    )


def _ratios(draw: Sequence[float]) -> list[float]:
    return [norm / draw[0] if math.isfinite(draw[0]) else math.nan for norm in draw]


def _without_gradient(draws: Sequence[Sequence[float]], lags: int) -> Reach:
    later = any(norm > 0 for draw in draws for norm in draw)
    reason = LossWithoutLast() if later else LossWithoutInput()
    return Reach(Trend.NO_GRADIENT, (None,) * lags, (None,) * lags, None, None, None, reason)


def _median(values: Sequence[float]) -> float | None:
    """The median; None if a draw is not finite, because that is a result of its own."""
    return median(values) if all(map(math.isfinite, values)) else None


def _quartiles(values: Sequence[float]) -> tuple[float, float]:
    low, high = (_quantile(sorted(values), share) for share in QUARTILES)
    return low, high


def _quantile(ordered: Sequence[float], share: float) -> float:
    """The quantile by linear interpolation between order statistics."""
    place = share * (len(ordered) - 1)
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (place - below) * (ordered[above] - ordered[below])


def _last_lag(ratios: Sequence[float | None], threshold: float) -> int:
    """The largest lag at or above the threshold; 0 without one."""
    return max((lag for lag, r in enumerate(ratios) if r is not None and r >= threshold), default=0)


def _judge(ratios: Sequence[float | None], reach: int, threshold: float) -> tuple[Trend, Reason]:
    broken = next((lag for lag, ratio in enumerate(ratios) if ratio is None), None)
    if broken is not None:
        return Trend.NOT_FINITE, NotFinite(broken)
    known = [ratio for ratio in ratios if ratio is not None]
    last = len(known) - 1
    most = max(known)
    if most > EXPLODING_RATIO:
        return Trend.EXPLODING, Grows(most, known.index(most))
    if reach < last:
        return Trend.VANISHING, Falls(threshold, reach, last)
    return Trend.HEALTHY, Lasts(known[-1], last)


def _slope(ratios: Sequence[float | None], last: int) -> float | None:
    """Least squares of the logarithm over the lags 0 to *last*."""
    points = [
        (lag, math.log(ratio))
        for lag, ratio in enumerate(ratios[: last + 1])
        if ratio is not None and ratio > 0
    ]
    if len(points) < MIN_LAGS_FOR_SLOPE:
        return None
    x, y = (fmean(values) for values in zip(*points, strict=True))
    products = sum((lag - x) * (log - y) for lag, log in points)
    return products / sum((lag - x) ** 2 for lag, _ in points)
