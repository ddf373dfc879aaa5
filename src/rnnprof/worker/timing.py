"""The timing pass: whole steps back to back as in training, then phases in steps of their own."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from rnnprof.analysis.statistics import StopRule, WarmUpRule
from rnnprof.machine.process import ConditionsMeter
from rnnprof.worker import cpu
from rnnprof.worker.loss import finite_loss, loss_warnings
from rnnprof.worker.phases import PhaseTimer
from rnnprof.worker.workloads import build

if TYPE_CHECKING:
    from rnnprof.worker.passes import Session

PHASE_SHARE: Final = 0.2
"""Share of the time budget for steps that time the phases."""

MAX_PHASE_STEPS: Final = 5


def timing_pass(session: Session) -> dict[str, Any]:
    """Time steps until their median is known well enough or the budget is spent."""
    task, findings = session.task, session.findings
    cpu.guard(task.guard_bytes)
    session.tracker.enter("build")
    training = build(task, task.batch, task.steps)
    findings["sequences_per_step"] = training.sequences_per_step
    session.tracker.enter("other")

    def step() -> Any:
        return training.step(session.tracker)

    rule = StopRule(task.precision_ratio, task.point_seconds)
    findings["warmup_samples_s"] = _warm_up(session, step)
    meter = ConditionsMeter.start()
    samples, loss = sample(step, rule)
    findings |= {
        "conditions": meter.read(),
        "samples_s": samples,
        "converged": rule.converged(samples),
        "loss": finite_loss(loss),
        "warnings": loss_warnings(loss),
    }
    _time_phases(session, training.step)
    return findings


def sample(
    step: Callable[[], Any], rule: StopRule, clock: Callable[[], float] = time.perf_counter
) -> tuple[list[float], Any]:
    """Durations of whole steps, boundary to boundary, in blocks between looks at the rule."""
    samples: list[float] = []
    loss = None
    elapsed_s = 0.0
    while not rule.is_over(samples, elapsed_s):
        boundaries = [clock()]
        for _ in range(rule.next_block(samples, elapsed_s)):
            loss = step()
            boundaries.append(clock())
        samples += [end - start for start, end in itertools.pairwise(boundaries)]
        elapsed_s += boundaries[-1] - boundaries[0]
    return samples, loss


def _warm_up(session: Session, step: Callable[[], Any]) -> list[float]:
    rule = WarmUpRule(session.task.point_seconds / 2)
    samples: list[float] = []
    while not rule.is_over(samples):
        began_s = time.perf_counter()
        step()
        samples.append(time.perf_counter() - began_s)
        session.tracker.announcing = False
    return samples


def _time_phases(session: Session, step: Callable[[Any], Any]) -> None:
    """Steps with the phases timed, kept apart from the samples; on CPU nothing is synchronised."""
    whole: list[float] = []
    phases: dict[str, list[float]] = {}
    began_s = time.perf_counter()
    budget_s = PHASE_SHARE * session.task.point_seconds
    while not whole or (len(whole) < MAX_PHASE_STEPS and time.perf_counter() - began_s < budget_s):
        timer = PhaseTimer(session.tracker)
        step_began_s = time.perf_counter()
        step(timer)
        whole.append(time.perf_counter() - step_began_s)
        timer.seconds["other"] = max(0.0, whole[-1] - sum(timer.seconds.values()))
        for name, seconds in timer.seconds.items():
            phases.setdefault(name, []).append(seconds)
    session.findings |= {"phase_samples_s": phases, "phase_step_samples_s": whole}
