"""From evidence to outcome, by the texts that the libraries really print."""

from __future__ import annotations

import signal
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rnnprof.outcomes import Evidence, classify, is_suspect, requested_bytes
from rnnprof.runfile.points import Outcome

GIB = 1 << 30
CPU_OOM = (
    "[enforce fail at alloc_cpu.cpp:124] err == 0. DefaultCPUAllocator: can't allocate memory: "
    "you tried to allocate 34091576 bytes. Error code 12 (Cannot allocate memory)"
)
CUDA_OOM = (
    "CUDA out of memory. Tried to allocate 20.00 MiB. GPU 0 has a total capacity of 15.77 GiB of "
    "which 8.12 MiB is free. Process 4321 has 15.76 GiB memory in use."
)

EXCEPTIONS = [
    # out of memory: the texts of design section 6
    ("RuntimeError", CPU_OOM, Outcome.OOM),
    ("OutOfMemoryError", CUDA_OOM, Outcome.OOM),
    ("RuntimeError", CUDA_OOM, Outcome.OOM),
    ("RuntimeError", "CUDA error: out of memory\nCUDA kernel errors might be ...", Outcome.OOM),
    ("AcceleratorError", "CUDA error: out of memory", Outcome.OOM),
    (
        "RuntimeError",
        "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
        Outcome.OOM,
    ),
    ("RuntimeError", "cuDNN error: CUDNN_STATUS_ALLOC_FAILED", Outcome.OOM),
    (
        "RuntimeError",
        "cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED",
        Outcome.OOM,
    ),
    ("RuntimeError", "std::bad_alloc", Outcome.OOM),
    ("MemoryError", "std::bad_alloc", Outcome.OOM),
    ("MemoryError", "", Outcome.OOM),
    ("MemoryError", None, Outcome.OOM),
    # what no amount of memory would mend
    ("RuntimeError", "cuDNN error: CUDNN_STATUS_NOT_SUPPORTED. This error may ...",
     Outcome.UNSUPPORTED),
    (
        "RuntimeError",
        "could not create a primitive descriptor for the LSTM forward propagation primitive",
        Outcome.UNSUPPORTED,
    ),
    ("RuntimeError", "\"addmm_impl_cpu_\" not implemented for 'Half'", Outcome.UNSUPPORTED),
    # the device itself
    ("RuntimeError", "CUDA error: an illegal memory access was encountered", Outcome.CRASHED),
    ("RuntimeError", "CUDA error: unspecified launch failure", Outcome.CRASHED),
    ("AcceleratorError", "CUDA error: device-side assert triggered", Outcome.CRASHED),
    ("AcceleratorError", "CUDA error: uncorrectable ECC error encountered", Outcome.CRASHED),
    ("AcceleratorError", "CUDA error: misaligned address", Outcome.CRASHED),
    ("AcceleratorError", "CUDA error: the launch timed out and was terminated", Outcome.CRASHED),
    ("AcceleratorError", "CUDA error: unknown error", Outcome.CRASHED),
    ("AcceleratorError", "CUDA error: operation not supported", Outcome.UNSUPPORTED),
    (
        "TritonMissing",
        "Cannot find a working triton installation. Either the package is not installed or ...",
        Outcome.UNSUPPORTED,
    ),
    (
        "RuntimeError",
        "CUDA error: no kernel image is available for execution on the device",
        Outcome.UNSUPPORTED,
    ),
    # the user's own words
    ("ValueError", "batch must be at least 4", Outcome.FAILED),
    ("RuntimeError", "mat1 and mat2 shapes cannot be multiplied (4x8 and 16x8)", Outcome.FAILED),
    ("KeyboardInterrupt", "", Outcome.FAILED),
    ("Odd", "", Outcome.FAILED),
]  # fmt: skip


def test_torchs_own_words_for_a_type_that_it_has_no_kernel_for_are_known():
    with pytest.raises(RuntimeError, match="for 'Long'") as raised:
        torch.softmax(torch.ones(2, dtype=torch.long), 0)
    kind = type(raised.value).__name__
    verdict = classify(Evidence(phase="forward", error_type=kind, message=str(raised.value)))
    assert verdict.outcome is Outcome.UNSUPPORTED
    assert "in forward" in verdict.reason
    assert kind in verdict.reason


@pytest.mark.parametrize(("error_type", "message", "outcome"), EXCEPTIONS)
def test_an_exception_is_judged_by_its_words(error_type, message, outcome):
    verdict = classify(Evidence(phase="forward", error_type=error_type, message=message))
    assert verdict.outcome is outcome
    assert "in forward" in verdict.reason
    if outcome is not Outcome.OOM:
        assert error_type in verdict.reason
        assert (message or "no message").splitlines()[0] in verdict.reason


PRIMITIVE = "could not {} a primitive. Run workload with environment variable ONEDNN_VERBOSE"


