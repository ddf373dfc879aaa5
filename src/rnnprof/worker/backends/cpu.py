"""The CPU as a device: threads, heap, baseline, and a limit that the operating system enforces.

The limit is RLIMIT_DATA: the kernel refuses private writable address space beyond it, so an
out-of-memory error comes from the operating system, as in training.
"""

from __future__ import annotations

import itertools
import mmap
import resource
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

import torch

from rnnprof.device.process import (
    ConditionsMeter,
    available_bytes,
    check_memory_known,
    memory_bytes,
    memory_sizes,
    reset_peak_rss,
)
from rnnprof.units import format_bytes
from rnnprof.worker.backends.base import TimedBlock, run_steps
from rnnprof.worker.backends.heap import Filling, fill_arenas, steady_heap, trim

LEFT_BYTES: Final = 128 << 20
"""Available memory left to other processes: the system kills before the last page is taken."""


OTHER_RATIO: Final = 0.01
"""Share of a peak that may be mappings which came and went, as a data loader's shared batches do:
the peak is then too large by less than this."""


@dataclass(slots=True)
class CpuLimit:
    """The address-space budget of a fit pass.

    Attributes:
        baseline_bytes: VmData when the budget was set: threads, libraries, heap.
        address_space_bytes: VmSize then; its later peak gives the peak use of the budget.
        earlier_peak_bytes: VmPeak then, which the kernel never resets.
        resident_bytes: VmRSS then.
        peak_resident_reason: why VmHWM says nothing about the time since, if so.
        other_bytes: sizes of uncounted mappings, when the limit was set and at each reading since.
        start_peak_bytes: VmPeak when a script's training began.
        free_bytes: what the machine had free, if that is less than the limit.
        data_bytes: RLIMIT_DATA as it was set.
        level, spare: keep VmSize at the earlier peak, and room for Python's objects.
    """

    baseline_bytes: int
    address_space_bytes: int
    earlier_peak_bytes: int
    limit_bytes: int
    resident_bytes: int | None = None
    peak_resident_reason: str | None = None
    level: mmap.mmap | None = None
    spare: list[object] = field(default_factory=list)
    free_bytes: int | None = None
    other_bytes: list[int] = field(default_factory=lambda: [0])
    start_peak_bytes: int | None = None
    data_bytes: int | None = None

    def is_in_force(self) -> bool:
        """Whether RLIMIT_DATA is what it was set to."""
        return self.data_bytes in (None, resource.getrlimit(resource.RLIMIT_DATA)[0])

    def baseline(self) -> dict[str, Any]:
        """Return findings of a fit before its first step."""
        return {"baseline_bytes": self.baseline_bytes, "context_bytes": self.resident_bytes}

    def training_begins(self) -> None:
        """What a script has mapped by now stays: it loads its libraries before it trains."""
        self.start_peak_bytes = memory_bytes("VmPeak") or 0
        self.other_bytes = [0, self._other_bytes()]

    def stepped(self, number: int) -> tuple[int | None, int | None]:  # noqa: ARG002  # a GPU's
        """Charged bytes at the end of a training step, and their peak so far."""
        self.other_bytes.append(self._other_bytes())
        return self.charged_bytes(), self.peak_charged_bytes()[0]

    def peaks(self) -> dict[str, Any]:
        """Return findings of a fit after its last step."""
        peak, reason = self.peak_charged_bytes()
        refused = self.peak_resident_reason
        return {
            "peak_charged_bytes": peak,
            "peak_charged_reason": reason,
            "peak_process_bytes": memory_bytes("VmHWM") if refused is None else None,
            "peak_process_reason": refused,
        }

    def has_thrashed(self) -> bool:
        """Always False: there is no cache to empty."""
        return False

    def charged_bytes(self) -> int:
        """What the limit counts now, above the baseline."""
        return max(0, (memory_bytes("VmData") or 0) - self.baseline_bytes)

    def peak_charged_bytes(self) -> tuple[int | None, str | None]:
        """The charged peak in bytes, or None and the reason.

        The kernel only keeps a peak of all mappings.  While a pass maps only private writable
        memory, both grow by the same amount; this is checked at the end of each training step and
        here.  Other mappings are subtracted as far as they were there at every reading; where more
        than a little of them comes and goes, as batches that a data loader's workers share do, the
        peak is not known.
        """
        peak = memory_bytes("VmPeak") or 0
        if peak <= self.earlier_peak_bytes:
            above = format_bytes(self.earlier_peak_bytes - self.address_space_bytes)
            return None, f"not above the warm-up's own peak of {above}"
        others = [*self.other_bytes, self._other_bytes()]
        if self.start_peak_bytes is not None and peak > self.start_peak_bytes:
            others = others[1:]  # the peak is of the training
        least, spread = min(others), max(others) - min(others)
        grown = peak - self.address_space_bytes - least
        if spread > OTHER_RATIO * grown or grown > self.limit_bytes + spread:
            other = spread or grown - self.limit_bytes
            return None, f"{format_bytes(other)} that the limit does not count was mapped"
        return min(grown, self.limit_bytes), None

    def _other_bytes(self) -> int:
        """Growth of the address space that the limit does not count."""
        now = memory_sizes()
        grown = now.get("VmSize", 0) - self.address_space_bytes
        return grown - (now.get("VmData", 0) - self.baseline_bytes)


