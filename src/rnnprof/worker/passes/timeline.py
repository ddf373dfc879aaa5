"""The timeline of a memory pass: the profiler's events, and the marks that a pass puts among them.

Snapshots are marks too: they name the storages of weights, gradients and optimizer state.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

import torch
from torch._C._profiler import _EventType
from torch.profiler import profile, record_function

from rnnprof.breakdown.account import AllocatorEvent, Snapshot, Span, Trace

if TYPE_CHECKING:
    from rnnprof.worker.backends.base import AllocatorHistory

FUSED_OPS: Final = frozenset({"aten::mkldnn_rnn_layer", "aten::_cudnn_rnn"})
CELL_OPS: Final = frozenset(
    f"aten::{name}_cell" for name in ("lstm", "gru", "rnn_tanh", "rnn_relu")
)
LIBRARY_MARK: Final = "rnnprof:library"
PHASE_MARK: Final = "rnnprof:phase:"
STEP_MARK: Final = "rnnprof:step:"
SNAPSHOT_MARK: Final = "rnnprof:snapshot:"
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


@dataclass(frozen=True, slots=True)
class Held:
    """What a training holds, as far as it is known."""

    parameters: Sequence[torch.Tensor]
    buffers: Sequence[torch.Tensor] = ()
    optimizers: Sequence[torch.optim.Optimizer] = ()

    def tensors(self, device_type: str) -> dict[str, list[torch.Tensor]]:
        """The tensors of each named part that are on the device: Adam's step count is on the CPU.

        A sparse gradient is its indices and its values: it has no storage of its own.
        """
        named: dict[str, Iterable[Any]] = {
            "weights": [*self.parameters, *self.buffers],
            "gradients": [p.grad for p in self.parameters],
            "optimizer_state": [value for each in self.optimizers for value in each.state.values()],
        }
        return {
            name: [each for each in _tensors_in(values) if each.device.type == device_type]
            for name, values in named.items()
        }

    def sizes(self, device_type: str) -> dict[str, int]:
        """Bytes of each named part, from its tensors' sizes; each storage counts once."""
        sums = {}
        for name, tensors in self.tensors(device_type).items():
            storages = [tensor.untyped_storage() for tensor in tensors]
            sums[name] = sum({each.data_ptr(): each.nbytes() for each in storages}.values())
        return sums


def _tensors_in(values: Iterable[Any]) -> Iterator[torch.Tensor]:
    for value in values:
        if isinstance(value, torch.Tensor):
            yield from _with_storage(value)
        elif isinstance(value, dict):
            yield from _tensors_in(value.values())
        elif isinstance(value, (list, tuple)):
            yield from _tensors_in(value)


def _with_storage(tensor: torch.Tensor) -> Iterator[torch.Tensor]:
    if tensor.layout is torch.sparse_coo:
        yield from (tensor._indices(), tensor._values())  # noqa: SLF001  # also if not coalesced
    elif tensor.layout is torch.strided and not torch.nn.parameter.is_lazy(tensor):
        yield tensor


@dataclass(slots=True)
class Watched:
    """Storage addresses of the named parts, at each snapshot.

    Attributes:
        library: blocks that the libraries keep.
        held: returns what the training holds now; None where nothing of it is known.
        weights_from: the snapshot whose weights are those that layers copy.
    """

    device_type: str = "cpu"
    library: frozenset[int] | None = None
    held: Callable[[], Held | None] = lambda: None
    snapshots: list[dict[str, frozenset[int]]] = field(default_factory=list)
    weights_from: int = 0

    def look(self) -> None:
        """Take a snapshot and mark it in the timeline."""
        held = self.held()
        if held is None:
            return
        with record_function(f"{SNAPSHOT_MARK}{len(self.snapshots)}"):
            named = held.tensors(self.device_type).items()
            self.snapshots.append({name: _addresses(tensors) for name, tensors in named})

    def weights(self) -> frozenset[int]:
        """The addresses of the weights."""
        return self.snapshots[self.weights_from]["weights"] if self.snapshots else frozenset()

    def sizes(self) -> dict[str, int]:
        """Bytes of each named part now; empty where nothing is known."""
        held = self.held()
        return {} if held is None else held.sizes(self.device_type)


def _addresses(tensors: Iterable[torch.Tensor]) -> frozenset[int]:
    return frozenset(tensor.untyped_storage().data_ptr() for tensor in tensors)


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


def allocated(events: Iterable[AllocatorEvent]) -> list[AllocatorEvent]:
    """The events of the allocator, in order, without those of shared memory that is mapped.

    torch reports such a mapping, of a batch from a data loader's worker, in the same way; but its
    total is 0, since the allocator has no part in it.

    Source: ``reportMemoryUsageToProfiler`` in aten/src/ATen/MapAllocator.cpp.
    """
    mapped: set[int] = set()
    found = []
    for event in sorted(events, key=lambda event: event.at_ns):
        is_known = event.address in mapped
        mapped.discard(event.address)
        if event.size_bytes > 0 and event.total_bytes == 0:
            mapped.add(event.address)
        elif event.size_bytes > 0 or not is_known:
            found.append(event)
    return found


@dataclass(slots=True)
class Timeline:
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
        self.events = allocated(self.events)

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

    def trace(self, watched: Watched, history: AllocatorHistory | None = None) -> Trace:
        """The events and the marks by kind, with the requested sizes where they are known."""
        snapshots = [
            Snapshot(span.end_ns, watched.snapshots[int(span.name)])
            for span in self.marked(SNAPSHOT_MARK)
        ]
        snapshots += self._weight_casts(watched) + self._library(watched)
        phases = self.marked(PHASE_MARK)
        events = self.events if history is None else self._with_requests(history)
        return Trace(events, phases, self.marked(STEP_MARK), snapshots)

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

    def _library(self, watched: Watched) -> list[Snapshot]:
        addresses = watched.library or frozenset()
        return [Snapshot(mark.end_ns, {"library": addresses}) for mark in self.marked(LIBRARY_MARK)]

    def _weight_casts(self, watched: Watched) -> list[Snapshot]:
        """The copies of weights that layers run with, such as those of autocast."""
        return [
            Snapshot(copy.at_ns, {"weight_casts": frozenset({copy.target})})
            for copy in self._weight_copies(watched)
        ]

    def _weight_copies(self, watched: Watched) -> list[_Copy]:
        weights = watched.weights()
        return [copy for copy in self.copies if copy.source in weights]

    def warnings(self, watched: Watched, impl: str | None) -> list[str]:
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

    def marked(self, prefix: str) -> list[Span]:
        """The marks whose names begin with *prefix*, without it, in order."""
        found = [
            Span(span.name.removeprefix(prefix), span.start_ns, span.end_ns)
            for span in self.spans
            if span.name.startswith(prefix)
        ]
        return sorted(found, key=lambda span: span.start_ns)
