"""How an attempt ended: one pure rule from evidence to outcome.

Worker and engine pass in what they saw; nothing else decides.  Only an OOM moves the frontier, so
each pattern here is an error text that was seen, or that is in the source of the library named.
"""

from __future__ import annotations

import re
import signal as signals
from dataclasses import dataclass
from typing import Final

from rnnprof.plain_text import WIDTH, cut, printable
from rnnprof.runfile.observations import Observation
from rnnprof.runfile.points import Outcome
from rnnprof.units import format_bytes

OOM_PATTERNS: Final = (
    r"DefaultCPUAllocator: can't allocate memory",  # c10/core/impl/alloc_cpu.cpp
    r"std::bad_alloc",
    r"\[Errno 12\]",  # ENOMEM of a fork or a mapping, for example in a DataLoader's workers
    r"CUDA out of memory",  # c10/cuda/CUDACachingAllocator.cpp
    r"CUDA error: out of memory",  # cudaErrorMemoryAllocation, code 2
    r"CUBLAS_STATUS_ALLOC_FAILED",
    r"CUDNN_STATUS_ALLOC_FAILED",
    r"CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED",  # cuDNN 9
    r"CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED",
)
OOM_TYPES: Final = frozenset({"OutOfMemoryError", "MemoryError"})

UNSUPPORTED_PATTERNS: Final = (
    r"CUDNN_STATUS_NOT_SUPPORTED",  # from cuDNN RNNs for T > 65,535: pytorch#133751
    r"could not create a primitive descriptor",  # oneDNN, also while memory is free
    r"not implemented for '",  # ATen dispatch: "..." not implemented for 'Half'
    r"CUDA error: operation not supported",  # cudaErrorNotSupported, code 801
    r"no kernel image is available for execution",  # cudaErrorNoKernelImageForDevice, code 209
    r"CUFFT_NOT_SUPPORTED",
    r"Cannot find a working triton installation",  # torch._inductor, for torch.compile
)

CROWDED_OUT: Final = "MachineShortError"
"""What a worker raises when other processes use memory that the limit counts on."""

UNSUPPORTED_TYPE: Final = "UnsupportedError"
"""Raised by the built-in workloads for a combination that torch does not have."""

DATA_ENDED_TYPE: Final = "DataEndedError"
"""A worker's name for the end of the user's iterator; its message is a complete sentence."""

PRIMITIVE_FAILED: Final = r"could not (execute|create) a primitive(?! descriptor)"
"""oneDNN's only message when it cannot allocate scratch memory or memory for compiled code."""

SHORT_OF_MEMORY_RATIO: Final = 0.5
"""If a primitive fails with more than this share of the limit in use, memory is assumed to be the
cause: the scratch memory that it requested was more than was left."""

DEVICE_CRASH_PATTERNS: Final = (
    r"illegal memory access",
    r"unspecified launch failure",
    r"device-side assert",
    r"uncorrectable (NVLink|ECC) error",
    r"(misaligned address|illegal instruction|invalid program counter|hardware stack error)",
    r"the launch timed out and was terminated",
    r"CUDNN_STATUS_EXECUTION_FAILED",  # a failed kernel of cuDNN 9, with and without _CUDART
    r"CUDA error: unknown error",  # cudaErrorUnknown, code 999: for example a GPU off the bus
)
"""Texts of cudaGetErrorString for errors after which the context cannot be used.

Source: cudaError_t in the reference of the CUDA runtime API."""

SUSPECT_PATTERNS: Final = (
    r"CUBLAS_STATUS_NOT_INITIALIZED",
    r"CUDNN_STATUS_NOT_INITIALIZED",
)
"""A library cannot create its handle, either because the GPU is almost full or because the driver
is broken.  Half the batch in a fresh worker shows which."""

NO_THREAD: Final = r"can't start new thread"
"""Python's only message when the system refuses a thread: its stack takes memory too."""

PRINTED_LINES: Final = 5
"""Lines of a worker's output that a message shows."""

# printed by the C++ runtime just before abort(), by libgomp just before exit(1)
FATAL_OOM_LOG: Final = r"std::bad_alloc|libgomp: (Thread creation failed|Out of memory)"
FATAL_THREAD_LOG: Final = r"terminate called (without an active exception|.*'std::system_error')"
"""What abort() follows where C++ is refused a thread: half the batch shows whether memory is the
cause."""

