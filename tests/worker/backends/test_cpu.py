"""The limit on the CPU: what it reads of the process."""

from __future__ import annotations

import itertools

from rnnprof.worker.backends import budget, cpu

MIB = 1 << 20


def moving_heap(monkeypatch, module) -> None:
    """Each reading of the status file finds a heap that has grown meanwhile."""
    moments = itertools.count()

    def sizes():
        heap = next(moments) * 8192
        size = 500 * MIB + heap
        return {"VmSize": size, "VmPeak": size, "VmData": 200 * MIB + heap, "VmRSS": 1}

    monkeypatch.setattr(module, "memory_sizes", sizes)
    monkeypatch.setattr(cpu, "memory_bytes", lambda name: sizes().get(name))


def test_a_heap_that_moves_between_readings_is_not_taken_for_other_memory(monkeypatch):
    moving_heap(monkeypatch, cpu)
    monkeypatch.setattr(cpu, "_set_data_limit", lambda _: None)
    monkeypatch.setattr(cpu, "level_with_peak", lambda: None)
    monkeypatch.setattr(cpu, "reset_peak_rss", lambda: None)
    limit = cpu.set_limit(64 * MIB)
    assert limit.address_space_bytes - limit.baseline_bytes == 300 * MIB
    for step in (1, 2, 3):
        _, peak = limit.stepped(step)
        assert peak is not None
    assert limit.peaks()["peak_charged_reason"] is None


def test_a_budget_in_this_process_reads_one_moment_too(monkeypatch):
    moving_heap(monkeypatch, budget)
    now = budget._now(64 * MIB)
    assert now.address_space_bytes - now.baseline_bytes == 300 * MIB
