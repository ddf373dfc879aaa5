"""What reach, noise scale and goodput rest on."""

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
    """The gradient is no finite number at a lag in some draws."""

    lag: int


@dataclass(frozen=True, slots=True)
class Grows(Reason):
    """The gradient grows on its way back.

    Attributes:
        factor: over the last time step's own, at its largest.
    """

    factor: float
    lag: int


@dataclass(frozen=True, slots=True)
class Falls(Reason):
    """The gradient falls below a share of the last time step's.

    Attributes:
        threshold: that share.
        lag: the last at which it does not.
        lags: the largest there is.
    """

    threshold: float
    lag: int
    lags: int


@dataclass(frozen=True, slots=True)
class Lasts(Reason):
    """The gradient reaches to the first time step.

    Attributes:
        ratio: of the last time step's, at the largest lag.
    """

    ratio: float
    lag: int


@dataclass(frozen=True, slots=True)
class GradientsNotFinite(Reason):
    """Some gradients are no finite numbers."""


@dataclass(frozen=True, slots=True)
class FewDraws(Reason):
    """Too few draws to tell the noise of a gradient."""

    draws: int
    least: int


@dataclass(frozen=True, slots=True)
class LostInNoise(Reason):
    """The gradient cannot be told from its noise."""


@dataclass(frozen=True, slots=True)
class NoUpperEnd(Reason):
    """The noise scale's interval has no upper end."""


@dataclass(frozen=True, slots=True)
class Worth(Reason):
    """How fast the chosen batch runs, and what its sequences are worth.

    Attributes:
        efficiency_ratio: of a sequence of it, against one at *least_batch*.
        fastest_batch: another that runs *times* as fast, each sequence worth *fastest_ratio*;
            None where the chosen one is the fastest.
    """

    sequences_per_s: float
    efficiency_ratio: float
    least_batch: int
    fastest_batch: int | None = None
    times: float | None = None
    fastest_ratio: float | None = None


@dataclass(frozen=True, slots=True)
class RestsOnNoise(Reason):
    """The noise scale that a goodput rests on.

    Attributes:
        sequences: the noise scale.
        interval: its 95% interval; the upper end may be infinite.
        batches: chosen at its ends.
    """

    train_steps: int
    sequences: float
    interval: tuple[float, float]
    batches: tuple[int, int]


@dataclass(frozen=True, slots=True)
class NothingTimed(Reason):
    """No T of at most a length was timed at a point that fits."""

    length: int


@dataclass(frozen=True, slots=True)
class ReachUnknown(Reason):
    """At no T that was timed is the reach known."""

    time_steps: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ReachTooShort(Reason):
    """No T keeps the reach that is requested.

    Attributes:
        furthest: the furthest reach, at *time_steps*.
    """

    reach: int
    furthest: int
    time_steps: int


@dataclass(frozen=True, slots=True)
class ReachEnough(Reason):
    """How far gradients reach at a T, and how far is requested."""

    time_steps: int
    found: int
    reach: int


@dataclass(frozen=True, slots=True)
class BestOfReach(Reason):
    """The throughput that the chosen T was chosen by."""

    time_steps_per_s: float
    batch: int


@dataclass(frozen=True, slots=True)
class FasterButShort(Reason):
    """A faster point at a T whose gradients do not reach so far."""

    point: Point
    time_steps_per_s: float
    found: int
