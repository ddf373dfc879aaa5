"""Why a check of the gate ends as it does: the figures that its verdict rests on, without words.

A reason holds each figure that its sentence states, and no other, so that a report can tell which
figures of a finding are stated beside it (:func:`numbers_in`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

from rnnprof.compare.reasons import Difference, NoInterval, TooFewProcesses
from rnnprof.reasons import Reason
from rnnprof.runfile.certificates import EdgeStatus
from rnnprof.runfile.points import Outcome, Point

Cause = Reason | str | None
"""Why something came about: another judge's reason, or text as an observation recorded it; None
where nothing was recorded."""


def numbers_in(reason: object) -> Iterator[float]:
    """Every number that a reason holds, itself or in a reason within it."""
    if isinstance(reason, bool):
        return
    if isinstance(reason, int | float):
        yield reason
    elif isinstance(reason, tuple):
        for each in reason:
            yield from numbers_in(each)
    elif is_dataclass(reason):
        for field in fields(reason):
            yield from numbers_in(getattr(reason, field.name))


# --- whether there is anything to judge ----------------------------------------------------------


@dataclass(frozen=True, slots=True)
class NothingChecked(Reason):
    """The budget requests nothing, so that a gate has no findings."""


@dataclass(frozen=True, slots=True)
class Unfinished(Reason):
    """The run, or its baseline, was stopped before its end."""

    is_baseline: bool


@dataclass(frozen=True, slots=True)
class SameRun(Reason):
    """The baseline is the run itself, or an earlier state of it."""


@dataclass(frozen=True, slots=True)
class NoBaseline(Reason):
    """The budget limits growth, and no baseline was given."""


@dataclass(frozen=True, slots=True)
class BaselineIsEmpty(Reason):
    """The baseline measured no point."""


# --- whether the run is the one that is required -------------------------------------------------


@dataclass(frozen=True, slots=True)
class KeyDiffers(Reason):
    """A condition of the run has another value than in the budget.

    Attributes:
        key: of ``[workload]`` or ``[measure]``, as the budget file spells it.
        run, budget: the values; None where there is none.
    """

    key: str
    run: Any
    budget: Any


@dataclass(frozen=True, slots=True)
class SizeDiffers(Reason):
    """A size of the run's memory is another than in the budget.

    Attributes:
        key: of ``[measure]``, as the budget file spells it.
        run_bytes: None where the run has no such size.
    """

    key: str
    run_bytes: int | None
    budget_bytes: int


@dataclass(frozen=True, slots=True)
class NotTheBudgetsRun(Reason):
    """The run was measured otherwise than the budget requires.

    Attributes:
        differences: at least one.
    """

    differences: tuple[Reason, ...]


@dataclass(frozen=True, slots=True)
class NotComparable(Reason):
    """The run and its baseline cannot be compared.

    Attributes:
        differences: that stand in the way, at least one.
    """

    differences: tuple[Difference, ...]


@dataclass(frozen=True, slots=True)
class Comparable(Reason):
    """The run and its baseline can be compared.

    Attributes:
        points: that the baseline measured.
        differences: that do not stand in the way.
        not_judged: points that the run measured and the baseline did not.
    """

    points: int
    differences: tuple[Difference, ...] = ()
    not_judged: tuple[Point, ...] = ()


@dataclass(frozen=True, slots=True)
class OtherLimit(Reason):
    """A pass ran under another limit than the one required, in bytes.

    Attributes:
        batch: of the pass; None for the passes that prove a largest batch.
    """

    batch: int | None
    ran_bytes: int
    required_bytes: int


# --- what was not measured -----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class NotMeasured(Reason):
    """The run has no measurement at a point."""

    point: Point


@dataclass(frozen=True, slots=True)
class PassNotRun(Reason):
    """A point was measured, but not by the pass that the check needs."""

    point: Point


@dataclass(frozen=True, slots=True)
class EdgeNotSearched(Reason):
    """The run did not search for the largest batch at T = *time_steps*."""

    time_steps: int


@dataclass(frozen=True, slots=True)
class Ended(Reason):
    """The last pass neither fitted nor ran out of memory.

    Attributes:
        outcome: how it ended instead.
        cause: what the pass recorded.
    """

    outcome: Outcome
    cause: Cause


@dataclass(frozen=True, slots=True)
class MachineShort(Reason):
    """Other processes held the memory that the limit promises.

    Attributes:
        cause: what the pass recorded.
    """

    cause: Cause


@dataclass(frozen=True, slots=True)
class OnlyInBaseline(Reason):
    """The baseline measured a point that the run did not.

    Attributes:
        cause: why the run did not measure it.
        is_limit_smaller: the run's limit is below the baseline's, and the point is out of memory.
    """

    cause: Reason
    is_limit_smaller: bool = False


# --- fits ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class DoesNotFit(Reason):
    """A batch is out of memory.

    Attributes:
        cause: what the pass recorded.
        batch: at which it was run; None for the point of the check.
        message: of the error that was raised; None where none was recorded.
    """

    cause: Cause
    batch: int | None = None
    message: str | None = None


@dataclass(frozen=True, slots=True)
class Unusable(Reason):
    """The training step does something that no batch can pass with.

    Attributes:
        status: what it does.
        cause: how that shows.
    """

    status: EdgeStatus
    cause: Cause


@dataclass(frozen=True, slots=True)
class WentBothWays(Reason):
    """A batch has fitted in one pass and run out of memory in another."""

    batch: int


@dataclass(frozen=True, slots=True)
class FitsAboveOom(Reason):
    """A batch fits although a smaller one is out of memory."""

    batch: int
    oom_batch: int


@dataclass(frozen=True, slots=True)
class TooFewSteps(Reason):
    """A batch fits over fewer training steps than required."""

    batch: int
    train_steps: int
    required_steps: int


@dataclass(frozen=True, slots=True)
class PeakAndHeadroom(Reason):
    """What a batch that fits takes of the limit, in bytes.

    Attributes:
        peak_bytes: of what the limit counts.
        limit_bytes: under which it ran.
        headroom_ratio: share of the limit that has to be left.
    """

    batch: int
    peak_bytes: int
    limit_bytes: int
    headroom_ratio: float


@dataclass(frozen=True, slots=True)
class FitsWithUnknownPeak(Reason):
    """A batch fits, and what it takes is not known.

    Attributes:
        cause: why it is not known.
        headroom_ratio: share of the limit that has to be left; 0 where none has to be.
    """

    batch: int
    cause: Cause
    headroom_ratio: float


@dataclass(frozen=True, slots=True)
class FitsWithoutHeadroom(Reason):
    """A batch fits only because the allocator emptied its cache, so that it has no headroom.

    Attributes:
        retries: how often the allocator did.
        headroom_ratio: share of the limit that has to be left.
    """

    batch: int
    retries: int
    headroom_ratio: float


@dataclass(frozen=True, slots=True)
class NotRunItself(Reason):
    """What is known of a batch comes from a larger one: the batch itself was not run.

    Attributes:
        larger: what is known of the larger one.
    """

    larger: Reason
    batch: int


# --- the largest batch ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class LargestBatch(Reason):
    """The largest batch known to fit.

    Attributes:
        required: the batch that has to fit.
        remark: why no larger one is known, or what else to know of it.
    """

    batch: int
    required: int
    remark: Cause = None


@dataclass(frozen=True, slots=True)
class NothingFits(Reason):
    """Not even the smallest batch fits.

    Attributes:
        cause: how it ended.
    """

    cause: Cause


@dataclass(frozen=True, slots=True)
class StoppedAtCap(Reason):
    """The search tried no batch above its cap (``--at-most``)."""

    known: LargestBatch


@dataclass(frozen=True, slots=True)
class BetweenMultiples(Reason):
    """The required batch lies between two multiples of the granularity: nothing is known of it.

    Attributes:
        known: up to where batches fit.
        fails: the multiple that is out of memory.
    """

    known: LargestBatch | NothingFits
    fails: int


# --- figures against their limits ----------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PeakAndLimit(Reason):
    """A peak and what is allowed, in bytes.

    Attributes:
        of: one of :data:`rnnprof.gate.budget.PEAKS`.
    """

    of: str
    peak_bytes: int
    limit_bytes: int


@dataclass(frozen=True, slots=True)
class PeakUnknown(Reason):
    """The peak of a point is not known.

    Attributes:
        of: one of :data:`rnnprof.gate.budget.PEAKS`.
        cause: why; None where the device does not report such a peak.
    """

    of: str
    cause: Cause


@dataclass(frozen=True, slots=True)
class BaselinePeakUnknown(Reason):
    """The baseline does not know the allocated peak of a point."""


@dataclass(frozen=True, slots=True)
class PeakGrowth(Reason):
    """How the peak of a point grew over the baseline, in bytes.

    Attributes:
        of: ``allocated``, or ``charged`` where one of the runs does not know the allocated peak.
        allowed_bytes: by which it may grow.
    """

    of: str
    new_bytes: float
    base_bytes: float
    allowed_bytes: float


@dataclass(frozen=True, slots=True)
class TimeGrowth(Reason):
    """How the step time of a point grew over the baseline.

    Attributes:
        new_s, base_s: for B sequences, in the run and in the baseline.
        ratio: run over baseline.
        interval: 95% interval of the ratio.
        bound: one-sided 95% upper bound of the ratio.
        allowed_ratio: by which the time may grow.
    """

    new_s: float | None
    base_s: float | None
    ratio: float
    interval: tuple[float, float]
    bound: float
    allowed_ratio: float


@dataclass(frozen=True, slots=True)
class TimesOfFew(Reason):
    """Too few quiet processes timed a point to tell a change of its step time from noise.

    Attributes:
        shortage: which of the two runs has too few.
        new_s, base_s: for B sequences, in the run and in the baseline; None where not both are
            known.
    """

    shortage: NoInterval
    new_s: float | None = None
    base_s: float | None = None


@dataclass(frozen=True, slots=True)
class OnlyNoisy(Reason):
    """Every process that timed a point was noisy.

    Attributes:
        cause: what made the first of them noisy.
    """

    cause: Cause


@dataclass(frozen=True, slots=True)
class Throughput(Reason):
    """The throughput of a point, in time steps per second.

    Attributes:
        interval_per_s: 95% interval of the rate.
        required_per_s: that has to be reached.
    """

    rate_per_s: float
    interval_per_s: tuple[float, float]
    required_per_s: float


@dataclass(frozen=True, slots=True)
class ThroughputOfFew(Reason):
    """The throughput of a point that too few processes timed, in time steps per second.

    Attributes:
        required_per_s: that has to be reached.
        factor: by which the two have to differ for a verdict.
    """

    rate_per_s: float
    required_per_s: float
    shortage: TooFewProcesses
    factor: float
