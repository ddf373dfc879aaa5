"""The recommended batch at one T, if the measured times decide it.

The rule: of the batches that fit with headroom and do not thrash, the smallest within 5% of the
best time steps/s.  The times decide it if the rule gives the same batch for all rates within the
points' intervals, widened by the drift of the machine's speed; else no batch is recommended.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from rnnprof.advice.reasons import BestRate, NearBest, NoisyTime, OnlyTimed, TakesMemory, Undecided
from rnnprof.defaults import NEAR_BEST_RATIO as NEAR_BEST_RATIO
from rnnprof.points.measurement import Measurement
from rnnprof.reasons import Reason

FAR_FACTOR: Final = 2.0
"""Noise between processes never changes a time by this factor: 10% is already much.  The gate uses
the same factor."""


@dataclass(frozen=True, slots=True)
class Recommendation:
    """The recommended batch at one T.

    Attributes:
        time_steps: T.
        batch: None if the times do not decide it, or no point is usable.
        tied: the batches that remain possible, if the times do not decide.
        to_time: the batches to time again: the tied ones, and those that may be the best.
        by_drift: whether the machine's drift is the cause, so that only another run can decide.
        time_steps_per_s, peak_bytes: of the recommended batch.
        accumulation_steps: accumulation steps for the requested effective batch; None if none was
            requested.
        reasons: why, the most important first.
    """

    time_steps: int
    batch: int | None
    tied: tuple[int, ...] = ()
    to_time: tuple[int, ...] = ()
    by_drift: bool = False
    time_steps_per_s: float | None = None
    peak_bytes: int | None = None
    accumulation_steps: int | None = None
    reasons: tuple[Reason, ...] = ()


@dataclass(frozen=True, slots=True)
class Rates:
    """The range of a point's time steps/s, from its interval and the machine's drift."""

    low: float
    high: float

    @classmethod
    def of(cls, measurement: Measurement, drift_ratio: float) -> Rates:
        """The range of a measurement; a factor of 2 without an interval or with a noisy time."""
        interval, step_s = _interval(measurement), measurement.step_time_s
        if measurement.noisy or interval is None or not step_s:
            return cls(rate(measurement) / FAR_FACTOR, rate(measurement) * FAR_FACTOR)
        shortest_s, longest_s = interval
        # drift changes the ratio of two points: each range takes the square root of it
        time_steps = rate(measurement) * step_s
        spread = math.sqrt(1 + drift_ratio)
        high = time_steps / shortest_s * spread if shortest_s > 0 else math.inf
        return cls(time_steps / longest_s / spread, high)


def recommend(
    time_steps: int, usable: Sequence[Measurement], limit_bytes: int, drift_ratio: float = 0.0
) -> Recommendation:
    """The recommended batch at a T.

    Args:
        usable: the points at this T that were timed, fit with headroom and do not thrash.
        limit_bytes: the memory limit, for the reasons.
        drift_ratio: how much the machine's speed changed during the run; 0.02 is 2%.
    """
    ordered = sorted(usable, key=lambda each: each.point.batch)
    if not ordered:
        return Recommendation(time_steps, None)
    ranges = {each.point.batch: Rates.of(each, drift_ratio) for each in ordered}
    found = tuple(batch for batch in ranges if _may_be_smallest(batch, ranges)) or tuple(ranges)
    if len(found) > 1:
        least = max(each.low for each in ranges.values())
        to_time = tuple(b for b, each in ranges.items() if b in found or each.high >= least)
        among = [each for each in ordered if each.point.batch in to_time]
        why = _why_open(found, among, drift_ratio)
        by_drift = why.drift_ratio is not None
        return Recommendation(time_steps, None, found, to_time, by_drift, reasons=(why,))
    chosen = next(each for each in ordered if each.point.batch == found[0])
    peak = chosen.peak_charged_bytes
    reasons = (_why(chosen, ordered), *_noise(chosen), *_memory(peak, limit_bytes))
    return Recommendation(
        time_steps,
        chosen.point.batch,
        time_steps_per_s=rate(chosen),
        peak_bytes=peak,
        reasons=reasons,
    )


def _may_be_smallest(batch: int, ranges: Mapping[int, Rates]) -> bool:
    """Whether any rates within the ranges make it the smallest batch within 5% of the best."""
    near, own = 1 - NEAR_BEST_RATIO, ranges[batch].high
    if own < near * max(each.low for each in ranges.values()):
        return False
    # the highest best rate with this batch still near; every smaller batch must not be near it
    larger = (min(each.high, own / near) for b, each in ranges.items() if b > batch)
    best = max((own, *larger))
    return all(each.low < near * best for b, each in ranges.items() if b < batch)


def rate(measurement: Measurement) -> float:
    """Time steps/s; 0 where unknown."""
    return measurement.time_steps_per_s or 0.0


def half_interval_ratio(measurement: Measurement) -> float | None:
    """Half the interval between processes, or else within one process, over the step time."""
    interval = _interval(measurement)
    if interval is None or not measurement.step_time_s:
        return None
    return (interval[1] - interval[0]) / 2 / measurement.step_time_s


def _interval(measurement: Measurement) -> tuple[float, float] | None:
    return measurement.step_time_ci_s or measurement.step_time_within_ci_s


def _why(chosen: Measurement, ordered: Sequence[Measurement]) -> Reason:
    best = max(ordered, key=rate)
    if len(ordered) == 1:
        return OnlyTimed(rate(chosen))
    if chosen is best:
        return BestRate(rate(chosen))
    return NearBest(rate(chosen), rate(best), best.point.batch, NEAR_BEST_RATIO)


def _noise(chosen: Measurement) -> tuple[NoisyTime, ...]:
    return (NoisyTime(chosen.noisy),) if chosen.noisy else ()


def _memory(peak_bytes: int | None, limit_bytes: int) -> tuple[TakesMemory, ...]:
    return () if peak_bytes is None else (TakesMemory(peak_bytes, limit_bytes),)


def _why_open(tied: Sequence[int], among: Sequence[Measurement], drift_ratio: float) -> Undecided:
    """Why the times do not decide: noise, drift or precision."""
    noisy = next((each for each in among if each.noisy), None)
    undecided = Undecided(tuple(tied), NEAR_BEST_RATIO, noisy.point.batch if noisy else None)
    halves = [half_interval_ratio(each) for each in among]
    known = [half for half in halves if half is not None]
    if noisy is not None or len(known) < len(halves):
        return undecided
    if drift_ratio > max(known):
        return replace(undecided, drift_ratio=drift_ratio)
    return replace(undecided, precision_ratio=max(known))
