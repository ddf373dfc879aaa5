"""Why a batch is recommended, or why none is, and what else to know."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from rnnprof.reasons import Reason
from rnnprof.runfile.points import Point


@dataclass(frozen=True, slots=True)
class OnlyTimed(Reason):
    """The only batch timed at a T that will do."""

    time_steps_per_s: float


@dataclass(frozen=True, slots=True)
class BestRate(Reason):
    """The batch with the highest throughput at a T."""

    time_steps_per_s: float


@dataclass(frozen=True, slots=True)
class NearBest(Reason):
    """The smallest batch near the best throughput at a T.

    Attributes:
        best_per_s: time steps/s of *best_batch*, the fastest.
        near_ratio: how much less counts as near.
    """

    time_steps_per_s: float
    best_per_s: float
    best_batch: int
    near_ratio: float


@dataclass(frozen=True, slots=True)
class NoisyTime(Reason):
    """The recommended batch was timed while something else used the machine."""

    noise: Reason


@dataclass(frozen=True, slots=True)
class TakesMemory(Reason):
    """What the recommended batch takes of the limit."""

    peak_bytes: int
    limit_bytes: int


@dataclass(frozen=True, slots=True)
class Undecided(Reason):
    """Times do not decide which batch is the smallest near the best.

    Attributes:
        tied: the batches among which they do not decide.
        near_ratio: how much less than the best counts as near.
        noisy_batch: whose time is noisy; None for none.
        drift_ratio: of the machine's speed, where that hides it; None where it does not.
        precision_ratio: to which the times are known; None where one has no interval.
    """

    tied: tuple[int, ...]
    near_ratio: float
    noisy_batch: int | None = None
    drift_ratio: float | None = None
    precision_ratio: float | None = None


@dataclass(frozen=True, slots=True)
class SpeedUnknown(Reason):
    """A simulated GPU runs no kernel: memory is known, speed is not."""


@dataclass(frozen=True, slots=True)
class Unfinished(Reason):
    """The run was stopped before its end."""


@dataclass(frozen=True, slots=True)
class NoPoint(Reason):
    """No point was timed that fits with headroom, at any T."""


@dataclass(frozen=True, slots=True)
class NoPointHere(Reason):
    """No point was timed that fits with headroom, at this T."""


@dataclass(frozen=True, slots=True)
class NotStationary(Reason):
    """The training step at a T leaves memory behind."""

    time_steps: int
    why: Reason | None


@dataclass(frozen=True, slots=True)
class PointNotUsed(Reason):
    """A point has no throughput, since its batch is not used."""

    point: Point
    why: Reason


@dataclass(frozen=True, slots=True)
class FasterLength(Reason):
    """Another T trains faster than the longest, beyond the intervals, and what it costs.

    Attributes:
        gain_ratio: more time steps/s; 0.1 is 10%.
    """

    point: Point
    longest: Point
    gain_ratio: float


@dataclass(frozen=True, slots=True)
class AlsoByGoodput(Reason):
    """The recommended batch is the best by goodput too."""

    time_steps: int


@dataclass(frozen=True, slots=True)
class OtherByGoodput(Reason):
    """Another batch is better by goodput."""

    time_steps: int
    batch: int


class Lack(enum.Enum):
    """What a batch was left out for."""

    HEADROOM = "headroom"
    MEMORY_UNKNOWN = "memory unknown"
    THRASHING = "thrashing"


@dataclass(frozen=True, slots=True)
class LeftOut(Reason):
    """The fastest batch was left out because of its memory.

    Attributes:
        is_faster: than another that was not left out.
        headroom_ratio: share of the limit that a batch has to leave.
    """

    batch: int
    time_steps_per_s: float
    lack: Lack
    headroom_ratio: float
    is_faster: bool


@dataclass(frozen=True, slots=True)
class FitsAtOnce(Reason):
    """The effective batch that is requested fits without accumulation."""

    effective_batch: int


@dataclass(frozen=True, slots=True)
class Accumulates(Reason):
    """How many steps of accumulation make the effective batch.

    Attributes:
        exact_steps, exact_batch: that make it exactly.
        fewest_steps, nearest_batch: the fewest that come near; None where those are the fewest.
    """

    effective_batch: int
    exact_steps: int
    exact_batch: int
    fewest_steps: int | None = None
    nearest_batch: int | None = None


@dataclass(frozen=True, slots=True)
class PredictedBatch:
    """What would be the largest batch at a T.

    Attributes:
        batch: None where none would fit.
        is_exact: it is known to fit, and larger ones may.
    """

    time_steps: int
    batch: int | None
    is_exact: bool = False


@dataclass(frozen=True, slots=True)
class UnderLimit(Reason):
    """What would fit under a smaller limit, predicted."""

    limit_bytes: float
    batches: tuple[PredictedBatch, ...]


@dataclass(frozen=True, slots=True)
class NotStudied(Reason):
    """What speed and memory alone do not tell of the recommended point.

    Attributes:
        worth, reach: whether that is what is not known.
    """

    time_steps: int
    worth: bool
    reach: bool
