"""What the passes of a script have in common: start, errors, and how it ended too early."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any, Final

import torch

from rnnprof.assignments import split_assignments
from rnnprof.outcomes import Evidence, classify
from rnnprof.runfile.points import Outcome
from rnnprof.units import format_bytes
from rnnprof.worker.passes.describe import torch_facts
from rnnprof.worker.workload.location import text_of, type_of
from rnnprof.worker.workload.scripts.harness import (
    CHILD_SECONDS,
    BadScriptError,
    Harness,
    ScriptEndedError,
    StepListener,
)
from rnnprof.worker.workload.sources import script_sources
from rnnprof.worker.workload.workloads import seed_all
from rnnprof.workload import ScriptPlace

if TYPE_CHECKING:
    from rnnprof import protocol
    from rnnprof.worker.session import Session

NO_GPU_SEEN = (
    "the script trains on the CPU, and this run is for the GPU: give the script its own option for "
    "the GPU, or measure it on the CPU (--device cpu, without --simulate)"
)


def harness_of(session: Session, listener: StepListener) -> Harness:
    """The harness of a task's script, with all random numbers seeded as in other passes."""
    task = session.task
    seed_all(task.seed)
    if task.device == "cpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = ""  # else the script would take a GPU that is there
    return Harness(placed(task), session.answer, session.refuse, listener)


def placed(task: protocol.Task) -> ScriptPlace:
    """The script with the sizes of the task's point."""
    assert task.script is not None
    return task.script.at(task.point.batch, task.point.time_steps)


def is_out_of_memory(error: BaseException, session: Session) -> bool:
    """Whether an error that the script met says that memory ran out, so that it need not go on."""
    if isinstance(error, MemoryError):
        return True
    if not isinstance(error, (RuntimeError, OSError)):
        return False
    limit = session.limit
    evidence = Evidence(
        error_type=type_of(error),
        message=text_of(error),
        charged_bytes=limit.charged_bytes() if limit else None,
        limit_bytes=limit.limit_bytes if limit else None,
    )
    return classify(evidence).outcome is Outcome.OOM


def problem_of_first_step(session: Session) -> BadScriptError | None:
    """After the first training step: what is wrong with where and with what it trained."""
    assert session.task.script is not None
    for module in split_assignments(session.task.script.assignments):
        if module and module not in sys.modules:
            return BadScriptError(
                f"--set {module}.NAME has no effect: the script has not imported {module} by the "
                "end of its first training step"
            )
    if session.task.device == "cpu" or _has_used_gpu():
        return None
    return BadScriptError(NO_GPU_SEEN)


def _has_used_gpu() -> bool:
    cuda = torch.cuda
    is_initialized: bool = cuda.is_initialized()  # type: ignore[no-untyped-call]
    return is_initialized and cuda.max_memory_allocated() > 0


def identity_of(session: Session) -> dict[str, Any]:
    """What identifies the run by now: torch's facts as the script set them, and its files."""
    script = session.task.script
    assert script is not None
    return {
        "facts": {**torch_facts(), **session.device.facts()},
        "sources": script_sources(script),
    }


NEARLY_ALL: Final = 0.9
"""Share of the limit from which on a script that ends early may have caught an error."""


def end_of_script(
    error: ScriptEndedError, task: protocol.Task, peak_bytes: int | None = None
) -> str:
    """How the script ended too early, and what may be the cause.

    Args:
        peak_bytes: what was charged at the end of its last training step.
    """
    at, count = f"at B={task.point.batch}", error.train_steps
    if count:
        steps = f"{count} training step{'s' if count > 1 else ''}"
        said = f"the script ended after {steps} {at}: its data may be too small"
        if peak_bytes and task.limit_bytes and peak_bytes > NEARLY_ALL * task.limit_bytes:
            used = f"{format_bytes(peak_bytes)} of {format_bytes(task.limit_bytes)}"
            return f"{said}, or it catches an error for want of memory and goes on ({used} in use)"
        fewer = f"; --confirm-steps {count} asks for no more" if task.do == "fit" else ""
        return said + fewer
    said = f"the script ended without a training step {at}: no optimizer stepped, no weight changed"
    if error.children_s >= CHILD_SECONDS:
        said += (
            f". Its child processes ran for {error.children_s:.1f} s: only the training of the "
            "script's own process is measured"
        )
    return said
