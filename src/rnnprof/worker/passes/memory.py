"""The memory pass: every allocation from build on, in a worker without the limit.

torch's profiler reports all allocations and frees exactly if it starts before the first of them,
each with the allocator's total after it.  The marks of phases, steps and snapshots are in the same
timeline.  On CUDA the sizes are those of the allocator's blocks; the requested sizes, and so the
rounding, come from the allocator's own history, which has the same order.
"""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING, Any, Final

from torch.profiler import ProfilerActivity, profile, record_function

from rnnprof.breakdown.account import Account, account
from rnnprof.worker.passes.timeline import (
    LIBRARY_MARK,
    PHASE_MARK,
    STEP_MARK,
    TRACE_MARK,
    Held,
    Timeline,
    Watched,
)
from rnnprof.worker.phases import PhaseRecorder
from rnnprof.worker.workload.flop_count import count_flops
from rnnprof.worker.workload.loss import loss_warnings
from rnnprof.worker.workload.optimizer_steps import OptimizerSteps
from rnnprof.worker.workload.precision import graphs_compiled
from rnnprof.worker.workload.warm_up import warm_up_beside
from rnnprof.worker.workload.workloads import build

if TYPE_CHECKING:
    from rnnprof import protocol
    from rnnprof.factory import Training
    from rnnprof.worker.backends.base import AllocatorHistory, Device
    from rnnprof.worker.session import Session

MIN_STEPS: Final = 3
"""The second step is the first with the optimizer's state in place; the third separates a leak from
allocations that happen once."""

NO_MODEL: Final = "the factory gives no model: return rnnprof.Training(step, model=, optimizer=)"


def memory_pass(session: Session) -> dict[str, Any]:
    """Train a few steps under the profiler and account for every byte at the peak."""
    device, workload = session.device, session.task.workload
    device.ready(session.task.guard_bytes)
    recording = Recording(session)
    training = _train(session, recording.watched)
    recording.end()
    impl = workload.impl if workload.is_built_in else None
    session.findings |= recording.findings(NO_MODEL)
    session.findings["warnings"] += recording.warnings(impl)
    if workload.compile:
        session.findings["graphs_compiled"] = graphs_compiled()
    recording.close()
    if not workload.is_built_in:
        count, reason = count_flops(training, session.tracker)
        session.findings |= {"flops_per_step": count, "flops_reason": reason}
    return session.findings


class Recording:
    """The profiler over a training, from before its first allocation; it records from here on.

    Attributes:
        watched: what the snapshots name.
        timeline: what was recorded, from :meth:`end` on.
    """

    def __init__(self, session: Session) -> None:
        self._device = device = session.device
        self._profiler = profile(
            activities=[ProfilerActivity.CPU], profile_memory=True, record_shapes=True
        )
        self._profiler.start()
        self.watched = Watched(device.torch_device.type)
        self.timeline = Timeline(device.torch_device.type)
        self._history: AllocatorHistory | None = None
        self._mark = record_function(TRACE_MARK)
        self._mark.__enter__()  # type: ignore[no-untyped-call]
        if device.trace is not None:
            device.trace.begin()
            self.watched.library = _library_addresses(session.task, device)

    def end(self) -> None:
        """Record no more, and read what was recorded."""
        self._device.synchronize()
        self._mark.__exit__(None, None, None)
        self._history = self._device.trace.history() if self._device.trace else None
        self._profiler.stop()
        self.timeline.read(self._profiler)

    def findings(self, nothing_known: str) -> dict[str, Any]:
        """Fields of a memory observation.

        Args:
            nothing_known: why there is no breakdown where nothing of the training is known.
        """
        result = account(self.timeline.trace(self.watched, self._history))
        found = _memory_fields(result, self.watched.sizes(), self.timeline.problem, nothing_known)
        found |= _implementation_fields(self.timeline)
        if self._device.trace is not None:
            found |= _checked_peaks(result, self._device.trace.peaks())
        return found

    def close(self) -> None:
        """Let go of what was recorded, so that later steps run as without it."""
        del self.timeline, self._profiler, self._history
        if self._device.trace is not None:
            self._device.trace.end()

    def warnings(self, impl: str | None) -> list[str]:
        """What cuDNN did differently than a reader expects; *impl* is the requested one."""
        return self.timeline.warnings(self.watched, impl)


