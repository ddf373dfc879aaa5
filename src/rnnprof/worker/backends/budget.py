"""A memory limit in a process of the user's own: in force while steps run, then as it was.

A worker sets its limit once and ends.  Here the process lives on: after every run, whatever ended
it, the limit is lifted and the heap is as quick as before, and no device is chosen for the process.
"""

from __future__ import annotations

import gc
import resource
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol

import torch

from rnnprof.device.process import memory_bytes
from rnnprof.errors import BadInputError, NoDeviceError
from rnnprof.units import format_bytes
from rnnprof.worker.backends.aside import Aside
from rnnprof.worker.backends.cpu import CpuLimit, level_with_peak
from rnnprof.worker.backends.heap import Filling, fill_arenas, share_heap, sharp_heap, trim

KEPT_RATIO: Final = 0.03
"""Share of the limit that earlier runs may have left behind without its counting against the next:
oneDNN keeps what it has compiled for each shape.  More than that is a leak, and counts."""

SLACK_PART: Final = 16
LEAST_SLACK_BYTES: Final = 16 << 20
"""Above the limit, of a rehearsal: a part of it, and at least what oneDNN takes to compile."""

UNSURE_RATIO: Final = 0.01
"""Share of the limit that the peak of a run may be uncertain by, and still be told."""


@dataclass(slots=True)
class Reading:
    """What a run of steps took, known once it has ended.

    Attributes:
        peak_bytes: of what the limit counts; None where it is not known.
        allocated_bytes: the part of it that tensors took at their peak; None on the CPU.
        retries: times that the caching allocator emptied its cache to go on; None on the CPU.
    """

    peak_bytes: int | None = None
    allocated_bytes: int | None = None
    retries: int | None = None


class Allowance(Protocol):
    """A limit on what steps may take in this process.

    Attributes:
        kind: ``cpu`` or ``cuda``.
        rehearses: a batch near the limit is run with some slack first.
        limit_bytes: in force during a run, or, without a limit, what there is.
    """

    kind: str
    rehearses: bool

    @property
    def limit_bytes(self) -> int: ...

    def settle(self, limit_bytes: int | None) -> None:
        """Drop what is free, take the baseline and note the limit for the runs to come."""

    def in_force(self, *, slack: bool = False) -> AbstractContextManager[Reading]:
        """Set the limit, and put back what was there when the run ends, however it ends."""

    def run(self, work: Callable[[], None]) -> None:
        """Do *work*, and wait until the device has done what was submitted."""

    def charged_bytes(self) -> int | None:
        """What the limit counts now."""

    def close(self) -> None:
        """The search is over."""

    def clean(self) -> None:
        """Give back what the last run left free."""


def open_budget(device: str) -> Allowance:
    """The budget of a device: ``cpu``, ``cuda`` (the current GPU) or ``auto``.

    Raises:
        BadInputError: it names no such device.
        NoDeviceError: a GPU is asked for, and torch has none.
    """
    if device not in ("auto", "cpu", "cuda"):
        raise BadInputError(f"device {device!r}: write auto, cpu or cuda (the current GPU)")
    has_gpu = device != "cpu" and torch.cuda.is_available()
    if device == "cuda" and not has_gpu:
        raise NoDeviceError("device 'cuda': torch sees no GPU: `rnnprof doctor` tells why")
    return CudaBudget() if has_gpu else CpuBudget()


