"""Figures of a point in words: phase times, precision."""

from __future__ import annotations

from typing import Final

from rnnprof.advice.recommendation import half_interval_ratio
from rnnprof.points.measurement import Measurement
from rnnprof.units import format_ratio, seconds_unit


def phase_times_in_words(measurement: Measurement) -> str:
    """Forward, backward and optimizer in one unit, ``26/39/0.11 ms``; empty where unknown."""
    times = [measurement.phase_times_s.get(phase) for phase in TRAINING_PHASES]
    known = [seconds for seconds in times if seconds]
    if not known:
        return ""
    factor, unit = seconds_unit(max(known))
    numbers = ("-" if not each else _two_digits(each * factor) for each in times)
    return f"{'/'.join(numbers)} {unit}"


def _two_digits(number: float) -> str:
    """At least: ``254``, ``26``, ``2.0``, ``0.11``; ``<0.0001`` in place of an exponent."""
    if number >= 9.95:
        return f"{number:.0f}"
    return f"{number:#.2g}" if number >= 1e-4 else "<0.0001"


def precision(measurement: Measurement) -> str:
    """Half the interval as a share of the step time, ``±0.84%``; empty where unknown."""
    ratio = half_interval_ratio(measurement)
    return "" if ratio is None else plus_minus(ratio)


def plus_minus(ratio: float) -> str:
    return f"±{format_ratio(ratio)}" if ratio < 0.995 else "±>99%"


TRAINING_PHASES: Final = ("forward", "backward", "optimizer")
