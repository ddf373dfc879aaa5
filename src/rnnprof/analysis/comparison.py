"""Two runs side by side: what makes them comparable, and how time and memory changed.

The unit of time is the process: the samples within one are not independent of each other.  The
ratio of two runs is that of the geometric means of their processes' medians, and its interval is
Welch's t interval of the difference of the mean logarithms (Welch, Biometrika 34, 1947).  It knows
how processes differ while a run is measured, not how the machine differs from one day to the next.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, median, variance
from typing import Any, Final

from rnnprof.analysis.certify import frontier_of
from rnnprof.analysis.disturbance import judge
from rnnprof.analysis.fold import MIN_PROCESSES, by_point, fold_run, timings_of
from rnnprof.analysis.memory_model import MemoryModel, Sample
from rnnprof.analysis.statistics import CONFIDENCE
from rnnprof.codec import encode
from rnnprof.records import Certificate, Header, Measurement, Observation, Outcome, Point, Run

SIGNIFICANCE: Final = 0.05
"""Share of the runs without a regression in which one may be called, over all points together."""

POWER: Final = 0.8
"""Share of the runs with a regression in which it is to be called: the usual convention."""

NOISE_FLOOR_RATIO: Final = 0.001
"""Processes that agree better than this agree by chance: no machine repeats itself so closely.

Without it a few equal medians would make an interval of no width, and any change significant."""

RECOMMENDED_PROCESSES: Final = 5
"""With three the t distribution's tails make the interval 1.5 times as wide as with five."""

MAX_LOG: Final = 700.0
"""Beyond it a ratio is no float."""

LEAST_S: Final = 1e-12
"""No step is over in a picosecond: what a run file says below it is kept away from zero."""


class Affects(enum.StrEnum):
    """What of two runs a difference between them makes incomparable."""

    EVERYTHING = "everything"
    TIME = "time"
    LIMIT = "limit"
    NOTHING = "nothing"


_EVERYTHING: Final = frozenset({
    "device", "device_name", "device_memory_bytes", "multiprocessors", "capability", "architecture",
    "driver", "torch", "cuda", "cudnn", "cudnn_benchmark", "cudnn_allow_tf32",
    "float32_matmul_precision", "deterministic_algorithms", "allocator", "allocator_settings",
    "threads", "interop_threads", "onednn", "cpu_capability",
})  # fmt: skip
"""Facts of the environment that choose kernels, workspaces or arithmetic."""

_TIME: Final = frozenset({"processor_name", "processors"})
"""Facts of the host beside a card: they decide how fast steps are submitted, not their bytes."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One field of the identity in which two runs differ; None where a run does not have it."""

    name: str
    base: Any
    new: Any
    affects: Affects

    def __str__(self) -> str:
        return f"{self.name} {_shown(self.base)} in the baseline, {_shown(self.new)} in the run"


def differences(base: Header, new: Header) -> tuple[Difference, ...]:
    """Each field in which two headers differ, what matters most first.

    The source of a factory may differ (its ``sha256``): that a change of the code changes nothing
    else is what is to be found out.  So may the card of a kind (``device_uuid``), the kernel, the
    Python and the rnnprof.  A fact that this version does not know is told, and affects nothing.
    """
    left, right = _facts(base), _facts(new)
    found = [
        Difference(name, left.get(name), right.get(name), _affects(name))
        for name in dict.fromkeys([*left, *right])
        if left.get(name) != right.get(name)
    ]
    order = list(Affects)
    return tuple(sorted(found, key=lambda difference: order.index(difference.affects)))


def _facts(header: Header) -> dict[str, Any]:
    environment: dict[str, Any] = encode(header.environment)
    workload = encode(header.workload)
    factory = workload.pop("factory") or {}
    return {
        **{f"workload.{name}": value for name, value in workload.items()},
        **{f"workload.factory.{name}": value for name, value in factory.items()},
        **environment,
        "limit_bytes": header.limit_bytes,
        "rnnprof_version": header.rnnprof_version,
    }


def _affects(name: str) -> Affects:
    if name == "workload.factory.sha256":
        return Affects.NOTHING
    if name.startswith("workload.") or name in _EVERYTHING:
        return Affects.EVERYTHING
    if name in _TIME:
        return Affects.TIME
    return Affects.LIMIT if name == "limit_bytes" else Affects.NOTHING


