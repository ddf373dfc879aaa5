"""Reasons for reach, noise scale and goodput."""

from __future__ import annotations

from dataclasses import dataclass

from rnnprof.reasons import Reason
from rnnprof.runfile.points import Point


@dataclass(frozen=True, slots=True)
class LossWithoutLast(Reason):
    """The loss does not depend on the last time step's input."""


@dataclass(frozen=True, slots=True)
class LossWithoutInput(Reason):
    """The loss depends on no input."""


@dataclass(frozen=True, slots=True)
class NotFinite(Reason):
    """The gradient is not finite at a lag in some draws."""

    lag: int


@dataclass(frozen=True, slots=True)
class Grows(Reason):
    """The gradient grows on its way back.

    Attributes:
        factor: its maximum over the last time step's gradient.
        lag: the lag of the maximum.
    """

    factor: float
    lag: int


@dataclass(frozen=True, slots=True)
class Falls(Reason):
    """The gradient falls below a share of the last time step's.

    Attributes:
        threshold: that share.
        lag: the largest lag at which it does not.
        lags: the largest lag of all.
    """

    threshold: float
    lag: int
    lags: int


@dataclass(frozen=True, slots=True)
class Lasts(Reason):
    """The gradient reaches to the first time step.

    Attributes:
        ratio: share of the last time step's gradient, at the largest lag.
        lag: the largest lag.
    """

    ratio: float
    lag: int


@dataclass(frozen=True, slots=True)
class GradientsNotFinite(Reason):
    """Some gradients are not finite."""


@dataclass(frozen=True, slots=True)
class FewDraws(Reason):
    """Too few draws to estimate the noise of a gradient."""

    draws: int
    least: int


@dataclass(frozen=True, slots=True)
class LostInNoise(Reason):
    """The gradient cannot be distinguished from its noise."""


@dataclass(frozen=True, slots=True)
class NoUpperEnd(Reason):
    """The noise scale's interval has no upper end."""


@dataclass(frozen=True, slots=True)
class Worth(Reason):
    """The throughput and the efficiency of the chosen batch.

    Attributes:
        efficiency_ratio: progress per sequence, relative to *least_batch*.
        fastest_batch: another batch that runs *times* as fast, with efficiency *fastest_ratio*;
            None if the chosen one is the fastest.
    """

    sequences_per_s: float
    efficiency_ratio: float
    least_batch: int
    fastest_batch: int | None = None
    times: float | None = None
    fastest_ratio: float | None = None


@dataclass(frozen=True, slots=True)
class RestsOnNoise(Reason):
    """The noise scale behind a goodput.

    Attributes:
        sequences: the noise scale.
        interval: its 95% interval; the upper end may be infinite.
        batches: the batches chosen at the two ends.
    """

    train_steps: int
    sequences: float
    interval: tuple[float, float]
    batches: tuple[int, int]


@dataclass(frozen=True, slots=True)
class NothingTimed(Reason):
    """No T up to a length was timed at a point that fits."""

    length: int


@dataclass(frozen=True, slots=True)
class ReachUnknown(Reason):
    """The reach is unknown at every T that was timed."""

    time_steps: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ReachTooShort(Reason):
    """No T has the requested reach.

    Attributes:
        furthest: the largest reach, at *time_steps*.
    """

    reach: int
    furthest: int
    time_steps: int


@dataclass(frozen=True, slots=True)
class ReachEnough(Reason):
    """How far gradients reach at a T, and the requested reach."""

    time_steps: int
    found: int
    reach: int


@dataclass(frozen=True, slots=True)
class BestOfReach(Reason):
    """The throughput for which a T was chosen."""

    time_steps_per_s: float
    batch: int


@dataclass(frozen=True, slots=True)
class FasterButShort(Reason):
    """A faster point at a T whose gradients do not reach far enough."""

    point: Point
    time_steps_per_s: float
    found: int
