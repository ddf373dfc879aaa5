"""The CPU as a device: threads, heap, baseline, and a limit that the operating system enforces.

The limit is RLIMIT_DATA: the kernel then refuses private writable address space beyond it, so an
out-of-memory is the operating system's own and arrives as it would in training.
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
    memory_bytes,
    reset_peak_rss,
)
from rnnprof.units import format_bytes
from rnnprof.worker.backends.base import TimedBlock
from rnnprof.worker.backends.heap import Filling, fill_arenas, steady_heap, trim

LEFT_BYTES: Final = 128 << 20
"""Of what is available, left to others: the system kills before the last page is taken."""


@dataclass(slots=True)
class CpuLimit:
    """The address-space budget of a fit pass.

    Attributes:
        baseline_bytes: VmData when the budget was set: threads, libraries, heap.
        address_space_bytes: VmSize then; its peak since tells the peak of the budget's use.
        earlier_peak_bytes: VmPeak then, which the kernel never resets.
        resident_bytes: VmRSS then.
        peak_resident_reason: why VmHWM tells nothing of the time since, if it does not.
        other_bytes: the most that was mapped at the end of a training step and is not counted.
        free_bytes: that the machine had left for it, where that is less than the limit.
        level, spare: keep VmSize at the peak of before, and room for Python's objects.
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
    other_bytes: int = 0

    def baseline(self) -> dict[str, Any]:
        """Findings of a fit before its first step."""
        return {"baseline_bytes": self.baseline_bytes, "context_bytes": self.resident_bytes}

    def stepped(self, number: int) -> tuple[int | None, int | None]:  # noqa: ARG002  # a GPU's
        """What the limit counts at the end of a training step, and its peak so far."""
        self.other_bytes = max(self.other_bytes, abs(self._other_bytes()))
        return self.charged_bytes(), self.peak_charged_bytes()[0]

    def peaks(self) -> dict[str, Any]:
        """Findings of a fit after its last step."""
        peak, reason = self.peak_charged_bytes()
        refused = self.peak_resident_reason
        return {
            "peak_charged_bytes": peak,
            "peak_charged_reason": reason,
            "peak_process_bytes": memory_bytes("VmHWM") if refused is None else None,
            "peak_process_reason": refused,
        }

    def has_thrashed(self) -> bool:
        """There is no cache to empty."""
        return False

    def charged_bytes(self) -> int:
        """What the limit counts now, above the baseline."""
        return max(0, (memory_bytes("VmData") or 0) - self.baseline_bytes)

    def peak_charged_bytes(self) -> tuple[int | None, str | None]:
        """The peak of it, or None and why.

        The kernel keeps a peak of all mappings only.  Where nothing but private writable memory is
        mapped while a pass runs, which is checked at the end of each training step and here, the
        growth of the two is the same.  Batches that a data loader's workers share come and go: a
        peak above the limit is theirs too.
        """
        peak = memory_bytes("VmPeak") or 0
        if peak <= self.earlier_peak_bytes:
            above = format_bytes(self.earlier_peak_bytes - self.address_space_bytes)
            return None, f"not above the warm-up's own peak of {above}"
        other = max(self.other_bytes, abs(self._other_bytes()))
        grown = peak - self.address_space_bytes
        if other or grown > self.limit_bytes:
            other = other or grown - self.limit_bytes
            return None, f"{format_bytes(other)} that the limit does not count was mapped"
        return grown, None

    def _other_bytes(self) -> int:
        """Growth of the address space that the limit does not count."""
        grown = (memory_bytes("VmSize") or 0) - self.address_space_bytes
        return grown - ((memory_bytes("VmData") or 0) - self.baseline_bytes)


def start_threads() -> None:
    """Run one parallel region, so that the pools' stacks are mapped before any baseline."""
    torch.ones(1 << 20).add_(1.0)


