"""A memory limit in the user's own process: set while steps run, then restored.

A worker sets its limit once and ends.  This process lives on: after every run, however it ended,
the limit is removed and the heap is as fast as before, and no device is chosen for the process.
"""

from __future__ import annotations

import gc
import resource
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol

import torch

from rnnprof.device.process import memory_sizes
from rnnprof.errors import BadInputError, NoDeviceError
from rnnprof.units import format_bytes
from rnnprof.worker.backends.cpu import CpuLimit, level_with_peak
from rnnprof.worker.backends.disposable_thread import DisposableThread
from rnnprof.worker.backends.heap import Filling, fill_arenas, share_heap, sharp_heap, trim

KEPT_RATIO: Final = 0.03
"""Share of the limit that earlier runs may keep without counting against the next: oneDNN keeps the
code that it compiles for each shape.  More than that is a leak, and counts."""

SLACK_PART: Final = 16
LEAST_SLACK_BYTES: Final = 16 << 20
"""Slack of a rehearsal above the limit: a part of the limit, at least what oneDNN takes to
compile."""

UNSURE_RATIO: Final = 0.01
"""A peak is reported if its uncertainty is at most this share of the limit."""


@dataclass(slots=True)
class Reading:
    """What a run of steps took, known after it has ended.

    Attributes:
        peak_bytes: of what the limit counts; None if unknown.
        allocated_bytes: the part of it that tensors took at their peak; None on the CPU.
        retries: times that the caching allocator emptied its cache to continue; None on the CPU.
    """

    peak_bytes: int | None = None
    allocated_bytes: int | None = None
    retries: int | None = None


class Allowance(Protocol):
    """A limit on what steps may take in this process.

    Attributes:
        kind: ``cpu`` or ``cuda``.
        rehearses: whether a batch near the limit first runs with some slack.
        limit_bytes: in force during a run; without a limit, the memory that there is.
    """

    kind: str
    rehearses: bool

    @property
    def limit_bytes(self) -> int: ...

    def settle(self, limit_bytes: int | None) -> None:
        """Free caches, take the baseline and store the limit for the next runs."""

    def in_force(self, *, slack: bool = False) -> AbstractContextManager[Reading]:
        """Set the limit, and restore the previous one when the run ends, however it ends."""

    def run(self, work: Callable[[], None]) -> None:
        """Run *work*, and wait until the device has finished the submitted work."""

    def charged_bytes(self) -> int | None:
        """Bytes that count against the limit now."""

    def close(self) -> None:
        """Release everything at the end of the search."""

    def clean(self) -> None:
        """Free the caches that the last run left."""


def open_budget(device: str) -> Allowance:
    """The budget of a device: ``cpu``, ``cuda`` (the current GPU) or ``auto``.

    Raises:
        BadInputError: *device* is none of these.
        NoDeviceError: a GPU is requested, and torch has none.
    """
    if device not in ("auto", "cpu", "cuda"):
        raise BadInputError(f"device {device!r}: write auto, cpu or cuda (the current GPU)")
    has_gpu = device != "cpu" and torch.cuda.is_available()
    if device == "cuda" and not has_gpu:
        raise NoDeviceError("device 'cuda': torch sees no GPU: `rnnprof doctor` shows why")
    return CudaBudget() if has_gpu else CpuBudget()


