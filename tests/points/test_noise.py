"""Raw conditions to a judgement."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from rnnprof.points.noise import judge, slowdowns
from rnnprof.points.reasons import (
    GpuSlowedDown,
    LowClock,
    OthersTookMemory,
    ProcessorTaken,
    Taker,
)
from rnnprof.reasons import Reasons
from rnnprof.runfile.observations import Conditions, DeviceConditions

MIB = 1 << 20


def over(wall_s: float = 2.0, **fields: float | None) -> Conditions:
    quiet = {"cpu_own_s": 2.0, "cpu_busy_s": 2.0, "cpu_steal_s": 0.0, "throttled_s": 0.0}
    return Conditions(wall_s=wall_s, cpu_count=2, **(quiet | fields))


@pytest.mark.parametrize(
    "conditions",
    [
        None,
        over(),
        over(cpu_busy_s=2.19),
        over(cpu_busy_s=1.5),  # ticks: the machine's count lags behind the process's own
        over(cpu_steal_s=0.09),
        over(throttled_s=0.039),
        over(wall_s=0.1, cpu_own_s=0.0, cpu_busy_s=0.04),  # fewer than five ticks
        over(wall_s=0.0, cpu_busy_s=9.0),
        Conditions(wall_s=2.0, cpu_count=2),  # nothing is known
        Conditions(wall_s=2.0, cpu_count=2, cpu_busy_s=4.0),  # whose, is not known
    ],
)
def test_a_quiet_or_unknown_machine_disturbs_nothing(conditions):
    assert judge(conditions) is None


@pytest.mark.parametrize(
    ("conditions", "taker", "ratio"),
    [
        (over(cpu_busy_s=2.21), Taker.OTHERS, 0.105),
        (over(cpu_busy_s=5.0), Taker.OTHERS, 1.5),
        (over(cpu_steal_s=0.2), Taker.HYPERVISOR, 0.1),
        (over(throttled_s=0.1), Taker.QUOTA, 0.05),
        (over(cpu_steal_s=0.2, cpu_busy_s=None), Taker.HYPERVISOR, 0.1),
    ],
)
def test_a_disturbance_is_found_with_its_share(conditions, taker, ratio):
    assert judge(conditions) == ProcessorTaken(taker, pytest.approx(ratio))


def test_every_disturbance_is_found():
    assert judge(over(cpu_busy_s=4.0, cpu_steal_s=1.0, throttled_s=0.5)) == Reasons(
        (
            ProcessorTaken(Taker.OTHERS, 1.0),
            ProcessorTaken(Taker.HYPERVISOR, 0.5),
            ProcessorTaken(Taker.QUOTA, 0.25),
        )
    )


def on_gpu(drift_bytes: int | None = 0, **after: Any) -> Conditions:
    """A pass on a quiet GPU that begins idle and ends as *after* says."""
    idle = DeviceConditions(sm_clock_mhz=345, max_sm_clock_mhz=1980, event_reasons=("GpuIdle",))
    busy = {"sm_clock_mhz": 1980, "max_sm_clock_mhz": 1980, "event_reasons": ()}
    return Conditions(
        wall_s=2.0,
        cpu_count=2,
        device_before=idle,
        device_after=DeviceConditions(**(busy | after)),
        others_drift_bytes=drift_bytes,
    )


@pytest.mark.parametrize(
    "conditions",
    [
        on_gpu(),
        on_gpu(event_reasons=("SwPowerCap",)),
        on_gpu(event_reasons=("SwPowerCap",), sm_clock_mhz=900),
        on_gpu(event_reasons=("GpuIdle",), sm_clock_mhz=345),
        on_gpu(event_reasons=("ApplicationsClocksSetting",), sm_clock_mhz=1005),
        on_gpu(event_reasons=("SyncBoost", "0x200")),
        on_gpu(sm_clock_mhz=1485),  # three quarters
        on_gpu(sm_clock_mhz=None),
        on_gpu(max_sm_clock_mhz=None, sm_clock_mhz=345),
        on_gpu(event_reasons=None, sm_clock_mhz=345),  # it may have been idle
        on_gpu(64 * MIB),
        on_gpu(-20 * MIB),
        on_gpu(None),
    ],
)
def test_a_quiet_or_unknown_gpu_disturbs_nothing(conditions):
    assert judge(conditions) is None


@pytest.mark.parametrize(
    "reason", ["HwSlowdown", "SwThermalSlowdown", "HwThermalSlowdown", "HwPowerBrakeSlowdown"]
)
def test_a_gpu_that_lowers_its_clock_is_found(reason):
    assert judge(on_gpu(event_reasons=("SwPowerCap", reason))) == GpuSlowedDown((reason,))


def test_what_slowed_the_gpu_before_the_pass_is_not_held_against_it():
    before = DeviceConditions(event_reasons=("HwSlowdown",))
    assert judge(Conditions(wall_s=2.0, cpu_count=2, device_before=before)) is None
    assert slowdowns(before) == ("HwSlowdown",)
    assert slowdowns(DeviceConditions()) == slowdowns(None) == ()


@pytest.mark.parametrize("reasons", [(), ("SyncBoost",)])
def test_a_low_clock_that_nothing_explains_is_found(reasons):
    found = judge(on_gpu(sm_clock_mhz=1484, event_reasons=reasons))
    assert found == LowClock(1484, 1484 / 1980)


@pytest.mark.parametrize("drift_bytes", [64 * MIB + 1, 20 << 30])
def test_memory_that_others_took_is_found(drift_bytes):
    assert judge(on_gpu(drift_bytes)) == OthersTookMemory(drift_bytes)


def test_the_gpu_and_the_processors_are_both_judged():
    quiet = on_gpu(1 << 30, event_reasons=("HwSlowdown",), sm_clock_mhz=300)
    assert judge(replace(quiet, cpu_own_s=1.0, cpu_busy_s=3.0)) == Reasons(
        (
            ProcessorTaken(Taker.OTHERS, 1.0),
            GpuSlowedDown(("HwSlowdown",)),
            LowClock(300, 300 / 1980),
            OthersTookMemory(1 << 30),
        )
    )
