"""The interface between passes and devices; CPU and CUDA implement it in their own modules."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from rnnprof.errors import RnnprofError
from rnnprof.units import format_bytes

if TYPE_CHECKING:
    import torch

    from rnnprof.runfile.observations import Conditions


class MachineShortError(RnnprofError):
    """Other processes took the memory that the limit promised: the point is not out of memory."""

    @classmethod
    def of(cls, batch: int, free_bytes: int, limit_bytes: int) -> MachineShortError:
        """A pass that failed below its limit, with *free_bytes* free when it began."""
        return cls(
            f"B={batch} needs more than the {format_bytes(free_bytes)} that are free here, and the "
            f"limit is {format_bytes(limit_bytes)}: other processes have taken memory since the "
            "run began"
        )

    @classmethod
    def foreseen(cls, batch: int, predicted_bytes: int, limit: Limit) -> MachineShortError:
        """A pass that is not run, since it needs more than other processes have left free."""
        free_bytes = limit.free_bytes or 0
        return cls(
            f"B={batch} was not run: {format_bytes(predicted_bytes)} are predicted, "
            f"{format_bytes(free_bytes)} are free here, and the limit is "
            f"{format_bytes(limit.limit_bytes)}: other processes have taken memory since the run "
            "began"
        )


class Meter(Protocol):
    """The machine's counters at the start of a pass."""

    def read(self) -> Conditions:
        """Return the conditions since the start."""


class Limit(Protocol):
    """A memory limit in force."""

    @property
    def limit_bytes(self) -> int: ...

    @property
    def free_bytes(self) -> int | None:
        """What the machine had free when the limit was set, if that is less; else None."""

    def is_in_force(self) -> bool:
        """Whether it is still what it was set to: a script can set limits of its own."""

    def baseline(self) -> dict[str, Any]:
        """Return findings of a fit: baseline_bytes and context_bytes."""

    def training_begins(self) -> None:
        """A script comes to its first training step."""

    def stepped(self, number: int) -> tuple[int | None, int | None]:
        """After training step *number*, from 1: live bytes, and the charged peak so far."""

    def has_thrashed(self) -> bool:
        """Whether the allocator has emptied its cache to continue, after the first steps."""

    def charged_bytes(self) -> int | None:
        """Bytes that count against the limit now."""

    def peaks(self) -> dict[str, Any]:
        """Return findings of a fit: the peaks since the limit was set, and their reasons."""


@dataclass(frozen=True, slots=True)
class TimedBlock:
    """Steps that ran back to back.

    Attributes:
        samples_s: one duration per step, boundary to boundary.
        enqueue_s: the host's time to submit each step; empty where the host computes.
        wait_s: time to wait for the device after the last submission; None where the host computes.
        last: what the last step returned.
    """

    samples_s: list[float]
    enqueue_s: list[float]
    wait_s: float | None
    last: Any


class BlockRecorder(Protocol):
    """A block of steps that is being timed, from the moment it was made."""

    def mark(self) -> None:
        """A step has ended."""

    def end(self, last: Any) -> TimedBlock:
        """Wait for the device and return the durations; *last* is what the last step returned."""


def run_steps(block: BlockRecorder, step: Callable[[], Any], count: int) -> TimedBlock:
    """Run *count* steps back to back in a block."""
    last = None
    for _ in range(count):
        last = step()
        block.mark()
    return block.end(last)


@dataclass(frozen=True, slots=True)
class AllocatorHistory:
    """What an allocator has done, in its own order.

    Attributes:
        requests: address and requested bytes of each allocation.
        frees: address of each freed block.
    """

    requests: list[tuple[int, int]]
    frees: list[int]


class AllocatorTrace(Protocol):
    """An allocator's own records, in addition to the profiler's events."""

    def begin(self) -> None:
        """Record every allocation from here on, with its requested size."""

    def live_addresses(self) -> frozenset[int]:
        """The addresses of the blocks that are allocated now."""

    def history(self) -> AllocatorHistory:
        """Every allocation and free since :meth:`begin`."""

    def peaks(self) -> dict[str, int]:
        """The allocator's own peak_allocated_bytes and peak_reserved_bytes."""

    def end(self) -> None:
        """Record no more, so that later steps run without it."""


class Device(Protocol):
    """Where a workload runs.

    Attributes:
        least_fit_steps: minimum training steps of a fit pass, for complete findings.
        warms_up_to_fit: whether tiny steps run before a fit pass's baseline, which then includes
            what they load.  If not, no part of the workload runs before the pass in its process.
        trace: None where the profiler's events are the only source.
    """

    least_fit_steps: int
    warms_up_to_fit: bool

    @property
    def torch_device(self) -> torch.device: ...

    @property
    def trace(self) -> AllocatorTrace | None: ...

    def facts(self) -> dict[str, Any]:
        """Facts of the device that identify a run."""

    def survey(self) -> dict[str, Any]:
        """What the context takes and what is free; empty on the CPU, which has no context."""

    def ready(self, guard_bytes: int | None) -> None:
        """Prepare the device for a pass, which may take at most *guard_bytes* on the CPU."""

    def ready_for_fit(self, guard_bytes: int | None) -> None:
        """The same for a fit pass, in which memory use must follow the live tensors exactly."""

    def held_bytes(self) -> tuple[int, int]:
        """Allocated and reserved bytes, with an empty cache; on the CPU both are VmData."""

    def set_limit(self, limit_bytes: int) -> Limit:
        """Free caches, take the baseline and set the limit, or less if the machine has less."""

    def lift_limit(self) -> None:
        """Remove the limit, so that an out-of-memory error can be described."""

    def meter(self) -> Meter:
        """Start to record the conditions."""

    def synchronize(self) -> None:
        """Wait until the device has finished the submitted work."""

    def begin_block(self, count: int) -> BlockRecorder:
        """Begin to time *count* steps that run back to back; the first begins now."""

    def run_block(self, step: Callable[[], Any], count: int) -> TimedBlock:
        """Run *count* steps back to back and time each."""
