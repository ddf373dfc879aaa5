"""Judge from raw conditions whether other work made a pass noisy."""

from __future__ import annotations

from typing import Final

from rnnprof.points.reasons import GpuSlowedDown, LowClock, OthersTookMemory, ProcessorTaken, Taker
from rnnprof.reasons import Reason, joined
from rnnprof.runfile.observations import Conditions, DeviceConditions
from rnnprof.units import MIB

TAKEN_RATIOS: Final = {Taker.OTHERS: 0.10, Taker.HYPERVISOR: 0.05, Taker.QUOTA: 0.02}
"""Processor time over the pass's wall time above which it is noisy.  Other processes use below 0.03
on an idle machine, and 1 if one of them uses one processor all the time."""

MIN_SECONDS: Final = 0.05
"""The kernel counts CPU time in ticks of 10 ms: fewer than five ticks are not evidence."""

SLOWDOWNS: Final = frozenset(
    {"HwSlowdown", "SwThermalSlowdown", "HwThermalSlowdown", "HwPowerBrakeSlowdown"}
)
"""NVML's reasons that indicate a problem.  SwPowerCap is not one: it is normal under load."""

CLOCK_EXPLAINED: Final = frozenset({"GpuIdle", "SwPowerCap", "ApplicationsClocksSetting"})
"""Reasons for a low clock that are not noise: an idle GPU, the power limit, a fixed clock."""

SM_CLOCK_RATIO: Final = 0.75
"""Share of the highest clock; nvbench discards samples below 75% of the default clock."""

OTHERS_DRIFT_BYTES: Final = 64 * MIB
"""Device memory that other processes took during a pass: a context alone is several times this."""


def judge(conditions: Conditions | None) -> Reason | None:
    """What made the pass noisy; None if nothing did, or if no conditions were recorded."""
    if conditions is None or conditions.wall_s <= 0:
        return None
    device = conditions.device_after
    return joined(
        *(_taken(taker, conditions) for taker in Taker),
        _slowed_down(device),
        _low_clock(device),
        _memory_taken(conditions.others_drift_bytes),
    )


def taken_ratio(taker: Taker, conditions: Conditions) -> float | None:
    """Processor time that a pass did not get, over its wall time; None if unknown."""
    taken_s = _taken_s(taker, conditions)
    return None if taken_s is None or conditions.wall_s <= 0 else taken_s / conditions.wall_s


def _taken_s(taker: Taker, conditions: Conditions) -> float | None:
    if taker is Taker.HYPERVISOR:
        return conditions.cpu_steal_s
    if taker is Taker.QUOTA:
        return conditions.throttled_s
    if conditions.cpu_busy_s is None or conditions.cpu_own_s is None:
        return None
    return max(0.0, conditions.cpu_busy_s - conditions.cpu_own_s)


def _taken(taker: Taker, conditions: Conditions) -> ProcessorTaken | None:
    ratio = taken_ratio(taker, conditions)
    if ratio is None or ratio <= TAKEN_RATIOS[taker] or ratio * conditions.wall_s < MIN_SECONDS:
        return None
    return ProcessorTaken(taker, ratio)


def slowdowns(device: DeviceConditions | None) -> tuple[str, ...]:
    """NVML's names of the reasons why the GPU slows itself down."""
    reasons = device.event_reasons if device is not None else None
    return tuple(reason for reason in reasons or () if reason in SLOWDOWNS)


def _slowed_down(device: DeviceConditions | None) -> GpuSlowedDown | None:
    reasons = slowdowns(device)
    return GpuSlowedDown(reasons) if reasons else None


def _low_clock(device: DeviceConditions | None) -> LowClock | None:
    """A low clock without an explanation; None if NVML's reasons are unknown."""
    if device is None or device.event_reasons is None:
        return None
    clock_mhz, max_mhz = device.sm_clock_mhz, device.max_sm_clock_mhz
    if clock_mhz is None or not max_mhz or CLOCK_EXPLAINED & set(device.event_reasons):
        return None
    ratio = clock_mhz / max_mhz
    return LowClock(clock_mhz, ratio) if ratio < SM_CLOCK_RATIO else None


def _memory_taken(drift_bytes: int | None) -> OthersTookMemory | None:
    if drift_bytes is None or drift_bytes <= OTHERS_DRIFT_BYTES:
        return None
    return OthersTookMemory(drift_bytes)
