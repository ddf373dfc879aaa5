"""The fit pass: full training steps under the limit, nothing else switched on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from rnnprof.machine.process import ConditionsMeter, memory_bytes, reset_peak_rss
from rnnprof.worker import cpu
from rnnprof.worker.factories import BadFactoryError
from rnnprof.worker.loss import finite_loss, loss_warnings
from rnnprof.worker.optimizer_steps import OptimizerSteps
from rnnprof.worker.workloads import build

if TYPE_CHECKING:
    from rnnprof import protocol
    from rnnprof.worker.passes import Session

WARM_UP_SIZE: Final = 2
"""Sequences and time steps of the steps before the baseline: 1 breaks batch normalisation."""

WARM_UP_STEPS: Final = 2
"""The second is the first that finds the optimizer's state in place."""


def fit_pass(session: Session) -> dict[str, Any]:
    """Run ``confirm_steps`` training steps, or until the optimizer stepped, under the limit."""
    task, findings = session.task, session.findings
    session.tracker.enter("baseline")
    cpu.guard(task.guard_bytes)
    cpu.steady_heap()
    cpu.start_threads()
    findings["baseline_note"] = _warm_up(task)
    cpu.trim()
    assert task.limit_bytes is not None
    findings["peak_process_reason"] = reset_peak_rss()
    session.limit = cpu.set_limit(task.limit_bytes)
    findings["baseline_bytes"] = session.limit.baseline_bytes
    findings["context_bytes"] = memory_bytes("VmRSS")
    meter = ConditionsMeter.start()
    _train(session)
    findings["conditions"] = meter.read()
    peak, reason = session.limit.peak_counted_bytes()
    findings |= {"peak_counted_bytes": peak, "peak_counted_reason": reason}
    if findings["peak_process_reason"] is None:
        findings["peak_process_bytes"] = memory_bytes("VmHWM")
    return findings


def check_pass(session: Session) -> dict[str, Any]:
    """Build a factory and run one step, to tell a broken one before anything is measured."""
    task = session.task
    cpu.guard(task.guard_bytes)
    session.tracker.enter("build")
    training = build(task, task.batch, task.steps)
    session.tracker.enter("other")
    loss = training.step(session.tracker)
    return {"warnings": loss_warnings(loss)}


def _train(session: Session) -> None:
    task, findings = session.task, session.findings
    session.tracker.enter("build")
    training = build(task, task.batch, task.steps)
    session.tracker.enter("other")
    loss = None
    counter = OptimizerSteps(training.optimizer)
    for done in counter.until_enough(task.confirm_steps):
        loss = training.step(session.tracker)
        session.tracker.announcing = False
        findings["steps_run"] = done + 1
    findings["loss"] = finite_loss(loss)
    findings["warnings"] = loss_warnings(loss) + counter.warnings()


def _warm_up(task: protocol.Task) -> str | None:
    """Two tiny steps of the same workload, then forgotten; a note where it cannot do them."""
    try:
        training = build(task, WARM_UP_SIZE, WARM_UP_SIZE)
        for _ in range(WARM_UP_STEPS):
            training.step(_no_phase)
    except BadFactoryError:
        raise
    except Exception as error:  # a shape that the user's code cannot do
        return f"no warm-up: at B=T={WARM_UP_SIZE} it raised {type(error).__name__}: {error}"[:300]
    return None


class _NoPhase:
    """A phase mark that nobody listens to."""

    def __call__(self, _name: str) -> _NoPhase:
        return self

    def __enter__(self) -> None:
        return None

    def __exit__(self, *_: object) -> None:
        return None


_no_phase = _NoPhase()