def _shown(value: Any) -> str:
    return "unknown" if value is None else str(value)


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean of logarithms, or a difference of two, and how well it is known.

    Attributes:
        log_mean: natural logarithm of the ratio (or of the figure) estimated.
        standard_error: of it.
        degrees_of_freedom: of the standard error.
    """

    log_mean: float
    standard_error: float
    degrees_of_freedom: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Estimate:
        """The mean of positive *values*' logarithms; two at least."""
        return cls(_log_mean(values), math.sqrt(_squared_error(values)), len(values) - 1)

    @classmethod
    def of_ratio(cls, base: Sequence[float], new: Sequence[float]) -> Estimate:
        """New over base by Welch: the spreads may differ; two values a side at least."""
        errors = [_squared_error(side) for side in (base, new)]
        freedom = sum(errors) ** 2 / sum(
            error**2 / (len(side) - 1) for error, side in zip(errors, (base, new), strict=True)
        )
        return cls(_log_mean(new) - _log_mean(base), math.sqrt(sum(errors)), freedom)

    def over(self, figure: float) -> Estimate:
        """As a ratio to a positive *figure* that is known exactly."""
        return Estimate(
            self.log_mean - math.log(figure), self.standard_error, self.degrees_of_freedom
        )

    @property
    def ratio(self) -> float:
        """The ratio (or figure) itself."""
        return _exp(self.log_mean)

    def bound(self, share: float) -> float:
        """What the true ratio lies below, with probability *share* of runs such as this."""
        quantile = _t_quantile(share, self.degrees_of_freedom)
        return _exp(self.log_mean + quantile * self.standard_error)

    def interval(self) -> tuple[float, float]:
        """The two-sided 95% interval of the ratio."""
        return self.bound((1 - CONFIDENCE) / 2), self.bound((1 + CONFIDENCE) / 2)

    def p_above(self, limit_ratio: float) -> float:
        """One-sided p: how often a run shows so much or more whose true change is the limit.

        Args:
            limit_ratio: change allowed, 0.05 for 5%.
        """
        t = (self.log_mean - math.log1p(limit_ratio)) / self.standard_error
        return _t_share(-t, self.degrees_of_freedom)


def smallest_detectable_ratio(
    estimate: Estimate, limit_ratio: float, significance: float = SIGNIFICANCE
) -> float:
    """The smallest true change that would be called past the limit in 80% of runs such as this.

    ``(1 + limit) * exp(se * (t[1 - significance] + t[0.8])) - 1``, with quantiles of Student's t at
    the estimate's degrees of freedom: the usual approximation of the noncentral t.

    Args:
        significance: that a call asks for; of m points together, Holm's first step asks for 1/m
            of :data:`SIGNIFICANCE` at each.
    """
    freedom = estimate.degrees_of_freedom
    quantiles = _t_quantile(1 - significance, freedom) + _t_quantile(POWER, freedom)
    return _exp(math.log1p(limit_ratio) + quantiles * estimate.standard_error) - 1


def holm(p_values: Sequence[float], significance: float = SIGNIFICANCE) -> list[bool]:
    """Which hypotheses are rejected, with at most *significance* for any true one among all.

    Source: Holm, A simple sequentially rejective multiple test procedure, 1979.
    """
    order = sorted(range(len(p_values)), key=lambda index: p_values[index])
    rejected = [False] * len(p_values)
    for step, index in enumerate(order):
        if p_values[index] > significance / (len(p_values) - step):
            break
        rejected[index] = True
    return rejected


@dataclass(frozen=True, slots=True)
class ProcessMedians:
    """How long B sequences took at a point, process by process.

    Attributes:
        medians_s: of each process that nothing disturbed.  A step that trains on more than B
            sequences (accumulation) counts by its share, so that two runs stay comparable.
        disturbed: for each other process, what disturbed it.
    """

    medians_s: tuple[float, ...] = ()
    disturbed: tuple[str, ...] = ()

    @classmethod
    def of(cls, observations: Sequence[Observation]) -> ProcessMedians:
        """Of a point's observations: the timing that counts for each process."""
        medians, disturbed = [], []
        for timing in timings_of(observations):
            if timing.outcome is not Outcome.MEASURED or not timing.samples_s:
                continue
            if (what := judge(timing.conditions)) is not None:
                disturbed.append(what)
                continue
            sequences = timing.sequences_per_step or timing.batch
            seconds = median(timing.samples_s) * timing.batch / sequences
            medians.append(max(LEAST_S, seconds))
        return cls(tuple(medians), tuple(disturbed))

    @property
    def are_enough(self) -> bool:
        """Whether the spread between processes can be told."""
        return len(self.medians_s) >= MIN_PROCESSES

    @property
    def typical_s(self) -> float | None:
        """Their geometric mean; None without any."""
        return _exp(_log_mean(self.medians_s)) if self.medians_s else None

    def shortage(self) -> str | None:
        """Why they are not enough, in words; None where they are."""
        if self.are_enough:
            return None
        text = f"{len(self.medians_s)} of at least {MIN_PROCESSES} processes"
        if self.disturbed:
            text += f" ({len(self.disturbed)} disturbed: {self.disturbed[0]})"
        return text