class CpuBudget:
    """RLIMIT_DATA above what this process holds; only the soft limit changes."""

    kind = "cpu"
    rehearses = True

    def __init__(self) -> None:
        self._aside = DisposableThread()
        self._filling = Filling()
        self._spare: list[object] = []
        share_heap()
        self._base = _now(0)

    @property
    def limit_bytes(self) -> int:
        """What steps may take above the baseline."""
        return self._base.limit_bytes

    def settle(self, limit_bytes: int | None) -> None:
        """Take the baseline, after everything that can be freed is freed.

        Raises:
            BadInputError: an existing limit on this process leaves nothing.
        """
        assert limit_bytes is not None
        self._filling.release()
        self._aside.ready()
        self._spare = []
        trim()
        self._spare = fill_arenas(lambda: _now(0).baseline_bytes)
        # in the thread that runs the steps: its heap may be another one
        with sharp_heap():
            self._aside.run(lambda: self._filling.fill(lambda: _now(0).baseline_bytes))
        base = _now(limit_bytes)
        left = _soft_limit(base) - base.baseline_bytes
        if left <= 0:
            raise BadInputError(
                f"this process already holds {format_bytes(base.baseline_bytes)} of data, which is "
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
        """What the process holds now, minus what it has leaked since :meth:`settle`."""
        return min(
            now.baseline_bytes, self._base.baseline_bytes + int(KEPT_RATIO * now.limit_bytes)
        )

    def charged_bytes(self) -> int:
        """Bytes held above the baseline."""
        return self._base.charged_bytes()

    def run(self, work: Callable[[], None]) -> None:
        """Run *work* in the disposable thread."""
        self._aside.run(work)

    def close(self) -> None:
        """Discard the thread, and free the heap's holes."""
        self._aside.close()
        self._filling.release()

    def clean(self) -> None:
        """Collect cycles and return the heap's free pages."""
        trim()


def _now(limit_bytes: int) -> CpuLimit:
    """The process's address space now, in the form of a limit that begins here."""
    sizes = memory_sizes()
    data, size, peak = (sizes.get(name, 0) for name in ("VmData", "VmSize", "VmPeak"))
    return CpuLimit(data, size, peak, limit_bytes)


def _peak_bytes(watch: CpuLimit) -> int | None:
    """The peak above the start of *watch*; None if it did not rise or is unknown.

    The kernel keeps a peak of all mappings, not of those that the limit counts.  Memory that a
    thread's heap takes from its reserved addresses counts without a new mapping, so it is added.
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
    """The limit in the kernel's form; never more than the one in force."""
    wanted = limit.baseline_bytes + limit.limit_bytes
    in_force = resource.getrlimit(resource.RLIMIT_DATA)
    return min([wanted, *(size for size in in_force if size != resource.RLIM_INFINITY)])


@contextmanager
def _level_with_peak() -> Iterator[None]:
    """Keep the address space level with its peak during a run."""
    reserved = level_with_peak()
    try:
        yield
    finally:
        if reserved is not None:
            reserved.close()


class CudaBudget:
    """The caching allocator's fraction of the current GPU, or no limit."""

    kind = "cuda"
    rehearses = False

    def __init__(self, cuda: Any = torch.cuda) -> None:
        self._cuda = cuda
        cuda.init()
        self._fraction: float | None = None
        self.limit_bytes = 0

    def settle(self, limit_bytes: int | None) -> None:
        """Store the limit; without one, *limit_bytes* is what the allocator can reserve.

        Raises:
            BadInputError: the GPU has less free.
        """
        self.clean()
        free, total = self._cuda.mem_get_info()
        mine = free + self._cuda.memory_reserved()
        if limit_bytes is not None and limit_bytes > mine:
            raise BadInputError(
                f"a memory limit of {format_bytes(limit_bytes)} is more than this GPU can give "
                f"now: {format_bytes(mine)} of {format_bytes(total)} are free or this process's"
            )
        self.limit_bytes = min(limit_bytes or mine, int(_fraction(self._cuda) * total))
        # half a byte more: the product of fraction and total must not round below the limit
        self._fraction = None if limit_bytes is None else (self.limit_bytes + 0.5) / total

    @contextmanager
    def in_force(self, *, slack: bool = False) -> Iterator[Reading]:  # noqa: ARG002  # a CPU's
        """Set the fraction, and read the peaks of reserved and allocated bytes."""
        reading = Reading()
        before, retries_before = _fraction(self._cuda), _retries(self._cuda)
        self._cuda.reset_peak_memory_stats()
        try:
            if self._fraction is not None:
                self._cuda.set_per_process_memory_fraction(min(1.0, self._fraction))
            yield reading
        finally:
            with suppress(Exception):  # a context broken by an error stays as it is
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
        """Run *work*; an error of a kernel is raised at the end."""
        work()
        self._cuda.synchronize()

    def close(self) -> None:
        """There is nothing to release."""

    def clean(self) -> None:
        """Collect cycles and empty the allocator's cache."""
        gc.collect()
        with suppress(Exception):  # a broken context: its first error says more
            self._cuda.synchronize()
            self._cuda.empty_cache()


def _fraction(cuda: Any) -> float:
    """The fraction in force; 1 with torch before 2.7, which does not report it."""
    read = getattr(cuda, "get_per_process_memory_fraction", None)
    return 1.0 if read is None else float(read())


def _retries(cuda: Any) -> int:
    """Times that the allocator has emptied its cache since the process began."""
    return int(cuda.memory_stats().get("num_alloc_retries", 0))
