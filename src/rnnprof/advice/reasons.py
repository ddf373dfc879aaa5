"""Why a batch is recommended, or why none is, and general remarks."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from rnnprof.reasons import Reason
from rnnprof.runfile.points import Point


@dataclass(frozen=True, slots=True)
class OnlyTimed(Reason):
    """The only batch at a T that was timed and fits with headroom."""

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
        near_ratio: how much below the best counts as near.
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
    """How much of the limit the recommended batch takes."""

    peak_bytes: int
    limit_bytes: int


@dataclass(frozen=True, slots=True)
class Undecided(Reason):
    """The times are too imprecise to decide which batch is the smallest near the best.

    Attributes:
        tied: the batches that remain possible.
        near_ratio: how much below the best counts as near.
        noisy_batch: a batch whose time is noisy; None for none.
        drift_ratio: drift of the machine's speed, if that is the cause; else None.
        precision_ratio: precision of the times; None if one has no interval.
    """

    tied: tuple[int, ...]
    near_ratio: float
    noisy_batch: int | None = None
    drift_ratio: float | None = None
    precision_ratio: float | None = None


@dataclass(frozen=True, slots=True)
class SpeedUnknown(Reason):
    """A simulated GPU runs no kernels: memory is known, speed is not."""


@dataclass(frozen=True, slots=True)
class Unfinished(Reason):
    """The run was stopped before its end."""


@dataclass(frozen=True, slots=True)
class NoPoint(Reason):
    """No timed point fits with headroom, at any T."""


@dataclass(frozen=True, slots=True)
class NoPointHere(Reason):
    """No timed point fits with headroom, at this T."""


@dataclass(frozen=True, slots=True)
class NotStationary(Reason):
    """The training step at a T leaves memory behind."""

    time_steps: int
    why: Reason | None


@dataclass(frozen=True, slots=True)
class PointNotUsed(Reason):
    """A point has no throughput, because its batch is not used."""

    point: Point
    why: Reason


@dataclass(frozen=True, slots=True)
class FasterLength(Reason):
    """Another T is faster than the longest, by more than the intervals.

    Attributes:
        gain_ratio: gain in time steps/s; 0.1 is 10%.
    """

    point: Point
    longest: Point
    gain_ratio: float


@dataclass(frozen=True, slots=True)
class AlsoByGoodput(Reason):
    """The recommended batch is also the best by goodput."""

    time_steps: int


@dataclass(frozen=True, slots=True)
class OtherByGoodput(Reason):
    """Another batch is better by goodput."""

    time_steps: int
    batch: int


class Lack(enum.Enum):
    """Why a batch was left out."""

    HEADROOM = "headroom"
    MEMORY_UNKNOWN = "memory unknown"
    THRASHING = "thrashing"


@dataclass(frozen=True, slots=True)
class LeftOut(Reason):
    """The fastest batch was left out because of its memory.

    Attributes:
        headroom_ratio: share of the limit that a batch must leave free.
        is_faster: whether it is faster than another batch that was not left out.
    """

    batch: int
    time_steps_per_s: float
    lack: Lack
    headroom_ratio: float
    is_faster: bool


@dataclass(frozen=True, slots=True)
class FitsAtOnce(Reason):
    """The requested effective batch fits without accumulation."""

    effective_batch: int


@dataclass(frozen=True, slots=True)
class Accumulates(Reason):
    """How many accumulation steps give the effective batch.

    Attributes:
        exact_steps, exact_batch: accumulation steps and batch that give it exactly.
        fewest_steps, nearest_batch: fewer steps that come near; None if there are none.
    """

    effective_batch: int
    exact_steps: int
    exact_batch: int
    fewest_steps: int | None = None
    nearest_batch: int | None = None


@dataclass(frozen=True, slots=True)
class PredictedBatch:
    """The predicted largest batch at a T.

    Attributes:
        batch: None if no batch would fit.
        is_exact: whether it is known to fit; larger ones may fit too.
    """

    time_steps: int
    batch: int | None
    is_exact: bool = False


@dataclass(frozen=True, slots=True)
class UnderLimit(Reason):
    """The predicted largest batches under a smaller limit."""

    limit_bytes: float
    batches: tuple[PredictedBatch, ...]


@dataclass(frozen=True, slots=True)
class NotStudied(Reason):
    """What is unknown about the recommended point because trainability was not measured.

    Attributes:
        worth: whether its statistical efficiency is unknown.
        reach: whether the reach of its gradients is unknown.
        is_script: a study needs a factory, which a script is not.
    """

    time_steps: int
    worth: bool
    reach: bool
    is_script: bool = False
