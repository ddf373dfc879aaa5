"""The charged peak, from the kernel's peak of all mappings."""

from __future__ import annotations

import pytest

from rnnprof.worker.backends import cpu

MIB = 1 << 20


class Process:
    """The sizes that the kernel tells: its data, and other mappings."""

    def __init__(self) -> None:
        self.data, self.other, self.peak = 100 * MIB, 900 * MIB, 0

    def moved(self, data: int = 0, other: int = 0) -> None:
        self.data, self.other = self.data + data, self.other + other
        self.peak = max(self.peak, self.data + self.other)

    def sizes(self) -> dict[str, int]:
        return {"VmData": self.data, "VmSize": self.data + self.other, "VmPeak": self.peak}

    def read(self, name: str) -> int:
        return self.sizes().get(name, 0)


@pytest.fixture
def process(monkeypatch: pytest.MonkeyPatch) -> Process:
    found = Process()
    found.moved()
    monkeypatch.setattr(cpu, "memory_bytes", found.read)
    monkeypatch.setattr(cpu, "memory_sizes", found.sizes)
    return found


@pytest.fixture
def limit(process: Process) -> cpu.CpuLimit:
    return cpu.CpuLimit(process.data, process.read("VmSize"), process.peak, 64 * MIB)


def trained(process: Process, limit: cpu.CpuLimit, other: int = 0) -> int | None:
    """A training step that takes 20 MiB for a while, and maps *other*; the peak after it."""
    process.moved(20 * MIB)
    process.moved(-19 * MIB, other)
    return limit.stepped(1)[1]


def test_libraries_that_a_script_loads_first_are_subtracted(
    process: Process, limit: cpu.CpuLimit
) -> None:
    process.moved(5 * MIB, 30 * MIB)
    limit.training_begins()
    assert trained(process, limit) == 25 * MIB
    assert limit.peaks()["peak_charged_bytes"] == 25 * MIB


def test_a_peak_from_before_the_training_may_be_from_before_the_libraries(
    process: Process, limit: cpu.CpuLimit
) -> None:
    process.moved(50 * MIB)
    process.moved(-45 * MIB, 2 * MIB)
    limit.training_begins()
    assert trained(process, limit) is None
    said = "2.00 MiB that the limit does not count was mapped"
    assert limit.peaks()["peak_charged_reason"] == said


@pytest.mark.parametrize(("other", "peak"), [(4096, 20 * MIB), (MIB, None), (-MIB, None)])
def test_a_little_that_comes_and_goes_is_let_pass(
    process: Process, limit: cpu.CpuLimit, other: int, peak: int | None
) -> None:
    assert trained(process, limit, other) == peak


def test_what_was_mapped_between_two_readings_shows_above_the_limit(
    process: Process, limit: cpu.CpuLimit
) -> None:
    process.moved(other=300 * MIB)
    process.moved(other=-300 * MIB)
    assert limit.stepped(1)[1] is None
    said = "236 MiB that the limit does not count was mapped"
    assert limit.peaks()["peak_charged_reason"] == said
