"""Whether other work made a pass noisy: raw conditions to a judgement."""

from __future__ import annotations

from typing import Final

from rnnprof.runfile.observations import Conditions, DeviceConditions
from rnnprof.units import MIB, format_bytes, format_ratio

OTHERS_RATIO: Final = 0.10
"""Processors taken by others, on average: an idle machine shows under 0.03, one busy stranger 1."""

STEAL_RATIO: Final = 0.05
THROTTLED_RATIO: Final = 0.02

MIN_SECONDS: Final = 0.05
"""The kernel counts CPU time in ticks of 10 ms: less than five of them are no evidence."""

SLOWDOWNS: Final = frozenset(
    {"HwSlowdown", "SwThermalSlowdown", "HwThermalSlowdown", "HwPowerBrakeSlowdown"}
)
"""NVML's reasons that mean a GPU in distress.  SwPowerCap is none: under load it is the normal."""

CLOCK_EXPLAINED: Final = frozenset({"GpuIdle", "SwPowerCap", "ApplicationsClocksSetting"})
"""Reasons for a low clock that are no noise: nothing to do, the power limit, a set clock."""

SM_CLOCK_RATIO: Final = 0.75
"""Of the highest clock; nvbench throws away what it sampled under 75% of the default clock."""

OTHERS_DRIFT_BYTES: Final = 64 * MIB
"""Device memory that others took during a pass: a context alone is several times that."""


def judge(conditions: Conditions | None) -> str | None:
    """What made the pass noisy, in words, or None."""
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
        _judge_slowdown(conditions.device_after),
        _judge_clock(conditions.device_after),
        _judge_drift(conditions.others_drift_bytes),
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


def slowdowns(device: DeviceConditions | None) -> tuple[str, ...]:
    """The reasons, by NVML's names, for which the GPU is slowing itself down."""
    reasons = device.event_reasons if device is not None else None
    return tuple(reason for reason in reasons or () if reason in SLOWDOWNS)


def _judge_slowdown(device: DeviceConditions | None) -> str | None:
    if device is None:
        return None
    reasons = slowdowns(device)
    return f"the GPU slowed itself down ({', '.join(reasons)})" if reasons else None


def _judge_clock(device: DeviceConditions | None) -> str | None:
    """A low clock that nothing explains; where the reasons are unknown it proves nothing."""
    if device is None or device.event_reasons is None:
        return None
    clock_mhz, max_mhz = device.sm_clock_mhz, device.max_sm_clock_mhz
    if clock_mhz is None or not max_mhz or CLOCK_EXPLAINED & set(device.event_reasons):
        return None
    ratio = clock_mhz / max_mhz
    if ratio >= SM_CLOCK_RATIO:
        return None
    return f"the GPU ran at {clock_mhz} MHz, {format_ratio(ratio)} of its highest clock"


def _judge_drift(drift_bytes: int | None) -> str | None:
    if drift_bytes is None or drift_bytes <= OTHERS_DRIFT_BYTES:
        return None
    return f"others took {format_bytes(drift_bytes)} of device memory"