_ASKED: Final = (
    (re.compile(r"tried to allocate (\d+) bytes"), 1),
    (re.compile(r"Tried to allocate ([\d.]+) KiB"), 1 << 10),
    (re.compile(r"Tried to allocate ([\d.]+) MiB"), 1 << 20),
    (re.compile(r"Tried to allocate ([\d.]+) GiB"), 1 << 30),
)


@dataclass(frozen=True, slots=True)
class Evidence:
    """What was seen of an attempt's end.

    Attributes:
        error_type, message: of the exception that the worker caught.
        signal, exit_code: of a worker that ended by itself.
        timed_out: the engine ended the worker at its deadline.
        nonsense: what was wrong with the worker's answer.
        cgroup_oom_kills: kills that the cgroup counted meanwhile; None where they are unknown.
        smaller_passed: after a suspect error, whether half the batch passed; else None.
        charged_bytes, limit_bytes: in use and allowed when the exception was raised.
        log_tail: the last lines that the worker printed.
        template_end: how the worker's template ended, and with it the worker.
    """

    phase: str | None = None
    error_type: str | None = None
    message: str | None = None
    signal: int | None = None
    exit_code: int | None = None
    timed_out: bool = False
    deadline_s: float | None = None
    nonsense: str | None = None
    cgroup_oom_kills: int | None = None
    smaller_passed: bool | None = None
    charged_bytes: int | None = None
    limit_bytes: int | None = None
    log_tail: str = ""
    template_end: str | None = None


@dataclass(frozen=True, slots=True)
class Classification:
    """An outcome and its reason in one sentence."""

    outcome: Outcome
    reason: str
    requested_bytes: int | None = None


def is_suspect(evidence: Evidence) -> bool:
    """Whether the cause is unclear, lack of memory or a broken library: half the batch decides."""
    message = evidence.message or ""
    suspect = (
        _matches((*SUSPECT_PATTERNS, NO_THREAD), message)
        or _is_unclear_primitive(evidence, message)
        or _is_without_thread(evidence)
    )
    return suspect and not evidence.timed_out


def _is_without_thread(evidence: Evidence) -> bool:
    """Whether C++ aborted as it does where it is refused a thread."""
    is_abort = evidence.signal == signals.SIGABRT and evidence.error_type is None
    return is_abort and re.search(FATAL_THREAD_LOG, evidence.log_tail) is not None


def classify(evidence: Evidence) -> Classification:
    """The outcome of an attempt, with its reason."""
    where = f"in {evidence.phase}" if evidence.phase else "before its first phase"
    if evidence.timed_out:
        return Classification(
            Outcome.TIMEOUT, f"no answer {where} within {evidence.deadline_s or 0:.0f} s"
        )
    if evidence.error_type is not None:
        return _classify_exception(evidence, where)
    return _classify_death(evidence, where)


def _classify_exception(evidence: Evidence, where: str) -> Classification:
    message = evidence.message or ""
    first_line = message.strip().splitlines()[0][:300] if message.strip() else "no message"
    if evidence.error_type == DATA_ENDED_TYPE:
        return Classification(Outcome.FAILED, first_line)
    if evidence.error_type == "SystemExit":
        return Classification(Outcome.FAILED, _exit_reason(first_line, where))
    said = f"{where}: {evidence.error_type}: {first_line}"
    if _is_oom(evidence, message):
        return Classification(Outcome.OOM, _oom_reason(evidence, where), requested_bytes(message))
    if is_suspect(evidence) and evidence.smaller_passed:
        return Classification(
            Outcome.OOM,
            f"{_oom_reason(evidence, where)}: a library could not start, but starts at "
            f"half the batch ({evidence.error_type}: {first_line})",
        )
    if _matches(SUSPECT_PATTERNS, message):
        return Classification(Outcome.CRASHED, f"a library could not start {said}")
    if _matches(DEVICE_CRASH_PATTERNS, message):
        return Classification(Outcome.CRASHED, f"the device failed {said}")
    if evidence.error_type == UNSUPPORTED_TYPE or _matches(UNSUPPORTED_PATTERNS, message):
        return Classification(Outcome.UNSUPPORTED, f"not supported {said}")
    return Classification(Outcome.FAILED, f"raised {said}")


def _exit_reason(said: str, where: str) -> str:
    """``said`` is the exit code or text, then the place in the user's code."""
    code, at, place = said.partition(" (at ")
    code = "" if code in ("no message", "None") else code
    return f"the code called sys.exit({code}) {where}{at}{place}"


