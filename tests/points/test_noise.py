"""Raw conditions to a judgement."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from rnnprof.points.noise import judge, slowdowns
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
    ("conditions", "words"),
    [
        (over(cpu_busy_s=2.21), "other processes took 10% of a processor"),
        (over(cpu_busy_s=5.0), "other processes took 150% of a processor"),
        (over(cpu_steal_s=0.2), "the hypervisor took 10% of a processor"),
        (over(throttled_s=0.1), "the cgroup's quota stopped it for 5% of the time"),
        (over(cpu_steal_s=0.2, cpu_busy_s=None), "the hypervisor took 10% of a processor"),
    ],
)
def test_a_disturbance_is_told_with_its_share(conditions, words):
    assert judge(conditions) == words


def test_every_disturbance_is_told():
    text = judge(over(cpu_busy_s=4.0, cpu_steal_s=1.0, throttled_s=1.0))
    assert text is not None
    assert [part.split()[0] for part in text.split("; ")] == ["other", "the", "the"]


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
def test_a_quiet_or_unknown_card_disturbs_nothing(conditions):
    assert judge(conditions) is None


@pytest.mark.parametrize(
    "reason", ["HwSlowdown", "SwThermalSlowdown", "HwThermalSlowdown", "HwPowerBrakeSlowdown"]
)
def test_a_card_that_slows_itself_down_is_told(reason):
    text = judge(on_gpu(event_reasons=("SwPowerCap", reason)))
    assert text == f"the GPU slowed itself down ({reason})"


def test_what_slowed_the_card_before_the_pass_is_not_held_against_it():
    before = DeviceConditions(event_reasons=("HwSlowdown",))
    assert judge(Conditions(wall_s=2.0, cpu_count=2, device_before=before)) is None
    assert slowdowns(before) == ("HwSlowdown",)
    assert slowdowns(DeviceConditions()) == slowdowns(None) == ()


@pytest.mark.parametrize("reasons", [(), ("SyncBoost",)])
def test_a_low_clock_that_nothing_explains_is_told(reasons):
    text = judge(on_gpu(sm_clock_mhz=1484, event_reasons=reasons))
    assert text == "the GPU ran at 1484 MHz, 75% of its highest clock"


def test_memory_that_others_took_is_told():
    assert judge(on_gpu(64 * MIB + 1)) == "others took 64.0 MiB of device memory"
    assert judge(on_gpu(20 << 30)) == "others took 20.0 GiB of device memory"


def test_the_card_and_the_processors_are_both_told():
    quiet = on_gpu(1 << 30, event_reasons=("HwSlowdown",), sm_clock_mhz=300)
    text = judge(replace(quiet, cpu_own_s=1.0, cpu_busy_s=3.0))
    assert text == (
        "other processes took 100% of a processor; the GPU slowed itself down (HwSlowdown); "
        "the GPU ran at 300 MHz, 15% of its highest clock; others took 1.00 GiB of device memory"
    )
