"""The fit pass: complete training steps under the limit, without a profiler."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from rnnprof.device.process import children_bytes, memory_bytes
from rnnprof.worker.backends.base import MachineShortError
from rnnprof.worker.workload.loss import finite_loss, loss_warnings
from rnnprof.worker.workload.optimizer_steps import OptimizerSteps
from rnnprof.worker.workload.rehearsal import rehearse
from rnnprof.worker.workload.seen import Sightings
from rnnprof.worker.workload.signatures import BadFactoryError, kind_of
from rnnprof.worker.workload.sources import user_sources
from rnnprof.worker.workload.warm_up import warm_up_beside
from rnnprof.worker.workload.workloads import build, seeded_factory

if TYPE_CHECKING:
    from rnnprof import protocol
    from rnnprof.worker.backends.base import Limit
    from rnnprof.worker.session import Session
    from rnnprof.worker.workload.factories import Factory

THRASHING_TIMES: Final = 3
"""Times as many training steps if the allocator empties its cache to continue: what fits then
depends on how the cache is split.  Measured: a batch failed at its 22nd step, one 8 below it at
its 3rd."""


def fit_pass(session: Session) -> dict[str, Any]:
    """Run ``confirm_steps`` training steps under the limit, more until the optimizer stepped."""
    task, findings, device = session.task, session.findings, session.device
    session.tracker.enter("baseline")
    if not task.is_shared:  # else before the worker's first task
        rehearse(task)
    device.ready_for_fit(task.guard_bytes)
    findings["baseline_note"] = warm_up_beside(task) if device.warms_up_to_fit else None
    factory = seeded_factory(task)
    assert task.limit_bytes is not None
    session.limit = device.set_limit(task.limit_bytes)
    findings |= session.limit.baseline()
    refuse_if_short(task, session.limit)
    meter = device.meter()
    _train(session, session.limit, factory)
    device.synchronize()
    findings |= session.limit.peaks()
    findings["conditions"] = meter.read()
    return findings


def refuse_if_short(task: protocol.Task, limit: Limit) -> None:
    """Refuse a pass that would only show that other processes hold the memory.

    Raises:
        MachineShortError: more bytes are predicted than are free.
    """
    predicted, free = task.predicted_bytes, limit.free_bytes
    if predicted is not None and free is not None and predicted > free:
        raise MachineShortError.foreseen(task.point.batch, predicted, limit)


def check_pass(session: Session) -> dict[str, Any]:
    """Build a factory and run one step, to detect a broken one before anything is measured."""
    task = session.task
    session.device.ready(task.guard_bytes)
    session.tracker.enter("build")
    training = build(task, task.point.batch, task.point.time_steps)
    session.tracker.enter("other")
    loss = training.step(session.tracker)
    _refuse_unrun(loss)
    session.device.synchronize()
    return {"warnings": loss_warnings(loss), "sources": user_sources(task.factory_path)}


def _refuse_unrun(returned: Any) -> None:
    """Refuse a step whose call has run nothing of it.

    Raises:
        BadFactoryError: it returned a coroutine or a generator.
    """
    if inspect.isawaitable(returned) or inspect.isgenerator(returned):
        raise BadFactoryError(
            f"the step returned {kind_of(returned)}, so no training ran: return the loss"
        )


def _train(session: Session, limit: Limit, factory: Factory | None) -> None:
    task, findings = session.task, session.findings
    session.tracker.enter("build")
    training = build(
        task, task.point.batch, task.point.time_steps, task.lengths, worst=True, factory=factory
    )
    session.tracker.enter("other")
    loss = None
    counter = OptimizerSteps(training.optimizer)
    asked = steps_of(task, session.device.least_fit_steps)
    findings |= {"train_steps": asked, "live_bytes": [], "step_peak_bytes": []}
    sightings = Sightings(findings, asked, is_on=not task.workload.compile)
    for done in _steps_to_run(counter, limit, asked):
        with sightings.step(done + 1):
            loss = training.step(session.tracker)
        _finish_step(session, done + 1, limit)
    findings["loss"] = finite_loss(loss)
    findings["warnings"] = loss_warnings(loss) + counter.warnings()


def _steps_to_run(counter: OptimizerSteps, limit: Limit, at_least: int) -> Iterator[int]:
    """Yield the steps' numbers; run more if the allocator thrashes: steps then differ."""
    done = 0
    for done in counter.until_enough(at_least):
        yield done
    if limit.has_thrashed():
        yield from range(done + 1, THRASHING_TIMES * at_least)


def steps_of(task: protocol.Task, at_least: int) -> int:
    """Training steps to run: complete rounds over the mixed lengths, of which T is the last."""
    lengths = len(task.lengths) + 1
    return -(-max(task.confirm_steps, at_least) // lengths) * lengths


def _finish_step(session: Session, number: int, limit: Limit) -> None:
    if session.tracker.announcing:
        session.device.synchronize()  # so that a device error names this step's phase
    session.tracker.announcing = False
    session.findings["train_steps_run"] = number
    look_beside(session.findings)
    live, peak = limit.stepped(number)
    for name, size in (("live_bytes", live), ("step_peak_bytes", peak)):
        if size is not None and len(session.findings[name]) == number - 1:  # none is missing
            session.findings[name].append(size)


def look_beside(findings: dict[str, Any]) -> None:
    """Keep the maximum of the memory that the limit does not count."""
    beside = {"children_bytes": children_bytes(), "shared_bytes": memory_bytes("RssShmem")}
    for name, size in beside.items():
        if size:
            findings[name] = max(size, findings.get(name) or 0)