@dataclass(frozen=True, slots=True)
class TimeChange:
    """How the time of a point's step changed.

    Attributes:
        base_s, new_s: geometric means of the processes' medians, for B sequences.
        ratio: new over base.
        interval: 95% interval of the ratio; None below 3 undisturbed processes on either side.
        processes: that count, in the baseline and in the run.
        estimate: what the interval is from; None with it.
        reason: why there is no ratio or no interval.
    """

    point: Point
    base_s: float | None
    new_s: float | None
    ratio: float | None
    interval: tuple[float, float] | None
    processes: tuple[int, int]
    estimate: Estimate | None = None
    reason: str | None = None


def compare_times(point: Point, base: ProcessMedians, new: ProcessMedians) -> TimeChange:
    """The change at a point, with an interval where both sides have processes enough."""
    base_s, new_s = base.typical_s, new.typical_s
    shortages = (("baseline", base.shortage()), ("run", new.shortage()))
    reason = "; ".join(f"the {side} has {short}" for side, short in shortages if short) or None
    known = None if reason else Estimate.of_ratio(base.medians_s, new.medians_s)
    return TimeChange(
        point,
        base_s,
        new_s,
        _ratio(base_s, new_s),
        known.interval() if known else None,
        (len(base.medians_s), len(new.medians_s)),
        known,
        reason,
    )


@dataclass(frozen=True, slots=True)
class Change:
    """A figure of both runs; None where one does not have it; the ratio is new over base."""

    base: float | None
    new: float | None
    ratio: float | None

    @classmethod
    def of(cls, base: float | None, new: float | None) -> Change:
        """The two figures and their ratio, where both are known and the first is not 0."""
        return cls(base, new, _ratio(base, new))


@dataclass(frozen=True, slots=True)
class PointComparison:
    """A point that either run has.

    Attributes:
        base_outcome, new_outcome: None where that run does not have the point.
        allocated_bytes: peak by the allocator.
        counted_bytes: peak of what the memory limit counts.
        bytes_per_time_step: allocated peak over B*T.
    """

    point: Point
    base_outcome: Outcome | None
    new_outcome: Outcome | None
    time: TimeChange
    allocated_bytes: Change
    counted_bytes: Change
    bytes_per_time_step: Change


@dataclass(frozen=True, slots=True)
class EdgeComparison:
    """The largest batch at one T that either run has; the ratio is of the two batches."""

    steps: int
    base: Certificate | None
    new: Certificate | None
    ratio: float | None


@dataclass(frozen=True, slots=True)
class RunComparison:
    """Two runs side by side.

    Attributes:
        differences: of their identities, what matters most first.
        points: by steps and then by batch.
        time_ratio: geometric mean of the ratios of time, new over base: the headline; None where
            no point is timed in both.  It says nothing where a difference affects time.
        points_timed: that it is of.
        frontier: by steps.
        slope_bytes: what one time step more of one sequence takes, of the allocated peak, by the
            memory model at the largest point of both; None where the points do not tell.
    """

    differences: tuple[Difference, ...]
    points: tuple[PointComparison, ...]
    time_ratio: float | None
    points_timed: int
    frontier: tuple[EdgeComparison, ...]
    slope_bytes: Change


def compare(base: Run, new: Run) -> RunComparison:
    """Two runs side by side; whether they are comparable is told, not enforced."""
    points = compare_points(base, new)
    ratios = [each.time.ratio for each in points if each.time.ratio is not None]
    return RunComparison(
        differences(base.header, new.header),
        points,
        geometric_mean(ratios),
        len(ratios),
        compare_frontiers(frontier_of(base), frontier_of(new)),
        _slopes(points),
    )


