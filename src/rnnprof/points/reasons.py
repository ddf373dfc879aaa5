"""Why a point's time is noisy, its batch not used, or a figure of it not known."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from rnnprof.reasons import Reason
from rnnprof.runfile.points import Point


class Taker(enum.Enum):
    """Who took processor time from a pass."""

    OTHERS = "other processes"
    HYPERVISOR = "the hypervisor"
    QUOTA = "the cgroup's quota"


@dataclass(frozen=True, slots=True)
class ProcessorTaken(Reason):
    """Processor time that the pass did not get.

    Attributes:
        ratio: seconds taken over the pass's wall time: 1 is one whole processor.
    """

    taker: Taker
    ratio: float


@dataclass(frozen=True, slots=True)
class GpuSlowedDown(Reason):
    """The GPU lowered its own clock.

    Attributes:
        event_reasons: by NVML's names.
    """

    event_reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LowClock(Reason):
    """The GPU ran far below its highest clock, and nothing explains it.

    Attributes:
        ratio: of the highest clock.
    """

    clock_mhz: int
    ratio: float


@dataclass(frozen=True, slots=True)
class OthersTookMemory(Reason):
    """Device memory that other processes took during the pass."""

    size_bytes: int


@dataclass(frozen=True, slots=True)
class DataGave(Reason):
    """Recurrent layers saw fewer sequences than requested.

    Attributes:
        batch: requested.
        seen_batch: sequences that the data gave.
    """

    batch: int
    seen_batch: int


@dataclass(frozen=True, slots=True)
class ModulesSawNoMore(Reason):
    """Modules were called with no more than at a smaller batch."""

    batch: int
    smaller_batch: int


@dataclass(frozen=True, slots=True)
class MemoryNoMore(Reason):
    """A training step takes no more memory than at a smaller batch."""

    batch: int
    smaller_batch: int


@dataclass(frozen=True, slots=True)
class BatchNotUsed(Reason):
    """A point has no throughput, since its training step does not use the batch."""

    why: Reason


@dataclass(frozen=True, slots=True)
class LengthNotUsed(Reason):
    """Recurrent layers see as many time steps whatever T is requested."""

    time_steps: int
    seen_time_steps: int


@dataclass(frozen=True, slots=True)
class LengthShare(Reason):
    """Recurrent layers see another number of time steps than T, in proportion to it."""

    time_steps: int
    seen_time_steps: int


@dataclass(frozen=True, slots=True)
class SameData(Reason):
    """Two proofs of a batch drew the same data, though their seeds differ."""

    batch: int


@dataclass(frozen=True, slots=True)
class ImpliedBy(Reason):
    """A point was not run, since one with no more of B and T was out of memory."""

    point: Point


@dataclass(frozen=True, slots=True)
class PeakKnownWithout(Reason):
    """No memory pass was run, since others give the point's allocated peak.

    Attributes:
        error_ratio: half-width of the interval that the memory model gives.
        samples: memory passes that it rests on.
    """

    peak_bytes: float
    error_ratio: float
    samples: int
