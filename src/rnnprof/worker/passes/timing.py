"""The timing pass: whole steps back to back as in training, then phases in separate steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from rnnprof.stats.statistics import StopRule, WarmUpRule
from rnnprof.worker.passes.step_clock import (
    PHASE_SHARE,
    PhaseSteps,
    Sampled,
    WarmUp,
    synchronised,
)
from rnnprof.worker.phases import PhaseTimer
from rnnprof.worker.workload.loss import finite_loss, loss_warnings
from rnnprof.worker.workload.workloads import build

if TYPE_CHECKING:
    from rnnprof.worker.backends.base import TimedBlock
    from rnnprof.worker.session import Session


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
        **sampled.findings(),
        "loss": finite_loss(sampled.last),
        "warnings": loss_warnings(sampled.last),
    }
    findings |= _time_phases(session, training.step)
    return findings


def sample(run_block: Callable[[int], TimedBlock], rule: StopRule) -> Sampled:
    """Durations of whole steps, boundary to boundary; the rule is checked between blocks."""
    sampled = Sampled(rule)
    while count := sampled.next_block():
        sampled.add(run_block(count))
    return sampled


def _warm_up(session: Session, step: Callable[[], Any]) -> list[float]:
    warm_up = WarmUp(WarmUpRule(session.task.point_seconds / 2), synchronised(session.device))
    warm_up.begin()
    is_over = False
    while not is_over:
        step()
        is_over = warm_up.stepped()
        session.tracker.announcing = False
    return warm_up.samples_s


def _time_phases(session: Session, step: Callable[[Any], Any]) -> dict[str, Any]:
    clock = synchronised(session.device)
    steps = PhaseSteps(PHASE_SHARE * session.task.point_seconds, clock)
    steps.begin()
    is_over = False
    while not is_over:
        timer = PhaseTimer(session.tracker, clock)
        began_s = clock()
        step(timer)
        is_over = steps.add(clock() - began_s, timer.seconds)
    return steps.findings()
