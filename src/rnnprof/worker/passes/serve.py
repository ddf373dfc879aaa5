"""A worker's one task: choose the pass, run it, send the answer."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, NoReturn

from rnnprof import protocol
from rnnprof.device.process import has_children
from rnnprof.outcomes import DATA_ENDED_TYPE, Evidence, classify
from rnnprof.runfile.points import Outcome
from rnnprof.worker.backends.base import Device, MachineShortError
from rnnprof.worker.channel import Channel
from rnnprof.worker.passes.describe import describe_pass, survey_pass
from rnnprof.worker.passes.fit import check_pass, fit_pass
from rnnprof.worker.passes.gradients import gradient_pass, training_pass
from rnnprof.worker.passes.memory import memory_pass
from rnnprof.worker.passes.rates import rates_pass
from rnnprof.worker.passes.rest import Rest
from rnnprof.worker.passes.script_fit import script_fit_pass
from rnnprof.worker.passes.script_memory import script_memory_pass
from rnnprof.worker.passes.script_steps import end_of_script, identity_of
from rnnprof.worker.passes.script_timing import script_timing_pass
from rnnprof.worker.passes.timing import timing_pass
from rnnprof.worker.phases import PhaseTracker
from rnnprof.worker.session import Session, open_device
from rnnprof.worker.workload.factories import BadFactoryError
from rnnprof.worker.workload.hints import hint_for, hint_for_script
from rnnprof.worker.workload.location import located, text_of, type_of
from rnnprof.worker.workload.scripts.harness import ScriptEndedError

COUNTED_PASSES: Final = frozenset({"check", "fit", "memory"})
"""Passes that count their training steps, or run only one."""

Pass = Callable[[Session], dict[str, Any]]

PASSES: Final[dict[str, Pass]] = {
    "describe": describe_pass,
    "survey": survey_pass,
    "check": check_pass,
    "rates": rates_pass,
    "fit": fit_pass,
    "memory": memory_pass,
    "timing": timing_pass,
    "gradient": gradient_pass,
    "training": training_pass,
}

SCRIPT_PASSES: Final[dict[str, Pass]] = {
    "describe": describe_pass,
    "survey": survey_pass,
    "rates": rates_pass,
    "fit": script_fit_pass,
    "memory": script_memory_pass,
    "timing": script_timing_pass,
}
"""The passes of a user's script; those that run it answer from inside."""


def serve(channel: Channel) -> None:
    """Receive one task, run it, and answer; a shared worker then waits for the next one.

    After an error other than out of memory, its device may not be what it was: it ends.
    """
    task = channel.receive()
    if task is None:
        return
    device = open_device(task)
    rest: Rest | None = None
    while task is not None:
        answer, rest = _serve_one(task, device, channel, rest)
        if rest is None or not _may_go_on(task, answer) or has_children():
            return  # what it has left running ends with it, before the next task
        channel.send(rest.now(device))
        task = channel.receive()


def _may_go_on(task: protocol.Task, answer: protocol.Done | protocol.Raised) -> bool:
    """Whether a task passed, or ran out of memory under the limit, where nothing else records."""
    if isinstance(answer, protocol.Done):
        return True
    evidence = Evidence(error_type=answer.error_type, message=answer.message)
    return task.do == "fit" and classify(evidence).outcome is Outcome.OOM


def _serve_one(
    task: protocol.Task, device: Device, channel: Channel, rest: Rest | None
) -> tuple[protocol.Done | protocol.Raised, Rest | None]:
    """Run a task and answer; afterwards nothing here refers to what it has allocated.

    Returns:
        The answer, and what a shared worker holds at rest.
    """
    tracker = PhaseTracker(
        lambda phase: channel.send(protocol.PhaseEntered(phase)), device.synchronize
    )
    session = Session(task, device, tracker)
    session.answer = lambda findings: _end(protocol.Done(findings), session, channel)
    session.refuse = lambda error: _end(_describe(error, session), session, channel)
    passes = SCRIPT_PASSES if task.script is not None else PASSES
    answer: protocol.Done | protocol.Raised
    try:
        if task.is_shared and rest is None:
            rest = Rest.after_warm_up(task, device)
        answer = protocol.Done(passes[task.do](session))
    except BaseException as error:  # includes a user's sys.exit(): the parent classifies it
        answer = _describe(error, session)
    # after the except block the exception is freed, and with it the tensors in its frames
    session.device.lift_limit()
    channel.send(answer)
    return answer, rest


def _end(answer: protocol.Done | protocol.Raised, session: Session, channel: Channel) -> NoReturn:
    """Answer from inside a script, and end the process where it is.

    Its template then kills what the script has started.
    """
    session.device.lift_limit()
    code = 1
    try:
        channel.send(answer)
        code = 0
    except OSError as error:  # it must not reach the script, which may catch it and go on
        with suppress(OSError):
            os.write(2, "\n".join(getattr(error, "__notes__", ())).encode())
    for stream in (sys.stdout, sys.stderr):
        with suppress(Exception):
            stream.flush()
    os._exit(code)


def _describe(error: BaseException, session: Session) -> protocol.Raised:
    limit = session.limit
    counted = limit.charged_bytes() if limit else None
    if limit is not None:
        session.device.lift_limit()
    if session.task.script is not None:
        with suppress(Exception):  # the script may have replaced what this needs
            session.findings |= identity_of(session)
    error = _judged(error, session)
    has_ended = isinstance(error, ScriptEndedError) or _is_end_of_data(error)
    said = _end_of_data(error, session) if has_ended else text_of(error)
    return protocol.Raised(
        error_type=DATA_ENDED_TYPE if has_ended else type_of(error),
        message=located(said, error),
        phase=session.tracker.current,
        charged_bytes=counted,
        limit_bytes=limit.limit_bytes if limit else None,
        bad_factory=isinstance(error, BadFactoryError),
        findings={**session.findings, **_hint(error, session)},
    )


def _hint(error: BaseException, session: Session) -> dict[str, str]:
    task = session.task
    if task.script is not None:
        hint = hint_for_script(error, task.script, task.device)
    else:
        hint = hint_for(error, task.factory_path, task.device)
    return {"hint": hint} if hint else {}


def _judged(error: BaseException, session: Session) -> BaseException:
    """The same error, or MachineShortError if the machine had less free than the limit."""
    limit = session.limit
    if limit is None or limit.free_bytes is None:
        return error
    evidence = Evidence(error_type=type_of(error), message=text_of(error))
    if classify(evidence).outcome is not Outcome.OOM:
        return error
    return MachineShortError.of(session.task.point.batch, limit.free_bytes, limit.limit_bytes)


def _is_end_of_data(error: BaseException) -> bool:
    """Whether an iterator was exhausted, in the user's code or in one of its generators."""
    ended = error.__cause__ if isinstance(error, RuntimeError) else error
    return isinstance(ended, StopIteration)


def _end_of_data(error: BaseException, session: Session) -> str:
    """Say after how many training steps the data ended; timed steps are not counted."""
    if isinstance(error, ScriptEndedError):
        peaks = session.findings.get("step_peak_bytes") or [None]
        return end_of_script(error, session.task, peaks[-1])
    at = f"at B={session.task.point.batch}"
    if session.tracker.current == "build":
        return f"the data ended before the first training step {at}"
    if session.task.do not in COUNTED_PASSES:
        return f"the data ended in a {session.task.do} pass {at}"
    count = session.findings.get("train_steps_run", 0)
    if count == 0:
        return f"the data ended within the first training step {at}"
    return f"the data ended after {count} training step{'s' if count > 1 else ''} {at}"
