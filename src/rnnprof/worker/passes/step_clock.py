"""Timing by the ends of training steps: warm-up, blocks of steps, then steps that time phases.

The timing pass of a factory calls each step itself; a script is only known to have ended one.
Both use the same rules and the same parts; :class:`StepClock` puts them in order for a script.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from statistics import median
from typing import TYPE_CHECKING, Any, Final, Protocol

from rnnprof.stats.statistics import StopRule, WarmUpRule
from rnnprof.worker.passes.clock import ClockError
from rnnprof.worker.passes.flat_phases import phase_names

if TYPE_CHECKING:
    from rnnprof.worker.backends.base import BlockRecorder, Meter, TimedBlock

PHASE_SHARE: Final = 0.2
"""Share of the time budget for the steps that time the phases."""

MAX_PHASE_STEPS: Final = 5

MOST_LOST: Final = 50
"""Steps over which the clock may stand still or go back, as when a virtual machine is moved."""

Clock = Callable[[], float]


class TimedDevice(Protocol):
    """What timing needs of a device."""

    def synchronize(self) -> None: ...
    def meter(self) -> Meter: ...
    def begin_block(self, count: int) -> BlockRecorder: ...


def synchronised(device: TimedDevice, clock: Clock = time.perf_counter) -> Clock:
    """A clock that first waits for the device."""

    def read() -> float:
        device.synchronize()
        return clock()

    return read


@dataclass(slots=True)
class WarmUp:
    """Steps before the timed ones, each waited for; *clock* waits for the device."""

    rule: WarmUpRule
    clock: Clock
    samples_s: list[float] = field(default_factory=list)
    _began_s: float = 0.0

    def begin(self) -> None:
        """The first step begins."""
        self._began_s = self.clock()

    def stepped(self) -> bool:
        """A step has ended; return whether the warm-up is over."""
        ended_s = self.clock()
        self.samples_s.append(max(0.0, ended_s - self._began_s))
        self._began_s = ended_s
        return self.rule.is_over(self.samples_s)


@dataclass(slots=True)
class Sampled:
    """The samples of all blocks of steps; the rule is checked between blocks.

    Attributes:
        elapsed_s: the time of all steps.
        lost: steps over which the clock did not go forward.
    """

    rule: StopRule
    samples_s: list[float] = field(default_factory=list)
    enqueue_s: list[float] = field(default_factory=list)
    waits_s: list[float] = field(default_factory=list)
    last: Any = None
    elapsed_s: float = 0.0
    lost: int = 0

    def next_block(self) -> int:
        """Steps of the next block; 0 if sampling is over."""
        if self.rule.is_over(self.samples_s, self.elapsed_s):
            return 0
        return self.rule.next_block(self.samples_s, self.elapsed_s)

    def add(self, block: TimedBlock) -> None:
        """Append one block.

        Raises:
            ClockError: most steps take no time by the clock.
        """
        good = [sample_s for sample_s in block.samples_s if sample_s > 0]
        self.lost += len(block.samples_s) - len(good)
        if self.lost > max(MOST_LOST, len(self.samples_s)):
            raise ClockError
        self.samples_s += good
        self.elapsed_s += sum(good)
        self.enqueue_s += block.enqueue_s
        self.waits_s += [] if block.wait_s is None else [block.wait_s]
        self.last = block.last

    def findings(self) -> dict[str, Any]:
        """Fields of a timing."""
        return {
            "samples_s": self.samples_s,
            "converged": self.rule.converged(self.samples_s),
            "host_enqueue_s": median(self.enqueue_s) if self.enqueue_s else None,
            "block_wait_s": median(self.waits_s) if self.waits_s else None,
        }


@dataclass(slots=True)
class PhaseSteps:
    """Extra steps that time the phases, kept separate from the samples.

    Each mark waits for the device.  The difference between these steps and the samples is the cost
    of waiting; both are kept.
    """

    budget_s: float
    clock: Clock
    whole_s: list[float] = field(default_factory=list)
    phases_s: dict[str, list[float]] = field(default_factory=dict)
    _began_s: float = 0.0

    def begin(self) -> None:
        """The first of them begins."""
        self._began_s = self.clock()

    def add(self, whole_s: float, seconds: Mapping[str, float]) -> bool:
        """Append one step and the time of its phases; return whether there are enough."""
        self.whole_s.append(max(0.0, whole_s))
        other_s = max(0.0, self.whole_s[-1] - sum(seconds.values()))
        for name, phase_s in {**seconds, "other": other_s}.items():
            self.phases_s.setdefault(name, []).append(phase_s)
        is_spent = self.clock() - self._began_s >= self.budget_s
        return is_spent or len(self.whole_s) >= MAX_PHASE_STEPS

    def findings(self) -> dict[str, Any]:
        """Fields of a timing."""
        return {"phase_samples_s": self.phases_s, "phase_step_samples_s": self.whole_s}


@dataclass(slots=True)
class FlatTimer:
    """The time of phases that follow one another without a gap, over one step."""

    clock: Clock
    _entered: list[str] = field(default_factory=list)
    _at_s: list[float] = field(default_factory=list)

    def enter(self, name: str) -> None:
        """A phase begins, and the one before it ends."""
        self._at_s.append(self.clock())
        self._entered.append(name)

    def end(self) -> tuple[float, dict[str, float]]:
        """The step has ended: its duration, and that of each phase but "other"."""
        bounds = [*self._at_s, self.clock()]
        seconds: dict[str, float] = {}
        for name, (start_s, end_s) in zip(
            phase_names(self._entered), itertools.pairwise(bounds), strict=True
        ):
            if name != "other":
                seconds[name] = seconds.get(name, 0.0) + max(0.0, end_s - start_s)
        return bounds[-1] - bounds[0], seconds


class StepClock:
    """The whole timing of a script, fed with the end of each training step.

    Args:
        hooks_on: puts back the hooks that report phases; none is in place before.
        clock: the host's, in seconds.
    """

    def __init__(
        self,
        device: TimedDevice,
        rule: StopRule,
        hooks_on: Callable[[], None],
        clock: Clock = time.perf_counter,
    ) -> None:
        self._device, self._hooks_on = device, hooks_on
        self._clock = synchronised(device, clock)
        self._warm_up = WarmUp(WarmUpRule(rule.budget_s / 2), self._clock)
        self._sampled = Sampled(rule)
        self._phase_steps = PhaseSteps(PHASE_SHARE * rule.budget_s, self._clock)
        self._stepped: Callable[[], bool] = self._warmed
        self._meter: Meter | None = None
        self._conditions: Any = None
        self._block: BlockRecorder | None = None
        self._left = 0
        self._timer: FlatTimer | None = None

    def begin(self) -> None:
        """The first step begins."""
        self._warm_up.begin()

    def phase(self, name: str) -> None:
        """A phase begins; only the steps that time phases look at it."""
        if self._timer is not None:
            self._timer.enter(name)

    def stepped(self) -> bool:
        """A step has ended; return whether the timing is complete."""
        return self._stepped()

    def _warmed(self) -> bool:
        if self._warm_up.stepped():
            self._meter = self._device.meter()
            self._stepped = self._sample
            self._next_block()
        return False

    def _sample(self) -> bool:
        assert self._block is not None
        self._block.mark()
        self._left -= 1
        if self._left == 0:
            self._sampled.add(self._block.end(None))
            self._next_block()
        return False

    def _next_block(self) -> None:
        self._left = self._sampled.next_block()
        if self._left:
            self._block = self._device.begin_block(self._left)
        else:
            self._block = None
            self._read_conditions()
            self._stepped = self._time_phases
            self._hooks_on()
            self._phase_steps.begin()
            self._begin_timer()

    def _time_phases(self) -> bool:
        assert self._timer is not None
        if self._phase_steps.add(*self._timer.end()):
            self._timer = None
            return True
        self._begin_timer()
        return False

    def _begin_timer(self) -> None:
        """What comes first in a step is its data."""
        self._timer = FlatTimer(self._clock)
        self._timer.enter("data")

    def _read_conditions(self) -> None:
        assert self._meter is not None
        self._conditions = self._meter.read()

    def is_answer(self) -> bool:
        """Whether the steps so far are an answer although the script has ended: enough are timed.

        The steps of an unfinished block count; how long its end was waited for is not known.
        """
        if self._block is not None:
            self._sampled.add(replace(self._block.end(None), wait_s=None))
            self._block = None
            self._read_conditions()
        return len(self._sampled.samples_s) >= self._sampled.rule.floor_samples

    def findings(self) -> dict[str, Any]:
        """Fields of a timing."""
        return {
            "warmup_samples_s": self._warm_up.samples_s,
            "conditions": self._conditions,
            **self._sampled.findings(),
            **self._phase_steps.findings(),
        }
