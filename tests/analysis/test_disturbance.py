"""Raw conditions to a judgement."""

from __future__ import annotations

import pytest

from rnnprof.analysis.disturbance import judge
from rnnprof.records import Conditions


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
