"""The timing pass: whole steps back to back as in training, then phases in separate steps."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import median
from typing import TYPE_CHECKING, Any, Final

from rnnprof.stats.statistics import StopRule, WarmUpRule
from rnnprof.worker.passes.clock import ClockError
from rnnprof.worker.phases import PhaseTimer
from rnnprof.worker.workload.loss import finite_loss, loss_warnings
from rnnprof.worker.workload.workloads import build

if TYPE_CHECKING:
    from rnnprof.worker.backends.base import TimedBlock
    from rnnprof.worker.session import Session

PHASE_SHARE: Final = 0.2
"""Share of the time budget for the steps that time the phases."""

MAX_PHASE_STEPS: Final = 5


def timing_pass(session: Session) -> dict[str, Any]:
    """Time steps until their median has the requested precision or the time is used."""
    task, findings, device = session.task, session.findings, session.device
    device.ready(task.guard_bytes)
    session.tracker.enter("build")
    training = build(task, task.point.batch, task.point.time_steps)
    findings["sequences_per_step"] = training.sequences_per_step
    session.tracker.enter("other")

    def step() -> Any:
        return training.step(session.tracker)

    rule = StopRule(task.precision_ratio, task.point_seconds)
    findings["warmup_samples_s"] = _warm_up(session, step)
    meter = device.meter()
    sampled = sample(lambda count: device.run_block(step, count), rule)
    findings |= {
        "conditions": meter.read(),
        "samples_s": sampled.samples_s,
        "converged": rule.converged(sampled.samples_s),
        "host_enqueue_s": median(sampled.enqueue_s) if sampled.enqueue_s else None,
        "block_wait_s": median(sampled.waits_s) if sampled.waits_s else None,
        "loss": finite_loss(sampled.last),
        "warnings": loss_warnings(sampled.last),
    }
    _time_phases(session, training.step)
    return findings


MOST_LOST: Final = 50
"""Steps over which the clock may stand still or go back, as when a virtual machine is moved."""


@dataclass(slots=True)
class Sampled:
    """The samples of all blocks of steps.

    Attributes:
        lost: steps over which the clock did not go forward.
    """

    samples_s: list[float] = field(default_factory=list)
    enqueue_s: list[float] = field(default_factory=list)
    waits_s: list[float] = field(default_factory=list)
    last: Any = None
    lost: int = 0

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
        self.enqueue_s += block.enqueue_s
        self.waits_s += [] if block.wait_s is None else [block.wait_s]
        self.last = block.last


def sample(run_block: Callable[[int], TimedBlock], rule: StopRule) -> Sampled:
    """Durations of whole steps, boundary to boundary; the rule is checked between blocks."""
    sampled = Sampled()
    elapsed_s = 0.0
    while not rule.is_over(sampled.samples_s, elapsed_s):
        block = run_block(rule.next_block(sampled.samples_s, elapsed_s))
        sampled.add(block)
        elapsed_s += sum(sample_s for sample_s in block.samples_s if sample_s > 0)
    return sampled


def _warm_up(session: Session, step: Callable[[], Any]) -> list[float]:
    rule = WarmUpRule(session.task.point_seconds / 2)
    samples: list[float] = []
    while not rule.is_over(samples):
        began_s = time.perf_counter()
        step()
        session.device.synchronize()
        samples.append(max(0.0, time.perf_counter() - began_s))
        session.tracker.announcing = False
    return samples


def _time_phases(session: Session, step: Callable[[Any], Any]) -> None:
    """Time the phases in extra steps, kept separate from the samples.

    Each mark waits for the device.  The difference between these steps and the samples is the cost
    of waiting; both are kept.
    """

    def clock() -> float:
        session.device.synchronize()
        return time.perf_counter()

    whole: list[float] = []
    phases: dict[str, list[float]] = {}
    began_s = time.perf_counter()
    budget_s = PHASE_SHARE * session.task.point_seconds
    while not whole or (len(whole) < MAX_PHASE_STEPS and time.perf_counter() - began_s < budget_s):
        timer = PhaseTimer(session.tracker, clock)
        step_began_s = clock()
        step(timer)
        whole.append(max(0.0, clock() - step_began_s))
        timer.seconds["other"] = max(0.0, whole[-1] - sum(timer.seconds.values()))
        for name, seconds in timer.seconds.items():
            phases.setdefault(name, []).append(seconds)
    session.findings |= {"phase_samples_s": phases, "phase_step_samples_s": whole}
