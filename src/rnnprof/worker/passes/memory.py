"""The memory pass: every allocation from build on, in a worker without the limit.

torch's profiler reports all allocations and frees exactly if it starts before the first of them,
each with the allocator's total after it.  The marks of phases, steps and snapshots are in the same
timeline.  On CUDA the sizes are those of the allocator's blocks; the requested sizes, and so the
rounding, come from the allocator's own history, which has the same order.
"""

from __future__ import annotations

import gc
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

import torch
from torch._C._profiler import _EventType
from torch.profiler import ProfilerActivity, profile, record_function

from rnnprof.breakdown.account import Account, AllocatorEvent, Snapshot, Span, Trace, account
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

FUSED_OPS: Final = frozenset({"aten::mkldnn_rnn_layer", "aten::_cudnn_rnn"})
CELL_OPS: Final = frozenset(
    f"aten::{name}_cell" for name in ("lstm", "gru", "rnn_tanh", "rnn_relu")
)
LIBRARY_MARK: Final = "rnnprof:library"
TRACE_MARK: Final = "rnnprof:trace"
"""Around the whole trace.  torch's event tree keeps an event without a parent only if its device is
the CPU: on CUDA a free outside all operators would be lost.

Source: ``materializeOpEvents`` in torch/csrc/autograd/profiler_kineto.cpp."""
COPY_OP: Final = "aten::copy_"
"""The last operator of every copy: a cast of one tensor (``_to_copy``), or of a whole layer, for
which autocast fills one flat buffer through a view for each weight."""
COMPACTED: Final = (
    "torch copied all weights for cuDNN at each call, because they are not in one block of memory: "
    "call flatten_parameters(), except in bf16, which torch does not flatten"
)
NOT_CUDNN: Final = (
    "fused was requested and native ran: torch does not use cuDNN for this layer and dtype on "
    "this GPU"
)
LAYER_OPS: Final = frozenset({"aten::lstm", "aten::gru", "aten::rnn_tanh", "aten::rnn_relu"})


def memory_pass(session: Session) -> dict[str, Any]:
    """Train a few steps under the profiler and account for every byte at the peak."""
    device = session.device
    device.ready(session.task.guard_bytes)
    profiler = profile(activities=[ProfilerActivity.CPU], profile_memory=True, record_shapes=True)
    profiler.start()
    watched = _Watched(device.torch_device.type)
    with record_function(TRACE_MARK):
        if device.trace is not None:
            device.trace.begin()
            watched.library = _library_addresses(session.task, device)
        training = _train(session, watched)
        device.synchronize()
    history = device.trace.history() if device.trace else None
    profiler.stop()
    timeline = _Timeline(device.torch_device.type)
    timeline.read(profiler)
    result = account(timeline.trace(watched, history))
    model_bytes = _model_bytes(training, watched.device_type)
    session.findings |= _memory_fields(result, model_bytes, timeline.problem)
    session.findings |= _implementation_fields(timeline)
    workload = session.task.workload
    impl = workload.impl if workload.is_built_in else None
    session.findings["warnings"] += timeline.warnings(watched, impl)
    if device.trace is not None:
        session.findings |= _checked_peaks(result, device.trace.peaks())
    if workload.compile:
        session.findings["graphs_compiled"] = graphs_compiled()
    if not workload.is_built_in:
        count, reason = count_flops(training, session.tracker)
        session.findings |= {"flops_per_step": count, "flops_reason": reason}
    return session.findings


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


@dataclass(slots=True)
class _Watched:
    """Storage addresses of the named parts, at each snapshot."""

    device_type: str = "cpu"
    library: frozenset[int] | None = None
    training: Training | None = None
    snapshots: list[dict[str, frozenset[int]]] = field(default_factory=list)

    def look(self) -> None:
        """Take a snapshot and mark it in the timeline."""
        if self.training is None or self.training.model is None:
            return
        with record_function(f"rnnprof:snapshot:{len(self.snapshots)}"):
            self.snapshots.append(_named_addresses(self.training, self.device_type))


def _train(session: Session, watched: _Watched) -> Training:
    task, tracker = session.task, session.tracker
    tracker.enter("build")
    with record_function("rnnprof:phase:build"):
        watched.training = training = build(
            task, task.point.batch, task.point.time_steps, worst=True
        )
        watched.look()
    tracker.enter("other")
    counter = OptimizerSteps(training.optimizer)
    recorder = PhaseRecorder(tracker, watched.look)
    loss = None
    for done in counter.until_enough(MIN_STEPS):
        with record_function(f"rnnprof:step:{done}"):
            loss = training.step(recorder)
        tracker.announcing = False
        session.findings["train_steps_run"] = done + 1
    session.findings |= {
        "optimizer_steps": counter.taken,
        "warnings": loss_warnings(loss) + counter.warnings(),
    }
    return training


