"""The timing of a script, fed by hand with a fake clock: which steps count, and when it ends."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from rnnprof.runfile.observations import Conditions
from rnnprof.stats.statistics import StopRule
from rnnprof.worker.backends.base import TimedBlock
from rnnprof.worker.backends.cpu import CpuBlock
from rnnprof.worker.passes.clock import ClockError
from rnnprof.worker.passes.step_clock import MAX_PHASE_STEPS, FlatTimer, StepClock

RULE = StopRule(precision_ratio=0.03, budget_s=10.0)
CONDITIONS = Conditions(wall_s=1.0, cpu_count=2)


@dataclass
class FakeDevice:
    """A device whose clock the test moves; it keeps what was done in which order."""

    now_s: float = 0.0
    done: list[str] = field(default_factory=list)
    blocks: list[int] = field(default_factory=list)

    def clock(self) -> float:
        return self.now_s

    def synchronize(self) -> None:
        self.done.append("synchronize")

    def meter(self) -> FakeDevice:
        self.done.append("meter")
        return self

    def read(self) -> Conditions:
        self.done.append("read")
        return CONDITIONS

    def begin_block(self, count: int) -> CpuBlock:
        self.done.append("block")
        self.blocks.append(count)
        return CpuBlock(count, self.clock)

    def hooks_on(self) -> None:
        self.done.append("hooks")


def clock_on(device: FakeDevice, rule: StopRule = RULE) -> StepClock:
    clock = StepClock(device, rule, device.hooks_on, device.clock)
    clock.begin()
    return clock


def steps(
    device: FakeDevice, clock: StepClock, durations: Callable[[int], float], most: int = 500
) -> int:
    """Feed steps until the clock is done; return how many."""
    for number in range(1, most + 1):
        for name, share in (("forward", 0.1), ("backward", 0.3), ("optimizer", 0.5)):
            device.now_s += durations(number) * share
            clock.phase(name)
        device.now_s += durations(number) * 0.1
        if clock.stepped():
            return number
    raise AssertionError(f"not done after {most} steps")


def test_steady_steps_converge_and_warm_up_and_phases_are_apart() -> None:
    device = FakeDevice()
    clock = clock_on(device)
    taken = steps(device, clock, lambda number: 0.4 if number == 1 else 0.1)
    found = clock.findings()
    assert found["warmup_samples_s"] == pytest.approx([0.4, 0.1, 0.1])
    assert found["samples_s"] == pytest.approx([0.1] * 10)
    assert device.blocks == [3, 7]
    assert found["converged"]
    assert found["conditions"] == CONDITIONS
    assert found["phase_step_samples_s"] == pytest.approx([0.1] * MAX_PHASE_STEPS)
    assert found["phase_samples_s"]["backward"] == pytest.approx([0.05] * MAX_PHASE_STEPS)
    assert found["phase_samples_s"]["data"] == pytest.approx([0.01] * MAX_PHASE_STEPS)
    assert found["phase_samples_s"]["other"] == pytest.approx([0.0] * MAX_PHASE_STEPS)
    assert taken == 3 + 10 + MAX_PHASE_STEPS


def test_nothing_is_waited_for_within_a_block_and_hooks_are_back_only_after_the_last() -> None:
    device = FakeDevice()
    steps(device, clock_on(device), lambda _: 0.1)
    first, last = device.done.index("block"), device.done.index("hooks")
    assert device.done[first:last] == ["block", "block", "read"]
    assert device.done[first - 1] == "meter"
    assert "hooks" not in device.done[last + 1 :]


def test_steps_that_vary_end_when_the_time_is_used() -> None:
    device = FakeDevice()
    clock = clock_on(device)
    steps(device, clock, lambda number: 0.1 if number % 2 else 0.3)
    found = clock.findings()
    assert not found["converged"]
    assert 10.0 <= sum(found["samples_s"]) < 12.0


@pytest.mark.parametrize(("timed", "is_answer"), [(2, False), (3, True), (5, True)])
def test_a_script_that_ends_early_has_an_answer_from_three_timed_steps_on(
    timed: int, is_answer: bool
) -> None:
    device = FakeDevice()
    clock = clock_on(device)
    for _ in range(3 + timed):
        device.now_s += 0.1
        assert not clock.stepped()
    device.now_s += 60.0  # the script saves its model
    assert clock.is_answer() is is_answer
    found = clock.findings()
    assert found["samples_s"] == pytest.approx([0.1] * timed)
    assert found["phase_samples_s"] == {}
    assert not found["converged"]


def test_a_script_that_ends_in_its_warm_up_has_none() -> None:
    device = FakeDevice()
    clock = clock_on(device)
    device.now_s += 0.1
    clock.stepped()
    assert not clock.is_answer()


def test_a_clock_that_stands_still_ends_the_pass() -> None:
    device = FakeDevice()
    with pytest.raises(ClockError):
        steps(device, clock_on(device), lambda _: 0.0)


def test_the_wait_for_an_unfinished_block_is_not_known() -> None:
    device = FakeDevice()

    class Block:
        count = 0

        def mark(self) -> None:
            self.count += 1

        def end(self, last: Any) -> TimedBlock:
            return TimedBlock([0.1] * self.count, [0.01] * self.count, 7.0, last)

    device.begin_block = lambda _: Block()  # type: ignore[assignment,return-value,method-assign]
    clock = clock_on(device)
    for _ in range(3 + 3 + 2):
        device.now_s += 0.1
        clock.stepped()
    assert clock.is_answer()
    found = clock.findings()
    assert found["block_wait_s"] == 7.0, "of the block that was complete"
    assert len(found["samples_s"]) == 5
    assert found["host_enqueue_s"] == 0.01


def test_a_loss_without_a_module_is_of_the_forward_phase() -> None:
    device = FakeDevice()
    timer = FlatTimer(device.clock)
    for name in ("data", "forward", "other", "backward", "other"):
        timer.enter(name)
        device.now_s += 1.0
    whole_s, seconds = timer.end()
    assert whole_s == 5.0
    assert seconds == {"data": 1.0, "forward": 2.0, "backward": 1.0}