def guard(guard_bytes: int | None) -> None:
    """Bound the address space for a pass without a limit, so that the machine lives."""
    if guard_bytes is not None:
        _set_data_limit((memory_bytes("VmData") or 0) + guard_bytes)


def set_limit(limit_bytes: int) -> CpuLimit:
    """Take the baseline and set the budget above it.

    Where the machine no longer has that much, what it has is the budget: what fits in less fits,
    and what does not has not been shown to need more than the limit.
    """
    available = available_bytes()
    free = None if available >= limit_bytes else max(0, available - LEFT_BYTES)
    refused = reset_peak_rss()
    level = level_with_peak()
    limit = CpuLimit(
        memory_bytes("VmData") or 0,
        memory_bytes("VmSize") or 0,
        memory_bytes("VmPeak") or 0,
        limit_bytes,
        memory_bytes("VmRSS"),
        refused,
        level,
        free_bytes=free,
    )
    _set_data_limit(limit.baseline_bytes + (limit_bytes if free is None else free))
    return limit


def level_with_peak() -> mmap.mmap | None:
    """Reserve addresses up to the peak that the kernel keeps, so that a lower one shows as well.

    VmPeak cannot be reset, but a mapping without access brings VmSize up to it.  RLIMIT_DATA does
    not count it, and it takes no memory.  None where nothing is missing or it cannot be had.
    """
    missing = (memory_bytes("VmPeak") or 0) - (memory_bytes("VmSize") or 0)
    if missing > 0:
        with suppress(OSError, ValueError):  # then the peak of a small run is not known
            flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | getattr(mmap, "MAP_NORESERVE", 0)
            return mmap.mmap(-1, missing, flags=flags, prot=0)
    return None


def lift_limit() -> None:
    """Take the budget away, so that an out-of-memory can be told in words."""
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
    """The processors of this machine, as the passes ask of them."""

    torch_device = torch.device("cpu")
    trace = None
    least_fit_steps = 1
    warms_up_to_fit = True

    def facts(self) -> dict[str, Any]:
        """What of the CPU belongs to the identity of a run."""
        mkldnn = torch.backends.mkldnn
        return {
            "device": "cpu",
            "threads": torch.get_num_threads(),
            "interop_threads": torch.get_num_interop_threads(),
            "onednn": bool(mkldnn.is_available() and mkldnn.enabled),  # type: ignore[no-untyped-call]
            "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        }

    def survey(self) -> dict[str, Any]:
        """There is no context to tell of."""
        return {}

    def ready(self, guard_bytes: int | None) -> None:
        """Bound what a pass without a limit may take, and start the thread pools."""
        guard(guard_bytes)
        start_threads()

    def ready_for_fit(self, guard_bytes: int | None) -> None:
        """The same, with a heap that gives back at once what is freed."""
        guard(guard_bytes)
        steady_heap()
        start_threads()

    def set_limit(self, limit_bytes: int) -> CpuLimit:
        """Drop what is free, fill what stays so, take the baseline and set the limit."""
        trim()
        spare = fill_arenas(_charged_bytes)
        Filling().fill(_charged_bytes)  # for as long as this worker lives
        limit = set_limit(limit_bytes)
        limit.spare = spare
        return limit

    def lift_limit(self) -> None:
        """Take the limit away."""
        lift_limit()

    def meter(self) -> ConditionsMeter:
        """Begin to watch the conditions."""
        return ConditionsMeter.start()

    def synchronize(self) -> None:
        """Nothing runs behind the host's back."""

    def run_block(
        self,
        step: Callable[[], Any],
        count: int,
        clock: Callable[[], float] = time.perf_counter,
    ) -> TimedBlock:
        """Run *count* steps back to back and time each by the host's clock."""
        last = None
        boundaries = [clock()]
        for _ in range(count):
            last = step()
            boundaries.append(clock())
        samples = [end - start for start, end in itertools.pairwise(boundaries)]
        return TimedBlock(samples, [], None, last)
