"""Whether something else on the machine disturbed a pass: raw conditions to a judgement."""

from __future__ import annotations

from typing import Final

from rnnprof.records import Conditions
from rnnprof.units import format_ratio

OTHERS_RATIO: Final = 0.10
"""Processors taken by others, on average: an idle machine shows under 0.03, one busy stranger 1."""

STEAL_RATIO: Final = 0.05
THROTTLED_RATIO: Final = 0.02

MIN_SECONDS: Final = 0.05
"""The kernel counts CPU time in ticks of 10 ms: less than five of them are no evidence."""


def judge(conditions: Conditions | None) -> str | None:
    """What disturbed the pass, in words, or None."""
    if conditions is None or conditions.wall_s <= 0:
        return None
    others, steal = _others_s(conditions), conditions.cpu_steal_s
    found = [
        _judge_one(others, conditions, OTHERS_RATIO, "other processes took {} of a processor"),
        _judge_one(steal, conditions, STEAL_RATIO, "the hypervisor took {} of a processor"),
        _judge_one(
            conditions.throttled_s,
            conditions,
            THROTTLED_RATIO,
            "the cgroup's quota stopped it for {} of the time",
        ),
    ]
    return "; ".join(text for text in found if text) or None


def _others_s(conditions: Conditions) -> float | None:
    if conditions.cpu_busy_s is None or conditions.cpu_own_s is None:
        return None
    return max(0.0, conditions.cpu_busy_s - conditions.cpu_own_s)


def _judge_one(
    taken_s: float | None, conditions: Conditions, limit: float, text: str
) -> str | None:
    if taken_s is None or taken_s < MIN_SECONDS:
        return None
    ratio = taken_s / conditions.wall_s
    return text.format(format_ratio(ratio)) if ratio > limit else None