def compare_points(base: Run, new: Run) -> tuple[PointComparison, ...]:
    """Every point that either run has, by steps and then by batch."""
    left, right = fold_run(base), fold_run(new)
    seen = by_point(base.observations), by_point(new.observations)
    ordered = sorted({*left, *right}, key=lambda point: (point.steps, point.batch))
    return tuple(_compare_point(point, (left, right), seen) for point in ordered)


def _compare_point(
    point: Point,
    measured: tuple[Mapping[Point, Measurement], Mapping[Point, Measurement]],
    seen: tuple[Mapping[Point, list[Observation]], Mapping[Point, list[Observation]]],
) -> PointComparison:
    base, new = (side.get(point) for side in measured)
    times = [ProcessMedians.of(side.get(point, ())) for side in seen]
    allocated = Change.of(_allocated(base), _allocated(new))
    return PointComparison(
        point,
        base.outcome if base else None,
        new.outcome if new else None,
        compare_times(point, *times),
        allocated,
        Change.of(
            base.peak_counted_bytes if base else None, new.peak_counted_bytes if new else None
        ),
        Change.of(_share(allocated.base, point), _share(allocated.new, point)),
    )


def compare_frontiers(
    base: Iterable[Certificate], new: Iterable[Certificate]
) -> tuple[EdgeComparison, ...]:
    """The certificates of two runs at every T that either has."""
    left, right = ({each.steps: each for each in side} for side in (base, new))
    pairs = [(steps, left.get(steps), right.get(steps)) for steps in sorted({*left, *right})]
    return tuple(
        EdgeComparison(
            steps, one, other, _ratio(one.batch if one else None, other.batch if other else None)
        )
        for steps, one, other in pairs
    )


def geometric_mean(ratios: Iterable[float]) -> float | None:
    """Of positive ratios; None without any.

    Source: Fleming and Wallace, How not to lie with statistics, CACM 29, 1986.
    """
    known = list(ratios)
    return _exp(_log_mean(known)) if known else None


def _slopes(points: Sequence[PointComparison]) -> Change:
    """Bytes per time step of both runs, from the points that both have."""
    both = [each for each in points if each.allocated_bytes.ratio is not None]
    return Change.of(
        _slope([Sample(each.point, each.allocated_bytes.base or 0) for each in both]),
        _slope([Sample(each.point, each.allocated_bytes.new or 0) for each in both]),
    )


def _slope(samples: Sequence[Sample]) -> float | None:
    """Of the plane that is highest at the largest point; None of a single T or B."""
    model = MemoryModel.fit(samples)
    batches = {sample.point.batch for sample in samples}
    if model is None or model.lengths < 2 or len(batches) < 2:
        return None
    largest = max((s.point for s in samples), key=lambda point: (point.batch * point.steps, point))
    highest = max(model.planes, key=lambda plane: plane.at(largest.batch, largest.steps))
    return highest.per_step


def _allocated(measurement: Measurement | None) -> int | None:
    return measurement.peak_allocated_bytes if measurement else None


def _share(size_bytes: float | None, point: Point) -> float | None:
    size = point.batch * point.steps
    return None if size_bytes is None or size == 0 else size_bytes / size


def _ratio(base: float | None, new: float | None) -> float | None:
    return new / base if base and new is not None else None


def _log_mean(values: Sequence[float]) -> float:
    return fmean(map(math.log, values))


def _squared_error(values: Sequence[float]) -> float:
    """Of the mean logarithm; processes never agree better than the floor."""
    spread = variance([math.log(value) for value in values])
    return max(spread, NOISE_FLOOR_RATIO**2) / len(values)


def _exp(log: float) -> float:
    return math.exp(min(MAX_LOG, max(-MAX_LOG, log)))


def _t_quantile(share: float, freedom: float) -> float:
    """The value that a t of so many degrees of freedom lies below with probability *share*.

    scipy takes a third of a second to load: only who judges times pays for it.
    """
    from scipy.special import stdtrit

    return float(stdtrit(freedom, share))


def _t_share(value: float, freedom: float) -> float:
    """The probability that a t of so many degrees of freedom lies below *value*."""
    from scipy.special import stdtr

    return float(stdtr(freedom, value))