def _named_addresses(training: Training, device_type: str) -> dict[str, frozenset[int]]:
    named = _named_tensors(training, device_type)
    return {name: _addresses(tensors) for name, tensors in named.items()}


def _named_tensors(training: Training, device_type: str) -> dict[str, list[torch.Tensor]]:
    """The tensors of each named part that are on the device: Adam's step count is on the CPU."""
    model, optimizer = training.model, training.optimizer
    assert model is not None
    parameters = list(model.parameters())
    state = optimizer.state.values() if optimizer is not None else ()
    named = {
        "weights": [*parameters, *model.buffers()],
        "gradients": [p.grad for p in parameters if p.grad is not None],
        "optimizer_state": list(_tensors_in(state)),
    }
    return {
        name: [tensor for tensor in tensors if tensor.device.type == device_type]
        for name, tensors in named.items()
    }


def _tensors_in(values: Iterable[Any]) -> Iterator[torch.Tensor]:
    for value in values:
        if isinstance(value, torch.Tensor):
            yield value
        elif isinstance(value, dict):
            yield from _tensors_in(value.values())
        elif isinstance(value, (list, tuple)):
            yield from _tensors_in(value)


def _addresses(tensors: Iterable[torch.Tensor]) -> frozenset[int]:
    return frozenset(tensor.untyped_storage().data_ptr() for tensor in tensors)


def _model_bytes(training: Training, device_type: str) -> dict[str, int]:
    """Bytes of each named part, from its tensors' sizes; each storage counts once."""
    if training.model is None:
        return {}
    sums = {}
    for name, tensors in _named_tensors(training, device_type).items():
        storages = {t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in tensors}
        sums[name] = sum(storages.values())
    return sums


@dataclass(frozen=True, slots=True)
class _Copy:
    """A tensor copied from one storage into another, each known by its address.

    Attributes:
        is_cast: into another type; otherwise into one block, in the same type.
    """

    at_ns: int
    source: int
    target: int
    is_cast: bool = True


def _copy_of(event: Any, detail: Any) -> _Copy | None:
    """The copy, if a layer may run with it: a cast, or weights put into one block for cuDNN.

    Any other copy into the same type is one that the training keeps in addition to its weights.
    """
    target, source = detail.inputs[:2]
    if not (hasattr(target, "storage_data_ptr") and hasattr(source, "storage_data_ptr")):
        return None  # the profiler reports nothing for a sparse tensor, which has no storage
    is_cast = target.dtype != source.dtype
    if not is_cast and not _is_within(event, FUSED_OPS):
        return None
    return _Copy(event.end_time_ns, source.storage_data_ptr, target.storage_data_ptr, is_cast)


def _is_within(event: Any, names: frozenset[str]) -> bool:
    """Whether an event happened inside an operator with one of these names."""
    while event.parent is not None:
        event = event.parent
        if event.name in names:
            return True
    return False


def _below(event: Any) -> Iterator[Any]:
    """Yield all events inside an event."""
    for child in event.children:
        yield child
        yield from _below(child)


