"""Why a point's time is noisy, its batch is not used, or one of its figures is unknown."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from rnnprof.reasons import Reason
from rnnprof.runfile.points import Point


class Taker(enum.Enum):
    """Who took processor time from a pass."""

    OTHERS = "others"
    HYPERVISOR = "hypervisor"
    QUOTA = "quota"


@dataclass(frozen=True, slots=True)
class ProcessorTaken(Reason):
    """Processor time that the pass did not get.

    Attributes:
        ratio: seconds taken per second of the pass: 1 is one whole processor.
    """

    taker: Taker
    ratio: float


@dataclass(frozen=True, slots=True)
class GpuSlowedDown(Reason):
    """The GPU lowered its own clock.

    Attributes:
        event_reasons: why, by NVML's names.
    """

    event_reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LowClock(Reason):
    """The GPU ran far below its highest clock, and nothing explains it.

    Attributes:
        ratio: share of the highest clock.
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
        seen_batch: sequences that the data had.
    """

    batch: int
    seen_batch: int


@dataclass(frozen=True, slots=True)
class ModulesSawNoMore(Reason):
    """Modules got no more input than at a smaller batch."""

    batch: int
    smaller_batch: int


@dataclass(frozen=True, slots=True)
class MemoryNoMore(Reason):
    """A training step takes no more memory than at a smaller batch."""

    batch: int
    smaller_batch: int


@dataclass(frozen=True, slots=True)
class BatchNotUsed(Reason):
    """A point has no throughput, because its training step does not use the batch."""

    why: Reason


@dataclass(frozen=True, slots=True)
class LengthNotUsed(Reason):
    """Recurrent layers see the same number of time steps at every requested T."""

    time_steps: int
    seen_time_steps: int


@dataclass(frozen=True, slots=True)
class LengthShare(Reason):
    """Recurrent layers see a constant multiple of T, not T itself."""

    time_steps: int
    seen_time_steps: int


@dataclass(frozen=True, slots=True)
class SameData(Reason):
    """Two proofs of a batch drew the same data although their seeds differ."""

    batch: int


@dataclass(frozen=True, slots=True)
class ImpliedBy(Reason):
    """A point was not run, because one with no larger B and T was out of memory."""

    point: Point


@dataclass(frozen=True, slots=True)
class PeakKnownWithout(Reason):
    """No memory pass was run, because others give the point's allocated peak.

    Attributes:
        peak_bytes: the predicted peak.
        error_ratio: half-width of the model's interval, over the peak.
        samples: memory passes in the model.
    """

    peak_bytes: float
    error_ratio: float
    samples: int


@dataclass(frozen=True, slots=True)
class PlaceholderUnused(Reason):
    """A script is given B or T, and its training steps are the same with every value.

    Attributes:
        name: of the placeholder, ``batch`` or ``time_steps``.
        why: what the training steps got.
    """

    name: str
    why: Reason


@dataclass(frozen=True, slots=True)
class HoldsBefore(Reason):
    """What a script holds before its first training step.

    Attributes:
        held_bytes: charged bytes.
        limit_bytes: what training may be charged.
        weight_bytes: parameters and buffers among *held_bytes*; None where unknown.
    """

    held_bytes: int
    limit_bytes: int
    weight_bytes: int | None = None

    @property
    def is_mostly_data(self) -> bool:
        """Whether less than half of it is weights."""
        return 2 * (self.weight_bytes or 0) < self.held_bytes


@dataclass(frozen=True, slots=True)
class StartTakes(Reason):
    """What the starts of a script cost.

    Attributes:
        start_s: from a start to the first training step.
        starts: starts that a sweep still needs; None where unknown.
        most_s: the most seconds that they take, with all training steps: those of larger points at
            the pace of the smallest; None where unknown.
    """

    start_s: float
    starts: int | None = None
    most_s: float | None = None


@dataclass(frozen=True, slots=True)
class ProbesLeft(Reason):
    """What a search on a script is expected to take still, from its first probe.

    Attributes:
        starts: of the script.
        left_s: seconds that they take, with their training steps.
    """

    starts: int
    left_s: float