class CpuBudget:
    """RLIMIT_DATA above what this process holds, by its soft limit alone."""

    kind = "cpu"
    rehearses = True

    def __init__(self) -> None:
        self._aside = Aside()
        self._filling = Filling()
        self._spare: list[object] = []
        share_heap()
        self._base = _now(0)

    @property
    def limit_bytes(self) -> int:
        """What steps may take above the baseline."""
        return self._base.limit_bytes

    def settle(self, limit_bytes: int | None) -> None:
        """The baseline is what the process holds when nothing is left to free.

        Raises:
            BadInputError: a limit that was set on this process already leaves nothing.
        """
        assert limit_bytes is not None
        self._filling.release()
        self._aside.ready()
        self._spare = []
        trim()
        self._spare = fill_arenas(lambda: _now(0).baseline_bytes)
        # by the thread that steps run in: its heap need not be this one's
        with sharp_heap():
            self._aside.run(lambda: self._filling.fill(lambda: _now(0).baseline_bytes))
        base = _now(limit_bytes)
        left = _soft_limit(base) - base.baseline_bytes
        if left <= 0:
            raise BadInputError(
                f"this process holds {format_bytes(base.baseline_bytes)} of data already, which is "
                "all that its RLIMIT_DATA allows: raise it (ulimit -d)"
            )
        self._base = replace(base, limit_bytes=left)

    @contextmanager
    def in_force(self, *, slack: bool = False) -> Iterator[Reading]:
        """Allow the limit above the baseline, and read the peak of the run."""
        reading = Reading()
        self._aside.ready()
        allowed = self.limit_bytes + slack * max(LEAST_SLACK_BYTES, self.limit_bytes // SLACK_PART)
        before = resource.getrlimit(resource.RLIMIT_DATA)
        with sharp_heap(), _level_with_peak():
            watch = _now(allowed)
            base = replace(watch, baseline_bytes=self._baseline_of(watch))
            try:
                resource.setrlimit(resource.RLIMIT_DATA, (_soft_limit(base), before[1]))
                yield reading
            finally:
                resource.setrlimit(resource.RLIMIT_DATA, before)
                leaked = watch.baseline_bytes - base.baseline_bytes
                peak = _peak_bytes(watch)
                reading.peak_bytes = None if peak is None else peak + leaked

    def _baseline_of(self, now: CpuLimit) -> int:
        """What the process holds now, less what it has leaked since the limit was settled."""
        return min(
            now.baseline_bytes, self._base.baseline_bytes + int(KEPT_RATIO * now.limit_bytes)
        )

    def charged_bytes(self) -> int:
        """What is held above the baseline."""
        return self._base.charged_bytes()

    def run(self, work: Callable[[], None]) -> None:
        """Do it in a thread that may be spoilt."""
        self._aside.run(work)

    def close(self) -> None:
        """Give the thread up, and the heap's holes back."""
        self._aside.close()
        self._filling.release()

    def clean(self) -> None:
        """Collect cycles and give the heap's free pages back."""
        trim()


def _now(limit_bytes: int) -> CpuLimit:
    """The process's address space as a limit would begin with it."""
    data, size, peak = (memory_bytes(name) or 0 for name in ("VmData", "VmSize", "VmPeak"))
    return CpuLimit(data, size, peak, limit_bytes)


def _peak_bytes(watch: CpuLimit) -> int | None:
    """The peak above where *watch* began; None where it was not passed or cannot be told.

    The kernel keeps a peak of all mappings, not of those that the limit counts.  What the heap of
    a thread takes of its reserved addresses is counted without being mapped, so it is added.
    """
    now = _now(watch.limit_bytes)
    if now.earlier_peak_bytes <= watch.earlier_peak_bytes:
        return None
    data = now.baseline_bytes - watch.baseline_bytes
    unmapped = data - (now.address_space_bytes - watch.address_space_bytes)
    if abs(unmapped) > UNSURE_RATIO * watch.limit_bytes:
        return None
    return now.earlier_peak_bytes - watch.address_space_bytes + max(0, unmapped)


def _soft_limit(limit: CpuLimit) -> int:
    """The limit as the kernel takes it; never more than is in force already."""
    wanted = limit.baseline_bytes + limit.limit_bytes
    in_force = resource.getrlimit(resource.RLIMIT_DATA)
    return min([wanted, *(size for size in in_force if size != resource.RLIM_INFINITY)])


@contextmanager
def _level_with_peak() -> Iterator[None]:
    """For the time of a run."""
    reserved = level_with_peak()
    try:
        yield
    finally:
        if reserved is not None:
            reserved.close()


class CudaBudget:
    """The caching allocator's fraction of the current GPU, or none."""

    kind = "cuda"
    rehearses = False

    def __init__(self, cuda: Any = torch.cuda) -> None:
        self._cuda = cuda
        cuda.init()
        self._fraction: float | None = None
        self.limit_bytes = 0

    def settle(self, limit_bytes: int | None) -> None:
        """Without a limit, what the allocator could reserve leads.

        Raises:
            BadInputError: the GPU does not have as much free.
        """
        self.clean()
        free, total = self._cuda.mem_get_info()
        mine = free + self._cuda.memory_reserved()
        if limit_bytes is not None and limit_bytes > mine:
            raise BadInputError(
                f"a memory limit of {format_bytes(limit_bytes)} is more than this GPU can give "
                f"now: {format_bytes(mine)} of {format_bytes(total)} are this process's or free"
            )
        self.limit_bytes = min(limit_bytes or mine, int(_fraction(self._cuda) * total))
        # half a byte more, so that the product of fraction and total is not rounded below it
        self._fraction = None if limit_bytes is None else (self.limit_bytes + 0.5) / total

    @contextmanager
    def in_force(self, *, slack: bool = False) -> Iterator[Reading]:  # noqa: ARG002  # a CPU's
        """Set the fraction, and read the peaks that the allocator reserved and gave out."""
        reading = Reading()
        before, retries_before = _fraction(self._cuda), _retries(self._cuda)
        self._cuda.reset_peak_memory_stats()
        try:
            if self._fraction is not None:
                self._cuda.set_per_process_memory_fraction(min(1.0, self._fraction))
            yield reading
        finally:
            with suppress(Exception):  # a context that an error has broken stays as it is
                reading.peak_bytes = int(self._cuda.max_memory_reserved())
                reading.allocated_bytes = int(self._cuda.max_memory_allocated())
                reading.retries = _retries(self._cuda) - retries_before
                if self._fraction is not None:
                    self._cuda.set_per_process_memory_fraction(before)

    def charged_bytes(self) -> int | None:
        """What the allocator has reserved; None where the context is broken."""
        with suppress(Exception):
            return int(self._cuda.memory_reserved())
        return None

    def run(self, work: Callable[[], None]) -> None:
        """Do it; an error of a kernel comes up at the end."""
        work()
        self._cuda.synchronize()

    def close(self) -> None:
        """Nothing is held."""

    def clean(self) -> None:
        """Collect cycles and empty the allocator's cache."""
        gc.collect()
        with suppress(Exception):  # of a broken context, whose own error says more
            self._cuda.synchronize()
            self._cuda.empty_cache()


def _fraction(cuda: Any) -> float:
    """The fraction in force; torch before 2.7 does not tell it."""
    read = getattr(cuda, "get_per_process_memory_fraction", None)
    return 1.0 if read is None else float(read())


def _retries(cuda: Any) -> int:
    """Times that the allocator has emptied its cache since the process began."""
    return int(cuda.memory_stats().get("num_alloc_retries", 0))