@dataclass(slots=True)
class _Timeline:
    """The profiler's events, sorted by kind.

    Attributes:
        problem: why the requested sizes are unknown, if they are.
    """

    device_type: str = "cpu"
    problem: str | None = None
    events: list[AllocatorEvent] = field(default_factory=list)
    copies: list[_Copy] = field(default_factory=list)
    spans: list[Span] = field(default_factory=list)
    ops: set[str] = field(default_factory=set)
    implementations: set[str] = field(default_factory=set)

    def read(self, profiler: profile) -> None:
        """Walk the event tree in chronological order."""
        results: Any = profiler.profiler.kineto_results if profiler.profiler else None
        waiting = list(reversed(results.experimental_event_tree()))
        while waiting:
            event = waiting.pop()
            waiting.extend(reversed(event.children))
            kind, detail = event.typed
            if kind == _EventType.Allocation:
                self._allocation(event.start_time_ns, detail)
            elif event.name.startswith("rnnprof:"):
                self.spans.append(Span(event.name, event.start_time_ns, event.end_time_ns))
            elif event.name.startswith("aten::"):
                self._operator(event, detail)

    def _allocation(self, at_ns: int, detail: Any) -> None:
        if detail.device.type == self.device_type:
            self.events.append(
                AllocatorEvent(at_ns, detail.ptr, detail.alloc_size, detail.total_allocated)
            )

    def _operator(self, event: Any, detail: Any) -> None:
        if event.name == COPY_OP and (copy := _copy_of(event, detail)):
            self.copies.append(copy)
        if event.name in FUSED_OPS | CELL_OPS | LAYER_OPS:
            self.ops.add(event.name)
        if event.name in CELL_OPS:
            self.implementations.add("loop")
        if event.name in LAYER_OPS:
            is_fused = any(inner.name in FUSED_OPS for inner in _below(event))
            self.implementations.add("fused" if is_fused else "native")

    def trace(self, watched: _Watched, history: AllocatorHistory | None = None) -> Trace:
        """The events and the marks by kind, with the requested sizes where they are known."""
        snapshots = [
            Snapshot(span.end_ns, watched.snapshots[int(span.name)])
            for span in self._marked("rnnprof:snapshot:")
        ]
        snapshots += self._weight_casts(watched) + self._library(watched)
        phases = self._marked("rnnprof:phase:")
        events = self.events if history is None else self._with_requests(history)
        return Trace(events, phases, self._marked("rnnprof:step:"), snapshots)

    def _with_requests(self, history: AllocatorHistory) -> list[AllocatorEvent]:
        """The events, each allocation with its requested size."""
        events = sorted(self.events, key=lambda event: event.at_ns)
        mallocs = [event.address for event in events if event.size_bytes > 0]
        frees = [event.address for event in events if event.size_bytes < 0]
        if mallocs != [address for address, _ in history.requests] or frees != history.frees:
            self.problem = (
                f"the profiler saw {len(mallocs)} allocations and {len(frees)} frees, the "
                f"allocator's own history has {len(history.requests)} and {len(history.frees)}, or "
                "their order differs: a thread that the training code started may allocate too"
            )
            return events
        asked = iter(history.requests)
        return [
            replace(event, requested_bytes=next(asked)[1]) if event.size_bytes > 0 else event
            for event in events
        ]

    def _library(self, watched: _Watched) -> list[Snapshot]:
        addresses = watched.library or frozenset()
        return [
            Snapshot(mark.end_ns, {"library": addresses}) for mark in self._marked(LIBRARY_MARK)
        ]

    def _weight_casts(self, watched: _Watched) -> list[Snapshot]:
        """The copies of weights that layers run with, such as those of autocast."""
        return [
            Snapshot(copy.at_ns, {"weight_casts": frozenset({copy.target})})
            for copy in self._weight_copies(watched)
        ]

    def _weight_copies(self, watched: _Watched) -> list[_Copy]:
        weights = watched.snapshots[0]["weights"] if watched.snapshots else frozenset()
        return [copy for copy in self.copies if copy.source in weights]

    def warnings(self, watched: _Watched, impl: str | None) -> list[str]:
        """Warnings about what cuDNN did differently than a reader expects.

        Args:
            impl: the requested implementation; None for the user's own code.
        """
        found = []
        if not all(copy.is_cast for copy in self._weight_copies(watched)):
            found.append(COMPACTED)
        if (self.device_type, impl) == ("cuda", "fused") and self.implementations == {"native"}:
            found.append(NOT_CUDNN)
        return found

    def _marked(self, prefix: str) -> list[Span]:
        found = [
            Span(span.name.removeprefix(prefix), span.start_ns, span.end_ns)
            for span in self.spans
            if span.name.startswith(prefix)
        ]
        return sorted(found, key=lambda span: span.start_ns)


def _memory_fields(
    result: Account, model_bytes: dict[str, int], problem: str | None
) -> dict[str, Any]:
    reason = problem or _breakdown_doubt(result, model_bytes)
    return {
        "peak_allocated_bytes": result.peak_bytes,
        "breakdown": None if reason else result.breakdown,
        "breakdown_reason": reason,
        "phase_peak_bytes": result.phase_peak_bytes,
        "phase_live_bytes": result.phase_live_bytes,
        "net_bytes_per_step": result.net_bytes_per_step,
        "model_bytes": model_bytes,
    }


def _breakdown_doubt(result: Account, model_bytes: dict[str, int]) -> str | None:
    """Why there is no breakdown, or why it cannot be trusted: trace and tensors disagree."""
    if not model_bytes:
        return "the factory gives no model: return rnnprof.Training(step, model=, optimizer=)"
    if result.reason:
        return result.reason
    for part, by_tensors in model_bytes.items():
        by_trace = result.named_live_bytes[part]
        if by_trace != by_tensors:
            return f"{part}: {by_trace} bytes in the trace, {by_tensors} in the tensors"
    return None


def _implementation_fields(timeline: _Timeline) -> dict[str, Any]:
    """Which implementation really ran; with packed sequences it may differ between calls."""
    kinds = timeline.implementations
    return {
        "ops": sorted(timeline.ops),
        "implementation": "mixed" if len(kinds) > 1 else next(iter(kinds), None),
        "implementation_reason": None if kinds else "no recurrent operator of torch ran",
    }
