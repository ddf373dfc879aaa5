"""The batch to train with at one T, where what was timed decides it.

The rule: of the batches that fit with headroom and do not thrash, the smallest within 5% of the
best time steps/s.  It decides where the intervals of the two rates, and the drift of the machine's
speed between them, leave no doubt of it; elsewhere memory is decided, and speed is not.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from rnnprof.records import Measurement
from rnnprof.units import format_bytes, format_rate, format_ratio

NEAR_BEST_RATIO: Final = 0.05
"""A batch that gives up less throughput than this is as good, and leaves memory and gradients."""

UNDECIDED: Final = "memory is decided, speed is not"


@dataclass(frozen=True, slots=True)
class Recommendation:
    """The recommended batch at one T.

    Attributes:
        steps: T.
        batch: None where the times do not decide it, or no point is usable.
        tied: the batches among which they do not decide.
        time_steps_per_s, peak_bytes: of the recommended batch.
        accumulation_steps: to make the effective batch asked for; None where none was.
        reasons: why, one sentence each.
    """

    steps: int
    batch: int | None
    tied: tuple[int, ...] = ()
    time_steps_per_s: float | None = None
    peak_bytes: int | None = None
    accumulation_steps: int | None = None
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Share:
    """A rate as a share of the best one, and how far it may be off."""

    ratio: float
    error: float

    @classmethod
    def of(cls, one: Measurement, best: Measurement, drift_ratio: float) -> Share:
        """Without an interval, or with a noisy time, it may be anything."""
        ratio = rate(one) / rate(best)
        if one is best:
            return cls(1.0, 0.0)
        if one.disturbed or best.disturbed:
            return cls(ratio, math.inf)
        halves = [half_interval_ratio(one), half_interval_ratio(best)]
        if None in halves:
            return cls(ratio, math.inf)
        return cls(ratio, ratio * math.hypot(*(each or 0.0 for each in halves), drift_ratio))

    @property
    def is_near(self) -> bool:
        """Whether it is within 5% of the best, beyond doubt."""
        return self.ratio - self.error >= 1 - NEAR_BEST_RATIO

    @property
    def may_be_near(self) -> bool:
        """Whether it is not certain to be below."""
        return self.ratio + self.error >= 1 - NEAR_BEST_RATIO


def recommend(
    steps: int, usable: Sequence[Measurement], limit_bytes: int, drift_ratio: float = 0.0
) -> Recommendation:
    """The batch to train with at a T.

    Args:
        usable: the points there that were timed, fit with headroom and do not thrash.
        drift_ratio: by which the machine's speed changed during the run.
    """
    ordered = sorted(usable, key=lambda each: each.point.batch)
    best = max(ordered, key=rate, default=None)
    if best is None:
        return Recommendation(steps, None)
    shares = {each.point.batch: Share.of(each, best, drift_ratio) for each in ordered}
    chosen = next(each for each in ordered if shares[each.point.batch].ratio >= 1 - NEAR_BEST_RATIO)
    smaller = [b for b, share in shares.items() if b < chosen.point.batch and share.may_be_near]
    if smaller or not shares[chosen.point.batch].is_near:
        tied = tuple(b for b, share in shares.items() if share.may_be_near)
        why = _why_open(ordered, tied, drift_ratio)
        return Recommendation(steps, None, tied, reasons=(why,))
    peak = chosen.peak_counted_bytes
    reasons = (_why(chosen, best), *_memory(peak, limit_bytes))
    return Recommendation(
        steps, chosen.point.batch, (), rate(chosen), peak, reasons=reasons
    )  # fmt: skip


def rate(measurement: Measurement) -> float:
    """Time steps/s; 0 where it is not known."""
    return measurement.time_steps_per_s or 0.0


def half_interval_ratio(measurement: Measurement) -> float | None:
    """Half the interval between processes, or else within one, over the step time."""
    interval = measurement.step_time_ci_s or measurement.step_time_within_ci_s
    if interval is None or not measurement.step_time_s:
        return None
    return (interval[1] - interval[0]) / 2 / measurement.step_time_s


def _why(chosen: Measurement, best: Measurement) -> str:
    told = f"{format_rate(rate(chosen))[:-2]} time steps/s"
    if chosen is best:
        return f"{told}, the best at this T"
    share = format_ratio(rate(chosen) / rate(best))
    return (
        f"{told}, {share} of the best at this T ({format_rate(rate(best))[:-2]} at "
        f"B={best.point.batch}): the smallest batch within {format_ratio(NEAR_BEST_RATIO)} of it"
    )


def _memory(peak_bytes: int | None, limit_bytes: int) -> tuple[str, ...]:
    if peak_bytes is None:
        return ()
    share = format_ratio(peak_bytes / limit_bytes)
    return (
        f"it takes {format_bytes(peak_bytes)}, {share} of the limit of {format_bytes(limit_bytes)}",
    )


def _why_open(ordered: Sequence[Measurement], tied: Sequence[int], drift_ratio: float) -> str:
    batches = [f"B={batch}" for batch in tied]
    names = f"{', '.join(batches[:-1])} and {batches[-1]}" if len(batches) > 1 else batches[0]
    among = [each for each in ordered if each.point.batch in tied]
    noisy = [each for each in among if each.disturbed]
    if noisy:
        return f"{names} cannot be told apart, for B={noisy[0].point.batch} is noisy"
    if any(half_interval_ratio(each) is None for each in among):
        return f"{names} cannot be told apart without intervals of their times"
    widest = max(half_interval_ratio(each) or 0.0 for each in among)
    if drift_ratio > widest:
        drift = format_ratio(drift_ratio)
        return f"{names} cannot be told apart: the machine's speed drifted by {drift}"
    return f"{names} cannot be told apart: their times are known to {format_ratio(widest)}"
