"""The first passes of a run: facts of torch, the factory and the GPU's free memory."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

import torch

from rnnprof.worker.workload.factories import check_has_source
from rnnprof.worker.workload.layers import UnsupportedError
from rnnprof.worker.workload.precision import set_flags
from rnnprof.worker.workload.sources import user_sources
from rnnprof.worker.workload.warm_up import warm_up
from rnnprof.worker.workload.workloads import checked_args, seeded_factory

if TYPE_CHECKING:
    from rnnprof.worker.session import Session


def describe_pass(session: Session) -> dict[str, Any]:
    """Facts that identify the run, and the user's files that importing the factory loads."""
    session.tracker.enter("factory")
    with suppress(UnsupportedError):  # each point then reports why
        set_flags(session.task.workload)
    path = session.task.factory_path
    factory = seeded_factory(session.task)
    if factory is not None:
        check_has_source(factory)
        checked_args(session.task, factory)
    facts = {**torch_facts(), **session.device.facts()}
    return {"facts": facts, "sources": user_sources(path)}


def survey_pass(session: Session) -> dict[str, Any]:
    """On a GPU: what the context takes after the workload has run, and what is then free."""
    session.tracker.enter("baseline")
    session.device.ready(session.task.guard_bytes)
    try:
        note = warm_up(session.task)
    except UnsupportedError as error:  # each point then reports it
        note = str(error)
    return {**session.device.survey(), "warm_up_note": note}


def torch_facts() -> dict[str, Any]:
    """The settings of torch that decide how a step runs, on any device."""
    return {
        "torch": str(torch.__version__),
        "float32_matmul_precision": torch.get_float32_matmul_precision(),
        "cudnn_allow_tf32": bool(torch.backends.cudnn.allow_tf32),
        "deterministic_algorithms": torch.are_deterministic_algorithms_enabled(),
    }
