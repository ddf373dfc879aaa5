"""The first answer of a run: what torch and the factory are here."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

import torch

from rnnprof.worker.factories import load_factory, source_of
from rnnprof.worker.layers import UnsupportedError
from rnnprof.worker.precision import set_flags

if TYPE_CHECKING:
    from rnnprof.worker.passes import Session


def hello_pass(session: Session) -> dict[str, Any]:
    """Facts for the run's identity, and the factory's source."""
    session.tracker.enter("factory")
    with suppress(UnsupportedError):  # each point then tells why
        set_flags(session.task.workload)
    path = session.task.factory_path
    sha256 = source_of(load_factory(path)) if path else None
    return {"facts": torch_facts(), "factory_sha256": sha256}


def torch_facts() -> dict[str, Any]:
    """What of torch decides how a step runs on the CPU; no device is touched."""
    return {
        "device": "cpu",
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "interop_threads": torch.get_num_interop_threads(),
        "onednn": _has_onednn(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "float32_matmul_precision": torch.get_float32_matmul_precision(),
        "cudnn_allow_tf32": bool(torch.backends.cudnn.allow_tf32),
        "deterministic_algorithms": torch.are_deterministic_algorithms_enabled(),
    }


def _has_onednn() -> bool:
    mkldnn = torch.backends.mkldnn
    return bool(mkldnn.is_available() and mkldnn.enabled)  # type: ignore[no-untyped-call]