def last_lines(log_tail: str) -> list[str]:
    """The last lines that a worker printed, safe for a terminal and without empty ones."""
    lines = [printable(line.expandtabs().rstrip()) for line in log_tail.splitlines()]
    return [line for line in lines if line.strip()][-PRINTED_LINES:]


def said_before(evidence: Evidence) -> str:
    """The last lines that a worker printed, as an indented block below a message.

    Empty if there are none and an exception says what happened.
    """
    is_named = evidence.error_type is not None and evidence.error_type != "SystemExit"
    if is_named and not last_lines(evidence.log_tail):
        return ""
    return said_before_end(evidence.log_tail)


def said_before_end(log_tail: str) -> str:
    """The last lines that a process printed, as an indented block below a message."""
    lines = last_lines(log_tail)
    if not lines:
        return "it printed nothing"
    return "\n".join(["last lines printed:", *(f"  {cut(line, WIDTH - 2)}" for line in lines)])


def _classify_death(evidence: Evidence, where: str) -> Classification:
    if evidence.signal == signals.SIGKILL and evidence.cgroup_oom_kills:
        return Classification(
            Outcome.OOM, f"the host's out-of-memory killer ended the worker {where}"
        )
    if evidence.template_end is not None:
        return Classification(
            Outcome.CRASHED, f"lost {where}: the worker's template {evidence.template_end}"
        )
    if evidence.nonsense is not None:
        return Classification(
            Outcome.CRASHED, f"the worker's answer {where} is unusable: {evidence.nonsense}"
        )
    by_library = evidence.signal == signals.SIGABRT or evidence.exit_code == 1
    if by_library and re.search(FATAL_OOM_LOG, evidence.log_tail):
        return Classification(
            Outcome.OOM, f"a library ended the worker {where}, out of host memory"
        )
    if evidence.smaller_passed and is_suspect(evidence):
        return Classification(
            Outcome.OOM,
            f"a library ended the worker {where}, without memory for a thread: half the batch runs",
        )
    if evidence.signal is not None:
        return Classification(
            Outcome.CRASHED, f"the worker died {where} of {_signal_name(evidence.signal)}"
        )
    reason = f"the worker exited {where} with code {evidence.exit_code}"
    if evidence.exit_code == 0:
        reason += " and no answer: os._exit() and os.exec*() end it so"
    return Classification(Outcome.CRASHED, reason)


def _is_oom(evidence: Evidence, message: str) -> bool:
    if evidence.error_type in OOM_TYPES or _matches(OOM_PATTERNS, message):
        return True
    if not re.search(PRIMITIVE_FAILED, message):
        return False
    if evidence.charged_bytes is None or evidence.limit_bytes is None:
        return False
    return evidence.charged_bytes > SHORT_OF_MEMORY_RATIO * evidence.limit_bytes


def _is_unclear_primitive(evidence: Evidence, message: str) -> bool:
    """Whether a primitive failed while too little of the limit was in use to call it an OOM at
    once: one large scratch allocation can fail early.
    """
    is_primitive = re.search(PRIMITIVE_FAILED, message) is not None
    return is_primitive and evidence.limit_bytes is not None and not _is_oom(evidence, message)


def _oom_reason(evidence: Evidence, where: str) -> str:
    asked = requested_bytes(evidence.message or "")
    wanted = f", requesting {format_bytes(asked)}" if asked is not None else ""
    used = ""
    if evidence.charged_bytes and evidence.limit_bytes:
        # autograd has freed much of its memory before the exception arrives here
        used = (
            f" ({format_bytes(evidence.charged_bytes)} of {format_bytes(evidence.limit_bytes)} "
            "still in use when the error arrived)"
        )
    return f"out of memory {where}{wanted}{used}"


def requested_bytes(message: str) -> int | None:
    """The size of the allocation that failed, where the error names it."""
    for pattern, factor in _ASKED:
        if match := pattern.search(message):
            return int(float(match[1]) * factor)
    return None


def _matches(patterns: tuple[str, ...], text: str) -> bool:
    return any(re.search(pattern, text) for pattern in patterns)


def _signal_name(number: int) -> str:
    try:
        return signals.Signals(number).name
    except ValueError:
        return f"signal {number}"


def was_crowded_out(observation: Observation) -> bool:
    """Whether the machine was short of memory: the same point may pass another time."""
    return observation.failure is not None and observation.failure.error_type == CROWDED_OUT
