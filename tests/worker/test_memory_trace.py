"""What a card's allocator adds to the profiler's events: requested sizes, its own peaks."""

from __future__ import annotations

from rnnprof.analysis.census import Account, AllocatorEvent
from rnnprof.worker.memory import _checked_peaks, _Timeline, _Watched

EVENTS = [AllocatorEvent(1, 10, 512, 512), AllocatorEvent(2, 20, 1024, 1536),
          AllocatorEvent(3, 10, -512, 1024)]  # fmt: skip


def test_each_malloc_gets_the_size_that_was_asked_for() -> None:
    timeline = _Timeline("cuda", events=list(EVENTS))
    trace = timeline.trace(_Watched("cuda"), [(10, 500), (20, 1000)])
    assert [event.requested_bytes for event in trace.events] == [500, 1000, None]
    assert timeline.problem is None


def test_a_history_of_another_order_is_a_problem_and_no_size_is_guessed() -> None:
    for requests in ([(20, 1000), (10, 500)], [(10, 500)]):
        timeline = _Timeline("cuda", events=list(EVENTS))
        trace = timeline.trace(_Watched("cuda"), requests)
        assert {event.requested_bytes for event in trace.events} == {None}
        assert "or in another order" in (timeline.problem or "")


def test_a_peak_that_is_not_the_allocators_own_leaves_no_census() -> None:
    own = {"peak_allocated_bytes": 1536, "peak_reserved_bytes": 4096}
    assert _checked_peaks(Account(1536, None, None), own) == own
    other = _checked_peaks(Account(1024, None, None), own)
    assert other["census"] is None
    assert "1024" in other["census_reason"]
    assert other["peak_allocated_bytes"] == 1536
