"""The identity of a run, where it runs, and its memory limit there."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from typing import Any, Final

from rnnprof.device.environment import machine_facts
from rnnprof.device.process import available_bytes, check_memory_known
from rnnprof.engine.order import Order
from rnnprof.engine.reasons import LimitKept
from rnnprof.errors import BadInputError
from rnnprof.runfile.codec import encode
from rnnprof.runfile.records import SCHEMA, Header, Host, Settings
from rnnprof.units import MIB, format_bytes
from rnnprof.version import VERSION

RESERVE_RATIO: Final = 0.05
MIN_RESERVE_BYTES: Final = 512 * MIB
"""Always left to the system: with less, Linux drops the page cache and begins to kill processes."""

SAME_RATIO: Final = 0.01
"""Free memory varies by this share of a limit from one minute to the next."""


IDENTITY: Final = frozenset({
    "device", "device_name", "simulated", "architecture", "capability", "multiprocessors", "driver",
    "torch", "cuda", "cudnn", "cudnn_benchmark", "cudnn_allow_tf32", "float32_matmul_precision",
    "deterministic_algorithms", "allocator", "allocator_settings", "threads", "interop_threads",
    "onednn", "cpu_capability",
})  # fmt: skip
"""Facts that choose kernels, workspaces or arithmetic; all other facts describe the machine."""


def make_header(order: Order, facts: dict[str, Any], sources: dict[str, str]) -> Header:
    """The header of a run of *order*; *facts* and *sources* come from a worker."""
    everything = _facts(facts)
    header = Header(
        schema=SCHEMA,
        run_id="",
        workload=order.workload,
        environment={name: fact for name, fact in everything.items() if name in IDENTITY},
        limit_bytes=order.settings.memory_limit,
        gpu_memory_bytes=order.settings.gpu_memory_bytes,
        sources=dict(sorted(sources.items())),
    )
    text = json.dumps(encode(header), sort_keys=True).encode()
    return replace(header, run_id=hashlib.blake2b(text, digest_size=6).hexdigest())


def host_of(facts: dict[str, Any], limit_bytes: int) -> Host:
    """The host record of an invocation, still without the invocation's id."""
    own = {name: fact for name, fact in _facts(facts).items() if name not in IDENTITY}
    return Host("", limit_bytes, VERSION, own)


def _facts(facts: dict[str, Any]) -> dict[str, Any]:
    """The facts of the machine and of the worker."""
    machine = machine_facts()
    if facts.get("device") == "cuda":
        machine["processor_name"] = machine.pop("device_name")  # the device is the GPU
    return {**machine, **facts}


@dataclass(frozen=True, slots=True)
class GpuSurvey:
    """A GPU as a worker found it, after the workload had run and was freed.

    Attributes:
        free_bytes: what the caching allocator can reserve.
        total_bytes: size of the GPU's memory.
        context_bytes: size of a worker's CUDA context; None where *context_note* says why.
        warm_up_note: why the workload did not run before; None if it ran.
    """

    free_bytes: int
    total_bytes: int
    context_bytes: int | None = None
    context_note: str | None = None
    warm_up_note: str | None = None


def resolve_gpu_limit(settings: Settings, kept_bytes: int | None, survey: GpuSurvey) -> int:
    """The limit on a GPU: as requested, or that of ``--gpu-memory``, or the free memory.

    Args:
        kept_bytes: the limit that the run, or the other side of a comparison, already has; it is
            kept even if less memory is free now.

    Raises:
        BadInputError: this GPU does not have so much free memory.
    """
    limit = settings.memory_limit or kept_bytes or survey.free_bytes
    if settings.gpu_memory_bytes is not None:
        limit = _stand_in_limit(settings.gpu_memory_bytes, survey)
    if limit > survey.free_bytes and limit != kept_bytes:
        raise BadInputError(
            f"a limit of {format_bytes(limit)} is more than this GPU can give now: "
            f"{format_bytes(survey.free_bytes)} of {format_bytes(survey.total_bytes)} are free; "
            "give a smaller --memory-limit or --gpu-memory"
        )
    return limit


def _stand_in_limit(gpu_memory_bytes: int, survey: GpuSurvey) -> int:
    if survey.context_bytes is None:
        raise BadInputError(
            f"--gpu-memory: the size of the CUDA context is unknown ({survey.context_note}); give "
            "--memory-limit: the size of that GPU less its context"
        )
    if gpu_memory_bytes <= survey.context_bytes:
        raise BadInputError(
            f"--gpu-memory {format_bytes(gpu_memory_bytes)}: the context alone takes "
            f"{format_bytes(survey.context_bytes)}"
        )
    return gpu_memory_bytes - survey.context_bytes


def resolve_limit(asked_bytes: int | None, kept_bytes: int | None = None) -> int:
    """The limit on a CPU, in bytes: as requested, or as resolved before, or the free memory.

    Args:
        kept_bytes: as in :func:`resolve_gpu_limit`.

    Raises:
        BadInputError: the machine does not have so much free memory.
        NoDeviceError: no limit can be set here, since /proc is hidden.
    """
    check_memory_known()
    available = available_bytes()
    spare = _spare_bytes(available)
    limit = asked_bytes or kept_bytes or spare
    if limit > spare and limit != kept_bytes:
        raise BadInputError(
            f"a limit of {format_bytes(limit)} is more than this machine can give now: "
            f"{format_bytes(available)} are available, {format_bytes(max(0, spare))} of them for "
            "training; give a smaller --memory-limit"
        )
    return limit


def _spare_bytes(available: int) -> int:
    return available - max(MIN_RESERVE_BYTES, int(RESERVE_RATIO * available))


def shortage(limit_bytes: int, free_bytes: int | None = None) -> LimitKept | None:
    """A note that less memory is free than the limit that is kept; None where enough is free.

    Args:
        free_bytes: free memory of a GPU; by default that of this machine.
    """
    free = _spare_bytes(available_bytes()) if free_bytes is None else free_bytes
    if free >= limit_bytes * (1 - SAME_RATIO):
        return None
    return LimitKept(limit_bytes, max(0, free))


def guard_bytes() -> int:
    """Address space that a pass without a limit may use, so that the machine stays usable."""
    available = available_bytes()
    return max(
        MIN_RESERVE_BYTES, available - max(MIN_RESERVE_BYTES, int(RESERVE_RATIO * available))
    )