@pytest.mark.parametrize("word", ["execute", "create"])
@pytest.mark.parametrize(
    ("charged_bytes", "limit_bytes", "outcome"),
    [
        (900 << 20, GIB, Outcome.OOM),
        (513 << 20, GIB, Outcome.OOM),
        (512 << 20, GIB, Outcome.FAILED),
        (10 << 20, GIB, Outcome.FAILED),
        (None, GIB, Outcome.FAILED),
        (900 << 20, None, Outcome.FAILED),
    ],
)
def test_a_failed_primitive_is_out_of_memory_only_when_memory_is_short(
    charged_bytes, limit_bytes, outcome, word
):
    evidence = Evidence(
        phase="backward",
        error_type="RuntimeError",
        message=PRIMITIVE.format(word),
        charged_bytes=charged_bytes,
        limit_bytes=limit_bytes,
    )
    assert classify(evidence).outcome is outcome


GOMP = "\nlibgomp: Thread creation failed: Resource temporarily unavailable"
TERMINATE = "terminate called after throwing an instance of 'std::bad_alloc'\n  what():  ..."

DEATHS = [
    (Evidence(signal=signal.SIGKILL, cgroup_oom_kills=1), Outcome.OOM, "out-of-memory killer"),
    (Evidence(signal=signal.SIGKILL, cgroup_oom_kills=0), Outcome.CRASHED, "SIGKILL"),
    (Evidence(signal=signal.SIGKILL), Outcome.CRASHED, "SIGKILL"),
    (Evidence(signal=signal.SIGSEGV, cgroup_oom_kills=1), Outcome.CRASHED, "SIGSEGV"),
    (Evidence(signal=signal.SIGABRT, log_tail=TERMINATE), Outcome.OOM, "out of host memory"),
    (Evidence(signal=signal.SIGABRT, log_tail="double free"), Outcome.CRASHED, "SIGABRT"),
    (Evidence(exit_code=1, log_tail=GOMP), Outcome.OOM, "out of host memory"),
    (Evidence(exit_code=1, log_tail="libgomp: Out of memory allocating 8 bytes"), Outcome.OOM,
     "out of host memory"),
    (Evidence(exit_code=1, log_tail="libgomp: Invalid value"), Outcome.CRASHED, "code 1"),
    (Evidence(exit_code=0), Outcome.CRASHED, "code 0"),
    (Evidence(signal=99), Outcome.CRASHED, "signal 99"),
    (Evidence(nonsense="not JSON: b'x'", exit_code=0), Outcome.CRASHED, "not JSON: b'x'"),
    (Evidence(signal=signal.SIGKILL, template_end="was odd"), Outcome.CRASHED,
     "lost before its first phase: the worker's template was odd"),
    (Evidence(signal=signal.SIGKILL, template_end="was odd", cgroup_oom_kills=1), Outcome.OOM,
     "out-of-memory killer"),
    (Evidence(timed_out=True, deadline_s=60.0), Outcome.TIMEOUT, "within 60 s"),
    (Evidence(timed_out=True, deadline_s=60.0, signal=signal.SIGKILL, cgroup_oom_kills=1),
     Outcome.TIMEOUT, "within 60 s"),
    (Evidence(), Outcome.CRASHED, "code None"),
]  # fmt: skip


@pytest.mark.parametrize(("evidence", "outcome", "words"), DEATHS)
def test_a_death_is_judged_by_its_traces(evidence, outcome, words):
    verdict = classify(evidence)
    assert verdict.outcome is outcome
    assert words in verdict.reason
    assert "before its first phase" in verdict.reason


def test_a_printed_out_of_memory_does_not_explain_an_exception():
    """A library may print one and go on; the exception is what ended the attempt."""
    evidence = Evidence(error_type="ValueError", message="no", log_tail=TERMINATE)
    assert classify(evidence).outcome is Outcome.FAILED


def test_an_oom_says_where_how_much_and_of_what():
    verdict = classify(
        Evidence(
            phase="forward",
            error_type="RuntimeError",
            message=CPU_OOM,
            charged_bytes=1000 << 20,
            limit_bytes=GIB,
        )
    )
    assert verdict.requested_bytes == 34_091_576
    assert verdict.reason == (
        "out of memory in forward, requesting 32.5 MiB (0.98 GiB of 1.00 GiB still in use when the "
        "error arrived)"
    )


@pytest.mark.parametrize(
    ("message", "size_bytes"),
    [
        (CPU_OOM, 34_091_576),
        (CUDA_OOM, 20 << 20),
        ("CUDA out of memory. Tried to allocate 512.00 KiB.", 512 << 10),
        ("CUDA out of memory. Tried to allocate 1.50 GiB.", 3 << 29),
        ("std::bad_alloc", None),
    ],
)
def test_the_size_asked_for_is_read_from_the_error(message, size_bytes):
    assert requested_bytes(message) == size_bytes


def test_a_long_message_is_cut_to_its_first_line():
    evidence = Evidence(phase="build", error_type="Odd", message="x" * 1000 + "\nsecond line")
    reason = classify(evidence).reason
    assert len(reason) < 400
    assert "second line" not in reason