def start_threads() -> None:
    """Run one parallel region, so that the thread pools' stacks are mapped before a baseline."""
    torch.ones(1 << 20).add_(1.0)


def guard(guard_bytes: int | None) -> None:
    """Bound the address space for a pass without a limit, to protect the machine."""
    if guard_bytes is not None:
        _set_data_limit((memory_bytes("VmData") or 0) + guard_bytes)


def set_limit(limit_bytes: int) -> CpuLimit:
    """Take the baseline and set the budget above it.

    If the machine no longer has that much, the budget is what it has: what fits in less also fits
    the limit, and what does not fit is not shown to need more than the limit.
    """
    check_memory_known()
    available = available_bytes()
    free = None if available >= limit_bytes else max(0, available - LEFT_BYTES)
    refused = reset_peak_rss()
    level = level_with_peak()
    now = memory_sizes()
    limit = CpuLimit(
        now.get("VmData", 0),
        now.get("VmSize", 0),
        now.get("VmPeak", 0),
        limit_bytes,
        now.get("VmRSS"),
        refused,
        level,
        free_bytes=free,
    )
    _set_data_limit(limit.baseline_bytes + (limit_bytes if free is None else free))
    limit.data_bytes = resource.getrlimit(resource.RLIMIT_DATA)[0]
    return limit


def level_with_peak() -> mmap.mmap | None:
    """Reserve addresses up to the kernel's peak, so that a lower peak becomes visible.

    VmPeak cannot be reset, but a mapping without access raises VmSize to it.  RLIMIT_DATA does not
    count the mapping, and it takes no memory.  None if nothing is missing or the mapping fails.
    """
    now = memory_sizes()
    missing = now.get("VmPeak", 0) - now.get("VmSize", 0)
    if missing > 0:
        with suppress(OSError, ValueError):  # then the peak of a small run is not known
            flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | getattr(mmap, "MAP_NORESERVE", 0)
            return mmap.mmap(-1, missing, flags=flags, prot=0)
    return None


def lift_limit() -> None:
    """Remove the budget, so that an out-of-memory error can be described."""
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (hard, hard))


def _set_data_limit(size_bytes: int) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    if hard != resource.RLIM_INFINITY:
        size_bytes = min(size_bytes, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (size_bytes, hard))


def _charged_bytes() -> int:
    return memory_bytes("VmData") or 0


class CpuDevice:
    """The processors of this machine, as a device."""

    torch_device = torch.device("cpu")
    trace = None
    least_fit_steps = 1
    warms_up_to_fit = True

    def facts(self) -> dict[str, Any]:
        """Facts of the CPU that identify a run."""
        mkldnn = torch.backends.mkldnn
        return {
            "device": "cpu",
            "threads": torch.get_num_threads(),
            "interop_threads": torch.get_num_interop_threads(),
            "onednn": bool(mkldnn.is_available() and mkldnn.enabled),  # type: ignore[no-untyped-call]
            "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        }

    def survey(self) -> dict[str, Any]:
        """Return nothing: the CPU has no context."""
        return {}

    def ready(self, guard_bytes: int | None) -> None:
        """Bound what a pass without a limit may take, and start the thread pools."""
        guard(guard_bytes)
        start_threads()

    def ready_for_fit(self, guard_bytes: int | None) -> None:
        """The same, with a heap that returns freed memory at once."""
        guard(guard_bytes)
        steady_heap()
        start_threads()

    def held_bytes(self) -> tuple[int, int]:
        """The private writable address space, twice: no allocator keeps a cache."""
        trim()
        return _charged_bytes(), _charged_bytes()

    def set_limit(self, limit_bytes: int) -> CpuLimit:
        """Free caches, fill the heap's holes, take the baseline and set the limit."""
        trim()
        spare = fill_arenas(_charged_bytes)
        Filling().fill(_charged_bytes)  # for as long as this worker lives
        limit = set_limit(limit_bytes)
        limit.spare = spare
        return limit

    def lift_limit(self) -> None:
        """Remove the limit."""
        lift_limit()

    def meter(self) -> ConditionsMeter:
        """Start to record the conditions."""
        return ConditionsMeter.start()

    def synchronize(self) -> None:
        """Do nothing: the CPU computes synchronously."""

    def begin_block(self, count: int, clock: Callable[[], float] = time.perf_counter) -> CpuBlock:
        """Begin to time steps by the host's clock."""
        return CpuBlock(count, clock)

    def run_block(self, step: Callable[[], Any], count: int) -> TimedBlock:
        """Run *count* steps back to back and time each by the host's clock."""
        return run_steps(self.begin_block(count), step, count)


class CpuBlock:
    """A block of steps, timed by the host's clock."""

    __slots__ = ("_boundaries", "_clock")

    def __init__(self, count: int, clock: Callable[[], float]) -> None:  # noqa: ARG002  # a GPU's
        self._clock = clock
        self._boundaries = [clock()]

    def mark(self) -> None:
        """A step has ended."""
        self._boundaries.append(self._clock())

    def end(self, last: Any) -> TimedBlock:
        """The durations between the marks."""
        samples = [end - start for start, end in itertools.pairwise(self._boundaries)]
        return TimedBlock(samples, [], None, last)