def _library_addresses(task: protocol.Task, device: Device) -> frozenset[int]:
    """Blocks that the libraries keep after a tiny workload has run: workspaces, states."""
    assert device.trace is not None
    warm_up_beside(task)
    gc.collect()
    device.synchronize()
    with record_function(LIBRARY_MARK):
        return device.trace.live_addresses()


def _checked_peaks(result: Account, own: dict[str, int]) -> dict[str, Any]:
    """The allocator's own peaks; no breakdown if the trace's peak differs."""
    if own["peak_allocated_bytes"] == result.peak_bytes:
        return own
    reason = (
        f"the trace's peak is {result.peak_bytes} bytes, the allocator's own "
        f"{own['peak_allocated_bytes']}"
    )
    return {**own, "breakdown": None, "breakdown_reason": reason}


def _train(session: Session, watched: Watched) -> Training:
    task, tracker = session.task, session.tracker
    tracker.enter("build")
    with record_function(f"{PHASE_MARK}build"):
        training = build(task, task.point.batch, task.point.time_steps, worst=True)
        watched.held = lambda: _held_by(training)
        watched.look()
    tracker.enter("other")
    counter = OptimizerSteps(training.optimizer)
    recorder = PhaseRecorder(tracker, watched.look)
    loss = None
    for done in counter.until_enough(MIN_STEPS):
        with record_function(f"{STEP_MARK}{done}"):
            loss = training.step(recorder)
        tracker.announcing = False
        session.findings["train_steps_run"] = done + 1
    session.findings |= {
        "optimizer_steps": counter.taken,
        "warnings": loss_warnings(loss) + counter.warnings(),
    }
    return training


def _held_by(training: Training) -> Held | None:
    model, optimizer = training.model, training.optimizer
    if model is None:
        return None
    optimizers = [] if optimizer is None else [optimizer]
    return Held(list(model.parameters()), list(model.buffers()), optimizers)


def _memory_fields(
    result: Account, model_bytes: dict[str, int], problem: str | None, nothing_known: str
) -> dict[str, Any]:
    reason = problem or _breakdown_doubt(result, model_bytes, nothing_known)
    return {
        "peak_allocated_bytes": result.peak_bytes,
        "breakdown": None if reason else result.breakdown,
        "breakdown_reason": reason,
        "phase_peak_bytes": result.phase_peak_bytes,
        "phase_live_bytes": result.phase_live_bytes,
        "net_bytes_per_step": result.net_bytes_per_step,
        "model_bytes": model_bytes,
    }


def _breakdown_doubt(
    result: Account, model_bytes: dict[str, int], nothing_known: str
) -> str | None:
    """Why there is no breakdown, or why it cannot be trusted: trace and tensors disagree."""
    if not model_bytes:
        return nothing_known
    if result.reason:
        return result.reason
    for part, by_tensors in model_bytes.items():
        by_trace = result.named_live_bytes[part]
        if by_trace != by_tensors:
            return f"{part}: {by_trace} bytes in the trace, {by_tensors} in the tensors"
    return None


def _implementation_fields(timeline: Timeline) -> dict[str, Any]:
    """Which implementation really ran; with packed sequences it may differ between calls."""
    kinds = timeline.implementations
    return {
        "ops": sorted(timeline.ops),
        "implementation": "mixed" if len(kinds) > 1 else next(iter(kinds), None),
        "implementation_reason": None if kinds else "no recurrent operator of torch ran",
    }
