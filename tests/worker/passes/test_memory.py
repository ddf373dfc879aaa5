"""What is special on a GPU: the event tree's rule, requested sizes, the allocator's own peaks."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch._C._profiler import _EventType

from rnnprof.breakdown.account import Account, AllocatorEvent, Trace, account
from rnnprof.protocol import Task
from rnnprof.runfile.observations import BREAKDOWN_PARTS, Breakdown
from rnnprof.runfile.points import Point
from rnnprof.worker.backends.base import AllocatorHistory
from rnnprof.worker.backends.cpu import CpuDevice
from rnnprof.worker.passes import memory
from rnnprof.worker.passes import timeline as timeline_module
from rnnprof.worker.passes.memory import _checked_peaks
from rnnprof.worker.passes.timeline import COMPACTED, NOT_CUDNN, Held, Timeline, Watched
from rnnprof.worker.phases import PhaseTracker
from rnnprof.worker.session import Session
from rnnprof.workload import Workload

EVENTS = [AllocatorEvent(1, 10, 512, 512), AllocatorEvent(2, 20, 1024, 1536),
          AllocatorEvent(3, 10, -512, 1024)]  # fmt: skip


def test_each_malloc_gets_the_size_that_was_asked_for() -> None:
    timeline = Timeline("cuda", events=list(EVENTS))
    trace = timeline.trace(Watched("cuda"), AllocatorHistory([(10, 500), (20, 1000)], [10]))
    assert [event.requested_bytes for event in trace.events] == [500, 1000, None]
    assert timeline.problem is None


@pytest.mark.parametrize(
    "history",
    [
        AllocatorHistory([(20, 1000), (10, 500)], [10]),
        AllocatorHistory([(10, 500)], [10]),
        AllocatorHistory([(10, 500), (20, 1000)], [10, 20]),
        AllocatorHistory([(10, 500), (20, 1000)], [20]),
    ],
)
def test_another_history_is_a_problem_and_no_size_is_guessed(history: AllocatorHistory) -> None:
    timeline = Timeline("cuda", events=list(EVENTS))
    trace = timeline.trace(Watched("cuda"), history)
    assert {event.requested_bytes for event in trace.events} == {None}
    assert "saw 2 allocations and 1 frees" in (timeline.problem or "")


class TreeAsOnCuda:
    """The profiler's results by the rule for CUDA: without a parent no allocation is kept."""

    def __init__(self, results: Any) -> None:
        self.results = results

    def experimental_event_tree(self) -> list[Any]:
        roots = self.results.experimental_event_tree()
        return [event for event in roots if event.typed[0] != _EventType.Allocation]


class ProfileAsOnCuda(torch.profiler.profile):
    def stop(self) -> None:
        super().stop()
        assert self.profiler is not None
        self.profiler.kineto_results = TreeAsOnCuda(self.profiler.kineto_results)


class NoHistory:
    """In place of a GPU's allocator, so that the workload is warmed up under the trace."""

    def begin(self) -> None:
        return None

    def live_addresses(self) -> frozenset[int]:
        return frozenset()

    def history(self) -> None:
        return None

    def peaks(self) -> dict[str, int]:
        return {}

    def end(self) -> None:
        return None


