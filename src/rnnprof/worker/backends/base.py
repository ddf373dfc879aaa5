"""What the passes ask of a device; the CPU and CUDA answer it each in a module of its own."""

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
    """Others have taken the memory that the limit promised: no out-of-memory of the point."""

    @classmethod
    def of(cls, batch: int, free_bytes: int, limit_bytes: int) -> MachineShortError:
        """A pass that failed below its limit while so much was free at its beginning."""
        return cls(
            f"B={batch} needs more than the {format_bytes(free_bytes)} that are free here, and the "
            f"limit is {format_bytes(limit_bytes)}: others have taken memory since the run began"
        )

    @classmethod
    def foreseen(cls, batch: int, predicted_bytes: int, limit: Limit) -> MachineShortError:
        """A pass that is not run, since it needs more than is free by what others have taken."""
        free_bytes = limit.free_bytes or 0
        return cls(
            f"B={batch} was not run: {format_bytes(predicted_bytes)} are predicted, "
            f"{format_bytes(free_bytes)} are free here, and the limit is "
            f"{format_bytes(limit.limit_bytes)}: others have taken memory since the run began"
        )


class Meter(Protocol):
    """The machine's counters as a pass began."""

    def read(self) -> Conditions:
        """The conditions since then."""


class Limit(Protocol):
    """A memory limit in force."""

    @property
    def limit_bytes(self) -> int: ...

    @property
    def free_bytes(self) -> int | None:
        """What the machine had left when the limit was set, where that is less; else None."""

    def baseline(self) -> dict[str, Any]:
        """Findings of a fit: baseline_bytes and context_bytes."""

    def stepped(self, number: int) -> tuple[int | None, int | None]:
        """Training step *number*, from 1, has passed: live bytes, and the charged peak so far."""

    def has_thrashed(self) -> bool:
        """Whether the allocator has emptied its cache to go on, since the first steps."""

    def charged_bytes(self) -> int | None:
        """What the limit counts now."""

    def peaks(self) -> dict[str, Any]:
        """Findings of a fit: the peaks since the limit was set, and their reasons."""


@dataclass(frozen=True, slots=True)
class TimedBlock:
    """Steps that ran back to back.

    Attributes:
        samples_s: one duration a step, boundary to boundary.
        enqueue_s: the host's time to submit each; empty where the host computes.
        wait_s: for the device, after the last was submitted; None where the host computes.
        last: what the last step returned.
    """

    samples_s: list[float]
    enqueue_s: list[float]
    wait_s: float | None
    last: Any


@dataclass(frozen=True, slots=True)
class AllocatorHistory:
    """What an allocator has done, in its own order.

    Attributes:
        requests: address and requested bytes of each allocation.
        frees: address of each block that was given back.
    """

    requests: list[tuple[int, int]]
    frees: list[int]


class AllocatorTrace(Protocol):
    """What an allocator tells beside the profiler's events."""

    def begin(self) -> None:
        """From here on every allocation is kept, with the size that was asked for."""

    def live_addresses(self) -> frozenset[int]:
        """The addresses of the blocks that are allocated now."""

    def history(self) -> AllocatorHistory:
        """Every allocation and free since the beginning."""

    def peaks(self) -> dict[str, int]:
        """The allocator's own peak_allocated_bytes and peak_reserved_bytes."""


class Device(Protocol):
    """Where a workload runs.

    Attributes:
        least_fit_steps: training steps of a fit pass, at least, for its findings to be whole.
        warms_up_to_fit: tiny steps go before a fit pass's baseline, which rests on what they load.
            Where it is False, nothing of the workload precedes it in its process.
        trace: None where the profiler's events are all there is.
    """

    least_fit_steps: int
    warms_up_to_fit: bool

    @property
    def torch_device(self) -> torch.device: ...

    @property
    def trace(self) -> AllocatorTrace | None: ...

    def facts(self) -> dict[str, Any]:
        """What of the device belongs to the identity of a run."""

    def survey(self) -> dict[str, Any]:
        """What the context takes and what is free; nothing on the CPU, which has no context."""

    def ready(self, guard_bytes: int | None) -> None:
        """Make it ready for a pass; on the CPU with no more than *guard_bytes* to take."""

    def ready_for_fit(self, guard_bytes: int | None) -> None:
        """The same for a pass whose memory use must follow the live tensors sharply."""

    def set_limit(self, limit_bytes: int) -> Limit:
        """Drop what is free, take the baseline and set the limit, or what there is below it."""

    def lift_limit(self) -> None:
        """Take the limit away, so that an out-of-memory can be told in words."""

    def meter(self) -> Meter:
        """Begin to watch the conditions."""

    def synchronize(self) -> None:
        """Wait until the device has done what was submitted."""

    def run_block(self, step: Callable[[], Any], count: int) -> TimedBlock:
        """Run *count* steps back to back and time each."""