EVIDENCE = st.builds(
    Evidence,
    phase=st.none() | st.sampled_from(["build", "forward", "baseline"]),
    error_type=st.none() | st.sampled_from(["RuntimeError", "ValueError", "X"]),
    message=st.none() | st.text(max_size=40),
    signal=st.none() | st.integers(-5, 200),
    exit_code=st.none() | st.integers(0, 255),
    timed_out=st.booleans(),
    deadline_s=st.none() | st.floats(0, 1e6),
    nonsense=st.none() | st.text(max_size=10),
    cgroup_oom_kills=st.none() | st.integers(0, 2),
    charged_bytes=st.none() | st.integers(0, 1 << 40),
    limit_bytes=st.none() | st.integers(1, 1 << 40),
    log_tail=st.text(max_size=40),
)


@given(EVIDENCE)
def test_an_end_always_has_an_outcome_and_a_reason_on_one_line(evidence):
    verdict = classify(evidence)
    assert verdict.outcome not in (Outcome.MEASURED, Outcome.IMPLIED_OOM)
    assert verdict.reason
    # no text drawn here holds an OOM's words: only the killer's traces may move the frontier
    if verdict.outcome is Outcome.OOM:
        assert evidence.signal == signal.SIGKILL
        assert evidence.cgroup_oom_kills


def test_a_bad_alloc_that_was_only_printed_is_no_oom():
    log = "terminate called after throwing an instance of 'std::bad_alloc'"
    aborted = classify(Evidence(signal=signal.SIGABRT, log_tail=log))
    nonsense = classify(Evidence(signal=signal.SIGABRT, log_tail=log, nonsense="not JSON"))
    left = classify(Evidence(exit_code=3, log_tail=log))
    assert aborted.outcome is Outcome.OOM
    assert {nonsense.outcome, left.outcome} == {Outcome.CRASHED}


def test_a_fork_without_memory_is_an_oom():
    evidence = Evidence(error_type="OSError", message="[Errno 12] Cannot allocate memory")
    assert classify(evidence).outcome is Outcome.OOM


@pytest.mark.parametrize("library", ["CUBLAS", "CUDNN"])
def test_a_library_that_does_not_come_up_is_judged_by_a_smaller_batch(library: str) -> None:
    message = f"{library}_STATUS_NOT_INITIALIZED when calling create(handle)"
    evidence = Evidence(phase="forward", error_type="RuntimeError", message=message)
    assert is_suspect(evidence)
    short = classify(replace(evidence, smaller_passed=True))
    assert short.outcome is Outcome.OOM
    assert "starts at half the batch" in short.reason
    for passed in (False, None):
        assert classify(replace(evidence, smaller_passed=passed)).outcome is Outcome.CRASHED


def test_other_errors_are_not_suspect() -> None:
    assert not is_suspect(Evidence(error_type="RuntimeError", message="CUDA out of memory"))
    timed_out = Evidence(message="CUBLAS_STATUS_NOT_INITIALIZED", timed_out=True)
    assert not is_suspect(timed_out)


def test_a_primitive_that_fails_with_memory_left_is_judged_by_a_smaller_batch() -> None:
    early = Evidence(
        phase="forward",
        error_type="RuntimeError",
        message="could not execute a primitive",
        charged_bytes=10,
        limit_bytes=100,
    )
    assert is_suspect(early)
    assert not is_suspect(replace(early, charged_bytes=60))  # it is out of memory without that
    assert not is_suspect(replace(early, limit_bytes=None))
    assert classify(replace(early, smaller_passed=True)).outcome is Outcome.OOM
    assert classify(replace(early, smaller_passed=False)).outcome is Outcome.FAILED


@pytest.mark.parametrize(
    "evidence",
    [
        Evidence(phase="build", error_type="RuntimeError", message="can't start new thread"),
        Evidence(signal=signal.SIGABRT, log_tail="terminate called without an active exception\n"),
        Evidence(
            signal=signal.SIGABRT,
            log_tail="terminate called after throwing an instance of 'std::system_error'\n  what()",
        ),
    ],
)
def test_a_thread_that_cannot_start_is_judged_by_a_smaller_batch(evidence: Evidence) -> None:
    assert is_suspect(evidence)
    assert classify(replace(evidence, smaller_passed=True)).outcome is Outcome.OOM
    for passed in (False, None):
        judged = classify(replace(evidence, smaller_passed=passed))
        assert judged.outcome in (Outcome.CRASHED, Outcome.FAILED)


def test_an_abort_that_says_nothing_of_a_thread_is_not_suspect() -> None:
    assert not is_suspect(Evidence(signal=signal.SIGABRT, log_tail="Assertion failed\n"))


def test_an_exit_without_an_answer_and_without_a_code_names_its_causes() -> None:
    assert classify(Evidence(phase="build", exit_code=0)).reason == (
        "the worker exited in build with code 0 and no answer: os._exit() and os.exec*() end it so"
    )


def test_an_exit_without_a_code_has_no_code_in_words() -> None:
    ended = Evidence(phase="build", error_type="SystemExit", message="no message (at train.py:3)")
    assert classify(ended).reason == "the code called sys.exit() in build (at train.py:3)"