@pytest.mark.parametrize("impl", ["fused", "loop"])
def test_no_free_is_lost_to_the_rule_for_cuda(impl: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Real events of real steps; without the mark around the trace the warm-up's frees vanish."""
    monkeypatch.setattr(memory, "profile", ProfileAsOnCuda)
    monkeypatch.setattr(memory, "_checked_peaks", lambda *_: {})
    device = CpuDevice()
    device.trace = NoHistory()  # type: ignore[assignment]
    workload = Workload(impl=impl, input_size=8, hidden_size=8)
    task = Task("memory", workload, point=Point(3, 4))
    gc.collect()  # a worker's template has done so: what is left of imports is not to be freed now
    found = memory.memory_pass(Session(task, device, PhaseTracker(lambda _: None)))
    breakdown = found["breakdown"]
    assert breakdown is not None, found["breakdown_reason"]
    assert (
        sum(getattr(breakdown, part) for part in BREAKDOWN_PARTS) == found["peak_allocated_bytes"]
    )
    assert found["net_bytes_per_step"] == 0


def test_a_peak_that_is_not_the_allocators_own_leaves_no_breakdown() -> None:
    own = {"peak_allocated_bytes": 1536, "peak_reserved_bytes": 4096}
    assert _checked_peaks(Account(1536, None, None), own) == own
    other = _checked_peaks(Account(1024, None, None), own)
    assert other["breakdown"] is None
    assert "1024" in other["breakdown_reason"]
    assert other["peak_allocated_bytes"] == 1536


def flat_copy(model: torch.nn.Module, dtype: torch.dtype) -> torch.Tensor:
    """One buffer with a view for each weight, as torch fills it for cuDNN under autocast."""
    flat = torch.zeros(sum(p.numel() for p in model.parameters()), dtype=dtype)
    start = 0
    for weight in model.parameters():
        flat[start : start + weight.numel()].view_as(weight).copy_(weight.detach())
        start += weight.numel()
    return flat


def traced(forward: Callable[[torch.nn.Module], Any]) -> tuple[Trace, Timeline, Watched]:
    """Real events of torch on the CPU: a model is built, and *forward* keeps what it returns."""
    watched = Watched("cpu")
    profiler = torch.profiler.profile(profile_memory=True, record_shapes=True)
    profiler.start()
    with torch.profiler.record_function("rnnprof:phase:build"):
        model = torch.nn.LSTM(8, 16)
        watched.held = lambda: Held(list(model.parameters()))
        watched.look()
    with torch.profiler.record_function("rnnprof:phase:forward"):
        kept = forward(model)
    profiler.stop()
    del kept
    timeline = Timeline("cpu")
    timeline.read(profiler)
    return timeline.trace(watched), timeline, watched


def breakdown_of(trace: Trace) -> Breakdown:
    last = max(span.end_ns for span in trace.phases)
    events = [event for event in trace.events if event.at_ns <= last]
    breakdown = account(Trace(events, trace.phases, trace.train_steps, trace.snapshots)).breakdown
    assert breakdown is not None
    return breakdown


def test_a_flat_copy_that_weights_are_cast_into_by_views_is_of_weight_casts() -> None:
    trace, timeline, watched = traced(lambda model: flat_copy(model, torch.bfloat16))
    breakdown = breakdown_of(trace)
    assert breakdown.weight_casts == breakdown.weights // 2
    assert breakdown.saved == 0
    assert timeline.warnings(watched, "fused") == []


def test_a_cast_of_one_weight_is_of_weight_casts_and_of_no_weight_is_not() -> None:
    def forward(model: torch.nn.Module) -> Any:
        weight = next(model.parameters()).detach()
        return weight.bfloat16(), torch.zeros(100).bfloat16()

    breakdown = breakdown_of(traced(forward)[0])
    assert breakdown.weight_casts == 4 * 16 * 8 * 2
    assert breakdown.saved == 200


def test_a_copy_of_sparse_tensors_is_none_of_weights() -> None:
    def forward(_: torch.nn.Module) -> torch.Tensor:
        sparse = torch.eye(4).to_sparse()
        return torch.empty_like(sparse, dtype=torch.float64).copy_(sparse)

    assert traced(forward)[1].warnings(Watched("cpu"), "fused") == []


def test_a_copy_in_the_same_type_is_the_trainings_own() -> None:
    breakdown = breakdown_of(traced(lambda model: flat_copy(model, torch.float32))[0])
    assert breakdown.weight_casts == 0
    assert breakdown.saved == breakdown.weights


def test_what_cudnn_compacts_at_each_call_is_of_weight_casts_and_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The mark of the test in place of cuDNN's operator, within which torch copies."""
    monkeypatch.setattr(timeline_module, "FUSED_OPS", frozenset({"cudnn"}))

    def forward(model: torch.nn.Module) -> torch.Tensor:
        with torch.profiler.record_function("cudnn"):
            return flat_copy(model, torch.float32)

    trace, timeline, watched = traced(forward)
    breakdown = breakdown_of(trace)
    assert breakdown.weight_casts == breakdown.weights
    assert timeline.warnings(watched, "fused") == [COMPACTED]


@pytest.mark.parametrize(
    ("device_type", "impl", "ran", "warnings"),
    [
        ("cuda", "fused", {"native"}, [NOT_CUDNN]),
        ("cuda", "fused", {"fused"}, []),
        ("cuda", "native", {"native"}, []),
        ("cuda", None, {"native"}, []),
        ("cpu", "fused", {"native"}, []),
    ],
)
def test_native_where_fused_was_asked_for_is_told_on_a_gpu(
    device_type: str, impl: str | None, ran: set[str], warnings: list[str]
) -> None:
    timeline = Timeline(device_type, implementations=ran)
    assert timeline.warnings(Watched(device_type), impl) == warnings
