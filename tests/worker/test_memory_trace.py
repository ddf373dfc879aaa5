"""What is special on a GPU: the event tree's rule, requested sizes, the allocator's own peaks."""

from __future__ import annotations

import gc
from typing import Any

import pytest
import torch
from torch._C._profiler import _EventType

from rnnprof.analysis.census import Account, AllocatorEvent
from rnnprof.protocol import Task
from rnnprof.records import CENSUS_PARTS
from rnnprof.worker import memory
from rnnprof.worker.cpu import CpuDevice
from rnnprof.worker.devices import AllocatorHistory
from rnnprof.worker.memory import _checked_peaks, _Timeline, _Watched
from rnnprof.worker.passes import Session
from rnnprof.worker.phases import PhaseTracker
from rnnprof.workload import Workload

EVENTS = [AllocatorEvent(1, 10, 512, 512), AllocatorEvent(2, 20, 1024, 1536),
          AllocatorEvent(3, 10, -512, 1024)]  # fmt: skip


def test_each_malloc_gets_the_size_that_was_asked_for() -> None:
    timeline = _Timeline("cuda", events=list(EVENTS))
    trace = timeline.trace(_Watched("cuda"), AllocatorHistory([(10, 500), (20, 1000)], [10]))
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
    timeline = _Timeline("cuda", events=list(EVENTS))
    trace = timeline.trace(_Watched("cuda"), history)
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


@pytest.mark.parametrize("impl", ["fused", "loop"])
def test_no_free_is_lost_to_the_rule_for_cuda(impl: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Real events of real steps; without the mark around the trace the warm-up's frees vanish."""
    monkeypatch.setattr(memory, "profile", ProfileAsOnCuda)
    monkeypatch.setattr(memory, "_checked_peaks", lambda *_: {})
    device = CpuDevice()
    device.trace = NoHistory()  # type: ignore[assignment]
    workload = Workload(impl=impl, input_size=8, hidden_size=8)
    task = Task("memory", workload, batch=3, steps=4)
    gc.collect()  # a worker's template has done so: what is left of imports is not to be freed now
    found = memory.memory_pass(Session(task, device, PhaseTracker(lambda _: None)))
    census = found["census"]
    assert census is not None, found["census_reason"]
    assert sum(getattr(census, part) for part in CENSUS_PARTS) == found["peak_allocated_bytes"]
    assert found["net_bytes_per_step"] == 0


def test_a_peak_that_is_not_the_allocators_own_leaves_no_census() -> None:
    own = {"peak_allocated_bytes": 1536, "peak_reserved_bytes": 4096}
    assert _checked_peaks(Account(1536, None, None), own) == own
    other = _checked_peaks(Account(1024, None, None), own)
    assert other["census"] is None
    assert "1024" in other["census_reason"]
    assert other["peak_allocated_bytes"] == 1536
